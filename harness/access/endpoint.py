"""The value that says where a service answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import AccessError, SeatrialError

DEFAULT_PORTS = {"http": 80, "https": 443}


def _nothing_to_say() -> str:
    return ""


def _not_hopeless() -> SeatrialError | None:
    return None


@dataclass(frozen=True)
class Endpoint:
    """An HTTP address of a deployed service.

    Args:
        url: base address without a trailing slash, e.g. ``http://127.0.0.1:40123``.
        via: how it is reached: ``port-forward``, ``load-balancer``, ``node-port``, ``api-proxy`` or ``url``.
        headers: headers every request needs (the API proxy's credentials).
        verify: CA file for https, or whether to verify at all.
        cert: client certificate and key files for https.
        secrets: values masked when a request is shown.
        diagnose: says what the way to the service last saw going wrong (a port-forward knows that the pod refused the
            connection, its client only sees a closed one); an empty string when there is nothing to say.
        hopeless: says why waiting for an answer is of no use (what serves has crashed); ``None`` while it may be.
    """

    url: str
    via: str = "url"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: str | bool = True
    cert: tuple[Path, Path] | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    diagnose: Callable[[], str] = field(default=_nothing_to_say, repr=False, compare=False)
    hopeless: Callable[[], SeatrialError | None] = field(default=_not_hopeless, repr=False, compare=False)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        verify: str | bool = True,
        secrets: tuple[str, ...] = (),
    ) -> Endpoint:
        """Return an endpoint for an address that somebody else made reachable.

        Args:
            url: ``http://`` or ``https://`` address; a path prefix is kept.
            headers: headers every request needs.
            verify: CA file for https, or whether to verify at all.
            secrets: values masked when a request is shown.

        Raises:
            AccessError: the address is not one that requests can be sent to.
        """
        problem = _problem_with(url)
        if problem:
            raise AccessError(
                f"use the address {url!r}",
                seen=problem,
                hint="give an address such as http://127.0.0.1:5000; credentials go into headers, named in secrets",
            )
        return cls(url.rstrip("/"), "url", dict(headers or {}), verify, secrets=secrets)

    @property
    def port(self) -> int:
        """The port of the address, the scheme's own when it names none."""
        parts = urlsplit(self.url)
        return parts.port or DEFAULT_PORTS[parts.scheme]

    def at(self, path: str) -> str:
        """Return the address of `path` below this endpoint; the address itself for an empty `path`."""
        return f"{self.url.rstrip('/')}/{path.lstrip('/')}" if path else self.url


def _problem_with(url: str) -> str:
    """Say why requests cannot be sent to `url`; empty when they can."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return str(error)
    problems = (
        (parts.scheme not in DEFAULT_PORTS, f"its scheme is {parts.scheme!r}, not http or https"),
        (not parts.hostname, "it names no host"),
        (port == 0, "port 0 cannot be connected to"),
        (bool(parts.username or parts.password), "it carries a user name or a password"),
        (bool(parts.query or parts.fragment), "it has a query or a fragment: those belong to a request"),
        (any(character.isspace() for character in url), "it contains white space"),
    )
    return next((problem for is_there, problem in problems if is_there), "")
