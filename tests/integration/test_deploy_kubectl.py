"""Raw kubectl on a real cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.provider import ClusterHandle
from harness.deploy.kubectl import Contexts, KubectlDeployer
from harness.errors import ClusterError, DeployError
from harness.images.reference import ImageRef
from harness.process.runner import Runner
from harness.wait import wait_until

NAME = "test-ml-score-api"


def test_a_deployment_is_made_exposed_looked_at_and_deleted(
    kubectl: KubectlDeployer, namespace: str, score_image: ImageRef
) -> None:
    """The tutorial's commands one after the other; nothing is left at the end."""
    deployment = kubectl.create_deployment(NAME, score_image.name, namespace=namespace)
    assert "successfully rolled out" in kubectl.rollout_status(NAME, namespace=namespace)
    service = kubectl.expose(NAME, port=5000, service_type="LoadBalancer", name=f"{NAME}-lb", namespace=namespace)
    assert service.manifest[0]["spec"]["type"] == "LoadBalancer"
    (pod,) = kubectl.get("pods", namespace=namespace, selector=f"app={NAME}")
    # Without a readiness probe it has rolled out when its process begins, which says something a moment later.
    wait_until(
        "read the service's log",
        lambda: kubectl.logs(pod["metadata"]["name"], namespace=namespace),
        done=lambda log: "Flask" in log,
        timeout_s=30.0,
        poll_interval_s=0.2,
    )
    assert f"Name:                   {NAME}" in kubectl.describe(f"deployment/{NAME}", namespace=namespace)
    kubectl.delete(service)
    kubectl.delete(deployment)
    assert kubectl.get("all", namespace=namespace) == ()


def test_what_exists_already_is_refused_and_left_alone(
    kubectl: KubectlDeployer, namespace: str, score_image: ImageRef
) -> None:
    """A second deployment of that name is refused; close then deletes the first one only once."""
    kubectl.create_deployment(NAME, score_image.name, namespace=namespace, wait=False)
    with pytest.raises(DeployError, match="already exists") as caught:
        kubectl.create_deployment(NAME, score_image.name, namespace=namespace)
    assert caught.value.facts["reason"] == "AlreadyExists"
    assert len(kubectl.get("deployments", namespace=namespace)) == 1


def test_only_what_is_there_can_be_exposed(kubectl: KubectlDeployer, namespace: str) -> None:
    """The error names the deployment that is missing."""
    with pytest.raises(DeployError, match="absent"):
        kubectl.expose("absent", port=5000, namespace=namespace)


def test_cluster_info_answers(kubectl: KubectlDeployer) -> None:
    """The control plane's address is told."""
    assert "Kubernetes control plane" in kubectl.cluster_info()


def test_contexts_are_switched_in_a_private_file(cluster: ClusterHandle, runner: Runner, tmp_path: Path) -> None:
    """The gathered file changes, the cluster's own does not."""
    before = cluster.kubeconfig.read_bytes()
    contexts = Contexts.gather([cluster], tmp_path / "config", runner)
    assert contexts.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert contexts.current() == cluster.context
    contexts.set_namespace(cluster.context, "kube-system")
    assert [(item.name, item.namespace, item.is_current) for item in contexts.list()] == [
        (cluster.context, "kube-system", True)
    ]
    assert "coredns" in contexts.run("get", "pods").check().stdout
    contexts.set_namespace(cluster.context, "")
    assert [item.namespace for item in contexts.list()] == [""]
    with pytest.raises(ClusterError, match="'elsewhere'"):
        contexts.use("elsewhere")
    assert cluster.kubeconfig.read_bytes() == before
