"""A program whose path the user gave."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness.errors import SupplyError
from harness.supply.artifact import Program, SourceName
from harness.supply.provenance import users_own
from harness.supply.recipe import Recipe
from harness.supply.sources.path import VersionProbe


class GivenSource:
    """Answers with the user's own path; the version is shown but not judged, for it was chosen on purpose.

    Args:
        given: artifact name -> path.
        probe: asks a program for its version.
    """

    name: SourceName = "given"
    is_local = True

    def __init__(self, given: Mapping[str, str], probe: VersionProbe) -> None:
        self._given = given
        self._probe = probe

    def offer(self, recipe: Recipe) -> str:
        """See :meth:`Source.offer`."""
        return f"give the path of your own {recipe.name}"

    def get(self, recipe: Recipe) -> Program | None:
        """See :meth:`Source.get`."""
        if recipe.name not in self._given:
            return None
        path = Path(self._given[recipe.name]).expanduser().absolute()
        attempted = f"use '{path}' as {recipe.name}"
        hint = f"correct the path given for {recipe.name}, or leave it out"
        if not path.is_file():
            raise SupplyError(attempted, seen="there is no such file", hint=hint)
        if not os.access(path, os.X_OK):
            raise SupplyError(attempted, seen="it may not be executed", hint=f"chmod +x '{path}'")
        provenance = users_own(
            recipe.name,
            path,
            version=self._probe.version(recipe.name, path) or "unknown",
            source="given",
            how="the path was given by the user",
        )
        return Program(path, provenance)
