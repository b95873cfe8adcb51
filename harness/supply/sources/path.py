"""A program found on PATH, when its version fits."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.commands.version import VERSION_ARGS, parse_version
from harness.process.command import Command
from harness.process.runner import Runner
from harness.supply.artifact import Program, SourceName
from harness.supply.pins import minor
from harness.supply.provenance import users_own
from harness.supply.recipe import Recipe

# A program that needs longer to say its version is broken or waits for something.
VERSION_TIMEOUT_S = 15.0

Minor = tuple[int, int]


class VersionProbe:
    """Asks programs for their version.

    Args:
        runner: runs them.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def version(self, program: str, path: Path) -> str:
        """Return the version of the `program` at `path`, or an empty string when it does not tell."""
        if program not in VERSION_ARGS:
            return ""
        outcome = self._runner.run(Command((str(path), *VERSION_ARGS[program]), timeout_s=VERSION_TIMEOUT_S))
        try:
            return parse_version(program, outcome.stdout) if outcome.succeeded else ""
        except ValueError:
            return ""


def _kind_fits(found: Minor, pinned: Minor) -> bool:
    return found == pinned


def _kubectl_fits(found: Minor, pinned: Minor) -> bool:
    return found[0] == pinned[0] and abs(found[1] - pinned[1]) <= 1


def _helm_fits(found: Minor, pinned: Minor) -> bool:
    return found[0] == pinned[0] and found[1] >= pinned[1] - 1


# Which versions on PATH may stand in for the pinned one; any patch release does.
# kind: node images are made for one kind release, so the minor version must be the pinned one.
# kubectl: within one minor version of the API server (Kubernetes' version skew policy).
# helm: same major version, at most one minor version older, because Helm is compiled against one Kubernetes release
#       and is not promised to work with later ones (Helm's version support policy).
_RULES: Mapping[str, tuple[Callable[[Minor, Minor], bool], str]] = {
    "kind": (_kind_fits, "{major}.{minor}"),
    "kubectl": (_kubectl_fits, "within one minor version of {major}.{minor}"),
    "helm": (_helm_fits, "{major}.{minor}, one minor version older, or newer within {major}"),
}


class PathSource:
    """Answers with a program on PATH whose version fits the pinned one.

    Args:
        probe: asks a program for its version.
        say: told, in one sentence, why a program on PATH is not used.
        search_path: directories separated as in PATH; ``None`` means PATH itself.
    """

    name: SourceName = "path"
    is_local = True

    def __init__(self, probe: VersionProbe, say: Callable[[str], None], search_path: str | None = None) -> None:
        self._probe = probe
        self._say = say
        self._search_path = search_path

    def offer(self, recipe: Recipe) -> str:
        """See :meth:`Source.offer`."""
        return f"put {recipe.name} {_wanted(recipe)} on PATH" if recipe.name in _RULES else ""

    def get(self, recipe: Recipe) -> Program | None:
        """See :meth:`Source.get`."""
        if recipe.name not in _RULES:
            return None
        found = shutil.which(recipe.name, path=self._search_path)
        if found is None:
            return None
        path = Path(found).absolute()
        version = self._probe.version(recipe.name, path)
        if not version:
            self._say(f"{recipe.name} on PATH ({path}) does not tell its version: not used")
            return None
        if not _RULES[recipe.name][0](minor(version), minor(recipe.version)):
            self._say(f"{recipe.name} on PATH ({path}) is {version}, wanted is {_wanted(recipe)}: not used")
            return None
        provenance = users_own(recipe.name, path, version=version, source="path", how="found on PATH")
        return Program(path, provenance)


def _wanted(recipe: Recipe) -> str:
    return recipe.fill(_RULES[recipe.name][1])
