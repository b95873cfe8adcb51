"""Claims and custom objects that are waited for, against an API server that answers from a script."""

from __future__ import annotations

from typing import Any

import pytest

from harness.deploy.release import Release, ResourceRef
from harness.deploy.settled import wait_until_settled
from harness.errors import RolloutError
from tests.unit.deploy.test_rollout import ScriptedServer, discovery

CLAIM = ResourceRef("PersistentVolumeClaim", "data", "n")
MODEL = ResourceRef("Model", "m", "n", "example.com/v1")
CLAIMS = "/api/v1/namespaces/n/persistentvolumeclaims"
MODELS = "/apis/example.com/v1/namespaces/n/models"


@pytest.fixture
def server() -> Any:
    """A server with a claim and a custom object."""
    server = ScriptedServer()
    server.lists |= {
        "/api/v1": discovery(PersistentVolumeClaim=("persistentvolumeclaims", True)),
        "/apis/example.com/v1": discovery(Model=("models", True)),
        "/apis/storage.k8s.io/v1": discovery(StorageClass=("storageclasses", False)),
    }
    return server


def claim(phase: str, storage_class: str = "") -> dict[str, Any]:
    """Return a claim."""
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "uid": "c"},
        "spec": {"storageClassName": storage_class},
        "status": {"phase": phase},
    }


def model(*conditions: dict[str, Any], generation: int = 1) -> dict[str, Any]:
    """Return a custom object."""
    metadata = {"name": "m", "uid": "m", "generation": generation}
    return {"kind": "Model", "metadata": metadata, "status": {"conditions": list(conditions)}}


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    """Return a list."""
    return {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": list(items)}


READY = {"type": "Ready", "status": "True"}


def test_a_bound_claim_and_a_ready_object_are_waited_for_no_longer(server: Any) -> None:
    """What is as wanted already costs one look."""
    server.lists |= {
        f"{CLAIMS}/data": [claim("Bound")],
        CLAIMS: [listed(claim("Bound"))],
        MODELS: [listed(model(READY))],
    }
    wait_until_settled(server, Release("r", "n", "helm", (CLAIM, MODEL)), 5, conditions={"Model": "Ready"})


def test_a_claim_that_waits_for_its_first_consumer_is_passed_over(server: Any) -> None:
    """Nobody uses it: the workload that would was waited for."""
    server.lists |= {
        f"{CLAIMS}/data": [claim("Pending", "local")],
        "/apis/storage.k8s.io/v1/storageclasses/local": [{"volumeBindingMode": "WaitForFirstConsumer"}],
    }
    wait_until_settled(server, Release("r", "n", "helm", (CLAIM,)), 5)


@pytest.mark.parametrize(
    ("ref", "body", "seen"),
    [
        (CLAIM, claim("Lost"), "its phase is Lost"),
        (
            MODEL,
            model({"type": "Ready", "status": "False", "reason": "NoData"}, {"type": "Failed", "status": "True"}),
            "condition Ready is False (NoData)",
        ),
    ],
    ids=["a lost claim", "an object that says it failed"],
)
def test_what_never_will_be_ends_the_wait_early(server: Any, ref: ResourceRef, body: dict[str, Any], seen: str) -> None:
    """Long before the deadline, and by name."""
    where = CLAIMS if ref is CLAIM else MODELS
    server.lists |= {where: [listed(body)], f"{where}/{ref.name}": [body]}
    with pytest.raises(RolloutError) as caught:
        wait_until_settled(server, Release("r", "n", "helm", (ref,)), 600, conditions={"Model": "Ready"})
    assert seen in str(caught.value)
    assert str(ref) in str(caught.value)


def test_a_condition_of_an_earlier_generation_does_not_count(server: Any) -> None:
    """The controller has not seen the change yet."""
    stale = {**READY, "observedGeneration": 1}
    server.lists |= {MODELS: [listed(model(stale, generation=2))]}
    with pytest.raises(RolloutError, match="Timeout: condition Ready is True"):
        wait_until_settled(server, Release("r", "n", "helm", (MODEL,)), 0.05, conditions={"Model": "Ready"})
