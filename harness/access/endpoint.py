"""The value that says where a service answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


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
    """

    url: str
    via: str = "url"
    headers: Mapping[str, str] = field(default_factory=dict)
    verify: str | bool = True
    cert: tuple[Path, Path] | None = None
    secrets: tuple[str, ...] = ()

    def at(self, path: str) -> str:
        """Return the address of `path` below this endpoint."""
        return f"{self.url.rstrip('/')}/{path.lstrip('/')}"
