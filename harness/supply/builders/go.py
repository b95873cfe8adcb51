"""Programs compiled from published Go modules.

A recipe's folder is a Go module of its own: ``go.mod`` names the version, ``go.sum`` holds the digest of every module
that takes part, so a build is the same everywhere and needs no checksum database. ``[go]`` in ``recipe.toml``::

    package = "sigs.k8s.io/kind"    # "." for a main package of the recipe's own
    tags = ["providerless"]         # optional build tags
    ldflags = ["-X main.version={version}"]
    generate = true                 # optional: see below

With `generate` the modules are first copied into the build's own ``vendor`` folder and ``go generate`` is run for the
recipe's own package: for modules that were published without files that their repository's build generates. What its
``//go:generate`` lines run are programs of the recipe, each a module in a folder of its own with its own ``go.sum``.
"""

from __future__ import annotations

from pathlib import Path

from harness.process.command import Command
from harness.process.runner import Runner
from harness.supply.builders.protocol import Build
from harness.supply.builders.toolchain import GoToolchain
from harness.supply.cache import Cache, cache_errors
from harness.supply.recipe import Recipe, copy_recipe_files

# Kubernetes takes 384 s on two idle cores with nothing downloaded; busy machines were seen to take five times that.
BUILD_TIMEOUT_S = 3600.0


class GoBuilder:
    """Builds recipes of kind ``go``.

    Args:
        runner: runs go.
        toolchain: finds go.
        cache: where Go keeps its own caches.
    """

    def __init__(self, runner: Runner, toolchain: GoToolchain, cache: Cache) -> None:
        self._runner = runner
        self._toolchain = toolchain
        self._cache = cache

    def describe(self, recipe: Recipe) -> str:
        """See :meth:`ProgramBuilder.describe`."""
        return f"{recipe.what}; built by {self._toolchain.go().origin}"

    def build(self, build: Build) -> Path:
        """See :meth:`ProgramBuilder.build`."""
        recipe = build.recipe
        source, target = build.workdir / "source", build.workdir / recipe.name
        with cache_errors(f"prepare the build of {recipe.name}", self._cache.root):
            copy_recipe_files(recipe.directories, source)
        build.log.write(f"toolchain: {self._toolchain.go().origin}")
        if recipe.options.get("generate"):
            build.run(self._runner, self._go(recipe, source, "mod", "vendor"))
            build.run(self._runner, self._go(recipe, source, "generate", "."))
        build.run(self._runner, self._compile(recipe, source, target))
        return target

    def _compile(self, recipe: Recipe, source: Path, target: Path) -> Command:
        # -s -w leave out what only debuggers read; -trimpath and -buildvcs=false leave out where it was built.
        ldflags = " ".join(["-s", "-w", *(recipe.fill(flag) for flag in recipe.options.get("ldflags", []))])
        modules = "vendor" if recipe.options.get("generate") else "readonly"
        return self._go(
            recipe,
            source,
            *("build", f"-mod={modules}", "-trimpath", "-buildvcs=false"),
            *(f"-tags={','.join(recipe.options.get('tags', []))}", f"-ldflags={ldflags}"),
            *("-o", str(target), recipe.options["package"]),
        )

    def _go(self, recipe: Recipe, source: Path, *arguments: str) -> Command:
        return self._toolchain.command(*arguments, cwd=source, arch=recipe.arch, timeout_s=BUILD_TIMEOUT_S)
