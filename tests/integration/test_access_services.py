"""Services of a real cluster reached at a node's port and through the API server."""

from __future__ import annotations

import pytest

from harness.access.api_proxy import api_proxy
from harness.access.load_balancer import load_balancer
from harness.access.node_port import node_port
from harness.cluster.provider import ClusterHandle
from harness.deploy.kubectl import KubectlDeployer
from harness.errors import AccessError
from harness.images.reference import ImageRef
from harness.scoring.readiness import wait_until_answers
from harness.scoring.request import ScoreRequest
from harness.scoring.transport import RequestsTransport

NAME = "test-ml-score-api"
PAYLOAD = {"X": [1, 2]}


@pytest.fixture
def deployed(kubectl: KubectlDeployer, namespace: str, score_image: ImageRef) -> str:
    """The scoring service behind a NodePort Service; returns the namespace."""
    kubectl.create_deployment(NAME, score_image.name, namespace=namespace)
    kubectl.expose(NAME, port=80, target_port=5000, service_type="NodePort", namespace=namespace)
    return namespace


def test_a_node_port_answers(cluster: ClusterHandle, deployed: str) -> None:
    """The tutorial's request gets its answer at the node's address."""
    request = ScoreRequest(node_port(cluster, NAME, namespace=deployed), "/score", PAYLOAD)
    with RequestsTransport() as transport:
        wait_until_answers(transport, request, timeout_s=30).assert_status(200).assert_json({"score": [1, 2]})


def test_the_api_proxy_passes_post_and_get(cluster: ClusterHandle, deployed: str) -> None:
    """POST brings the score; GET brings the service's own refusal of GET, not the API server's."""
    endpoint = api_proxy(cluster, NAME, namespace=deployed)
    with RequestsTransport() as transport:
        scored = wait_until_answers(transport, ScoreRequest(endpoint, "/score", PAYLOAD), timeout_s=30)
        scored.assert_status(200).assert_content_type("application/json").assert_json({"score": [1, 2]})
        transport.send(ScoreRequest(endpoint, "/score", method="GET")).assert_status(405)


def test_a_balancer_is_not_made_up(cluster: ClusterHandle, deployed: str) -> None:
    """A Service without balancer is said to have none."""
    with pytest.raises(AccessError, match="its type is NodePort"):
        load_balancer(cluster, NAME, namespace=deployed)
