"""What was downloaded or built before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from harness.supply.artifact import Files, Program, SourceName
from harness.supply.pins import Pins
from harness.supply.recipe import Recipe

A = TypeVar("A", bound=Program | Files)


class CacheSource(Generic[A]):
    """Answers with what an earlier download or build left in the cache.

    Args:
        find: looks for an artifact by its name and key: the cache's finder of programs, or that of files.
        pins: what would be downloaded.
    """

    name: SourceName = "cache"
    is_local = True

    def __init__(self, find: Callable[[str, str], A | None], pins: Pins) -> None:
        self._find = find
        self._pins = pins

    def offer(self, recipe: Recipe) -> str:  # noqa: ARG002 - nobody can ask a cache to have something
        """See :meth:`Source.offer`."""
        return ""

    def get(self, recipe: Recipe) -> A | None:
        """See :meth:`Source.get`."""
        published = self._pins.published_file(recipe.name, recipe.arch)
        keys = [published.key] if published else []
        for key in [*keys, recipe.key]:
            found = self._find(recipe.name, key)
            if found is not None:
                return found
        return None
