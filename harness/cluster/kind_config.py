"""kind's Cluster configuration, rendered from a declaration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from harness.cluster.provider import ClusterSpec, NodeSpec
from harness.merge import merge
from harness.naming import LABEL_PREFIX

API_VERSION = "kind.x-k8s.io/v1alpha4"

# Where the nodes' containerd looks for registry mirrors; hosts.toml files are put there after the nodes are up.
# `version = 2` names are merged by kind into the node's configuration whichever containerd it has.
CERTS_DIR = "/etc/containerd/certs.d"
_REGISTRY_PATCH = f"""\
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{CERTS_DIR}"
"""

# Label of a node image that holds patches for kubeadm (a CoreDNS that is ready sooner): their directory.
LABEL_PATCHES = f"{LABEL_PREFIX}/kubeadm-patches"

# kind v0.32.0 writes kubeadm's v1beta4 configuration from this minor version on, where extraArgs is a list
# (pkg/cluster/internal/kubeadm/config.go).
_KUBEADM_LIST_ARGS_FROM = (1, 36)

# The kubelet refuses to start on cgroup v1 from this minor version on, unless it is told otherwise, which is of no
# consequence on cgroup v2 (KEP-5573; the field is known since 1.31).
_KUBELET_REFUSES_CGROUP_V1_FROM = (1, 35)
_CGROUP_V1_PATCH = yaml.safe_dump({"kind": "KubeletConfiguration", "failCgroupV1": False})

# A node that was paused with its cluster must not count as lost when it comes back.
_LONG_GRACE = "12h0m0s"


# kind has kube-proxy gather changes for a second before it acts on them; a test waits for each change.
_PROXY_PATCH = yaml.safe_dump({"kind": "KubeProxyConfiguration", "iptables": {"minSyncPeriod": "0.1s"}})


def render(spec: ClusterSpec, image: str, *, kubeadm_patches: str = "") -> str:
    """Return the YAML document for `kind create cluster --config`.

    Args:
        spec: the declaration; its `extra_config` is merged in last and wins. Lists of patches are appended, `nodes`
            merged by position.
        image: node image of nodes that name none.
        kubeadm_patches: directory in the node image with patches for what kubeadm makes; empty when it has none.
    """
    extra = {key: value for key, value in spec.extra_config.items() if key != "nodes"}
    nodes = _merge_nodes([_node(node) for node in spec.nodes], list(spec.extra_config.get("nodes") or ()))
    for node in nodes:
        node.setdefault("role", "control-plane")
        node.setdefault("image", image)
    config: dict[str, Any] = {
        "kind": "Cluster",
        "apiVersion": API_VERSION,
        "nodes": nodes,
        "containerdConfigPatches": [_REGISTRY_PATCH],
        "kubeadmConfigPatches": [
            _PROXY_PATCH,
            *([_CGROUP_V1_PATCH] if minor_version(spec.kubernetes) >= _KUBELET_REFUSES_CGROUP_V1_FROM else []),
            *_kubeadm_patches([node["role"] for node in nodes], spec.kubernetes),
            *([_patches_directory(kubeadm_patches)] if kubeadm_patches else []),
        ],
    }
    return yaml.safe_dump(merge(config, extra), sort_keys=False)


def node_images(document: str) -> tuple[str, ...]:
    """Return the node images a rendered document names, each once, in order."""
    return tuple(dict.fromkeys(node["image"] for node in yaml.safe_load(document)["nodes"]))


def has_pod_network(document: str) -> bool:
    """Whether the nodes of a rendered document come with a pod network, or one is to be installed."""
    return not (yaml.safe_load(document).get("networking") or {}).get("disableDefaultCNI")


def count_nodes(document: str) -> int:
    """Return how many Kubernetes nodes a rendered document declares."""
    return len(yaml.safe_load(document)["nodes"])


def node_names(document: str, cluster: str) -> tuple[str, ...]:
    """Return the names kind gives the nodes: CLUSTER-ROLE, and a number from the second of a role on."""
    seen: dict[str, int] = {}
    names = []
    for node in yaml.safe_load(document)["nodes"]:
        role = node["role"]
        seen[role] = seen.get(role, 0) + 1
        names.append(f"{cluster}-{role}{seen[role] if seen[role] > 1 else ''}")
    return tuple(names)


def _merge_nodes(base: list[dict[str, Any]], extra: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge nodes by position; nodes that only one of the lists has are taken as they are."""
    both = [merge(mine, theirs) for mine, theirs in zip(base, extra, strict=False)]
    return [*both, *base[len(both) :], *map(dict, extra[len(both) :])]


def _node(node: NodeSpec) -> dict[str, Any]:
    rendered: dict[str, Any] = {"role": node.role}
    if node.image:
        rendered["image"] = node.image
    if node.port_mappings:
        rendered["extraPortMappings"] = [
            {
                "containerPort": port.container_port,
                "hostPort": port.host_port,
                "listenAddress": port.listen_address,
                "protocol": port.protocol,
            }
            for port in node.port_mappings
        ]
    if node.labels:
        rendered["labels"] = dict(node.labels)
    return rendered


def _kubeadm_patches(roles: list[str], kubernetes: str) -> list[str]:
    """No leader election where there is one control plane; a long node grace period where there is one node.

    Both let a stopped or paused cluster come back without first waiting for leases and heartbeats to expire.
    """
    if roles.count("control-plane") != 1:
        return []
    scheduler = {"leader-elect": "false"}
    manager = dict(scheduler)
    if len(roles) == 1:
        manager["node-monitor-grace-period"] = _LONG_GRACE
    patch = {
        "kind": "ClusterConfiguration",
        "controllerManager": {"extraArgs": _extra_args(manager, kubernetes)},
        "scheduler": {"extraArgs": _extra_args(scheduler, kubernetes)},
    }
    return [yaml.safe_dump(patch, sort_keys=False)]


def _patches_directory(directory: str) -> str:
    return yaml.safe_dump({"kind": "InitConfiguration", "patches": {"directory": directory}}, sort_keys=False)


def _extra_args(args: Mapping[str, str], kubernetes: str) -> dict[str, str] | list[dict[str, str]]:
    if minor_version(kubernetes) < _KUBEADM_LIST_ARGS_FROM:
        return dict(args)
    return [{"name": name, "value": value} for name, value in args.items()]


def minor_version(kubernetes: str) -> tuple[int, int]:
    """Return ``(1, 34)`` for ``1.34``, ``v1.34`` or ``1.34.4``."""
    major, minor, *_ = kubernetes.removeprefix("v").split(".")
    return int(major), int(minor)
