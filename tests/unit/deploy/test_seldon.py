"""Building SeldonDeployments, applying them, and what a refusal says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.provider import ClusterHandle
from harness.deploy.seldon import READINESS_PROBE, Predictor, SeldonDeployer, SeldonDeployment
from harness.errors import ManifestError, SeldonError, SeldonOperatorError, SeldonRefusedError
from harness.images.reference import ImageRef
from harness.settings.model import DeploySettings
from harness.testing import RecordingRunner
from tests.unit.deploy.test_rollout import ScriptedServer, listing

MODEL = SeldonDeployment("model", [Predictor("example/model:1")], no_engine=True)


class Deployer(SeldonDeployer):
    """Talks to a scripted API server."""

    def __init__(self, runner: RecordingRunner, server: Any) -> None:
        handle = ClusterHandle("demo", "existing", Path("kubeconfig"), "demo", Path("kubectl"))
        super().__init__(handle, runner, DeploySettings(1.0, 1.0), labels={"seatrial.dev/run": "r"})
        self.__dict__["_api"] = server


@pytest.fixture
def runner() -> RecordingRunner:
    """A kubectl without script."""
    return RecordingRunner()


@pytest.fixture
def seldon(runner: RecordingRunner) -> SeldonDeployer:
    """What is tested, at a server without operator."""
    server = ScriptedServer()
    server.lists |= {
        "/apis/apps/v1/deployments": [listing("Deployment")],
        "/apis/apps/v1/namespaces/n/deployments": [listing("Deployment")],
        "/api/v1/namespaces/n/services": [listing("Service", {"metadata": {"name": "model-default"}})],
        "/api/v1/namespaces/n/pods": [listing("Pod")],
    }
    return Deployer(runner, server)


def test_one_model_is_a_graph_of_one_node() -> None:
    """Graph and container share their name, and a probe of our own takes the place of the operator's."""
    image = ImageRef("example/model:1", "sha256:0", "example/model:src-0")
    (predictor,) = SeldonDeployment("model", [Predictor(image)]).body()["spec"]["predictors"]
    assert predictor == {
        "name": "default",
        "replicas": 1,
        "graph": {"name": "model", "type": "MODEL", "children": []},
        "componentSpecs": [
            {
                "spec": {
                    "containers": [
                        {
                            "name": "model",
                            "image": "example/model:1",
                            "env": [],
                            "readinessProbe": READINESS_PROBE,
                        }
                    ]
                }
            }
        ],
    }


def test_everything_asked_for_is_in_the_object() -> None:
    """Traffic, variables, resources, hooks and annotations; the operator's own probe when none is given."""
    canary = Predictor(
        "example/model:2",
        "canary",
        replicas=2,
        traffic=25,
        env={"A": "1"},
        resources={"limits": {"memory": "64Mi"}},
        annotations={"a": "b"},
        container="scorer",
        readiness_probe={},
        lifecycle={"preStop": {"sleep": {"seconds": 1}}},
    )
    main = Predictor("example/model:1", "main", traffic=75)
    body = SeldonDeployment("model", [main, canary], True, {"seldon.io/rest-timeout": "9000"}).body()
    assert body["spec"]["annotations"] == {"seldon.io/rest-timeout": "9000"}
    assert [item["traffic"] for item in body["spec"]["predictors"]] == [75, 25]
    second = body["spec"]["predictors"][1]
    assert second["annotations"] == {"a": "b", "seldon.io/no-engine": "true"}
    assert second["componentSpecs"][0]["spec"]["containers"] == [
        {
            "name": "scorer",
            "image": "example/model:2",
            "env": [{"name": "A", "value": "1"}],
            "resources": {"limits": {"memory": "64Mi"}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        }
    ]


def test_what_is_applied_says_where_and_whose_it_is(seldon: SeldonDeployer, runner: RecordingRunner) -> None:
    """Namespace and labels are added; the release names the Services to ask."""
    runner.on("kubectl", "apply")
    release = seldon.apply(MODEL, namespace="n", wait=False)
    sent = json.loads(runner.commands[0].stdin or "")
    assert sent["metadata"] == {"name": "model", "namespace": "n", "labels": {"seatrial.dev/run": "r"}}
    assert (release.method, release.details) == ("seldon", {"no_engine": True, "services": ("model-default",)})


def test_an_object_keeps_the_namespace_it_names(
    seldon: SeldonDeployer, runner: RecordingRunner, tmp_path: Path
) -> None:
    """Given as a file."""
    runner.on("kubectl", "apply")
    body = MODEL.body()
    body["metadata"]["namespace"] = "its-own"
    file = tmp_path / "model.json"
    file.write_text(json.dumps(body), encoding="utf-8")
    assert seldon.apply(file, namespace="n", wait=False).namespace == "its-own"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("apiVersion: v1\nkind: Service\nmetadata: {name: x}", "it holds Service", id="another kind"),
        pytest.param(
            "apiVersion: a/v1\nkind: SeldonDeployment\nmetadata: {name: x}\n---\n"
            "apiVersion: v1\nkind: Service\nmetadata: {name: x}",
            "it holds SeldonDeployment, Service",
            id="more than one document",
        ),
        pytest.param(
            "apiVersion: a/v1\nkind: SeldonDeployment\nmetadata: {name: x}\nspec: {}",
            "names no model",
            id="no predictors",
        ),
    ],
)
def test_other_documents_are_refused_before_anything_is_applied(
    seldon: SeldonDeployer, runner: RecordingRunner, text: str, told: str
) -> None:
    """One SeldonDeployment, and nothing else."""
    with pytest.raises(ManifestError, match=told):
        seldon.apply(text)
    assert runner.commands == []


@pytest.mark.parametrize(
    ("stderr", "error", "description", "hint"),
    [
        pytest.param(
            'The SeldonDeployment "" is invalid: spec: Invalid value: "a": Traffic must sum to 100',
            SeldonRefusedError,
            'spec: Invalid value: "a": Traffic must sum to 100',
            "correct the SeldonDeployment",
            id="the operator's webhook",
        ),
        pytest.param(
            'Error from server: error when creating "STDIN": admission webhook "v" denied the request: not today',
            SeldonRefusedError,
            "not today",
            "correct the SeldonDeployment",
            id="another webhook",
        ),
        pytest.param(
            'Error from server (NotFound): error when creating "STDIN": namespaces "n" not found',
            SeldonRefusedError,
            'Error from server (NotFound): error when creating "STDIN": namespaces "n" not found',
            "make the namespace first",
            id="no namespace",
        ),
        pytest.param(
            'error: resource mapping not found for name: "model" namespace: "n" from "STDIN": no matches for kind '
            '"SeldonDeployment" in version "machinelearning.seldon.io/v1"\nensure CRDs are installed first',
            SeldonOperatorError,
            "",
            "install Seldon Core first",
            id="no such kind",
        ),
        pytest.param(
            'Error from server (NotFound): error when creating "STDIN": the server could not find the requested '
            "resource (post seldondeployments.machinelearning.seldon.io)",
            SeldonOperatorError,
            "",
            "install Seldon Core first",
            id="no such kind any more",
        ),
        pytest.param(
            'Error from server (InternalError): error when creating "STDIN": Internal error occurred: failed calling '
            'webhook "v1.vseldondeployment.kb.io": connect: connection refused',
            SeldonOperatorError,
            "",
            "see the operator's pod",
            id="operator down",
        ),
    ],
)
def test_a_refusal_is_told_by_who_refused(
    seldon: SeldonDeployer,
    runner: RecordingRunner,
    stderr: str,
    error: type[SeldonError],
    description: str,
    hint: str,
) -> None:
    """The type says what can be done, the description is the refusal's own words; nothing is left to remove."""
    runner.on("kubectl", "apply", stderr=stderr, exit_code=1)
    with pytest.raises(error) as caught:
        seldon.apply(MODEL, namespace="n")
    assert type(caught.value) is error
    assert caught.value.description == description
    assert hint in caught.value.hint
    seldon._live.remove_all()
    assert len(runner.commands) == 1


def test_an_operator_that_is_down_is_looked_at(seldon: SeldonDeployer, runner: RecordingRunner) -> None:
    """The reason is the operator's, not the webhook's."""
    runner.on("kubectl", "apply", stderr='failed calling webhook "v": connection refused', exit_code=1)
    with pytest.raises(SeldonOperatorError, match="there is no operator in this cluster"):
        seldon.apply(MODEL, namespace="n")


def test_deleting_takes_along_what_the_operator_made(seldon: SeldonDeployer, runner: RecordingRunner) -> None:
    """It is kubectl that returns when all that is owned is gone; a kind that went with its operator is no failure."""
    runner.on("kubectl", "apply")
    runner.on("kubectl", "delete", stderr='error: the server doesn\'t have a resource type "s"', exit_code=1, times=1)
    runner.on("kubectl", "delete")
    release = seldon.apply(MODEL, namespace="n", wait=False)
    seldon.delete(release)
    _, delete, orphans = (command.argv for command in runner.commands)
    assert "seldondeployments.machinelearning.seldon.io/model" in delete
    assert "--cascade=foreground" in delete
    # The garbage collector may not know that their owner is gone.
    assert "--selector=seldon-deployment-id=model" in orphans
    assert "--cascade=foreground" in orphans
