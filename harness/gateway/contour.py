"""Installing the gateway: Contour and Envoy, standing in for Ambassador and for ingress-nginx.

The data plane is real. What stands in is the reading of what was written for those two: see
:mod:`harness.gateway.routes`. A chart of the user's own in its place (``--supply=ambassador=...``) is installed as it
is, and reported as what it is: theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.access.endpoint import Endpoint
from harness.commands.helm import Values
from harness.deploy.release import Release
from harness.supply.artifact import Chart

# Release, namespace and Service are called as the tutorial calls Ambassador's.
NAME = "ambassador"
STAND_IN_FOR = "Ambassador and ingress-nginx"

_NO_VALUES = Values()


class Charts(Protocol):
    """What installs the chart: :class:`~harness.deploy.helm.HelmDeployer`."""

    def install(self, release: str, chart: Path, *, namespace: str, values: Values) -> Release:
        """Install, and return when the workloads are ready."""


class Reach(Protocol):
    """What finds a Service's balancer: :meth:`harness.site.Site.load_balancer`."""

    def __call__(self, service: str, *, namespace: str, port: int | str | None) -> Endpoint:
        """Return the address once the Service has one."""


@dataclass(frozen=True)
class Gateway:
    """A gateway that takes requests.

    Args:
        endpoint: the balancer's address.
        release: what was installed; uninstall it with the deployer that installed it.
        stand_in_for: what Seatrial's own chart stands in for; empty for a chart that the user gave, of which nothing
            more is known.
        versions: program -> version, for the report; of a chart that the user gave, the chart's.
    """

    endpoint: Endpoint
    release: Release
    stand_in_for: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """What the report says."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{versions} (stand-in for {self.stand_in_for})" if self.stand_in_for else versions


def install_gateway(
    helm: Charts,
    chart: Chart,
    *,
    load_images: Callable[[], object],
    reach: Reach,
    versions: Mapping[str, str],
    values: Values = _NO_VALUES,
) -> Gateway:
    """Install supply's chart ``ambassador`` and return the gateway once its address is known.

    Args:
        helm: installs the chart; the namespace ``ambassador`` has to be there.
        chart: Seatrial's own, or the user's.
        load_images: makes the chart's images present on the nodes.
        reach: finds the balancer's address.
        versions: program -> version in Seatrial's own chart, for the report.
        values: values for the chart.

    Raises:
        DeployError: the chart was refused, or its workloads did not become ready.
        WaitTimeoutError: the Service got no address.
    """
    load_images()
    release = helm.install(NAME, chart.path, namespace=NAME, values=values)
    endpoint = reach(NAME, namespace=NAME, port="http")
    if chart.published:
        return Gateway(
            endpoint, release, versions={f"a chart of the user's own, {chart.path}": chart.provenance.version}
        )
    return Gateway(endpoint, release, STAND_IN_FOR, dict(versions))
