"""Deploying with Bodywork 3: what is asked of it, and what its words become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cluster.provider import ClusterHandle
from harness.deploy.bodywork3 import Bodywork3Deployer, Project
from harness.errors import BodyworkError, BodyworkProjectError, BodyworkStageError
from harness.settings.model import DeploySettings
from harness.testing import RecordingRunner
from tests.unit.deploy.test_bodywork import RBAC, Program, Witness
from tests.unit.deploy.test_rollout import ScriptedServer, discovery, listing

PROJECT = Project("https://github.com/o/iris", "iris", "master")
CONTROL = "/api/v1/namespaces/bodywork-deployment-jobs"
ROLE = f"{RBAC}/clusterroles/bodywork-workflow-controller"
BINDING = f"{RBAC}/clusterrolebindings/bodywork-workflow-controller--bodywork-deployment-jobs"
RULE = "─" * 175
AT = "[26/11/26 11:26:10]"


class Server(ScriptedServer):
    """One whose client can be closed."""

    def close(self) -> None:
        """See the client."""


class Deployer(Bodywork3Deployer):
    """Talks to a scripted API server."""

    def __init__(self, runner: RecordingRunner, program: Program, witness: Witness, server: Any) -> None:
        handle = ClusterHandle("demo", "kind", Path("kubeconfig"), "demo", Path("kubectl"))
        super().__init__(handle, runner, DeploySettings(1.0, 1.0), program=program, witness=witness)
        self.__dict__["_api"] = server


@pytest.fixture
def server() -> ScriptedServer:
    """A cluster that was configured for Bodywork, with nothing deployed."""
    server = Server()
    server.lists |= {
        "/api/v1": discovery(
            Namespace=("namespaces", False), Service=("services", True), ServiceAccount=("serviceaccounts", True)
        ),
        "/apis/networking.k8s.io/v1": discovery(Ingress=("ingresses", True)),
        RBAC: discovery(ClusterRole=("clusterroles", False), ClusterRoleBinding=("clusterrolebindings", False)),
        CONTROL: [{}],
        f"{CONTROL}/serviceaccounts/bodywork-workflow-controller": [{}],
        ROLE: [{}],
        BINDING: [{}],
        "/apis/apps/v1/namespaces/iris/deployments": [listing("Deployment")],
        "/api/v1/namespaces/iris/services": [listing("Service")],
        "/apis/networking.k8s.io/v1/namespaces/iris/ingresses": [listing("Ingress")],
    }
    return server


@pytest.fixture
def runner() -> RecordingRunner:
    """A kubectl that deletes whatever it is asked to."""
    runner = RecordingRunner()
    runner.on("kubectl", "delete")
    return runner


@pytest.fixture
def program() -> Program:
    """A Bodywork without script."""
    return Program()


@pytest.fixture
def witness() -> Witness:
    """Who is told."""
    return Witness()


@pytest.fixture
def bodywork(runner: RecordingRunner, program: Program, witness: Witness, server: ScriptedServer) -> Bodywork3Deployer:
    """What is tested."""
    return Deployer(runner, program, witness, server)


def deleted_namespaces(runner: RecordingRunner) -> list[str]:
    """Return the namespaces that kubectl was told to delete."""
    commands = (command.argv for command in runner.commands)
    return [argv[argv.index("namespace") + 1] for argv in commands if "namespace" in argv]


def test_names_are_bodyworks() -> None:
    """The project's name is the namespace unless bodywork.yaml names one, and no part of a service's name."""
    project = Project("u", "iris", own_namespace="ml")
    assert project.service("stage_2__serve") == "stage-2-serve"
    assert PROJECT.ingress_path("stage_2_serve") == "/iris/stage-2-serve"
    assert project.ingress_path("serve") == "/ml/serve"


def test_the_cluster_is_configured(bodywork: Bodywork3Deployer, program: Program, server: ScriptedServer) -> None:
    """What was not there and is there afterwards is the release; it goes when the deployer is closed."""
    server.lists[BINDING] = [{"status_code": 404}, {}]
    program.says("Creating cluster-role-binding=bodywork-workflow-controller--bodywork-deployment-jobs.\n")
    release = bodywork.configure_cluster()
    assert program.asked == ["configure-cluster"]
    (made,) = release.resources
    assert str(made) == "clusterrolebinding/bodywork-workflow-controller--bodywork-deployment-jobs"
    assert release.details["created"] == (
        "cluster-role-binding=bodywork-workflow-controller--bodywork-deployment-jobs",
    )


def test_a_deployment_that_succeeds(
    bodywork: Bodywork3Deployer, program: Program, witness: Witness, runner: RecordingRunner
) -> None:
    """Its stages' words are told apart; the namespace that Bodywork made goes when the deployer is closed."""
    title = f"{' logs for stage = train-x8jzk ':─^175}"
    program.says(f"{title}\nread 150 rows\n{RULE}\n{AT} INFO     Deployment successful\n")
    workflow = bodywork.deploy(PROJECT)
    assert program.asked == ["create deployment https://github.com/o/iris --branch=master"]
    assert [(stage.name, stage.text) for stage in workflow.stages] == [("train-x8jzk", "read 150 rows")]
    assert "read 150 rows" in witness.logs["bodywork-create-deployment"]
    assert (workflow.release.name, workflow.release.namespace, workflow.duration_s) == ("iris", "iris", 1.0)
    bodywork.close()
    assert deleted_namespaces(runner) == ["iris"]


def test_a_namespace_that_was_there_stays(
    bodywork: Bodywork3Deployer, program: Program, server: ScriptedServer, runner: RecordingRunner
) -> None:
    """Whoever made it deletes it."""
    server.lists["/api/v1/namespaces/iris"] = [{}]
    program.says(f"{AT} INFO     Deployment successful\n")
    bodywork.update(PROJECT)
    assert program.asked == ["update deployment https://github.com/o/iris --branch=master"]
    bodywork.close()
    assert deleted_namespaces(runner) == []


def test_what_a_project_deployed_is_its_own(bodywork: Bodywork3Deployer, server: ScriptedServer) -> None:
    """Deployments say whose they are; Services and Ingresses are called like them."""
    labelled = [
        {"metadata": {"name": "serve", "labels": {"deployment-name": "iris"}}},
        {"metadata": {"name": "theirs", "labels": {"deployment-name": "iris-2"}}},
        {"metadata": {"name": "other"}},
    ]
    bare = [{"metadata": {"name": name}} for name in ("serve", "theirs", "other")]
    server.lists["/apis/apps/v1/namespaces/iris/deployments"] = [listing("Deployment", *labelled)]
    server.lists["/api/v1/namespaces/iris/services"] = [listing("Service", *bare)]
    server.lists["/apis/networking.k8s.io/v1/namespaces/iris/ingresses"] = [listing("Ingress", *bare)]
    assert [str(ref) for ref in bodywork.deployed(PROJECT).resources] == [
        f"{kind}/serve in namespace 'iris'" for kind in ("deployment", "service", "ingress")
    ]


@pytest.mark.parametrize(
    ("said", "error", "reason"),
    [
        pytest.param("Cannot locate o/i:1 on DockerHub", BodyworkProjectError, "no such image", id="image"),
        pytest.param(
            "A project with the same name (or namespace): iris", BodyworkProjectError, "name taken", id="name"
        ),
        pytest.param("job=train in namespace=iris have failed", BodyworkStageError, "stage failed", id="stage"),
        pytest.param(
            "Inadequate cluster cpu and/or memory available to start jobs (train)", BodyworkError, "no room", id="room"
        ),
    ],
)
def test_a_deployment_that_fails(
    bodywork: Bodywork3Deployer,
    program: Program,
    witness: Witness,
    said: str,
    error: type[BodyworkError],
    reason: str,
) -> None:
    """The error's type says what can be done about it, and its text where the whole is; what was deployed is told."""
    program.says(f"{AT} ERROR    Deployment failed --> {said}\n", exit_code=1)
    with pytest.raises(BodyworkError) as caught:
        bodywork.deploy(PROJECT)
    assert type(caught.value) is error
    assert caught.value.reason == reason
    assert said in str(caught.value)
    assert "see /evidence/bodywork-create-deployment.log" in str(caught.value)
    assert len(witness.releases) == 1


@pytest.mark.parametrize("said", ["No deployments found\n", "Could not find service=stage-2-serve.\n"])
def test_a_service_that_is_not_there(bodywork: Bodywork3Deployer, program: Program, said: str) -> None:
    """Bodywork ends with 0 either way."""
    program.says(said)
    with pytest.raises(BodyworkError, match=said.strip().rstrip(".")) as caught:
        bodywork.service(PROJECT, "stage_2_serve")
    assert program.asked == ["get deployment iris stage-2-serve"]
    assert caught.value.reason == "not found"


def test_services_are_listed(bodywork: Bodywork3Deployer, program: Program) -> None:
    """Of all projects."""
    program.says("│ iris/serve │ https://github.com/o/iris │\n")
    (listed,) = bodywork.services()
    assert (listed.pipeline, listed.name, listed.git_url) == ("iris", "serve", PROJECT.url)


def test_bodywork_deletes_what_it_deployed(
    bodywork: Bodywork3Deployer, program: Program, runner: RecordingRunner
) -> None:
    """By its own command; closing the deployer then has nothing left to do."""
    program.says(f"{AT} INFO     Deployment successful\n")
    bodywork.deploy(PROJECT)
    program.says("...\ndeployment=iris deleted.\n")
    bodywork.undeploy(PROJECT)
    assert program.asked[-1] == "delete deployment iris"
    bodywork.close()
    assert deleted_namespaces(runner) == []


def test_there_is_nothing_to_delete(bodywork: Bodywork3Deployer, program: Program) -> None:
    """Bodywork says so and ends with 0."""
    program.says("deployment=iris could not be found on k8s cluster.\n")
    with pytest.raises(BodyworkError, match="could not be found"):
        bodywork.undeploy(PROJECT)
