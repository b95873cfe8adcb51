"""What one stand-in for a public service is to the world it is part of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class OutsideService(Protocol):
    """A service that answers under public names.

    It is served by nginx (1.22), which it is described to by its ``server`` block; TLS is the world's business.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names it answers to, the most telling first."""

    @property
    def stands_for(self) -> str:
        """One line for the report: what it stands in for, and what really serves it."""

    @property
    def probe_path(self) -> str:
        """A path that nginx passes on to what really serves it: any answer from there means that it has started."""

    def server_block(self) -> str:
        """Return the directives inside nginx's ``server`` block, without ``listen`` and ``server_name``."""

    def environment(self) -> Mapping[str, str]:
        """Return the variables that containers need to use it."""
