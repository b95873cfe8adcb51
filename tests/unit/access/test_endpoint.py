"""Endpoints made from plain addresses."""

from __future__ import annotations

import pytest

from harness.access.endpoint import Endpoint
from harness.errors import AccessError


@pytest.mark.parametrize(
    ("url", "path", "address", "port"),
    [
        pytest.param("http://127.0.0.1:5000", "/score", "http://127.0.0.1:5000/score", 5000, id="address and path"),
        pytest.param("http://127.0.0.1:5000/", "score", "http://127.0.0.1:5000/score", 5000, id="one slash between"),
        pytest.param("https://host/a/b", "/score?x=1", "https://host/a/b/score?x=1", 443, id="a prefix and a query"),
        pytest.param("http://[::1]:80", "", "http://[::1]:80", 80, id="IPv6 and no path"),
        pytest.param("http://host", "/", "http://host/", 80, id="the root"),
    ],
)
def test_an_address_becomes_an_endpoint(url: str, path: str, address: str, port: int) -> None:
    """Prefix and port are kept, and paths go below."""
    endpoint = Endpoint.from_url(url)
    assert (endpoint.at(path), endpoint.port, endpoint.via) == (address, port, "url")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("127.0.0.1:5000", "scheme", id="no scheme"),
        pytest.param("ftp://host", "'ftp', not http or https", id="another scheme"),
        pytest.param("http://", "names no host", id="no host"),
        pytest.param("http://host:99999", "out of range", id="a port beyond the last"),
        pytest.param("http://host:0", "port 0", id="port 0"),
        pytest.param("http://user:pw@host", "user name or a password", id="credentials"),
        pytest.param("http://host/score?x=1", "query", id="a query"),
        pytest.param("http://ho st", "white space", id="a blank"),
        pytest.param("", "scheme", id="nothing"),
    ],
)
def test_an_address_nobody_can_use_is_refused(url: str, says: str) -> None:
    """The error says what is wrong with it and what one looks like."""
    with pytest.raises(AccessError, match=says) as caught:
        Endpoint.from_url(url)
    assert "http://127.0.0.1:5000" in str(caught.value)
