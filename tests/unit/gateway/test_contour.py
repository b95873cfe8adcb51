"""Installing the gateway with whatever installs charts."""

from __future__ import annotations

from pathlib import Path

from harness.access.endpoint import Endpoint
from harness.commands.helm import Values
from harness.deploy.release import Release
from harness.gateway.contour import STAND_IN_FOR, install_gateway


def test_images_first_then_the_chart_then_the_address() -> None:
    """The tutorial's names, and what it is said to be."""
    calls: list[object] = []

    class Helm:
        def install(self, release: str, chart: Path, *, namespace: str, values: Values) -> Release:
            calls.append((release, chart, namespace, values))
            return Release(release, namespace, "helm")

    def reach(service: str, *, namespace: str, port: int | str | None) -> Endpoint:
        calls.append((service, namespace, port))
        return Endpoint("http://172.18.255.15:80", "load-balancer")

    values = Values(inline={"replicaCount": 1})
    gateway = install_gateway(
        Helm(),
        Path("chart"),
        load_images=lambda: calls.append("images"),
        reach=reach,
        versions={"contour": "v1"},
        values=values,
    )
    assert calls == [
        "images",
        ("ambassador", Path("chart"), "ambassador", values),
        ("ambassador", "ambassador", "http"),
    ]
    assert (gateway.endpoint.url, gateway.stand_in_for) == ("http://172.18.255.15:80", STAND_IN_FOR)
    assert gateway.versions == {"contour": "v1"}
