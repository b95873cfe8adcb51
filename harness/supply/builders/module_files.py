"""Files of a published Go module, as they are.

The recipe's ``go.sum`` holds the module's digest. ``[module-files]`` in ``recipe.toml``::

    module = "k8s.io/kubernetes"            # at the recipe's version
    folder = "api/openapi-spec"             # where in it
    files = ["swagger.json", "v3/*.json"]   # what below it; each pattern must match something
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from harness.process.runner import Runner
from harness.supply.builders.protocol import Build
from harness.supply.builders.toolchain import GoToolchain
from harness.supply.recipe import Recipe, copy_recipe_files

# Kubernetes' module, the largest in use, is 38 MB and unpacks in seconds.
_TIMEOUT_S = 600.0


class ModuleFilesBuilder:
    """Builds recipes of kind ``module-files``.

    Args:
        runner: runs go.
        toolchain: finds go.
    """

    def __init__(self, runner: Runner, toolchain: GoToolchain) -> None:
        self._runner = runner
        self._toolchain = toolchain

    def describe(self, recipe: Recipe) -> str:
        """See :meth:`FilesBuilder.describe`."""
        return recipe.what

    def build(self, build: Build) -> Path:
        """See :meth:`FilesBuilder.build`."""
        recipe, source, target = build.recipe, build.workdir / "source", build.workdir / build.recipe.name
        copy_recipe_files(recipe.directories, source)
        root = self._module(build, source) / recipe.options["folder"]
        for pattern in recipe.options["files"]:
            found = sorted(path for path in root.glob(pattern) if path.is_file())
            if not found:
                raise build.error(f"nothing matches {pattern} in {root}")
            for path in found:
                copy = target / path.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        return target

    def _module(self, build: Build, source: Path) -> Path:
        """Return where Go keeps the module, downloaded and found to be the one the recipe means.

        Go compares it with the go.sum beside it, but only when that names the module.
        """
        recipe = build.recipe
        module = f"{recipe.options['module']}@{recipe.version}"
        download = self._toolchain.command(
            *("mod", "download", "-json", module), cwd=source, arch=recipe.arch, timeout_s=_TIMEOUT_S
        )
        described = json.loads(build.run(self._runner, download).stdout)
        pinned = f"{recipe.options['module']} {recipe.version} {described['Sum']}"
        if pinned not in (source / "go.sum").read_text(encoding="utf-8").splitlines():
            raise build.error(f"the module's digest is {described['Sum']}, which the recipe's go.sum does not hold")
        return Path(described["Dir"])
