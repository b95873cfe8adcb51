"""Running Bodywork's pipelines: what is asked of it, and what its words become."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.provider import ClusterHandle
from harness.deploy.bodywork import BodyworkDeployer, Pipeline
from harness.deploy.deployer import Log, NoWitness
from harness.deploy.release import Release, ResourceRef
from harness.errors import BodyworkError, BodyworkProjectError, BodyworkStageError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import LineSink
from harness.settings.model import DeploySettings
from harness.testing import RecordingRunner
from tests.unit.deploy.test_rollout import ScriptedServer, discovery, listing

PIPELINE = Pipeline("https://github.com/o/iris", "iris", "n")
RBAC = "/apis/rbac.authorization.k8s.io/v1"
RULE = "-" * 100
FAILED = "failed to execute workflow for master branch of project repository at https://github.com/o/iris: "


class Program:
    """A Bodywork that answers from a script and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[tuple[str, int]] = []

    def says(self, output: str, exit_code: int = 0) -> None:
        """Script the next answer."""
        self.answers.append((output, exit_code))

    def run(self, args: tuple[str, ...], *, timeout_s: float, on_line: LineSink) -> Outcome:
        """See the protocol."""
        self.asked.append(" ".join(args))
        output, exit_code = self.answers.pop(0)
        for line in output.splitlines():
            on_line(line)
        return Outcome(Command(("bodywork", *args), timeout_s=timeout_s), exit_code, output, duration_s=1.0)


class Witness(NoWitness):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.releases: list[Release] = []
        self.logs: dict[str, list[str]] = {}

    def log(self, name: str) -> AbstractContextManager[Log]:
        """See the protocol."""
        lines = self.logs.setdefault(name, [])
        return nullcontext(Log(f"/evidence/{name}.log", lines.append))

    def deployed(self, release: Release) -> None:
        """See the protocol."""
        self.releases.append(release)


class Deployer(BodyworkDeployer):
    """Talks to a scripted API server."""

    def __init__(self, runner: RecordingRunner, program: Program, witness: Witness, server: Any) -> None:
        handle = ClusterHandle("demo", "kind", Path("kubeconfig"), "demo", Path("kubectl"))
        super().__init__(handle, runner, DeploySettings(1.0, 1.0), program=program, witness=witness)
        self.__dict__["_api"] = server


def binding(name: str, role: str = "bodywork-workflow-controller") -> dict[str, Any]:
    """Return a ClusterRoleBinding."""
    return {"metadata": {"name": name}, "roleRef": {"name": role}}


@pytest.fixture
def server() -> ScriptedServer:
    """A cluster with nothing of Bodywork's in it."""
    server = ScriptedServer()
    server.lists |= {
        "/apis/networking.k8s.io/v1": discovery(Ingress=("ingresses", True)),
        RBAC: discovery(ClusterRole=("clusterroles", False), ClusterRoleBinding=("clusterrolebindings", False)),
        "/apis/apps/v1/namespaces/n/deployments": [listing("Deployment")],
        "/api/v1/namespaces/n/services": [listing("Service")],
        "/apis/networking.k8s.io/v1/namespaces/n/ingresses": [listing("Ingress")],
    }
    return server


@pytest.fixture
def runner() -> RecordingRunner:
    """A kubectl without script."""
    return RecordingRunner()


@pytest.fixture
def program() -> Program:
    """A Bodywork without script."""
    return Program()


@pytest.fixture
def witness() -> Witness:
    """Who is told."""
    return Witness()


@pytest.fixture
def pipelines(runner: RecordingRunner, program: Program, witness: Witness, server: ScriptedServer) -> BodyworkDeployer:
    """What is tested."""
    return Deployer(runner, program, witness, server)


def replayed(job: str, text: str) -> str:
    """Return a stage's log as a workflow replays it."""
    return f"{RULE}\n---- pod logs for {job}\n{RULE}\n{text}\n{RULE}\n{RULE}\n"


def test_names_are_bodyworks() -> None:
    """Underscores become dashes; the path of the Ingress names namespace and service."""
    pipeline = Pipeline("u", "my_project", "ns")
    assert pipeline.service("stage_2_serve") == "my-project--stage-2-serve"
    assert pipeline.ingress_path("stage_2_serve") == "/ns/my-project--stage-2-serve"


def test_a_workflow_that_succeeds(pipelines: BodyworkDeployer, program: Program, witness: Witness) -> None:
    """Its stages' words are told apart, and all of it is in the log."""
    program.says(replayed("iris--train", "read 150 rows") + "successfully ran workflow\n")
    workflow = pipelines.run(PIPELINE)
    assert program.asked == ["workflow --namespace=n https://github.com/o/iris master"]
    assert [(stage.name, stage.text) for stage in workflow.stages] == [("iris--train", "read 150 rows")]
    assert "read 150 rows" in witness.logs["bodywork-workflow"]
    assert workflow.log == "/evidence/bodywork-workflow.log"
    assert (workflow.release.method, workflow.duration_s) == ("bodywork", 1.0)


def test_what_a_pipeline_deployed_is_its_own(pipelines: BodyworkDeployer, server: ScriptedServer) -> None:
    """Deployments, Services and Ingresses that bear the project's name, and nobody else's."""
    for path, kind in (
        ("/apis/apps/v1/namespaces/n/deployments", "Deployment"),
        ("/api/v1/namespaces/n/services", "Service"),
        ("/apis/networking.k8s.io/v1/namespaces/n/ingresses", "Ingress"),
    ):
        names = ("iris--serve", "iris-2--serve", "other")
        server.lists[path] = [listing(kind, *({"metadata": {"name": name}} for name in names))]
    assert [str(ref) for ref in pipelines.deployed(PIPELINE).resources] == [
        f"{kind}/iris--serve in namespace 'n'" for kind in ("deployment", "service", "ingress")
    ]


@pytest.mark.parametrize(
    ("said", "error", "reason"),
    [
        pytest.param(
            "Remote branch x not found in upstream origin", BodyworkProjectError, "no such branch", id="branch"
        ),
        pytest.param("cannot locate o/i:1 on DockerHub", BodyworkProjectError, "no such image", id="image"),
        pytest.param("job=iris--a in namespace=n have failed", BodyworkStageError, "stage failed", id="stage"),
        pytest.param(
            "deployment=iris--b in namespace=n have yet to reach status=complete after 95s",
            BodyworkStageError,
            "service timed out",
            id="service",
        ),
        pytest.param(
            "cannot connect to https://hub.docker.com/v2/x", BodyworkError, "Docker Hub unreachable", id="Docker Hub"
        ),
    ],
)
def test_a_workflow_that_fails(
    pipelines: BodyworkDeployer,
    program: Program,
    witness: Witness,
    said: str,
    error: type[BodyworkError],
    reason: str,
) -> None:
    """The error's type says what can be done about it, and its text where the whole is; what was deployed is told."""
    program.says(FAILED + said, exit_code=1)
    with pytest.raises(BodyworkError) as caught:
        pipelines.run(PIPELINE)
    assert type(caught.value) is error
    assert caught.value.reason == reason
    assert said in str(caught.value)
    assert "see /evidence/bodywork-workflow.log" in str(caught.value)
    assert len(witness.releases) == 1


def test_a_command_that_fails_with_0(pipelines: BodyworkDeployer, program: Program) -> None:
    """The sentence counts, not the exit code."""
    program.says("schedule=noon is not a valid cron schedule")
    with pytest.raises(BodyworkError, match="bad schedule"):
        pipelines.schedule(PIPELINE, "daily", schedule="noon")


SHOWN = (
    f"{'-' * 20}\ndaily:\n{'-' * 20}\n|- SCHEDULE 0 0 * * *\n|- RETRIES 2\n|- GIT_URL https://github.com/o/iris\n"
    "|- GIT_BRANCH master\n|- LAST_EXECUTED None\n"
)


def test_a_schedule_is_returned_as_it_is_shown(pipelines: BodyworkDeployer, program: Program) -> None:
    """Made, then looked up."""
    program.says("workflow cronjob=daily created in namespace=n")
    program.says(SHOWN)
    made = pipelines.schedule(PIPELINE, "daily", schedule="0 0 * * *")
    assert (made.name, made.schedule, made.last_executed) == ("daily", "0 0 * * *", "")
    assert [asked.partition(" --")[0] for asked in program.asked] == ["cronjob create", "cronjob display"]


def test_a_schedule_that_is_not_there_afterwards(pipelines: BodyworkDeployer, program: Program) -> None:
    """Silence is no success."""
    program.says("")
    program.says("")
    with pytest.raises(BodyworkError, match="shows no such one"):
        pipelines.schedule(PIPELINE, "daily", schedule="0 0 * * *")


def test_a_log_may_hold_anything(pipelines: BodyworkDeployer, program: Program) -> None:
    """What a workflow wrote of its own failure is a log, not a failure to read it."""
    program.says(FAILED + "whatever")
    assert "whatever" in pipelines.logs("daily-1", namespace="n")


@pytest.mark.parametrize(
    "said", ["cannot find pod for workflow job=daily-1", "namespace=n could not be found on k8s cluster"]
)
def test_a_log_that_is_not_there(pipelines: BodyworkDeployer, program: Program, said: str) -> None:
    """Bodywork prints a sentence where the log would be."""
    program.says(f"{said}\n")
    with pytest.raises(BodyworkError, match=said):
        pipelines.logs("daily-1", namespace="n")


def test_a_schedule_is_run_now(pipelines: BodyworkDeployer, runner: RecordingRunner) -> None:
    """The Job's name begins with the schedule's, by which the history finds it; two have two names."""
    runner.on("kubectl", "create", "job")
    first, second = (pipelines.trigger("daily", namespace="n") for _ in range(2))
    assert first.startswith("daily-")
    assert first != second
    assert runner.commands[0].argv[-5:] == ("job", first, "--from=cronjob/daily", "--namespace", "n")


@pytest.mark.parametrize(
    ("bindings", "left"),
    [
        pytest.param(
            ["bodywork-workflow-controller--n"],
            ["clusterrolebinding/bodywork-workflow-controller--n", "clusterrole/bodywork-workflow-controller"],
            id="the only namespace",
        ),
        pytest.param(
            ["bodywork-workflow-controller--n", "bodywork-workflow-controller--m"],
            ["clusterrolebinding/bodywork-workflow-controller--n"],
            id="another namespace has the role",
        ),
    ],
)
def test_what_a_namespace_leaves(
    pipelines: BodyworkDeployer, server: ScriptedServer, bindings: list[str], left: list[str]
) -> None:
    """Its binding, and the role when nobody else has it."""
    everything = [binding(name) for name in bindings]
    server.lists[f"{RBAC}/clusterrolebindings"] = [listing("ClusterRoleBinding", *everything)]
    server.lists |= {f"{RBAC}/clusterrolebindings/{one['metadata']['name']}": [one] for one in everything}
    server.lists[f"{RBAC}/clusterroles/bodywork-workflow-controller"] = [{}]
    assert [str(ref) for ref in pipelines.leftovers("n")] == left


def test_a_namespace_that_was_set_up_before_is_not_this_ones_to_delete(
    pipelines: BodyworkDeployer, program: Program, runner: RecordingRunner, server: ScriptedServer
) -> None:
    """Said again it makes nothing; the release says so, and to delete that one deletes nothing and forgets nothing."""
    server.lists["/api/v1"] = discovery(Namespace=("namespaces", False), ServiceAccount=("serviceaccounts", True))
    kinds = {"Role": ("roles", True), "RoleBinding": ("rolebindings", True)}
    cluster_kinds = {"ClusterRole": ("clusterroles", False), "ClusterRoleBinding": ("clusterrolebindings", False)}
    server.lists[RBAC] = discovery(**kinds, **cluster_kinds)
    controller, stages = "bodywork-workflow-controller", "bodywork-jobs-and-deployments"
    namespaced = [f"{path}/{name}" for path in ("roles", "rolebindings") for name in (controller, stages)]
    server.lists |= {f"{RBAC}/namespaces/n/{path}": [{}] for path in namespaced}
    server.lists |= {f"/api/v1/namespaces/n/serviceaccounts/{name}": [{}] for name in (controller, stages)}
    server.lists |= {"/api/v1/namespaces/n": [{}], f"{RBAC}/clusterroles/{controller}": [{}]}
    server.lists[f"{RBAC}/clusterrolebindings/{controller}--n"] = [{}]
    program.says("namespace=n already exists\n")
    release = pipelines.setup_namespace("n")
    assert (release.resources, release.details["existing"]) == ((), ("namespace=n",))
    pipelines.delete(release)
    assert runner.commands == []


def test_a_namespaces_pods_go_before_it(
    pipelines: BodyworkDeployer, runner: RecordingRunner, server: ScriptedServer
) -> None:
    """First what would make them anew, then they, then the namespace; what is in it is not deleted one by one."""
    server.lists["/api/v1"] = discovery(Namespace=("namespaces", False))
    runner.on("kubectl", "delete")
    refs = (ResourceRef("Namespace", "n"), ResourceRef("ServiceAccount", "a", "n"))
    pipelines.delete(Release("n", "n", "bodywork", refs))
    deleted = [command.argv[command.argv.index("delete") + 1] for command in runner.commands]
    assert deleted == ["deployments,replicasets,jobs,cronjobs", "pods", "namespace"]


def test_pods_that_take_their_time_are_not_waited_for(
    pipelines: BodyworkDeployer, runner: RecordingRunner, server: ScriptedServer
) -> None:
    """A rollout told them to go and gave them 30 s: the API server lets go of them, and the namespace goes."""
    server.lists["/api/v1"] = discovery(Namespace=("namespaces", False))
    runner.on("kubectl", "delete", "pods", "--grace-period=1", exit_code=1, stderr="timed out waiting")
    runner.on("kubectl", "delete")
    pipelines.delete(Release("n", "n", "bodywork", (ResourceRef("Namespace", "n"),)))
    deleted = [command.argv[command.argv.index("delete") + 1 :] for command in runner.commands]
    assert [words[0] for words in deleted] == ["deployments,replicasets,jobs,cronjobs", "pods", "pods", "namespace"]
    assert {"--force", "--grace-period=0"} <= set(deleted[2])
