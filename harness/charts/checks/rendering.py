"""Charts that do not render, and values their schema refuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from harness.charts.chart import DEFAULT, VALUES_SCHEMA, Chart
from harness.charts.checks.context import Context
from harness.charts.finding import Finding
from harness.charts.render import Render

RENDER = "render"
VALUES_REFUSED = "values-schema"


def check(chart: Chart, renders: Sequence[Render], context: Context) -> list[Finding]:
    """Report why Helm could not render, with the values set it was."""
    del context
    found = []
    rendered = any(render.problem is None for render in renders)
    for render in renders:
        if (problem := render.problem) is None:
            continue
        # A chart may want to be told something that has no default: then it says so itself, and the other sets tell it.
        if render.values == DEFAULT and rendered and problem.message.startswith("execution error at"):
            continue
        refused = "specifications of the schema" in problem.message
        # Helm names files as CHART/templates/x.yaml, values files by the path it was given.
        name = str(PurePosixPath(problem.file)).removeprefix(f"{chart.name}/")
        file = chart.file(VALUES_SCHEMA if refused else name) if refused or problem.file else str(chart.path)
        found.append(
            Finding(
                VALUES_REFUSED if refused else RENDER,
                chart.name,
                problem.message,
                file,
                problem.line,
                hint=problem.hint,
                values=(render.values,),
                kubernetes=render.kubernetes,
            )
        )
    return found
