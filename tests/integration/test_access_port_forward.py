"""Port-forwarding to a real cluster's pods."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.access.endpoint import Endpoint
from harness.access.port_forward import port_forward, port_forward_port
from harness.cluster.provider import ClusterHandle
from harness.deploy.kubectl import KubectlDeployer
from harness.errors import AccessError, EndpointNotReadyError
from harness.images.reference import ImageRef
from harness.scoring.payloads import PlainPayload
from harness.scoring.readiness import wait_until_answers
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.transport import RequestsTransport
from harness.wait import wait_until

NAME = "test-ml-score-api"
PLAIN = PlainPayload()


@pytest.fixture
def deployed(kubectl: KubectlDeployer, namespace: str, score_image: ImageRef) -> str:
    """The scoring service behind a Service, port 80 to the container's 5000; returns the namespace."""
    kubectl.create_deployment(NAME, score_image.name, namespace=namespace)
    kubectl.expose(NAME, port=80, target_port=5000, namespace=namespace)
    return namespace


def score(port: int) -> ScoreResponse:
    """Send the tutorial's request through a forwarded port, on a connection of its own, once it answers."""
    request = ScoreRequest(Endpoint.from_url(f"http://127.0.0.1:{port}"), PLAIN.path, PLAIN.encode([1, 2]))
    with RequestsTransport() as transport:
        return wait_until_answers(transport, request, timeout_s=60)


@pytest.mark.parametrize(
    ("target", "remote_port"),
    [
        pytest.param(lambda _: f"deployment/{NAME}", 5000, id="a deployment's container port"),
        pytest.param(lambda _: f"service/{NAME}", 80, id="a service's own port"),
        pytest.param(lambda pod: f"pod/{pod}", 5000, id="a pod's container port"),
    ],
)
def test_a_score_comes_back(
    cluster: ClusterHandle,
    kubectl: KubectlDeployer,
    deployed: str,
    target: Callable[[str], str],
    remote_port: int,
) -> None:
    """The tutorial's request gets the tutorial's answer, whatever the forward was asked for."""
    (pod,) = kubectl.get("pods", namespace=deployed)
    name = target(pod["metadata"]["name"])
    with port_forward(cluster, name, namespace=deployed, remote_port=remote_port) as endpoint:
        score(endpoint.port).assert_status(200).assert_content_type("application/json").assert_json({"score": [1, 2]})


def test_many_connections_at_once(cluster: ClusterHandle, deployed: str) -> None:
    """Each connection has a path of its own to the pod."""
    with (
        port_forward_port(cluster, f"service/{NAME}", namespace=deployed, remote_port=80) as port,
        ThreadPoolExecutor(8) as pool,
    ):
        for response in pool.map(score, [port] * 24):
            response.assert_json({"score": [1, 2]})


def test_a_forward_outlives_its_pod(cluster: ClusterHandle, kubectl: KubectlDeployer, deployed: str) -> None:
    """The same local port answers after the pod was deleted and another has taken its place."""
    with port_forward_port(cluster, f"deployment/{NAME}", namespace=deployed, remote_port=5000) as port:
        score(port).assert_status(200)
        (before,) = kubectl.get("pods", namespace=deployed)
        kubectl.run("delete", "pod", before["metadata"]["name"], "--namespace", deployed, "--wait=true").check()
        score(port).assert_status(200).assert_json({"score": [1, 2]})
        assert before["metadata"]["name"] not in {
            pod["metadata"]["name"] for pod in kubectl.get("pods", namespace=deployed)
        }


def test_a_port_nobody_listens_on_in_the_pod_is_told(cluster: ClusterHandle, deployed: str) -> None:
    """The node's own words reach the reader: connection refused, inside which pod."""
    with (
        RequestsTransport() as transport,
        port_forward(cluster, f"deployment/{NAME}", namespace=deployed, remote_port=81) as endpoint,
        pytest.raises(EndpointNotReadyError, match=rf"pod/{NAME}-.*connection refused"),
    ):
        wait_until_answers(transport, ScoreRequest(endpoint, "/score", {"X": [1]}), timeout_s=5)


def test_a_deployment_without_ready_pod_is_told(
    cluster: ClusterHandle, kubectl: KubectlDeployer, namespace: str
) -> None:
    """The error names the pod and what Kubernetes says of it."""
    kubectl.create_deployment("absent", "127.0.0.1:9/absent:1", namespace=namespace, wait=False)
    wait_until("see its pod", lambda: kubectl.get("pods", namespace=namespace), timeout_s=60)
    with (
        pytest.raises(AccessError, match=r"deployment/absent in namespace .* within 3 s\n.*pod/absent-\S+: Pending"),
        port_forward(cluster, "deployment/absent", namespace=namespace, remote_port=5000, ready_timeout_s=3),
    ):
        pass
