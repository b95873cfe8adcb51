"""What a check may look at besides the chart and its renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.charts.chart import Chart
from harness.charts.kubernetes_schema import KubernetesSchema
from harness.charts.render import Lint, Render


@dataclass(frozen=True)
class Before:
    """The chart as it was at the point of comparison.

    Args:
        ref: what it is compared with, as people name it, e.g. ``origin/main``.
        chart: the chart then.
        renders: its renders, by the same values sets' names.
        changed: the files that changed since, relative to the chart; those of charts it takes in by their own paths.
    """

    ref: str
    chart: Chart
    renders: Sequence[Render]
    changed: Sequence[str]


@dataclass(frozen=True)
class Context:
    """Everything around one chart.

    Args:
        schemas: by Kubernetes minor version, oldest first.
        lints: what ``helm lint`` said, once per values set.
        before: the chart as it was; ``None`` when it is new or nothing is compared.
    """

    schemas: Mapping[str, KubernetesSchema] = field(default_factory=dict)
    lints: Sequence[Lint] = ()
    before: Before | None = None
