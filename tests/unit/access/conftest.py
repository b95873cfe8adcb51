"""A fake API server on loopback: real HTTP and real websockets, so that only the cluster behind them is made up."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from harness.cluster.provider import ClusterHandle

TOKEN = "t0p-secret"


class Stream:
    """The pod's end of one forwarded connection."""

    def __init__(self, connection: socket.socket, reader: Any) -> None:
        self._connection = connection
        self._reader = reader

    def read(self) -> bytes:
        """Return the data of the next message; empty when the other end has closed."""
        while True:
            opcode, payload = self._frame()
            if opcode in (None, 8):
                return b""
            if opcode == 2:
                assert payload[0] == 0, "data goes over channel 0"
                return payload[1:]

    def _frame(self) -> tuple[int | None, bytes]:
        head = self._reader.read(2)
        if len(head) < 2:
            return None, b""
        length = head[1] & 127
        if length == 126:
            (length,) = struct.unpack("!H", self._reader.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._reader.read(8))
        mask = self._reader.read(4)
        data = self._reader.read(length)
        return head[0] & 15, bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))

    def send(self, data: bytes, *, channel: int = 0, opcode: int = 2) -> None:
        """Send one message to the client."""
        payload = bytes([channel]) + data if opcode == 2 else data
        length = len(payload)
        size = bytes([min(length, 127)])
        if length >= 65_536:
            size = b"\x7f" + struct.pack("!Q", length)
        elif length >= 126:
            size = b"\x7e" + struct.pack("!H", length)
        self._connection.sendall(bytes([128 | opcode]) + size + payload)

    def echo(self) -> None:
        """Answer every message with itself."""
        while data := self.read():
            self.send(data)


@dataclass
class FakeApi:
    """What the fake cluster holds, and what was asked of it."""

    handle: Any = None
    pods: list[Any] = field(default_factory=list)
    objects: dict[str, Any] = field(default_factory=dict)
    events: list[Any] = field(default_factory=list)
    behave: Callable[[str, int, Stream], None] = lambda _name, _port, stream: stream.echo()
    refuse: tuple[int, str] | None = None
    forwarded: list[tuple[str, int]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)


def handler_of(state: FakeApi) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - its methods share the state
    """Return the class that answers for the fake."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            state.asked.append((parts.path, query))
            state.tokens.add(self.headers.get("authorization", ""))
            if parts.path.endswith("/portforward"):
                self.forward(parts.path.split("/")[-2], int(query["ports"][0]))
            elif "watch" in query:
                self.reply(200, state.events)
            elif parts.path == "/api/v1/namespaces/demo/pods":
                self.reply(200, {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": state.pods})
            elif parts.path in state.objects:
                self.reply(200, state.objects[parts.path])
            else:
                self.reply(404, {"kind": "Status", "code": 404})

        def reply(self, status: int, content: Any) -> None:
            documents = content if isinstance(content, list) else [content]
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.writelines(json.dumps(document).encode() + b"\n" for document in documents)

        def forward(self, name: str, port: int) -> None:
            if state.refuse:
                status, why = state.refuse
                self.send_response(status)
                self.send_header("Content-Length", str(len(why)))
                self.end_headers()
                self.wfile.write(why.encode())
                return
            assert self.headers["Sec-WebSocket-Protocol"] == "v4.channel.k8s.io"
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
            self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
            self.end_headers()
            state.forwarded.append((name, port))
            stream = Stream(self.connection, self.rfile)
            for channel in (0, 1):
                stream.send(struct.pack("<H", port), channel=channel)
            state.behave(name, port, stream)
            # Closing with bytes unread would be a reset, which a node does not send.
            self.connection.shutdown(socket.SHUT_WR)
            while self.rfile.read(65536):
                pass

        protocol_version = "HTTP/1.1"
        close_connection = True

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.handle_one_request()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Keep the test output clean."""

    return Handler


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApi]:
    """Run the fake for one test."""
    state = FakeApi()

    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(state)) as listening:
        listening.daemon_threads = True
        kubeconfig = tmp_path / "kubeconfig"
        user = {"token": TOKEN}
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "",
                    "clusters": [
                        {"name": "c", "cluster": {"server": f"http://127.0.0.1:{listening.server_address[1]}"}}
                    ],
                    "users": [{"name": "u", "user": user}],
                    "contexts": [{"name": "fake", "context": {"cluster": "c", "user": "u"}}],
                }
            )
        )
        state.handle = ClusterHandle("fake", "existing", kubeconfig, "fake", Path("kubectl"))
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        listening.shutdown()
        thread.join()
