"""All static checks of a chart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.charts.chart import Chart
from harness.charts.checks import api_versions, immutable, lint, rendering, schema, values, version
from harness.charts.checks.context import Before, Context
from harness.charts.declaration import Allowed
from harness.charts.finding import Finding, merged
from harness.charts.kubernetes_schema import KubernetesSchema
from harness.charts.render import Render, Renderer
from harness.errors import ChartError

UNREADABLE = "chart"
CHECKS = (rendering.check, lint.check, schema.check, api_versions.check, values.check, immutable.check, version.check)


@dataclass(frozen=True)
class Baseline:
    """Where a chart as it was can be found.

    Args:
        ref: what is compared with, as people name it.
        path: the chart's directory or archive then.
        changed: the files that changed since, relative to it; those of charts it takes in by their own paths.
    """

    ref: str
    path: Path
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChartReport:
    """What the checks found out about one chart.

    Args:
        path: the chart as it was named.
        name: its name.
        findings: what is wrong with it, errors first.
        allowed: what its declaration accepts, each with the reason.
        renders: how many times it was rendered.
        objects: how many objects that gave.
    """

    path: str
    name: str
    findings: tuple[Finding, ...]
    allowed: tuple[tuple[Finding, Allowed], ...] = ()
    renders: int = 0
    objects: int = 0

    @property
    def has_errors(self) -> bool:
        """Whether one of the findings is an error."""
        return any(finding.severity == "error" for finding in self.findings)


@dataclass
class ChartChecker:
    """Runs every check on charts.

    Args:
        renderer: renders and lints.
        schema: gives the schema of a Kubernetes minor version.
        kubernetes: the minor versions of the matrix.
    """

    renderer: Renderer
    schema: Callable[[str], KubernetesSchema]
    kubernetes: Sequence[str]
    _schemas: dict[str, KubernetesSchema] = field(default_factory=dict)

    def check(self, path: Path, baseline: Baseline | None = None) -> ChartReport:
        """Check the chart at `path`, compared with `baseline` when there is one.

        A chart that cannot be read is a finding, not an error: the other charts are still to be checked.
        """
        try:
            chart = Chart.load(path)
        except ChartError as error:
            finding = Finding(UNREADABLE, path.name, _without(error), error.file, error.line, hint=error.hint)
            return ChartReport(str(path), path.name, (finding,))
        with ThreadPoolExecutor(2) as pool:
            # Helm works in processes of its own, so that the schemas are read meanwhile.
            checking = pool.submit(self.renderer.check_all, chart, self.kubernetes)
            comparing = pool.submit(self._before, baseline)
            schemas = self._load_schemas()
            renders, lints = checking.result()
            before, broken = comparing.result()
        context = Context(schemas, lints, before)
        findings = [*broken, *(finding for check in CHECKS for finding in check(chart, renders, context))]
        return _report(path, chart, renders, merged(findings))

    def _load_schemas(self) -> dict[str, KubernetesSchema]:
        for version_ in self.kubernetes:
            if version_ not in self._schemas:
                self._schemas[version_] = self.schema(version_)
        return self._schemas

    def _before(self, baseline: Baseline | None) -> tuple[Before | None, list[Finding]]:
        if baseline is None:
            return None, []
        try:
            chart = Chart.load(baseline.path)
        except ChartError as error:
            message = f"the chart as it was at {baseline.ref} cannot be read, so nothing is compared: {_without(error)}"
            return None, [Finding(UNREADABLE, baseline.path.name, message, severity="warning")]
        renders = self.renderer.render_all(chart, self.kubernetes)
        return Before(baseline.ref, chart, renders, baseline.changed), []


def _without(error: ChartError) -> str:
    """Return what was seen without the place it was seen at, which the finding names."""
    where = f"{error.file}:{error.line}: " if error.line else f"{error.file}: "
    return error.seen.removeprefix(where)


def _report(path: Path, chart: Chart, renders: Sequence[Render], findings: Sequence[Finding]) -> ChartReport:
    allowed, kept = [], []
    for finding in findings:
        covering = next((one for one in chart.declaration.allowed if one.covers(finding)), None)
        if covering is None:
            kept.append(finding)
        else:
            allowed.append((finding, covering))
    objects = sum(len(render.objects) for render in renders)
    return ChartReport(str(path), chart.name, tuple(kept), tuple(allowed), len(renders), objects)
