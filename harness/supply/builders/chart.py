"""Helm charts, laid together from a recipe's own templates and from CRDs made of Go types.

``[chart]`` in ``recipe.toml``::

    crds = ["contour-crds"]            # artifacts of kind `crds`, which the recipe needs
    crds-when = ".Values.crd.create"   # the template condition they are rendered under; always without it
    crds-keep-when = ".Values.crds.keep"   # the condition under which an uninstall leaves them; never without it
    crds-rules-from = "1.25"           # the Kubernetes from which on they have their rules in CEL; always without it
    images = { "docker.io/seatrial/contour:{contour}" = "contour-image" }   # read by Supply.chart

Kubernetes knows rules in CEL (``x-kubernetes-validations``) from 1.25 on without being asked; Helm refuses a definition
with fields that the cluster's version does not know.

The CRDs become templates, not files of Helm's ``crds/`` folder, which an uninstall would leave behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.supply.builders.protocol import Build
from harness.supply.recipe import Recipe, copy_recipe_files

_SOURCE = "chart"
_FILLED = ("Chart.yaml", "values.yaml")
# How the metadata of every generated CRD begins.
_ANNOTATIONS = "\nmetadata:\n  annotations:\n"

# One list of rules: its items begin where their key does, or deeper.
_RULES = re.compile(r"^( *)x-kubernetes-validations:\n(?:\1(?:- |  ).*\n)+", re.MULTILINE)


class ChartBuilder:
    """Builds recipes of kind ``chart``."""

    def describe(self, recipe: Recipe) -> str:
        """See :meth:`FilesBuilder.describe`."""
        return recipe.what

    def build(self, build: Build) -> Path:
        """See :meth:`FilesBuilder.build`."""
        recipe, target = build.recipe, build.workdir / build.recipe.name
        copy_recipe_files(recipe.directories, target, below=_SOURCE)
        if not (target / "Chart.yaml").is_file():
            raise build.error(f"there is no {_SOURCE}/Chart.yaml in {recipe.directory}")
        for name in _FILLED:
            if (target / name).is_file():
                _rewrite(target / name, target / name, recipe.fill)
        for artifact in recipe.options.get("crds", []):
            if artifact not in build.files:
                raise build.error(f"its table names the CRDs '{artifact}', which its needs do not")
            folder = target / "templates" / "crds" / artifact
            folder.mkdir(parents=True)
            for crd in sorted(build.files[artifact].path.glob("*.yaml")):
                _rewrite(crd, folder / crd.name, partial(_as_template, options=recipe.options))
        return target


def _rewrite(source: Path, target: Path, change: Callable[[str], str]) -> None:
    target.write_text(change(source.read_text(encoding="utf-8")), encoding="utf-8")


def _as_template(text: str, options: Mapping[str, Any]) -> str:
    """Return YAML as a template that renders to it, under the conditions that the recipe's table names."""
    template = text.replace("{{", '{{ "{{" }}')
    if keep := options.get("crds-keep-when"):
        policy = f"{{{{- if {keep} }}}}\n    helm.sh/resource-policy: keep\n{{{{- end }}}}\n"
        template = template.replace(_ANNOTATIONS, f"{_ANNOTATIONS}{policy}")
    if version := options.get("crds-rules-from"):
        is_known = f'semverCompare ">={version}-0" $.Capabilities.KubeVersion.Version'
        template = _RULES.sub(lambda rules: f"{{{{- if {is_known} }}}}\n{rules[0]}{{{{- end }}}}\n", f"{template}\n")
    if condition := options.get("crds-when"):
        template = f"{{{{- if {condition} }}}}\n{template}\n{{{{- end }}}}\n"
    return template
