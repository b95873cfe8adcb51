"""Raw kubectl: create a deployment, reach it through a forwarded port and a load balancer, delete it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.access.endpoint import Endpoint
from harness.assembly import Assembly
from harness.deploy.kubectl import KubectlDeployer
from harness.errors import EndpointNotReadyError, RolloutError
from harness.images.reference import ImageRef
from scenarios.conftest import Ask

APP = "test-ml-score-api"


def test_deploy_score_and_delete(
    kubectl: KubectlDeployer,
    namespace: str,
    score_image: ImageRef,
    port_forward: Callable[..., Endpoint],
    load_balancer: Callable[..., Endpoint],
    ask: Ask,
) -> None:
    """The tutorial's commands in order; both ways in give the same answer, and nothing is left at the end."""
    deployment = kubectl.create_deployment(APP, score_image, namespace=namespace)
    assert "successfully rolled out" in kubectl.rollout_status(APP, namespace=namespace)

    (pod,) = kubectl.get("pods", namespace=namespace)
    ask(port_forward(f"pod/{pod['metadata']['name']}", namespace=namespace, remote_port=5000))

    service = kubectl.expose(APP, port=5000, namespace=namespace, service_type="LoadBalancer", name=f"{APP}-lb")
    ask(load_balancer(f"{APP}-lb", namespace=namespace))

    kubectl.delete(deployment)
    kubectl.delete(service)
    assert kubectl.get("all", namespace=namespace) == ()


def test_an_image_that_nobody_has_ends_the_wait_early(kubectl: KubectlDeployer, namespace: str) -> None:
    """A wrong image name is reported as Kubernetes' own reason, long before the rollout's time limit."""
    with pytest.raises(RolloutError) as failure:
        kubectl.create_deployment(APP, "example/no-such-image:latest", namespace=namespace)
    assert failure.value.reason in {"ErrImagePull", "ImagePullBackOff"}
    assert "example/no-such-image" in str(failure.value)


def test_a_wrong_port_is_named(
    kubectl: KubectlDeployer,
    namespace: str,
    score_image: ImageRef,
    port_forward: Callable[..., Endpoint],
    seatrial: Assembly,
) -> None:
    """A port nobody listens on is not an answer: the error names the pod's side of it."""
    kubectl.create_deployment(APP, score_image, namespace=namespace)
    endpoint = port_forward(f"deployment/{APP}", namespace=namespace, remote_port=5001)
    with pytest.raises(EndpointNotReadyError, match=r"(?is)5001.*refused"):
        seatrial.score(endpoint, {"X": [1, 2]}, path="/score", ready_timeout_s=5.0)
