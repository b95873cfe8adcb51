"""Which tests run, and with what: charts' cases, what a branch touches, Kubernetes versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from harness.errors import SettingsError
from harness.hooks.configuration import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from harness.charts.case import ChartCase

# The fixture that says which Kubernetes version a test runs with.
VERSION = "kubernetes_version"


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
        items.sort(key=lambda item: versions.index(version) if (version := version_of(item)) else -1)


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


def version_of(item: pytest.Item) -> str | None:
    """Return the Kubernetes version that a test of a run with several runs with."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get(VERSION)
