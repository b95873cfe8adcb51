"""Installing the gateway with whatever installs charts."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.access.endpoint import Endpoint
from harness.commands.helm import Values
from harness.deploy.release import Release
from harness.gateway.contour import STAND_IN_FOR, Gateway, install_gateway
from harness.supply.artifact import Chart, Provenance


class Helm:
    """Takes everything for installed."""

    def __init__(self, calls: list[object]) -> None:
        self._calls = calls

    def install(self, release: str, chart: Path, *, namespace: str, values: Values) -> Release:
        """Note it."""
        self._calls.append((release, chart, namespace, values))
        return Release(release, namespace, "helm")


def installed(calls: list[object], *, published: bool = False, values: Values) -> Gateway:
    """A gateway of Seatrial's own chart, or of the user's."""

    def reach(service: str, *, namespace: str, port: int | str | None) -> Endpoint:
        calls.append((service, namespace, port))
        return Endpoint("http://172.18.255.15:80", "load-balancer")

    provenance = Provenance("ambassador", "6.9.5", "given", "o", "d", "", 0, "given by the user")
    return install_gateway(
        Helm(calls),
        Chart(Path("chart"), {}, published, provenance),
        load_images=lambda: calls.append("images"),
        reach=reach,
        versions={} if published else {"contour": "v1", "envoy": "v2"},
        values=values,
    )


def test_images_first_then_the_chart_then_the_address() -> None:
    """The tutorial's names, and what it is said to be."""
    calls: list[object] = []
    values = Values(inline={"replicaCount": 1})
    gateway = installed(calls, values=values)
    assert calls == [
        "images",
        ("ambassador", Path("chart"), "ambassador", values),
        ("ambassador", "ambassador", "http"),
    ]
    assert (gateway.endpoint.url, gateway.stand_in_for) == ("http://172.18.255.15:80", STAND_IN_FOR)
    assert gateway.versions == {"contour": "v1", "envoy": "v2"}


@pytest.mark.parametrize(
    ("published", "said"),
    [
        pytest.param(False, f"contour v1, envoy v2 (stand-in for {STAND_IN_FOR})", id="Seatrial's own chart"),
        pytest.param(True, "a chart of the user's own, chart 6.9.5", id="a chart that the user gave"),
    ],
)
def test_the_report_says_whose_it_is(published: bool, said: str) -> None:
    """A chart that the user gave is not said to be Contour, nor a stand-in, nor Ambassador."""
    assert str(installed([], published=published, values=Values())) == said
