"""Installing Seldon's operator: what the chart is given, and when the operator counts as answering."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.provider import ClusterHandle
from harness.deploy.helm import HelmDeployer
from harness.deploy.release import Release
from harness.deploy.seldon_core import SeldonCore, SeldonCoreInstaller
from harness.errors import SeldonOperatorError
from harness.supply.artifact import Chart, Provenance
from harness.testing import RecordingRunner

ANSWER = 'The SeldonDeployment "" is invalid: spec: Invalid value: "": Graph contains no predictors'


class Helm(HelmDeployer):
    """Notes what it is asked to install and takes it for done."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def install(self, release: str, chart: Path, **options: Any) -> Release:
        """Take it for installed."""
        self.asked.append((release, chart, options))
        return Release(release, options["namespace"], "helm")

    def uninstall(self, release: Any, **_: Any) -> None:
        """Take it for gone."""
        self.asked.append(("uninstall", release.name))


def chart(*, published: bool = False) -> Chart:
    """The operator's chart."""
    provenance = Provenance("seldon-core-operator", "v1.16.0", "build", "o", "d", "", 0, "built here")
    return Chart(Path("chart"), {} if published else {"a/b:1": "seldon-operator-image"}, published, provenance)


def installer(runner: RecordingRunner, helm: Helm, loaded: list[Chart], one: Chart) -> SeldonCoreInstaller:
    """What is tested."""
    handle = ClusterHandle("demo", "existing", Path("kubeconfig"), "demo", Path("kubectl"))
    return SeldonCoreInstaller(handle, runner, helm, one, load_images=loaded.append)


@pytest.mark.parametrize("published", [False, True], ids=["our own chart", "the published chart"])
def test_the_operator_is_asked_until_it_refuses(published: bool) -> None:
    """Images first, then the chart with the tutorial's values; a webhook that cannot be reached, or is not asked,
    is asked again, and nothing is ever made.
    """
    runner, helm = RecordingRunner(), Helm()
    loaded: list[Chart] = []
    runner.on(
        "kubectl",
        "apply",
        "--dry-run=server",
        stderr="failed calling webhook: connection refused",
        exit_code=1,
        times=1,
    )
    runner.on("kubectl", "apply", "--dry-run=server", stdout="created (server dry run)", times=1)
    runner.on("kubectl", "apply", "--dry-run=server", stderr=ANSWER, exit_code=1)
    one = chart(published=published)
    core = installer(runner, helm, loaded, one).install(
        values={"defaultUserID": "", "ambassador": {"singleNamespace": True}}
    )
    assert loaded == [one]
    assert len(runner.commands) == 3
    assert json.loads(runner.commands[0].stdin or "")["spec"] == {"predictors": []}
    ((release, path, options),) = helm.asked
    assert (release, path, options["namespace"]) == ("seldon-core", Path("chart"), "seldon-core")
    assert options["values"].inline == {
        "usageMetrics": {"enabled": False},
        "ambassador": {"enabled": True, "version": "v1", "singleNamespace": True},
        "defaultUserID": "",
    }
    assert core == SeldonCore(
        Release("seldon-core", "seldon-core", "helm"), "v1.16.0", published, published, "built here"
    )
    assert core.no_engine is not published


def test_an_operator_that_never_answers_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what the API server said last and what is wrong with the operator."""
    runner, helm = RecordingRunner(), Helm()
    runner.on("kubectl", "apply", stderr="failed calling webhook: no endpoints available", exit_code=1)
    monkeypatch.setattr("harness.deploy.seldon_core.operator_problem", lambda _: "it has no pod")
    with pytest.raises(SeldonOperatorError, match=r"no endpoints available[\s\S]*it has no pod"):
        installer(runner, helm, [], chart()).install(timeout_s=0.0)
    assert helm.asked[-1] == ("uninstall", "seldon-core")


@pytest.mark.parametrize(
    ("has_executor", "told"), [(True, "with executor"), (False, "without executor (seldon.io/no-engine)")]
)
def test_the_report_says_what_ran(has_executor: bool, told: str) -> None:
    """Version, origin, and whether predictors have an executor."""
    core = SeldonCore(
        Release("seldon-core", "seldon-core", "helm"), "v1.16.0", has_executor, has_executor, "built here"
    )
    assert str(core) == f"Seldon Core v1.16.0, built here; predictors {told}"
