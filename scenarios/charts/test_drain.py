"""A node is drained under the service: pods move, and nobody who scores meanwhile notices."""

from __future__ import annotations

from contextlib import closing

import pytest

from harness.charts.case import Answer, ChartCase, Step, Traffic
from harness.site import Site
from scenarios.charts.conftest import PLATFORM


@pytest.mark.usefixtures("image_elsewhere")
def test_a_drained_node_drops_no_request(three_nodes: Site) -> None:
    """The budget for disruptions keeps one pod answering until another is ready elsewhere; 0 of 1,000 requests fail."""
    answer = Answer(
        "score-platform-score-platform",
        # A balancer's address would move with the drained node.
        via="node-port",
        path="/score",
        request={"X": [1, 2]},
        response={"score": [1, 2]},
    )
    case = ChartCase(
        PLATFORM,
        "drain",
        # The store's claim stays with its node.
        set={"feature-store": {"enabled": False}, "drainSeconds": 10},
        answers=(answer,),
        traffic=Traffic(requests=1000),
        steps=(Step("install"), Step("score"), Step("drain"), Step("score"), Step("uninstall")),
        leaves=("CustomResourceDefinition/scoremodels.platform.example.com",),
    )
    with closing(three_nodes.helm()) as helm:
        log = three_nodes.voyage(helm).run(case)
    assert [one.step.verb for one in log.steps] == ["install", "score", "drain", "score", "uninstall"]
