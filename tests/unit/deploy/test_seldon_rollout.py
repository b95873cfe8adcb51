"""SeldonDeployments: when the operator has done its part, and what is said when it has not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from harness.deploy.release import ResourceRef
from harness.deploy.seldon import Predictor, SeldonDeployment
from harness.deploy.seldon_rollout import (
    API_VERSION,
    KIND,
    deployment_name,
    service_name,
    unfinished,
    wait_for_seldon,
)
from harness.errors import RolloutError, SeldonError, SeldonOperatorError
from tests.unit.deploy.test_rollout import ScriptedServer, listing

REF = ResourceRef(KIND, "model", "n", API_VERSION)
SELF = f"/apis/{API_VERSION}/namespaces/n/seldondeployments"
OPERATORS = "/apis/apps/v1/deployments"
DEPLOYMENTS = "/apis/apps/v1/namespaces/n/deployments"

MAIN = Predictor(
    "example/model:1",
    "main",
    traffic=75,
    env={"A": "1"},
    resources={"requests": {"cpu": "0.5", "memory": "64Mi"}},
    annotations={"seldon.io/x": "y"},
)
CANARY = Predictor("example/model:2", "canary", traffic=25)


def asked(*predictors: Predictor, no_engine: bool = True, state: str = "") -> dict[str, Any]:
    """A SeldonDeployment as the server shows it."""
    body = SeldonDeployment("model", predictors or (MAIN, CANARY), no_engine).body()
    body["metadata"] |= {"namespace": "n", "uid": "s", "generation": 1}
    return {**body, "status": {"state": state} if state else {}}


def made(deployment: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The Deployments and Services that an operator would have made, with what it and the server add."""
    deployments, services = [], []
    owner = [{"uid": deployment["metadata"]["uid"]}]
    for index, predictor in enumerate(copy.deepcopy(deployment["spec"]["predictors"])):
        container = predictor["componentSpecs"][0]["spec"]["containers"][0]
        container["env"] = [*container.get("env", ()), {"name": "PREDICTIVE_UNIT_ID", "value": "model"}]
        container["readinessProbe"] = {**container.get("readinessProbe", {}), "successThreshold": 1}
        container |= {"imagePullPolicy": "IfNotPresent", "ports": [{"name": "http", "containerPort": 9000}]}
        if "requests" in container.get("resources", {}):
            container["resources"]["requests"]["cpu"] = "500m"
        name = deployment_name(deployment, predictor, 0)
        deployments.append(
            {
                "kind": "Deployment",
                "apiVersion": "apps/v1",
                "metadata": {"name": name, "uid": name, "generation": 1, "ownerReferences": owner},
                "spec": {
                    "replicas": predictor["replicas"],
                    "selector": {"matchLabels": {"app": name}},
                    "template": {
                        "metadata": {"annotations": {"prometheus.io/scrape": "true", **predictor["annotations"]}},
                        "spec": {"containers": [container]},
                    },
                },
                "status": {
                    "observedGeneration": 1,
                    "updatedReplicas": 1,
                    "replicas": 1,
                    "availableReplicas": 1,
                    "readyReplicas": 1,
                },
            }
        )
        mapping = {"kind": "Mapping", **({"weight": predictor["traffic"]} if index else {})}
        service = service_name(deployment, predictor)
        services.append(
            {
                "kind": "Service",
                "apiVersion": "v1",
                "metadata": {
                    "name": service,
                    "uid": f"service-{service}",
                    "ownerReferences": owner,
                    "annotations": {"getambassador.io/config": f"---\n{yaml.safe_dump(mapping)}---\n"},
                },
            }
        )
    return deployments, services


def test_what_the_operator_made_of_the_present_spec_is_finished() -> None:
    """What the operator and the server add does not count, nor how they write a quantity."""
    deployment = asked()
    assert unfinished(deployment, *made(deployment)) == ""


def changed(value: object, *path: str) -> Callable[[dict[str, Any]], None]:
    """A change of the first predictor; ``container`` as the path's start means its container."""

    def change(body: dict[str, Any]) -> None:
        predictor = body["spec"]["predictors"][0]
        in_container = path[0] == "container"
        place = predictor["componentSpecs"][0]["spec"]["containers"][0] if in_container else predictor
        *parents, last = path[1:] if in_container else path
        for step in parents:
            place = place[step]
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(changed("example/model:9", "container", "image"), "its image differs", id="image"),
        pytest.param(
            changed([{"name": "A", "value": "2"}], "container", "env"), "its env differs", id="value of a variable"
        ),
        pytest.param(changed([], "container", "env"), "still has variable A", id="variable taken away"),
        pytest.param(changed({}, "container", "resources"), "resources.requests differ", id="resources taken away"),
        pytest.param(
            changed({"requests": {"cpu": "1", "memory": "64Mi"}}, "container", "resources"),
            "requests differ",
            id="resources",
        ),
        pytest.param(changed("other", "container", "name"), "'model-main-0-other' is not there", id="container's name"),
        pytest.param(
            changed({"preStop": {"sleep": {"seconds": 1}}}, "container", "lifecycle"), "lifecycle", id="a hook more"
        ),
        pytest.param(changed(3, "replicas"), "1 replicas, asked for are 3", id="replicas"),
        pytest.param(changed("z", "annotations", "seldon.io/x"), "annotation seldon.io/x", id="annotation"),
        pytest.param(changed({}, "annotations"), "annotation seldon.io/no-engine", id="with executor again"),
    ],
)
def test_a_change_the_operator_has_not_seen_yet_is_noticed(change: Callable[[dict[str, Any]], None], told: str) -> None:
    """What was made of the spec before does not pass for the present one."""
    before = asked()
    after = copy.deepcopy(before)
    change(after)
    assert told in unfinished(after, *made(before))


def test_predictors_come_and_go() -> None:
    """One more is waited for, and so is that one fewer is gone; its traffic is what its route says."""
    one, two = asked(MAIN), asked(MAIN, CANARY)
    assert unfinished(two, *made(one)) == "service 'model-canary' is not there"
    deployments, services = made(two)
    assert unfinished(two, deployments[:1], services) == "deployment 'model-canary-0-model' is not there"
    assert "service 'model-canary' of an earlier spec" in unfinished(one, deployments, services)
    assert "'model-canary-0-model' of an earlier spec" in unfinished(one, deployments, services[:1])
    deployments[1]["metadata"]["deletionTimestamp"] = "now"
    assert "'model-canary-0-model' of an earlier spec" in unfinished(one, deployments, services[:1])
    assert unfinished(two, deployments, services) == "deployment 'model-canary-0-model' is not there"
    del deployments[1]["metadata"]["deletionTimestamp"]
    heavier = asked(MAIN, Predictor("example/model:2", "canary", traffic=40))
    assert "weight 25, asked for is 40" in unfinished(heavier, deployments, services)


def test_without_routes_weights_do_not_matter() -> None:
    """An operator without Ambassador writes none."""
    deployment = asked()
    deployments, services = made(deployment)
    for service in services:
        service["metadata"]["annotations"] = {}
    assert unfinished(deployment, deployments, services) == ""


def test_the_executor_is_the_operators_own() -> None:
    """Its container, and a Deployment of its own, are neither missing nor surplus."""
    deployment = asked(no_engine=False)
    for predictor in deployment["spec"]["predictors"]:
        predictor.setdefault("annotations", {})
    deployments, services = made(deployment)
    deployments[0]["spec"]["template"]["spec"]["containers"].append({"name": "seldon-container-engine"})
    alone = {
        "kind": "Deployment",
        "metadata": {"name": "model-main-svc-orch", "labels": {"seldon-deployment-contains-svcorch": "true"}},
    }
    assert unfinished(deployment, [*deployments, alone], services) == ""


def test_a_model_server_of_seldons_own_needs_no_component() -> None:
    """What the operator makes for it is not known beforehand."""
    deployment = asked(MAIN)
    deployments, services = made(deployment)
    deployment["spec"]["predictors"][0]["componentSpecs"] = None
    assert unfinished(deployment, deployments, services) == ""


def test_long_names_are_replaced_as_the_operator_does() -> None:
    """A name of 63 characters stays, a longer one becomes ``seldon-`` and the MD5 of itself."""
    predictor = {"name": "default", "componentSpecs": [{"spec": {"containers": [{"name": "model"}]}}]}
    fits = {"metadata": {"name": "m" * (63 - len("-default-0-model"))}}
    assert deployment_name(fits, predictor, 0) == f"{fits['metadata']['name']}-default-0-model"
    longer = {"metadata": {"name": "a" * 70}}
    assert service_name(longer, predictor) == "seldon-4509874d3b81cca1b8d61bfebe51f050"
    assert service_name(longer, {"name": "p", "annotations": {"seldon.io/svc-name": "own"}}) == "own"


# --- waiting ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> ScriptedServer:
    """A server with an operator that has made everything and says Available."""
    server = ScriptedServer()
    deployment = asked(state="Available")
    deployments, services = made(deployment)
    server.lists |= {
        f"/apis/{API_VERSION}": [
            {"resources": [{"kind": KIND, "name": "seldondeployments", "namespaced": True}]},
        ],
        SELF: [listing(KIND, deployment)],
        DEPLOYMENTS: [listing("Deployment", *deployments)],
        "/api/v1/namespaces/n/services": [listing("Service", *services)],
        "/api/v1/namespaces/n/events": [listing("Event")],
        OPERATORS: [listing("Deployment", operator(available=1))],
        **{f"{DEPLOYMENTS}/{item['metadata']['name']}": [item] for item in deployments},
    }
    return server


def operator(**status: int) -> dict[str, Any]:
    """The operator's Deployment."""
    available = {"availableReplicas": status["available"]} if status.get("available") else {}
    return {"metadata": {"name": "seldon-controller-manager", "namespace": "s", "uid": "o"}, "status": available}


def test_what_was_made_is_returned(server: Any) -> None:
    """Services first, as the operator makes them."""
    refs = wait_for_seldon(server, REF, 5.0)
    assert [(ref.kind, ref.name, ref.namespace) for ref in refs] == [
        ("Service", "model-main", "n"),
        ("Service", "model-canary", "n"),
        ("Deployment", "model-main-0-model", "n"),
        ("Deployment", "model-canary-0-model", "n"),
    ]


def test_available_is_waited_for(server: Any) -> None:
    """Ready pods are not enough: the operator has to say so, and that arrives by watch."""
    server.lists[SELF] = [listing(KIND, asked(state="Creating"))]
    done = [{"type": "MODIFIED", "object": asked(state="Available")}]
    server.watches[SELF] = [[], done]
    assert wait_for_seldon(server, REF, 20.0)


def test_the_status_of_the_spec_before_does_not_count(server: Any) -> None:
    """It still says Available while the Deployments are those of the spec before."""
    before = asked(MAIN)
    deployments, services = made(before)
    server.lists[DEPLOYMENTS] = [listing("Deployment", *deployments)]
    server.lists["/api/v1/namespaces/n/services"] = [listing("Service", *services)]
    with pytest.raises(SeldonError, match="'model-canary' is not there") as caught:
        wait_for_seldon(server, REF, 0.3)
    assert caught.value.state == "Available"


def test_pods_that_cannot_start_end_the_wait(server: Any) -> None:
    """With the reason of the rollout, long before the deadline."""
    deployments, _ = made(asked())
    broken = deployments[0] | {
        "status": {
            "observedGeneration": 1,
            "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "m"}],
        }
    }
    server.lists |= {
        "/apis/apps/v1": [{"resources": [{"kind": "Deployment", "name": "deployments", "namespaced": True}]}],
        "/api/v1/namespaces/n/pods": [listing("Pod")],
        "/apis/apps/v1/namespaces/n/replicasets": [listing("ReplicaSet")],
        f"{DEPLOYMENTS}/model-main-0-model": [broken],
        DEPLOYMENTS: [listing("Deployment", *deployments), listing("Deployment", broken)],
    }
    with pytest.raises(RolloutError) as caught:
        wait_for_seldon(server, REF, 600.0)
    assert caught.value.reason == "ProgressDeadlineExceeded"


def test_the_operators_own_reason_is_told(server: Any) -> None:
    """Its description and its warnings, when it goes on saying Failed."""
    failed = asked(state="Failed")
    failed["status"]["description"] = "deployments.apps is forbidden"
    event = {
        "metadata": {"uid": "e"},
        "type": "Warning",
        "reason": "InternalError",
        "message": "quota used up",
        "involvedObject": {"kind": KIND},
    }
    server.lists |= {
        SELF: [listing(KIND, failed)],
        DEPLOYMENTS: [listing("Deployment")],
        "/api/v1/namespaces/n/events": [listing("Event", event)],
    }
    with pytest.raises(SeldonError, match=r"is forbidden[\s\S]*Warning InternalError: quota used up") as caught:
        wait_for_seldon(server, REF, 0.3)
    assert (caught.value.state, caught.value.description) == ("Failed", "deployments.apps is forbidden")


@pytest.mark.parametrize(
    ("operators", "told"),
    [
        pytest.param([], "there is no operator in this cluster", id="none"),
        pytest.param([operator(available=1)], "though one is running", id="one that runs"),
    ],
)
def test_silence_is_looked_into(server: Any, operators: list[Any], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that says nothing ends the wait before its deadline."""
    monkeypatch.setattr("harness.deploy.seldon_rollout.SILENCE_S", 0.05)
    server.lists |= {
        SELF: [listing(KIND, asked())],
        DEPLOYMENTS: [listing("Deployment")],
        OPERATORS: [listing("Deployment", *operators)],
    }
    with pytest.raises(SeldonOperatorError, match=told):
        wait_for_seldon(server, REF, 600.0)


def test_one_that_is_not_there_is_not_waited_for(server: Any) -> None:
    """Deleted meanwhile, or never made."""
    server.lists[SELF] = [listing(KIND)]
    with pytest.raises(SeldonError, match="deleted meanwhile, or was never there"):
        wait_for_seldon(server, REF, 600.0)
