"""Uninstalling releases that Helm cannot uninstall any more, and what it was told to keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.provider import ClusterHandle
from harness.deploy.helm import HelmDeployer
from harness.deploy.manifests import Manifest
from harness.deploy.release import Release
from harness.errors import DeployError, WaitTimeoutError
from harness.settings.model import DeploySettings
from harness.testing import RecordingRunner
from tests.unit.deploy.test_rollout import ScriptedServer, discovery, listing

MODEL = {
    "apiVersion": "machinelearning.seldon.io/v1",
    "kind": "SeldonDeployment",
    "metadata": {"name": "model", "namespace": "n"},
}
SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "n"}}
APP = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": "n"}}
PURGE = ("secrets", "--selector=owner=helm,name=app,version")
ORPHANS = (
    "deployments,services,horizontalpodautoscalers,poddisruptionbudgets",
    "--selector=seldon-deployment-id=model",
)


class Deployer(HelmDeployer):
    """Talks to a scripted API server."""

    def __init__(self, runner: RecordingRunner, server: Any) -> None:
        handle = ClusterHandle("demo", "existing", Path("kubeconfig"), "demo", Path("kubectl"))
        super().__init__(handle, runner, DeploySettings(1.0, 1.0), helm=Path("helm"), home=Path("home"))
        self.__dict__["_api"] = server


@pytest.fixture
def runner() -> RecordingRunner:
    """A helm that gives up on uninstalling, in the words of Helm 3.20."""
    runner = RecordingRunner()
    runner.on("helm", "uninstall", stderr="Error: failed to delete release: app", exit_code=1)
    return runner


def release_of(*bodies: dict[str, Any]) -> Release:
    """A release of some documents."""
    manifest = Manifest.load(list(bodies))
    return Release("app", "n", "helm", manifest.refs("n"), manifest.bodies)


def deletions(runner: RecordingRunner) -> list[tuple[str, ...]]:
    """What kubectl was asked to delete."""
    asked = [command.argv for command in runner.commands if command.program == "kubectl"]
    assert all("--namespace n" in " ".join(argv) for argv in asked)
    words = [argv[argv.index("delete") + 1 :] for argv in asked]
    return [(what, second) if second.startswith("--selector") else (what,) for what, second, *_ in words]


def test_a_release_whose_kind_is_gone_is_gone(runner: RecordingRunner) -> None:
    """With the definition went the object: what the operator made of it goes, and last of all Helm's record."""
    runner.on("kubectl", "delete")
    Deployer(runner, ScriptedServer()).uninstall(release_of(MODEL))
    assert deletions(runner) == [ORPHANS, PURGE]


def test_only_seldons_kind_is_known_to_leave_something(runner: RecordingRunner) -> None:
    """Of any other kind that is gone there is nothing to look for."""
    runner.on("kubectl", "delete")
    Deployer(runner, ScriptedServer()).uninstall(release_of({**MODEL, "apiVersion": "a/v1", "kind": "Model"}))
    assert deletions(runner) == [PURGE]


def test_a_release_known_by_its_name_is_looked_up_first(runner: RecordingRunner) -> None:
    """What is in it comes from Helm's record, while that is there."""
    runner.on("helm", "get", "manifest", stdout=yaml.safe_dump(MODEL))
    runner.on("kubectl", "delete")
    Deployer(runner, ScriptedServer()).uninstall("app", namespace="n")
    assert deletions(runner) == [ORPHANS, PURGE]


def test_what_is_left_of_it_is_deleted_before_the_record(runner: RecordingRunner) -> None:
    """Helm deletes nothing of a release when it does not know one of the kinds; the rest goes last made first."""
    server = ScriptedServer()
    found = {"metadata": {"name": "it", "uid": "u"}}
    gone = {"status_code": 404, "message": "not found"}
    server.lists["/api/v1/namespaces/n/configmaps/settings"] = [found, gone]
    server.lists["/apis/apps/v1/namespaces/n/deployments/app"] = [found, gone]
    runner.on("kubectl", "delete")
    Deployer(runner, server).uninstall(release_of(SETTINGS, APP, MODEL))
    assert deletions(runner) == [("deployment.v1.apps/app",), ("configmap/settings",), ORPHANS, PURGE]


def test_the_record_stays_while_something_else_does(runner: RecordingRunner) -> None:
    """Then the next attempt still knows what there is to remove."""
    server = ScriptedServer()
    server.lists["/api/v1/namespaces/n/configmaps/settings"] = [{"metadata": {"name": "settings", "uid": "u"}}]
    server.lists["/api/v1/namespaces/n/configmaps"] = [
        listing("ConfigMap", {"metadata": {"name": "settings", "uid": "u"}})
    ]
    runner.on("kubectl", "delete", ORPHANS[0])
    runner.on("kubectl", "delete", stderr="error: timed out waiting for the condition", exit_code=1)
    with pytest.raises(WaitTimeoutError, match="configmap/settings"):
        Deployer(runner, server).uninstall(release_of(SETTINGS, MODEL))
    assert PURGE not in deletions(runner)


def test_any_other_failure_is_helms(runner: RecordingRunner) -> None:
    """Where every kind is known, Helm's failure is told, and nothing is deleted behind its back."""
    with pytest.raises(DeployError, match="failed to delete release"):
        Deployer(runner, ScriptedServer()).uninstall(release_of(SETTINGS))
    assert deletions(runner) == []


@pytest.mark.parametrize("helm_gives_up", [False, True], ids=["Helm uninstalls", "Helm gives up"])
def test_what_the_chart_keeps_is_not_waited_for(helm_gives_up: bool) -> None:
    """An object with the policy `keep` stays, and its staying is no failure."""
    runner, server = RecordingRunner(), ScriptedServer()
    server.lists["/api/v1/namespaces/n/configmaps/settings"] = [{"metadata": {"name": "settings", "uid": "u"}}]
    runner.on("helm", "uninstall", exit_code=int(helm_gives_up))
    runner.on("kubectl", "delete")
    metadata = {**SETTINGS["metadata"], "annotations": {"helm.sh/resource-policy": "keep"}}  # type: ignore[dict-item]
    Deployer(runner, server).uninstall(release_of({**SETTINGS, "metadata": metadata}, MODEL))
    assert deletions(runner) == ([ORPHANS, PURGE] if helm_gives_up else [ORPHANS])


def test_a_kind_is_known_by_its_version() -> None:
    """`discovery` of these tests names the kinds of a version; a version nobody serves has none."""
    server = ScriptedServer()
    server.lists["/apis/machinelearning.seldon.io/v1"] = discovery(SeldonDeployment=("seldondeployments", True))
    runner = RecordingRunner()
    runner.on("helm", "uninstall", stderr="Error: failed to delete release: app", exit_code=1)
    with pytest.raises(DeployError, match="failed to delete release"):
        Deployer(runner, server).uninstall(release_of(MODEL))
