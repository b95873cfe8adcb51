"""The HTTP edge, against a real server on loopback: answers come back as they are, and failures are typed."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from harness.access.endpoint import Endpoint
from harness.errors import AccessError, EndpointNotReadyError
from harness.scoring.request import ScoreRequest
from harness.scoring.transport import RequestsTransport


@pytest.fixture
def transport() -> Any:
    """A transport that is closed after the test."""
    with RequestsTransport() as opened:
        yield opened


def test_the_tutorial_request_and_answer(server: Any, transport: RequestsTransport) -> None:
    """Method, path, type and body arrive; status, headers and body come back."""
    response = transport.send(ScoreRequest(server.endpoint, "/score", {"X": [1, 2]}))
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/score", b'{"X": [1, 2]}')
    assert asked.headers["content-type"] == "application/json"
    response.assert_status(200).assert_content_type("application/json").assert_json({"score": [1, 2]})
    assert response.headers["content-TYPE"] == "application/json"
    assert 0 < response.latency_s < 10


@pytest.mark.parametrize("status", [201, 302, 400, 404, 500, 502, 503])
def test_every_status_is_an_answer(server: Any, transport: RequestsTransport, status: int) -> None:
    """No status is an error, none is retried, no redirect is followed."""
    server.status, server.headers = status, {"Location": "/elsewhere"}
    assert transport.send(ScoreRequest(server.endpoint)).status == status
    assert len(server.asked) == 1


def test_the_environment_changes_nothing(
    server: Any, transport: RequestsTransport, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A proxy or a .netrc named by the environment is not used for the service under test."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password word\n")
    monkeypatch.setenv("NETRC", str(netrc))
    transport.send(ScoreRequest(server.endpoint)).assert_status(200)
    assert "authorization" not in server.asked[0].headers


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def test_a_refused_connection_is_not_ready(transport: RequestsTransport) -> None:
    """The error names the request, the reason and the curl command, and carries what the way there knows."""
    endpoint = replace(Endpoint(f"http://127.0.0.1:{free_port()}"), diagnose=lambda: "pod/web-1: it crashed")
    with pytest.raises(EndpointNotReadyError) as caught:
        transport.send(ScoreRequest(endpoint, "/score", {"X": [1]}))
    text = str(caught.value)
    assert f"could not get an answer to POST {endpoint.url}/score" in text
    assert "Connection refused (ConnectionRefusedError)" in text
    assert "pod/web-1: it crashed" in text
    assert "curl http://127.0.0.1" in text


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection with no answer."""
    handler.close_connection = True


def answer_half(handler: BaseHTTPRequestHandler) -> None:
    """Promise more bytes than are sent."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"half")
    handler.close_connection = True


@pytest.mark.parametrize("script", [hang_up, answer_half])
def test_a_broken_answer_is_not_ready(server: Any, transport: RequestsTransport, script: Any) -> None:
    """A connection that ends before the answer does is an error, not a short answer."""
    server.script = script
    with pytest.raises(EndpointNotReadyError):
        transport.send(ScoreRequest(server.endpoint))
    assert len(server.asked) == 1


@pytest.mark.parametrize("trickles", [False, True], ids=["nothing comes", "bytes trickle in for ever"])
def test_the_time_limit_covers_the_whole_answer(server: Any, transport: RequestsTransport, trickles: bool) -> None:
    """A service that never finishes is given up, though single reads may succeed."""
    over = threading.Event()

    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while not over.wait(0.01):
            if trickles:
                handler.wfile.write(b"1\r\nx\r\n")

    server.script = script
    try:
        with pytest.raises(EndpointNotReadyError, match=r"no complete answer within 0\.2 s"):
            transport.send(ScoreRequest(server.endpoint, timeout_s=0.2))
    finally:
        over.set()


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        pytest.param(ScoreRequest(Endpoint("ftp://127.0.0.1")), "ftp://127.0.0.1", id="a scheme without adapter"),
        pytest.param(ScoreRequest(Endpoint("http://")), "host", id="no host"),
        pytest.param(
            ScoreRequest(Endpoint("http://127.0.0.1:1"), headers={"X-A": "a\nb"}),
            "header",
            id="a header with a newline",
        ),
    ],
)
def test_what_can_never_work_is_an_access_error(transport: RequestsTransport, request_: Any, says: str) -> None:
    """Retrying would be pointless, so the type differs."""
    with pytest.raises(AccessError, match=says):
        transport.send(request_)


def test_an_untrusted_certificate_is_an_access_error(server: Any, transport: RequestsTransport) -> None:
    """A TLS failure says so and is not worth a retry."""
    https = Endpoint(server.url.replace("http:", "https:"))
    with pytest.raises(AccessError, match="CA file"):
        transport.send(ScoreRequest(https))
