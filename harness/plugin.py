"""The pytest plugin: fixtures, wiring only; what pytest calls is in :mod:`harness.hooks`, registered here.

Loaded by every pytest run of an environment that Seatrial is installed in, so nothing heavy is imported here: the
fixtures import what they hand out.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from harness.cleanup import terminated_like_ctrl_c, undisturbed
from harness.hooks import configuration, reporting, selection, terminal, termination, workers

if TYPE_CHECKING:
    from concurrent.futures import Future

    from harness.access.endpoint import Endpoint
    from harness.assembly import Assembly
    from harness.charts.case import ChartCase
    from harness.charts.snapshot import GoldenRenders
    from harness.charts.voyage import Log
    from harness.cluster.provider import ClusterHandle, ClusterSpec
    from harness.cluster.pytest_kind import SeatrialKindCluster
    from harness.cluster.rotation import ClusterRotation
    from harness.deploy.bodywork import BodyworkDeployer
    from harness.deploy.helm import HelmDeployer
    from harness.deploy.kubectl import KubectlDeployer
    from harness.deploy.manifests import ManifestDeployer
    from harness.deploy.release import ResourceRef
    from harness.deploy.seldon import SeldonDeployer
    from harness.deploy.seldon_core import SeldonCore
    from harness.engine.engine import Engine
    from harness.gateway.contour import Gateway
    from harness.images.container import ContainerSpec, RunningContainer
    from harness.images.reference import ImageRef
    from harness.outside.registry import LocalRegistry
    from harness.process.runner import Runner
    from harness.scoring.response import ScoreResponse
    from harness.scoring.traffic import TrafficProbe
    from harness.site import Site
    from harness.supply.resolver import Supply


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the features; each has its own hook of this name called at that."""
    for feature in (configuration, terminal, selection, workers, reporting, termination):
        pluginmanager.register(feature)


# -- the run


@pytest.fixture(scope="session")
def seatrial(request: pytest.FixtureRequest) -> Iterator[Assembly]:
    """The parts of this run; the other fixtures hand them out one by one."""
    from harness.assembly import Assembly

    config = request.config
    screen = terminal.terminal_of(config)
    with terminated_like_ctrl_c(partial(config.stash.__setitem__, termination.TERMINATED)):
        assembly = Assembly(
            config.stash[configuration.SETTINGS],
            environ=dict(os.environ),
            stream=screen.stream,
            run=workers.begin_run(config),
            fixtures=_own_fixtures(request.session.items),
        )
        try:
            config.stash[reporting.EVIDENCE] = assembly.evidence
            yield assembly
        finally:
            with undisturbed(screen.say_at_once) as disturbance:
                assembly.close()
            # A run that was interrupted before need not hear of it twice.
            if (number := disturbance()) and request.session.exitstatus == pytest.ExitCode.OK:
                signal.raise_signal(number)


def _own_fixtures(items: list[pytest.Item]) -> list[str]:
    """Return the fixtures of this plugin that tests use, as they declare it; what others call by such a name is not."""
    used = [info.name2fixturedefs for item in items if (info := getattr(item, "_fixtureinfo", None))]
    found = {(name, fixtures[-1].func) for one in used for name, fixtures in one.items()}
    return sorted({name for name, function in found if function.__module__ == __name__})


@pytest.fixture(scope="session")
def engine(seatrial: Assembly) -> Engine:
    """The Docker engine: the user's where one answers, else Seatrial's own."""
    return seatrial.engine


@pytest.fixture(scope="session")
def supply(seatrial: Assembly) -> Supply:
    """Programs (kind, kubectl, helm) and images (nodes, bases), wherever they come from."""
    return seatrial.supply


@pytest.fixture(scope="session")
def runner(seatrial: Assembly) -> Runner:
    """Runs programs; every command and its outcome lands in the evidence."""
    return seatrial.runner


# -- clusters


@pytest.fixture(scope="session")
def kubernetes_version(request: pytest.FixtureRequest) -> str:
    """The Kubernetes minor version of the cluster: with `--kubernetes=1.34,1.33` each of them in turn."""
    return str(getattr(request, "param", request.config.stash[configuration.SETTINGS].cluster.kubernetes))


@pytest.fixture(scope="session")
def cluster_spec(kubernetes_version: str) -> ClusterSpec:
    """The declaration of the cluster: one node. Override it for more nodes, port mappings or extra kind config."""
    from harness.cluster.provider import ClusterSpec

    return ClusterSpec(kubernetes_version)


@pytest.fixture(scope="session")
def _clusters(seatrial: Assembly, request: pytest.FixtureRequest) -> ClusterRotation:
    from harness.cluster.rotation import ClusterRotation

    settings = seatrial.settings.cluster
    needed = list(dict.fromkeys(version for item in request.session.items if (version := selection.version_of(item))))
    return ClusterRotation(needed, settings.at_once, begin=seatrial.begin_cluster, leave=seatrial.leave_cluster)


@pytest.fixture(scope="session")
def _pending_cluster(
    request: pytest.FixtureRequest, seatrial: Assembly, cluster_spec: ClusterSpec
) -> Iterator[Future[ClusterHandle]]:
    if len(request.config.stash[configuration.SETTINGS].cluster.kubernetes_versions) == 1:
        yield seatrial.begin_cluster(cluster_spec)
        return
    clusters: ClusterRotation = request.getfixturevalue("_clusters")
    yield clusters.start(cluster_spec)
    clusters.end(cluster_spec.kubernetes)


@pytest.fixture(scope="session", autouse=True)
def _cluster_ahead(request: pytest.FixtureRequest) -> None:
    """Begin the cluster before the first test when any test needs it: images are built meanwhile.

    Not where there is one for each of several versions: a test brings its own.
    """
    if len(request.config.stash[configuration.SETTINGS].cluster.kubernetes_versions) > 1:
        return
    if any("_pending_cluster" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("_pending_cluster")


@pytest.fixture(scope="session")
def cluster(_pending_cluster: Future[ClusterHandle]) -> ClusterHandle:
    """A usable Kubernetes cluster for the whole run."""
    return _pending_cluster.result()


@pytest.fixture(scope="session")
def make_cluster(seatrial: Assembly) -> Callable[..., ClusterHandle]:
    """Make further clusters: ``make_cluster(spec, suffix="-b")``; they end with the run."""
    return seatrial.cluster


@pytest.fixture(scope="session")
def kind_cluster(seatrial: Assembly, cluster: ClusterHandle, cluster_spec: ClusterSpec) -> SeatrialKindCluster:
    """The cluster as pytest-kind's ``KindCluster``, for suites written for pytest-kind."""
    return seatrial.kind_cluster(cluster, cluster_spec)


@pytest.fixture(scope="session")
def site_at(seatrial: Assembly) -> Callable[[ClusterHandle], Site]:
    """Everything the fixtures below do, at another cluster: ``site_at(handle).kubectl()``."""
    from harness.site import Site

    return partial(Site, seatrial)


@pytest.fixture(scope="session")
def site(site_at: Callable[[ClusterHandle], Site], cluster: ClusterHandle) -> Site:
    """The cluster with the parts of the run that work on it."""
    return site_at(cluster)


@pytest.fixture
def namespace(site: Site, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace for one test, gone after it."""
    with site.fresh_namespace(request.node.name) as name:
        yield name


@pytest.fixture
def fixed_namespace(site: Site) -> Iterator[Callable[[str], str]]:
    """Have a namespace of a given name to oneself: ``fixed_namespace("test-ml-app")``; tests take turns."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(site.fixed_namespace(name))


@pytest.fixture
def turn_with_namespace(site: Site) -> Iterator[Callable[[str], str]]:
    """Have a namespace's name to oneself, for a deployment that makes it: ``turn_with_namespace("test-ml-app")``."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(site.turn_with_namespace(name))


# -- images


@pytest.fixture(scope="session")
def build_image(seatrial: Assembly) -> Callable[..., ImageRef]:
    """Build an image from a directory: ``build_image(path, name="example/app:latest")``; unchanged ones are kept."""
    return seatrial.build_image


@pytest.fixture(scope="session")
def load_image(site: Site) -> Callable[..., ImageRef]:
    """Make an image usable in the cluster: ``load_image(image)`` returns the image by the name its pods use."""
    return site.load_image


@pytest.fixture
def run_container(seatrial: Assembly) -> Iterator[Callable[[ContainerSpec], RunningContainer]]:
    """Run a container until the test ends: ``run_container(ContainerSpec(...))`` returns once it answers."""
    with ExitStack() as stack:
        yield lambda spec: stack.enter_context(seatrial.running_container(spec))


@pytest.fixture(scope="session")
def registry(seatrial: Assembly) -> LocalRegistry:
    """An image registry on this host, for the run."""
    return seatrial.registry


# -- deploying


@pytest.fixture
def kubectl(site: Site) -> Iterator[KubectlDeployer]:
    """Deploys with raw kubectl commands; what a test leaves is deleted."""
    with closing(site.kubectl()) as deployer:
        yield deployer


@pytest.fixture
def manifests(site: Site) -> Iterator[ManifestDeployer]:
    """Applies manifests; what a test leaves is deleted."""
    with closing(site.manifests()) as deployer:
        yield deployer


@pytest.fixture
def helm(site: Site) -> Iterator[HelmDeployer]:
    """Installs charts with Helm; what a test leaves is uninstalled."""
    with closing(site.helm()) as deployer:
        yield deployer


# -- charts


@pytest.fixture
def chart_voyage(site: Site, helm: HelmDeployer) -> Callable[[ChartCase], Log]:
    """Take a chart's case through the cluster: ``chart_voyage(chart_case)``; docs/charts.md tells how."""
    return site.voyage(helm).run


@pytest.fixture
def golden_renders(
    request: pytest.FixtureRequest, seatrial: Assembly, tmp_path_factory: pytest.TempPathFactory
) -> GoldenRenders:
    """Compare a chart with its goldens: ``golden_renders("charts/app")``; needs the extra seatrial[charts]."""
    from harness.charts.render import Renderer
    from harness.charts.snapshot import GoldenRenders

    renderer = Renderer(seatrial.runner, seatrial.supply.program("helm").path, tmp_path_factory.mktemp("helm"))
    return GoldenRenders(request.getfixturevalue("snapshot"), renderer)


# -- Seldon Core


@pytest.fixture(scope="session")
def seldon_core(site: Site) -> Iterator[SeldonCore]:
    """Seldon Core's operator, in the cluster until the run ends."""
    with site.installed_seldon_core() as core:
        yield core


@pytest.fixture(scope="session")
def gateway(site: Site) -> Iterator[Gateway]:
    """The gateway that models answer behind, in the cluster until the run ends: what stands in for Ambassador."""
    with site.installed_gateway() as gateway:
        yield gateway


@pytest.fixture
def seldon(site: Site, seldon_core: SeldonCore) -> Iterator[SeldonDeployer]:
    """Deploys models through Seldon's operator; what a test leaves is deleted."""
    del seldon_core  # it has to be there, no more
    with closing(site.seldon()) as deployer:
        yield deployer


# -- Bodywork


@pytest.fixture(scope="session")
def bodywork_image() -> str:
    """The image that Bodywork's command line runs in. Override it for one that trusts a world of stand-ins."""
    return "bodyworkml/bodywork-core:latest"


@pytest.fixture
def bodywork(site: Site, bodywork_image: str) -> Iterator[BodyworkDeployer]:
    """Runs Bodywork's pipelines; what a test leaves is deleted."""
    with closing(site.bodywork(bodywork_image)) as deployer:
        yield deployer


# -- reaching and scoring


@pytest.fixture
def port_forward(site: Site) -> Iterator[Callable[..., Endpoint]]:
    """Forward a local port until the test ends: ``port_forward("pod/x", namespace=..., remote_port=5000)``."""
    with ExitStack() as stack:
        yield lambda target, **options: stack.enter_context(site.port_forward(target, **options))


@pytest.fixture
def load_balancer(site: Site) -> Callable[..., Endpoint]:
    """The address of a LoadBalancer Service: ``load_balancer("name", namespace=...)`` waits until it has one."""
    return site.load_balancer


@pytest.fixture
def wait_for_route(site: Site) -> Callable[..., ResourceRef]:
    """Wait until the gateway sends a path where it belongs: ``wait_for_route("/seldon/demo/app/")``."""
    return site.wait_for_route


@pytest.fixture(scope="session")
def score(seatrial: Assembly) -> Callable[..., ScoreResponse]:
    """Send a scoring request once the service answers: ``score(endpoint, {"X": [1, 2]}, path="/score")``."""
    return seatrial.score


@pytest.fixture
def traffic(seatrial: Assembly) -> Callable[..., AbstractContextManager[TrafficProbe]]:
    """Put a service under steady traffic while a block runs, each answer checked; docs/traffic.md tells how."""
    return seatrial.traffic
