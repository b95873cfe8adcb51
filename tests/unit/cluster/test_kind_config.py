"""kind's Cluster configuration, rendered from declarations."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from harness.cluster.kind_config import count_nodes, minor_version, node_images, node_names, render
from harness.cluster.provider import ClusterSpec, NodeSpec, PortMapping

IMAGE = "seatrial/node:v1"


def rendered(spec: ClusterSpec, **options: str) -> dict[str, Any]:
    """Return the rendered document, parsed."""
    document: dict[str, Any] = yaml.safe_load(render(spec, IMAGE, **options))
    return document


def kubeadm(document: dict[str, Any], kind: str = "ClusterConfiguration") -> dict[str, Any]:
    """Return kubeadm's patch of that kind, empty without one."""
    patches = [yaml.safe_load(patch) for patch in document["kubeadmConfigPatches"]]
    return next((patch for patch in patches if patch["kind"] == kind), {})


def test_a_plain_declaration_is_one_control_plane_of_the_given_image() -> None:
    """The default declaration is one node; its containerd looks for registry mirrors."""
    document = rendered(ClusterSpec("1.34"))
    assert (document["kind"], document["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert document["nodes"] == [{"role": "control-plane", "image": IMAGE}]
    assert 'config_path = "/etc/containerd/certs.d"' in document["containerdConfigPatches"][0]


def test_nodes_carry_their_role_image_ports_and_labels() -> None:
    """Each part of a node's declaration reaches kind under kind's own name for it."""
    worker = NodeSpec("worker", "other/node:v2", (PortMapping(30080, 8080, protocol="UDP"),), {"tier": "a"})
    assert rendered(ClusterSpec("1.34", (NodeSpec(), worker)))["nodes"][1] == {
        "role": "worker",
        "image": "other/node:v2",
        "extraPortMappings": [
            {"containerPort": 30080, "hostPort": 8080, "listenAddress": "127.0.0.1", "protocol": "UDP"}
        ],
        "labels": {"tier": "a"},
    }


@pytest.mark.parametrize(
    ("nodes", "manager", "scheduler"),
    [
        pytest.param(
            (NodeSpec(),),
            {"leader-elect": "false", "node-monitor-grace-period": "12h0m0s"},
            {"leader-elect": "false"},
            id="one node elects nobody and is not lost while it is paused",
        ),
        pytest.param(
            (NodeSpec(), NodeSpec("worker")),
            {"leader-elect": "false"},
            {"leader-elect": "false"},
            id="with workers lost nodes are noticed as usual",
        ),
    ],
)
def test_one_control_plane_elects_no_leader(
    nodes: tuple[NodeSpec, ...], manager: dict[str, str], scheduler: dict[str, str]
) -> None:
    """Where nobody else could lead, no lease has to run out after a stop or a pause."""
    patch = kubeadm(rendered(ClusterSpec("1.34", nodes)))
    assert patch["controllerManager"]["extraArgs"] == manager
    assert patch["scheduler"]["extraArgs"] == scheduler


def test_several_control_planes_keep_electing_a_leader() -> None:
    """Two controller managers at work at once would fight."""
    assert kubeadm(rendered(ClusterSpec("1.34", (NodeSpec(), NodeSpec())))) == {}


def test_arguments_are_a_list_from_1_36_on() -> None:
    """Kind writes kubeadm's v1beta4 from 1.36 on, which takes arguments as a list."""
    patch = kubeadm(rendered(ClusterSpec("1.36", (NodeSpec(), NodeSpec("worker")))))
    assert patch["scheduler"]["extraArgs"] == [{"name": "leader-elect", "value": "false"}]


def test_extra_config_is_passed_through_and_wins() -> None:
    """What the declaration does not model reaches kind as it is, after Seatrial's own patches."""
    mine = "kind: ClusterConfiguration\n"
    spec = ClusterSpec(
        "1.34",
        extra_config={
            "networking": {"podSubnet": "10.9.0.0/16"},
            "kubeadmConfigPatches": [mine],
            "nodes": [{"labels": {"a": "b"}}, {"role": "worker"}],
        },
    )
    document = rendered(spec)
    assert document["networking"] == {"podSubnet": "10.9.0.0/16"}
    assert document["kubeadmConfigPatches"][-1] == mine
    assert document["nodes"] == [
        {"role": "control-plane", "labels": {"a": "b"}, "image": IMAGE},
        {"role": "worker", "image": IMAGE},
    ]
    assert "node-monitor-grace-period" not in kubeadm(document)["controllerManager"]["extraArgs"]


def test_patches_of_the_node_image_are_named_to_kubeadm() -> None:
    """A node image that brings patches has them applied; one that does not gets no directory that is not there."""
    assert kubeadm(rendered(ClusterSpec("1.34"), kubeadm_patches="/kind/patches"), "InitConfiguration")["patches"] == {
        "directory": "/kind/patches"
    }
    assert kubeadm(rendered(ClusterSpec("1.34")), "InitConfiguration") == {}


def test_the_document_tells_its_images_and_nodes() -> None:
    """Each image once, in the order of the nodes."""
    document = render(ClusterSpec("1.34", (NodeSpec(), NodeSpec("worker", "b"), NodeSpec("worker"))), "a")
    assert node_images(document) == ("a", "b")
    assert count_nodes(document) == 3
    assert node_names(document, "demo") == ("demo-control-plane", "demo-worker", "demo-worker2")


@pytest.mark.parametrize(("text", "version"), [("1.34", (1, 34)), ("v1.21.14", (1, 21))])
def test_minor_version(text: str, version: tuple[int, int]) -> None:
    """Minor versions compare as numbers, however they are written."""
    assert minor_version(text) == version


@pytest.mark.parametrize(
    ("kubernetes", "told"), [("1.21", None), ("1.34", None), ("1.35", False), ("1.36", False)], ids=str
)
def test_newer_kubelets_are_told_to_run_on_cgroup_v1(kubernetes: str, told: bool | None) -> None:
    """From 1.35 on a kubelet refuses cgroup v1 unless told otherwise; 1.21 does not know the field."""
    patch = kubeadm(rendered(ClusterSpec(kubernetes)), "KubeletConfiguration")
    assert patch.get("failCgroupV1") is told
