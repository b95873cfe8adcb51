"""The seam between supply and the ways of making an artifact.

The resolver chooses the builder by the recipe's kind, makes what the recipe needs first, holds the artifact's lock,
shows progress and removes the work directory whatever happens. A builder only makes the thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.errors import BuildError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import Runner
from harness.supply.artifact import Files, Image, Program
from harness.supply.recipe import Recipe


class BuildLog:
    """The log file of one build; what fails names it.

    Args:
        path: the file; lines are appended and flushed at once so that another terminal can follow.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, line: str) -> None:
        """Append one line."""
        self._file.write(line.rstrip("\n") + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class Build:
    """One build: of what, where, and where to say how it goes.

    Args:
        recipe: what to make.
        programs: the needed programs by name; built from their recipes, never taken from PATH.
        images: the needed images by name, present in the engine.
        workdir: an empty directory of this build's own, removed afterwards.
        log: where output goes.
        files: the needed directories by name; built from their recipes.
    """

    recipe: Recipe
    programs: Mapping[str, Program]
    images: Mapping[str, Image]
    workdir: Path
    log: BuildLog
    files: Mapping[str, Files] = field(default_factory=dict)

    def run(self, runner: Runner, command: Command) -> Outcome:
        """Run one command of the build, its output going to the log.

        Raises:
            BuildError: it failed; the message names the log.
        """
        self.log.write(f"$ {command.pasteable()}")
        outcome = runner.run(command, on_line=self.log.write)
        if not outcome.succeeded:
            raise self.error(
                f"`{command.pasteable()}` "
                + (f"ran past {command.timeout_s:g} s" if outcome.timed_out else f"ended with {outcome.exit_code}")
                + f"\n{outcome.stderr.strip() or outcome.stdout.strip()}"
            )
        return outcome

    def error(self, seen: str, *, hint: str = "") -> BuildError:
        """Return the error for a build that failed, naming the log."""
        return BuildError(
            f"build {self.recipe.name} {self.recipe.version}",
            seen=seen,
            hint="\n".join(filter(None, [hint, f"read the whole log: {self.log.path}"])),
            log=str(self.log.path),
        )


class ProgramBuilder(Protocol):
    """Makes an executable file."""

    def build(self, build: Build) -> Path:
        """Make the program inside ``build.workdir`` and return its path.

        Raises:
            BuildError: it cannot be made.
        """

    def describe(self, recipe: Recipe) -> str:
        """Return one sentence for the provenance: how the program is made, e.g. with which toolchain."""


class FilesBuilder(Protocol):
    """Makes a directory of files."""

    def build(self, build: Build) -> Path:
        """Make the directory inside ``build.workdir`` and return its path.

        Raises:
            BuildError: it cannot be made.
        """

    def describe(self, recipe: Recipe) -> str:
        """Return one sentence for the provenance: how the files are made."""


class ImageBuilder(Protocol):
    """Makes an image in the engine."""

    def build(self, build: Build, *, tag: str, labels: Mapping[str, str]) -> None:
        """Make the image so that the engine knows it as `tag` and shows `labels` on it.

        The tag must appear last, in one step: an image is complete once its tag is there.

        Raises:
            BuildError: it cannot be made.
        """

    def describe(self, recipe: Recipe) -> str:
        """Return one sentence for the provenance: how the image is made."""
