"""What registries and engines say when they refuse, and which error that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harness.errors import RegistryAuthError, RegistryError, RegistryTLSError, RegistryUnreachableError
from harness.images.push import PushedImage, _explained, _follow


@pytest.mark.parametrize(
    ("seen", "error"),
    [
        pytest.param('Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused', "unreachable"),
        pytest.param("dial tcp: lookup nowhere.example: no such host", "unreachable"),
        pytest.param("dial tcp 10.0.0.1:5000: i/o timeout", "unreachable"),
        pytest.param("unauthorized: authentication required", "auth"),
        pytest.param("no basic auth credentials", "auth"),
        pytest.param("denied: requested access to the resource is denied", "auth"),
        pytest.param("x509: certificate signed by unknown authority", "tls"),
        pytest.param("http: server gave HTTP response to HTTPS client", "tls"),
        pytest.param("remote error: tls: handshake failure", "tls"),
        pytest.param("manifest unknown: manifest unknown", "other"),
    ],
)
def test_the_error_says_what_the_caller_can_do(seen: str, error: str) -> None:
    """The words of dockerd decide the type, and stay in the message."""
    types = {
        "unreachable": RegistryUnreachableError,
        "auth": RegistryAuthError,
        "tls": RegistryTLSError,
        "other": RegistryError,
    }
    explained = _explained("push image 'x'", seen)
    assert type(explained) is types[error]
    assert seen in str(explained)


def test_the_digest_of_a_push_is_taken_from_its_last_message() -> None:
    """Lines without progress reach the listener, and the manifest's digest is returned."""
    messages: list[Mapping[str, Any]] = [
        {"status": "Pushing", "progressDetail": {"current": 1}, "id": "abc"},
        {"status": "Pushed", "progressDetail": {}, "id": "abc"},
        {"status": "latest: digest: sha256:1 size: 5"},
        {"aux": {"Tag": "latest", "Digest": "sha256:1", "Size": 5}},
    ]
    lines: list[str] = []
    assert _follow(messages, "push", lines.append) == "sha256:1"
    assert lines == ["abc: Pushed", "latest: digest: sha256:1 size: 5"]


def test_an_error_in_the_stream_is_raised() -> None:
    """An HTTP 200 whose body tells of a failure is a failure."""
    with pytest.raises(RegistryAuthError):
        _follow([{"status": "Preparing"}, {"error": "unauthorized"}], "push", lambda _: None)


def test_a_pinned_name_holds_the_digest_instead_of_the_tag() -> None:
    """The port of the registry is no tag."""
    pushed = PushedImage("127.0.0.1:5/example/api:latest", "sha256:1", "sha256:2")
    assert pushed.pinned == "127.0.0.1:5/example/api@sha256:1"
