"""What the stories of charts share: the tutorial's chart in two versions, and the larger one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.charts.case import Answer, ChartCase, Step, Traffic

CHARTS = Path(__file__).parents[2] / "fixtures" / "charts"
RELEASED = CHARTS / "helm-ml-score-app"
NEXT = CHARTS / "helm-ml-score-app-next"
PLATFORM = CHARTS / "score-platform"
NAMESPACE = "test-ml-app"


@pytest.fixture(scope="session")
def answer() -> Answer:
    """The tutorial's request to its Service, and its answer."""
    return Answer("test-ml-score-api-lb", NAMESPACE, path="/score", request={"X": [1, 2]}, response={"score": [1, 2]})


def under_traffic(chart: Path, answer: Answer, name: str) -> ChartCase:
    """Return a case in which the service is upgraded and rolled back and a pod of it deleted, all under traffic."""
    return ChartCase(
        chart,
        name,
        namespace="default",
        makes=(NAMESPACE,),
        answers=(answer,),
        traffic=Traffic(rate_per_s=50, requests=1000, max_failed=0),
        steps=(
            Step("install"),
            Step("score"),
            Step("upgrade", set={"app": {"env": "next"}}),
            Step("rollback"),
            Step("delete-pod"),
            Step("uninstall"),
        ),
    )
