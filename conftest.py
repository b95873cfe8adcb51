"""Markers by path, the order of the rooms, and the one image most of the rooms deploy."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from harness.images.reference import ImageRef
    from harness.supply.resolver import Supply

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent
FIXTURES = ROOT / "fixtures"

# Cheap rooms first: a broken parser should not cost a cluster to find.
ROOMS = ("unit", "contract", "plugin", "integration", "scenarios")
# What needs no cluster goes first: it is made meanwhile. What needs a second one goes last.
ROUTES = (
    "docker",
    "pipenv",
    "local_cluster",
    "kubectl",
    "manifest",
    "helm",
    "charts",
    "seldon",
    "multi_node",
    "contexts",
    "bodywork",
)

# Files of tests that install what belongs to the whole cluster, or look whether it is all gone: one after the other.
CLUSTER_WIDE = (
    "test_deploy_manifests.py",
    "test_gateway.py",
    "test_gateway_removal.py",
    "test_own_charts.py",
    "test_seldon.py",
    "test_seldon_evidence.py",
)

# What a test may be skipped for in CI too, as its reason begins. For any other, e.g. a missing program, it fails there.
MAY_SKIP_IN_CI = (
    # Hosted runners are not root's, and have an engine.
    "the managed engine needs root",
    "mounts a file system and becomes another user",
    # The oldest row of the matrix has the stories that need no more.
    "Seldon's stories need Kubernetes",
    # Where the published node and base images can be pulled, none of ours are built.
    "supply did not build the node image",
    "the base or the node image is a published one",
)


def pytest_configure() -> None:
    """Hear Ctrl-C also in a run started in the background, which inherits an ignored SIGINT and passes it on.

    The tests of interruptions send that signal.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep each route on one parallel worker (`--dist loadgroup`): its stories share what they take turns with.

    Of other tests each file stays together: its tests share what they need.

    By path and not by mark: pytest-xdist 3.8.0 hands `xdist_group` on in `Item._nodeid`, which pytest 9.2 does not
    read any more, so that a group is torn apart without a word.
    """
    # There when this is called, and only then; it has no types.
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # noqa: PLC0415

    class RouteScheduling(LoadScopeScheduling):
        """A group is a route, a file, or the files of tests that need the whole cluster."""

        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            room, *rest = path.split("/")
            if path == "scenarios/charts/test_drain.py":
                return "scenarios/multi_node"  # one of whose nodes it drains
            if room == "scenarios":
                return f"{room}/{rest[0]}"
            return "cluster-wide" if rest and rest[-1] in CLUSTER_WIDE else path

    return RouteScheduling(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test by its folder, run cheap rooms first, and leave scenarios out unless they are asked for."""
    for item in items:
        room, *rest = _place(item.path)
        if room == "scenarios":
            item.add_marker(pytest.mark.scenario)
            item.add_marker(rest[0])
        elif room in ROOMS:
            item.add_marker(room)
    items.sort(key=lambda item: _order(item.path))
    if not _scenarios_are_asked_for(config):
        left_out = [item for item in items if item.get_closest_marker("scenario")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have a skipped test fail in CI, where nobody would see for months that it does not run."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple)
    if skipped and os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")  # type: ignore[index] # file, line and reason
        if not reason.startswith(MAY_SKIP_IN_CI):
            report.outcome = "failed"
            report.longrepr = f"{reason}: skipped, which in CI is a failure; conftest.py names the exceptions"
    return report


def _place(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(ROOT).parts if path.is_relative_to(ROOT) else ("",)
    return parts[1:] if parts[0] == "tests" else parts


def _order(path: Path) -> tuple[int, int]:
    room, route, *_ = (*_place(path), "", "")
    return (
        ROOMS.index(room) if room in ROOMS else 0,
        ROUTES.index(route) if room == "scenarios" and route in ROUTES else 0,
    )


def _scenarios_are_asked_for(config: pytest.Config) -> bool:
    return bool(config.option.markexpr) or any("scenarios" in argument for argument in config.invocation_params.args)


@pytest.fixture(scope="session")
def built_image(build_image: Callable[..., ImageRef], supply: Supply) -> ImageRef:
    """The tutorial's scoring service, `POST /score` on port 5000, built from fixtures/apps."""
    base = supply.image("python-3.11").reference
    app = FIXTURES / "apps" / "py-flask-ml-score-api"
    return build_image(app, name="example/test-ml-score-api:latest", build_args={"BASE_IMAGE": base})


@pytest.fixture(scope="session")
def score_image(built_image: ImageRef, load_image: Callable[[ImageRef], ImageRef]) -> ImageRef:
    """The same, usable in the cluster."""
    return load_image(built_image)
