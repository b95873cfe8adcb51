"""What people, programs and GitHub see of findings."""

from __future__ import annotations

import json
from pathlib import Path

from harness.charts.check import ChartReport
from harness.charts.declaration import Allowed
from harness.charts.finding import Finding, merged
from harness.charts.report import as_github, as_json, as_text

BASE = Path("/repo")
FINDING = Finding(
    "schema",
    "app",
    "50%: bad,\nworse",
    "/repo/charts/app/templates/x.yaml",
    7,
    "Deployment/x",
    "do it right",
    values=("default", "ci/a.yaml"),
    kubernetes=("1.33",),
)
REPORT = ChartReport("/repo/charts/app", "app", (FINDING,), ((FINDING, Allowed("schema", "known")),), 2, 5)


def test_text_is_grouped_by_chart() -> None:
    """File and line, message, hint, and with what it was seen."""
    assert as_text([REPORT], BASE) == (
        "app (charts/app)\n"
        "  error   schema          charts/app/templates/x.yaml:7\n"
        "          50%: bad,\n"
        "          worse\n"
        "          try: do it right\n"
        "          with default, ci/a.yaml on Kubernetes 1.33\n"
        "  allowed schema Deployment/x: known\n"
        "  1 error, 0 warnings; 2 renders, 5 objects"
    )


def test_annotations_are_escaped_as_github_wants_them() -> None:
    """One line, however many the message has."""
    assert as_github([REPORT], BASE) == (
        "::error file=charts/app/templates/x.yaml,line=7,title=app%3A schema::"
        "50%25: bad,%0Aworse%0Atry: do it right%0Awith default, ci/a.yaml on Kubernetes 1.33"
    )


def test_json_holds_everything() -> None:
    """Files seen from the working directory."""
    (report,) = json.loads(as_json([REPORT], BASE))
    assert report["findings"][0]["file"] == "charts/app/templates/x.yaml"
    assert report["findings"][0]["values"] == ["default", "ci/a.yaml"]
    assert report["allowed"][0]["reason"] == "known"


def test_a_chart_with_nothing_wrong_says_so() -> None:
    """And how much was looked at."""
    assert as_text([ChartReport("/repo/app", "app", (), (), 1, 1)], BASE).endswith("nothing found; 1 render, 1 object")


def test_findings_that_differ_only_in_values_and_versions_are_one() -> None:
    """Errors come first."""
    one = Finding("schema", "app", "m", "b", values=("default",), kubernetes=("1.33",))
    two = Finding("schema", "app", "m", "b", values=("ci/a.yaml",), kubernetes=("1.34",))
    warning = Finding("lint", "app", "m", "a", severity="warning")
    assert merged([warning, one, two, one]) == (
        Finding("schema", "app", "m", "b", values=("default", "ci/a.yaml"), kubernetes=("1.33", "1.34")),
        warning,
    )
