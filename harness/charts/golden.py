"""Renders as text to keep and compare: the same chart gives the same text, whatever Helm's order and random numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.charts.chart import Chart
from harness.charts.render import Render, RenderedObject, Renderer
from harness.errors import ChartError

# What stands for a text that is another one with each render: a password, a certificate made by the template, the time.
GENERATED = "<generated>"
# ... for a certificate or key, whether made or given: it expires and says nothing to a reader.
CERTIFICATE = "<certificate>"
# ... for a checksum of another template: a change there shows there.
CHECKSUM = "<checksum>"
# ... for the chart's own version, which every change raises.
VERSION = "<version>"

_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
# "-----BEGIN" in base64.
_ENCODED_PEM = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=\s]*")


def golden_texts(renderer: Renderer, chart: Chart, kubernetes: str = "") -> dict[str, str]:
    """Render `chart` with each of its values sets and return the normalised texts by the sets' names.

    Every set is rendered twice: what differs was generated.

    Raises:
        ChartError: it does not render.
    """
    versions = (kubernetes,) if kubernetes else ()
    first, second = renderer.render_all(chart, versions), renderer.render_all(chart, versions)
    return {one.values: normalised(one, other, chart) for one, other in zip(first, second, strict=True)}


def normalised(render: Render, again: Render, chart: Chart) -> str:
    """Return a render as YAML: objects in a fixed order, keys sorted, what is different each time masked.

    Args:
        render: what it rendered to.
        again: the same, rendered once more.
        chart: the chart.

    Raises:
        ChartError: it did not render.
    """
    if (problem := render.problem or again.problem) is not None:
        raise ChartError(
            f"render chart '{chart.name}' with values '{render.values}'",
            problem=problem.problem,
            file=problem.file,
            line=problem.line,
            seen=problem.message,
            hint=problem.hint,
        )
    others = {_order(one): one for one in again.objects}
    documents = []
    for one in sorted(render.objects, key=_order):
        other = others.get(_order(one), one)
        body = _masked(one.body, other.body, "", str(chart.metadata.version))
        text = yaml.dump(body, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=120)
        documents.append(f"# {one.source}\n{text}")
    return "---\n".join(documents)


def _order(one: RenderedObject) -> tuple[str, str, str, str]:
    metadata = one.body.get("metadata")
    namespace = metadata.get("namespace", "") if isinstance(metadata, Mapping) else ""
    return str(one.body.get("kind")), str(namespace), one.name, one.source


def _masked(value: Any, other: Any, key: str, version: str) -> Any:
    if isinstance(value, Mapping):
        others = other if isinstance(other, Mapping) else {}
        return {str(name): _masked(inner, others.get(name), str(name), version) for name, inner in value.items()}
    if isinstance(value, list):
        ones = other if isinstance(other, list) and len(other) == len(value) else [None] * len(value)
        return [_masked(inner, one, key, version) for inner, one in zip(value, ones, strict=True)]
    if not isinstance(value, str):
        return value
    return _masked_text(value, other, key, version)


def _masked_text(text: str, other: object, key: str, version: str) -> str:
    if key.startswith("checksum/"):
        return CHECKSUM
    if key == "caBundle" and text:
        return CERTIFICATE
    if key == "helm.sh/chart":
        return text.replace(version.replace("+", "_"), VERSION)
    masked = _ENCODED_PEM.sub(CERTIFICATE, _PEM.sub(CERTIFICATE, text))
    if masked != text:
        return masked
    return text if text == other else GENERATED


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that a difference shows line by line."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def golden_name(values: str) -> str:
    """Return the values set's name as a file can bear it, e.g. ``ci-small``."""
    return re.sub(r"[^A-Za-z0-9]+", "-", str(Path(values).with_suffix(""))).strip("-")
