"""What ``helm lint`` says."""

from __future__ import annotations

from collections.abc import Sequence

from harness.charts.chart import Chart
from harness.charts.checks.context import Context
from harness.charts.finding import Finding
from harness.charts.render import Render

LINT = "lint"


def check(chart: Chart, renders: Sequence[Render], context: Context) -> list[Finding]:
    """Report Helm's errors and warnings; what keeps a chart from rendering is reported as that, not twice."""
    broken = {render.values for render in renders if render.problem is not None}
    return [
        Finding(
            LINT,
            chart.name,
            message.text,
            chart.file(message.path) if message.path else str(chart.path),
            hint="see `helm lint`",
            severity="error" if message.is_error else "warning",
            values=(lint.values,),
        )
        for lint in context.lints
        for message in lint.messages
        if not (message.is_error and lint.values in broken)
    ]
