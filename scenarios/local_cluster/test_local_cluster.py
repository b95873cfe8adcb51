"""A cluster of one's own answers, and is reached by its own kubeconfig only."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from harness.cluster.provider import ClusterHandle, ClusterSpec, NodeSpec, PortMapping
from harness.deploy.kubectl import KubectlDeployer
from harness.errors import ClusterError


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


def test_a_host_port_that_is_taken_is_named(
    make_cluster: Callable[..., ClusterHandle], kubernetes_version: str
) -> None:
    """A published port that something else listens on ends the creation at once: no node is waited for."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        node = NodeSpec(port_mappings=(PortMapping(30080, port),))
        with pytest.raises(ClusterError, match=rf"127\.0\.0\.1:{port}.*in use(?s:.*)map another host port"):
            make_cluster(ClusterSpec(kubernetes_version, (node,)), suffix="-port")


def test_a_node_image_that_is_nowhere_is_named(
    make_cluster: Callable[..., ClusterHandle], kubernetes_version: str
) -> None:
    """An image that no registry gives is told by its name, before anything is made."""
    nowhere = "127.0.0.1:1/example/no-such-node:latest"  # nothing listens on that port
    with pytest.raises(ClusterError, match=rf"node image '{nowhere}'(?s:.*)refused"):
        make_cluster(ClusterSpec(kubernetes_version, (NodeSpec(image=nowhere),)), suffix="-image")
