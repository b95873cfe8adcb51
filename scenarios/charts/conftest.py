"""What the stories of charts share: the tutorial's chart in two versions, and the larger one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.charts.case import Answer

CHARTS = Path(__file__).parents[2] / "fixtures" / "charts"
RELEASED = CHARTS / "helm-ml-score-app"
NEXT = CHARTS / "helm-ml-score-app-next"
PLATFORM = CHARTS / "score-platform"
NAMESPACE = "test-ml-app"


@pytest.fixture(scope="session")
def answer() -> Answer:
    """The tutorial's request to its Service, and its answer."""
    return Answer("test-ml-score-api-lb", NAMESPACE, path="/score", request={"X": [1, 2]}, response={"score": [1, 2]})
