"""A program that is another one under its own name: the multi-call binary looks at the name it is called by."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.supply.builders.protocol import Build
from harness.supply.recipe import Recipe


class LinkBuilder:
    """Builds recipes of kind ``link``; ``[link]`` names the ``program``, which the recipe also needs."""

    def describe(self, recipe: Recipe) -> str:
        """See :meth:`ProgramBuilder.describe`."""
        return recipe.what

    def build(self, build: Build) -> Path:
        """See :meth:`ProgramBuilder.build`."""
        source = build.programs[build.recipe.options["program"]].path
        target = build.workdir / build.recipe.name
        try:
            os.link(source, target)
        except OSError:  # a file system without hard links
            shutil.copyfile(source, target)
        return target
