"""A program that was downloaded or built before."""

from __future__ import annotations

from harness.supply.artifact import Program, SourceName
from harness.supply.cache import Cache
from harness.supply.pins import Pins
from harness.supply.recipe import Recipe


class CacheSource:
    """Answers with what an earlier download or build left in the cache.

    Args:
        cache: where to look.
        pins: what would be downloaded.
    """

    name: SourceName = "cache"
    is_local = True

    def __init__(self, cache: Cache, pins: Pins) -> None:
        self._cache = cache
        self._pins = pins

    def offer(self, recipe: Recipe) -> str:  # noqa: ARG002 - nobody can ask a cache to have something
        """See :meth:`Source.offer`."""
        return ""

    def get(self, recipe: Recipe) -> Program | None:
        """See :meth:`Source.get`."""
        published = self._pins.published_file(recipe.name, recipe.arch)
        keys = [published.key] if published else []
        for key in [*keys, recipe.key]:
            program = self._cache.find(recipe.name, key)
            if program is not None:
                return program
        return None
