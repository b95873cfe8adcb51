"""The pytest plugin: hooks and fixtures, wiring only.

Loaded by every pytest run of an environment that Seatrial is installed in, so nothing heavy is imported here: the
fixtures import what they hand out.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from harness.cleanup import terminated_like_ctrl_c, undisturbed
from harness.errors import SettingsError
from harness.naming import Run
from harness.settings import options

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

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
    from harness.evidence.recorder import Recorder
    from harness.evidence.session import Account, EvidenceSession
    from harness.gateway.contour import Gateway
    from harness.images.container import ContainerSpec, RunningContainer
    from harness.images.reference import ImageRef
    from harness.outside.registry import LocalRegistry
    from harness.process.runner import Runner
    from harness.scoring.response import ScoreResponse
    from harness.scoring.traffic import TrafficProbe
    from harness.settings.model import Settings
    from harness.site import Site
    from harness.supply.resolver import Supply

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
EVIDENCE: pytest.StashKey[EvidenceSession] = pytest.StashKey()
# Of a controller of parallel workers: it runs no test, so it has no session fixtures.
WORKERS: pytest.StashKey[Recorder] = pytest.StashKey()

# The signal that ended the run, for its exit code.
TERMINATED: pytest.StashKey[int] = pytest.StashKey()

# The outcomes of tests that pytest keeps reports of, among other things that it counts.
_OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")

# The fixture that says which Kubernetes version a test runs with.
VERSION = "kubernetes_version"

# What a controller of parallel workers tells each: which run it takes part in.
WORKER_RUN = "seatrial_run"


class Terminal:
    """The standard error of the run itself, where progress is shown while the output of tests is captured."""

    def __init__(self) -> None:
        self.stream = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")

    def say_at_once(self, text: str) -> None:
        """Show a line from a signal handler, where no lock may be taken and no buffer be used."""
        os.write(self.stream.fileno(), f"\n{text}\n".encode())

    def pytest_unconfigure(self) -> None:
        """Let go of it."""
        self.stream.close()


# The name it is registered under.
TERMINAL = "seatrial-terminal"


# -- hooks


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the settings, and keep hold of the terminal: the next hook comes after output is captured."""
    options.add_to_pytest(parser, pluginmanager)
    pluginmanager.register(Terminal(), TERMINAL)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """See which of pytest-kind's options were really given."""
    options.take_out_foreign_defaults(early_config.option)


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the settings, or refuse all that is wrong with them before anything starts."""
    from harness.settings.resolve import Sources, resolve
    from harness.settings.values import known_kubernetes_versions

    config.addinivalue_line("markers", "chart(path, ...): the charts that the test is about, relative to its file")
    config.addinivalue_line("markers", "scenario: a whole voyage: real cluster, real deployment, real score")
    try:
        config.stash[SETTINGS] = resolve(Sources.from_pytest(config), kubernetes_versions=known_kubernetes_versions())
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with every declared case of its charts, and what needs a cluster with every Kubernetes version."""
    if "chart_case" in metafunc.fixturenames and not _is_parametrised(metafunc, "chart_case"):
        metafunc.parametrize("chart_case", _cases(metafunc.definition), ids=lambda case: case.id)
    versions = metafunc.config.stash[SETTINGS].cluster.kubernetes_versions
    if len(versions) > 1 and VERSION in metafunc.fixturenames and not _is_parametrised(metafunc, VERSION):
        metafunc.parametrize(VERSION, versions, indirect=True, scope="session", ids="kubernetes-{}".format)


def _is_parametrised(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether the test itself says with what."""
    marks = metafunc.definition.iter_markers("parametrize")
    return any(name in (mark.args[0] if isinstance(mark.args[0], str) else ",".join(mark.args[0])) for mark in marks)


def _cases(item: pytest.Item) -> list[ChartCase]:
    from harness.charts.case import find_cases
    from harness.charts.changed import charts_below
    from harness.errors import ChartError

    try:
        return find_cases(_charts_of(item) or charts_below(item.config.rootpath))
    except (ChartError, SettingsError) as error:
        raise pytest.Collector.CollectError(str(error)) from None


def _charts_of(item: pytest.Item) -> list[Path]:
    """Return the charts that a test names, and those of the case it runs with."""
    named = [item.path.parent / path for mark in item.iter_markers("chart") for path in mark.args]
    case = getattr(item, "callspec", None) and item.callspec.params.get("chart_case")  # type: ignore[attr-defined] # of functions only
    return [*named, *([case.chart] if case else [])]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that the charts' settings leave out; bring those of the same Kubernetes version together."""
    settings = config.stash[SETTINGS]
    if (since := settings.charts.changed_since) is not None:
        _select_changed(config, items, since)
    if (only := settings.charts.only) is not None:
        _select(config, items, lambda item: any(only.samefile(one) for one in _charts_of(item) if one.exists()))
    if len(versions := settings.cluster.kubernetes_versions) > 1:
        items.sort(key=lambda item: versions.index(version) if (version := _version_of(item)) else -1)


def _select_changed(config: pytest.Config, items: list[pytest.Item], since: str) -> None:
    from harness.charts.changed import find_changed
    from harness.charts.repository import Repository
    from harness.errors import HistoryError
    from harness.process.runner import SubprocessRunner

    try:
        changed = find_changed(Repository.find(config.rootpath, SubprocessRunner()), since)
    except (HistoryError, SettingsError) as error:
        raise pytest.UsageError(str(error)) from None
    _select(config, items, lambda item: changed.selects(item.path, _charts_of(item)))


def _select(config: pytest.Config, items: list[pytest.Item], wanted: Callable[[pytest.Item], bool]) -> None:
    left_out = [item for item in items if not wanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _version_of(item: pytest.Item) -> str | None:
    """Return the Kubernetes version that a test of a run with several runs with."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get(VERSION)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Show the settings somebody chose, with where they came from."""
    from harness.settings.resolve import header_lines

    return header_lines(config.stash[SETTINGS])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Have the parallel workers of pytest-xdist take part in one run: they share its clusters and its evidence."""
    from harness.evidence.recorder import Recorder

    stash = node.config.stash
    if WORKERS not in stash:
        stash[WORKERS] = Recorder(Run.begin())
    recorder = stash[WORKERS]
    node.workerinput[WORKER_RUN] = {"run_id": recorder.run.run_id, "started": recorder.run.started}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Have evidence collected for a test that failed, before its fixtures are torn down."""
    report = yield
    if report.failed and (evidence := item.config.stash.get(EVIDENCE, None)) is not None:
        error = call.excinfo.value if call.excinfo else None
        report.sections.extend(evidence.of_failure(item.nodeid, report.when, _words(error), error))
    return report


def _words(error: BaseException | None) -> str:
    return "" if error is None else str(error)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give a run that was terminated the exit code that shells give."""
    if (number := session.config.stash.get(TERMINATED, None)) is not None:
        session.exitstatus = 128 + number


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Pass the signal that ended this run on to what it runs inside of, e.g. the run whose test called pytest.

    That one's handler was replaced meanwhile, and an exit code other than Ctrl-C's tells pytester nothing.
    """
    if (number := config.stash.get(TERMINATED, None)) is not None and callable(signal.getsignal(number)):
        signal.raise_signal(number)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the time went and where the evidence is; parallel workers leave that to their controller."""
    if hasattr(config, "workerinput") or (account := _account(config)) is None:
        return
    terminalreporter.section("seatrial")
    for line in account.lines():
        terminalreporter.write_line(line)
    evidence = config.stash[SETTINGS].evidence
    if evidence.job_summary is not None:
        outcomes = {name: len(reports) for name, reports in terminalreporter.stats.items() if name in _OUTCOMES}
        try:
            with evidence.job_summary.open("a", encoding="utf-8") as page:
                page.write(account.markdown(outcomes))
        except OSError as error:
            terminalreporter.write_line(f"no job summary in '{evidence.job_summary}': {error.strerror}")
    if evidence.annotations == "github":
        for line in _annotations(terminalreporter, config, account):
            terminalreporter.write_line(line)


def _account(config: pytest.Config) -> Account | None:
    if (evidence := config.stash.get(EVIDENCE, None)) is not None:
        return evidence.finish()
    if (recorder := config.stash.get(WORKERS, None)) is not None:
        from harness.evidence.session import finish_workers

        return finish_workers(recorder, config.stash[SETTINGS])
    return None


def _annotations(terminalreporter: pytest.TerminalReporter, config: pytest.Config, account: Account) -> Iterator[str]:
    """Yield what has GitHub show each failed test beside its code, files named from the working directory."""
    from harness.commands.github import annotation

    masked = {(failure.test, failure.when): failure.message for failure in account.evidence.failures}
    for report in (*terminalreporter.stats.get("error", ()), *terminalreporter.stats.get("failed", ())):
        if isinstance(report, pytest.TestReport):
            name, line, _ = report.location
            file = os.path.relpath(config.rootpath / name, config.invocation_params.dir)
            message = masked.get((report.nodeid, report.when)) or report.longreprtext
            yield annotation("error", message, title=report.nodeid, file=file, line=0 if line is None else line + 1)


# -- the run


@pytest.fixture(scope="session")
def seatrial(request: pytest.FixtureRequest) -> Iterator[Assembly]:
    """The parts of this run; the other fixtures hand them out one by one."""
    from harness.assembly import Assembly

    config = request.config
    worker = getattr(config, "workerinput", {})
    terminal: Terminal = config.pluginmanager.get_plugin(TERMINAL)  # type: ignore[assignment] # registered with the options
    with terminated_like_ctrl_c(partial(config.stash.__setitem__, TERMINATED)):
        assembly = Assembly(
            config.stash[SETTINGS],
            environ=dict(os.environ),
            stream=terminal.stream,
            run=Run.begin(**worker.get(WORKER_RUN, {}), worker=worker.get("workerid", "")),
            fixtures=_own_fixtures(request.session.items),
        )
        try:
            config.stash[EVIDENCE] = assembly.evidence
            yield assembly
        finally:
            with undisturbed(terminal.say_at_once) as disturbance:
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
    return str(getattr(request, "param", request.config.stash[SETTINGS].cluster.kubernetes))


@pytest.fixture(scope="session")
def cluster_spec(kubernetes_version: str) -> ClusterSpec:
    """The declaration of the cluster: one node. Override it for more nodes, port mappings or extra kind config."""
    from harness.cluster.provider import ClusterSpec

    return ClusterSpec(kubernetes_version)


@pytest.fixture(scope="session")
def _clusters(seatrial: Assembly, request: pytest.FixtureRequest) -> ClusterRotation:
    from harness.cluster.rotation import ClusterRotation

    settings = seatrial.settings.cluster
    needed = list(dict.fromkeys(version for item in request.session.items if (version := _version_of(item))))
    return ClusterRotation(needed, settings.at_once, begin=seatrial.begin_cluster, leave=seatrial.leave_cluster)


@pytest.fixture(scope="session")
def _pending_cluster(
    request: pytest.FixtureRequest, seatrial: Assembly, cluster_spec: ClusterSpec
) -> Iterator[Future[ClusterHandle]]:
    if len(request.config.stash[SETTINGS].cluster.kubernetes_versions) == 1:
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
    if len(request.config.stash[SETTINGS].cluster.kubernetes_versions) > 1:
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
