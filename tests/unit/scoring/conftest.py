"""A real HTTP server on loopback that answers from a list and remembers what it was asked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.access.endpoint import Endpoint


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """Answers with ``status``, ``headers`` and ``body``, or with whatever ``script`` does to the connection."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    body: bytes = b'{"score": [1, 2]}'
    script: Callable[[BaseHTTPRequestHandler], None] | None = None
    asked: list[Asked] = field(default_factory=list)

    @property
    def endpoint(self) -> Endpoint:
        """The server as an endpoint."""
        return Endpoint.from_url(self.url)


@pytest.fixture
def server() -> Iterator[Server]:
    """Run the server for one test."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each body on a kept connection waits 40 ms for an acknowledgement

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.asked.append(Asked(self.command, self.path, headers, body))
            if state.script is not None:
                state.script(self)
                return
            self.send_response(state.status)
            for name, value in {**state.headers, "Content-Length": str(len(state.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(state.body)

        do_GET = do_POST = do_PUT = do_HEAD = answer  # noqa: N815 - the base class names them so

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Keep the test output clean."""

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle()

    class Listening(ThreadingHTTPServer):
        request_queue_size = 128  # of 5, the default, traffic with new connections overflows: the kernel resets some

    with Listening(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        listening.block_on_close = False
        state.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        listening.shutdown()
        thread.join()
