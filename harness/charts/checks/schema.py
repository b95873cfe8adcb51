"""Rendered objects against the schema of each Kubernetes version, custom ones against the chart's own CRDs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.charts.chart import Chart
from harness.charts.checks.context import Context
from harness.charts.finding import Finding
from harness.charts.kubernetes_schema import KubernetesSchema, Schema, Violation
from harness.charts.render import Render, RenderedObject

SCHEMA = "schema"
UNKNOWN_KIND = "unknown-kind"

Customs = Mapping[tuple[str, str], Schema]


def check(chart: Chart, renders: Sequence[Render], context: Context) -> list[Finding]:
    """Report unknown fields, wrong types, missing fields and values a CRD refuses."""
    found: list[Finding] = []
    # Objects are shared between renders, so that each is looked at once per version.
    known: dict[tuple[int, str], tuple[Violation, ...]] = {}
    for render in renders:
        customs = _customs(render)
        for one in render.objects:
            for version in render.kubernetes:
                key = (id(one.body), version)
                if key not in known:
                    known[key] = tuple(_violations(one, context.schemas[version], customs))
                found += [_finding(chart, one, violation, render, version) for violation in known[key]]
        found += _unknown_kinds(chart, render, context, customs)
    return found


def _violations(one: RenderedObject, schema: KubernetesSchema, customs: Customs) -> Iterator[Violation]:
    body = one.body
    missing = [name for name in ("apiVersion", "kind") if not isinstance(body.get(name), str)]
    if missing:
        yield Violation("required", missing[0], f'missing required field "{missing[0]}"')
        return
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping) and not (metadata.get("name") or metadata.get("generateName")):
        yield Violation("required", "metadata.name", 'missing required field "metadata.name"')
    kind = (body["apiVersion"], body["kind"])
    if schema.serves(*kind):
        yield from schema.check(body)
    elif kind in customs:
        yield from schema.check_custom(body, customs[kind])


def _finding(chart: Chart, one: RenderedObject, violation: Violation, render: Render, version: str) -> Finding:
    return Finding(
        SCHEMA,
        chart.name,
        f"{one.name}: {violation.message}",
        chart.file(one.source),
        _line(chart, one.source, violation.path),
        one.name,
        violation.hint,
        values=(render.values,),
        kubernetes=(version,),
    )


def _line(chart: Chart, source: str, path: str) -> int:
    """Return the template's line that spells the field, when exactly one does."""
    text = next((file.text for file in (*chart.templates, *chart.crds) if file.path == source), "")
    key = re.sub(r"\[\d+\]$", "", path).rpartition(".")[2]
    lines = [match.start() for match in re.finditer(rf"^\s*(?:- )*{re.escape(key)}:", text, re.MULTILINE)]
    return text.count("\n", 0, lines[0] + len(key)) + 1 if len(lines) == 1 else 0


def _customs(render: Render) -> dict[tuple[str, str], Schema]:
    """Return the schemas of the custom resources that the chart itself defines, by API version and kind."""
    found: dict[tuple[str, str], Schema] = {}
    for one in render.objects:
        if one.body.get("kind") != "CustomResourceDefinition":
            continue
        spec: Any = one.body.get("spec")
        try:
            for version in spec["versions"]:
                schema = version.get("schema", {}).get(
                    "openAPIV3Schema", {"x-kubernetes-preserve-unknown-fields": True}
                )
                found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
        except (KeyError, TypeError, AttributeError):
            # Malformed: its own check against Kubernetes' schema says so.
            continue
    return found


def _unknown_kinds(chart: Chart, render: Render, context: Context, customs: Customs) -> Iterator[Finding]:
    """Say which objects nothing is known of: their CRD is somebody else's."""
    for one in render.objects:
        api_version, kind = str(one.body.get("apiVersion")), str(one.body.get("kind"))
        own = any(schema.has_group(api_version) for schema in context.schemas.values())
        if not context.schemas or own or (api_version, kind) in customs or "kind" not in one.body:
            continue
        group = api_version.rpartition("/")[0]
        if any(known.rpartition("/")[0] == group for known, _ in customs):
            message, severity = f"{one.name}: no version '{api_version}' of this kind in the chart's CRDs", "error"
        else:
            message, severity = f"{one.name}: no schema for {api_version}, so its fields were not checked", "warning"
        yield Finding(
            UNKNOWN_KIND,
            chart.name,
            message,
            chart.file(one.source),
            object=one.name,
            hint="ship its CustomResourceDefinition in crds/, or check it where its operator runs",
            severity="error" if severity == "error" else "warning",
            values=(render.values,),
        )
