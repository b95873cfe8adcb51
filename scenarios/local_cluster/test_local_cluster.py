"""A cluster of one's own answers, and is reached by its own kubeconfig only."""

from __future__ import annotations

from harness.cluster.provider import ClusterHandle
from harness.deploy.kubectl import KubectlDeployer


def test_cluster_info_answers(kubectl: KubectlDeployer) -> None:
    """`kubectl cluster-info` names the control plane and the cluster's DNS."""
    answer = kubectl.cluster_info()
    assert "control plane" in answer
    assert "CoreDNS" in answer


def test_the_nodes_are_ready_and_of_the_version_asked_for(kubectl: KubectlDeployer, cluster: ClusterHandle) -> None:
    """`kubectl get nodes` lists the declared nodes, all Ready, all of the cluster's version."""
    nodes = kubectl.get("nodes")
    assert [node["metadata"]["name"] for node in nodes] == list(cluster.nodes)
    for node in nodes:
        ready = next(one for one in node["status"]["conditions"] if one["type"] == "Ready")
        assert ready["status"] == "True"
        assert node["status"]["nodeInfo"]["kubeletVersion"] == cluster.kubernetes
