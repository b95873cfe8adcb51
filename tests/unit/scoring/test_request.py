"""Requests: what is sent, and the curl command that sends the same."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.access.endpoint import Endpoint
from harness.errors import PayloadError
from harness.scoring.payloads import FormBody
from harness.scoring.request import ScoreRequest
from harness.scoring.transport import RequestsTransport

ADDRESS = Endpoint("http://127.0.0.1:5000")


def test_curl_reads_as_the_tutorial_writes_it() -> None:
    """The command is what a person would type."""
    request = ScoreRequest(ADDRESS, "/score", {"X": [1, 2]})
    assert request.as_curl() == (
        "curl http://127.0.0.1:5000/score --request POST --header 'Content-Type: application/json' "
        """--data '{"X": [1, 2]}'"""
    )


CASES = [
    pytest.param({"payload": {"X": [1, 2]}}, id="json"),
    pytest.param({"payload": {"text": """it's "quoted" $HOME `id` \\ \n!"""}}, id="what a shell would expand"),
    pytest.param({"payload": b"not json"}, id="bytes"),
    pytest.param({"payload": b"@/etc/hostname"}, id="bytes that look like a file to curl"),
    pytest.param({"payload": b"\x00\xff\x80%\\"}, id="bytes that are no text"),
    pytest.param({"payload": b""}, id="an empty body"),
    pytest.param({"payload": b"a=1", "headers": {"content-type": "text/csv"}}, id="bytes with a type"),
    pytest.param({"method": "get", "path": "/health?deep=1&x=a%20b"}, id="get with a query"),
    pytest.param({"method": "PUT", "payload": [1], "headers": {"X-Trace": "a b", "X-Empty": ""}}, id="headers"),
    pytest.param({"payload": {"naam": "één ☃"}}, id="other scripts"),
    pytest.param({"method": "HEAD"}, id="head"),
    pytest.param({"payload": FormBody({"json": {"a": [1, 2]}, "é &=": "it's @x & y=z+1 100%~\n"})}, id="a form"),
    pytest.param({"payload": FormBody({})}, id="a form without fields"),
]


@pytest.mark.parametrize("arguments", CASES)
def test_pasted_curl_asks_the_same(arguments: dict[str, Any], server: Any) -> None:
    """Run in a shell, the printed command sends the method, path, headers and body that the transport sends."""
    request = ScoreRequest(server.endpoint, **{"path": "/score", **arguments})
    with RequestsTransport() as transport:
        transport.send(request)
    subprocess.run(
        ["sh", "-c", f"{request.as_curl()} --silent --max-time 10"],
        check=True,
        timeout=20,
        stdout=subprocess.DEVNULL,
    )
    sent, pasted = server.asked
    assert (pasted.method, pasted.path, pasted.body) == (sent.method, sent.path, sent.body)
    for name in ("content-type", *(header.lower() for header in arguments.get("headers", {}))):
        assert pasted.headers.get(name) == sent.headers.get(name)


def test_secrets_are_masked_wherever_they_stand() -> None:
    """Headers that carry credentials, and values named as secrets, never show: not quoted, not escaped, not encoded."""
    secret = """p'a"ss/wörd"""
    endpoint = Endpoint("https://127.0.0.1:6443/p%27a%22ss%2Fw%C3%B6rd", headers={"authorization": "Bearer tok.en"})
    request = ScoreRequest(
        endpoint,
        "",
        {"key": secret},
        headers={"X-Api-Key": "abc", "X-Plain": "seen", "Cookie": "id=7"},
        secrets=(secret,),
    )
    shown = f"{request.as_curl()} {request} {request!r}"
    for hidden in ("tok.en", "abc", "id=7", "ss/w", "%2Fw"):
        assert hidden not in request.as_curl()
        assert hidden not in str(request)
    assert "authorization: Bearer ****" in shown
    assert "X-Plain: seen" in shown


def test_repr_keeps_headers_to_itself() -> None:
    """What pytest prints of a request's or an endpoint's fields holds no credentials."""
    endpoint = Endpoint("https://127.0.0.1", headers={"authorization": "Bearer tok.en"}, secrets=("tok.en",))
    assert "tok.en" not in repr(ScoreRequest(endpoint, headers={"x-token": "tok.en"}, secrets=("tok.en",)))


def test_curl_says_how_https_is_verified() -> None:
    """CA, client certificate and the absence of verification are part of the command."""
    verified = Endpoint("https://h", verify="/ca dir/ca.crt", cert=(Path("c.crt"), Path("c.key")))
    assert "--cacert '/ca dir/ca.crt' --cert c.crt --key c.key" in ScoreRequest(verified).as_curl()
    assert "--insecure" in ScoreRequest(Endpoint("https://h", verify=False)).as_curl()


def test_later_headers_win_whatever_their_case() -> None:
    """The request's headers replace the endpoint's, and those the JSON content type."""
    endpoint = Endpoint("http://h", headers={"X-A": "endpoint", "content-type": "a/b"})
    headers = ScoreRequest(endpoint, payload=1, headers={"x-a": "request"}).all_headers()
    assert headers == {"content-type": "a/b", "x-a": "request"}


def test_the_body_is_fixed_when_the_request_is_made() -> None:
    """Changing the caller's list later does not change the request."""
    row = [1, 2]
    request = ScoreRequest(ADDRESS, payload={"X": row})
    row.append(3)
    assert request.with_timeout(1).body == request.body == b'{"X": [1, 2]}'


def test_a_payload_that_json_cannot_hold_is_refused_at_once() -> None:
    """The error comes where the request is written, not where it is sent."""
    with pytest.raises(PayloadError, match=r"\$\.X\[0\]: nan"):
        ScoreRequest(ADDRESS, payload={"X": [float("nan")]})


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_a_time_limit_must_be_positive(timeout_s: float) -> None:
    """No request can be made without a limit or with one that has passed."""
    with pytest.raises(ValueError, match="timeout_s"):
        ScoreRequest(ADDRESS, timeout_s=timeout_s)
