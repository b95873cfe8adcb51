"""Custom resource definitions generated from the Go types that a controller is compiled with.

A recipe's folder is a Go module that imports the packages with the types; the program that reads them,
controller-gen, is an artifact the recipe needs, for the two are seldom made for the same Kubernetes. ``[crds]`` in
``recipe.toml``::

    program = "controller-gen"
    packages = ["github.com/seldonio/seldon-core/operator/apis/machinelearning.seldon.io/v1"]
    options = ["maxDescLen=0"]   # of its crd generator (sigs.k8s.io/controller-tools v0.17.3, pkg/crd/gen.go)
    annotations = { "example.org/bundle-version" = "{version}" }   # put on each definition besides

The result holds one ``GROUP_PLURAL.yaml`` per resource.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from harness.process.command import Command
from harness.process.runner import Runner
from harness.supply.builders.protocol import Build
from harness.supply.builders.toolchain import GoToolchain
from harness.supply.recipe import Recipe, copy_recipe_files

# Two seconds with the modules there; a slow network takes minutes for them.
_TIMEOUT_S = 900.0
# controller-gen writes its own version as the first annotation of each definition.
_ANNOTATIONS = "\nmetadata:\n  annotations:\n"
# What it writes for a list of a type inside that very type; the API server demands to be told what the items are.
_RECURSIVE = re.compile(r"^( *)items: \{\}$", re.MULTILINE)
_ANYTHING = r"\1items:\n\1  type: object\n\1  x-kubernetes-preserve-unknown-fields: true"


class CrdsBuilder:
    """Builds recipes of kind ``crds``.

    Args:
        runner: runs controller-gen.
        toolchain: finds go, which controller-gen asks about packages.
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
        target.mkdir()
        go = self._toolchain.go()
        options = recipe.options.get("options", [])
        command = Command(
            (
                str(build.programs[recipe.options["program"]].path),
                ":".join(["crd", *([",".join(options)] if options else [])]),
                *(f"paths={package}" for package in recipe.options["packages"]),
                f"output:crd:dir={target}",
            ),
            cwd=source,
            # It runs the `go` on its PATH.
            env={
                **self._toolchain.environment(build.workdir, recipe.arch),
                "PATH": f"{go.program.parent}:{os.defpath}",
            },
            timeout_s=_TIMEOUT_S,
        )
        build.log.write(f"toolchain: {go.origin}")
        build.run(self._runner, command)
        written = sorted(target.glob("*.yaml"))
        if not written:
            raise build.error(f"the packages {recipe.options['packages']} hold no type that is marked as a resource")
        for path in written:
            path.write_text(self._finished(build, path.read_text(encoding="utf-8")), encoding="utf-8")
        return target

    @staticmethod
    def _finished(build: Build, text: str) -> str:
        if text.count(_ANNOTATIONS) != 1:
            raise build.error(f"controller-gen wrote something else than one definition:\n{text[:200]}")
        # A JSON string is a YAML string.
        annotations = "".join(
            f"    {name}: {json.dumps(build.recipe.fill(value))}\n"
            for name, value in build.recipe.options.get("annotations", {}).items()
        )
        return _RECURSIVE.sub(_ANYTHING, text.replace(_ANNOTATIONS, f"{_ANNOTATIONS}{annotations}"))
