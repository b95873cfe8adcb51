"""What a cluster consists of in the Docker engine: node containers, registry, network, volumes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, NotFound

from harness.commands.kind import LABEL_CLUSTER as KIND_CLUSTER
from harness.commands.kind import LABEL_ROLE as KIND_ROLE
from harness.errors import ClusterError
from harness.naming import LABEL_CLUSTER

if TYPE_CHECKING:
    import docker

_MTU = "com.docker.network.driver.mtu"


@dataclass(frozen=True)
class NodeContainer:
    """A node of a kind cluster as the engine sees it.

    Args:
        name: container name, which is the node's name.
        container_id: the engine's id.
        role: ``control-plane``, ``worker`` or ``external-load-balancer``.
        state: ``running``, ``exited``, ``paused``, ...
        status: the engine's words, e.g. ``Exited (137) 3 seconds ago``.
        networks: names of the networks it is attached to.
    """

    name: str
    container_id: str
    role: str
    state: str
    status: str
    networks: tuple[str, ...]


def node_containers(client: docker.DockerClient, cluster: str) -> tuple[NodeContainer, ...]:
    """Return the node containers of kind cluster `cluster`, running or not, whoever made them."""
    found = client.api.containers(all=True, filters={"label": f"{KIND_CLUSTER}={cluster}"})
    return tuple(sorted((_node(item) for item in found), key=lambda node: node.name))


def _node(item: Mapping[str, Any]) -> NodeContainer:
    return NodeContainer(
        name=item["Names"][0].lstrip("/"),
        container_id=item["Id"],
        role=item["Labels"].get(KIND_ROLE, ""),
        state=item["State"],
        status=item["Status"],
        networks=tuple(item.get("NetworkSettings", {}).get("Networks", {})),
    )


def labelled_clusters(client: docker.DockerClient) -> dict[str, dict[str, str]]:
    """Return cluster name -> labels for every cluster that anything in the engine is labelled with."""
    only = {"label": LABEL_CLUSTER}
    containers = client.api.containers(all=True, filters=only)
    networks = client.api.networks(filters=only)
    return {item["Labels"][LABEL_CLUSTER]: dict(item["Labels"]) for item in (*containers, *networks)}


def create_network(client: docker.DockerClient, name: str, labels: Mapping[str, str]) -> None:
    """Create the cluster's bridge network, with the options kind gives its own."""
    options = {"com.docker.network.bridge.enable_ip_masquerade": "true"}
    mtu = client.api.inspect_network("bridge").get("Options", {}).get(_MTU)
    if mtu:
        options[_MTU] = mtu
    try:
        client.api.create_network(
            name, driver="bridge", options=options, labels={**labels, LABEL_CLUSTER: name}, check_duplicate=True
        )
    except APIError as error:
        raise ClusterError(
            f"create the Docker network '{name}'",
            seen=str(error.explanation or error),
            hint="`docker network ls` shows what is there; `docker network prune` frees address ranges nobody uses",
        ) from error


def network_subnet(client: docker.DockerClient, name: str) -> IPv4Network:
    """Return the IPv4 range of network `name`."""
    pools = client.api.inspect_network(name)["IPAM"]["Config"]
    subnets = [ip_network(pool["Subnet"]) for pool in pools]
    return next(subnet for subnet in subnets if isinstance(subnet, IPv4Network))


def remove_cluster(client: docker.DockerClient, name: str) -> None:
    """Remove every container, volume and network of cluster `name` that Seatrial made.

    kind labels its node containers with the cluster's name only, so a node counts as ours when it is attached to the
    network that bears the cluster's name: kind puts the clusters it makes for others on the network "kind".
    """
    mine = [item["Id"] for item in client.api.containers(all=True, filters={"label": f"{LABEL_CLUSTER}={name}"})]
    nodes = [node.container_id for node in node_containers(client, name) if name in node.networks]
    _in_parallel(client, dict.fromkeys((*nodes, *mine)))
    for volume in client.volumes.list(filters={"label": f"{LABEL_CLUSTER}={name}"}):
        with contextlib.suppress(NotFound):
            volume.remove(force=True)
    for network in client.api.networks(names=[name], filters={"label": f"{LABEL_CLUSTER}={name}"}):
        with contextlib.suppress(NotFound):
            client.api.remove_network(network["Id"])


def _in_parallel(client: docker.DockerClient, container_ids: Iterable[str]) -> None:
    """Remove containers at the same time: each takes a second or two to stop its processes."""
    ids = tuple(container_ids)
    if not ids:
        return

    def remove(container_id: str) -> None:
        # 409: somebody else is removing it at this moment.
        with contextlib.suppress(NotFound):
            try:
                client.api.remove_container(container_id, v=True, force=True)
            except APIError as error:
                if error.status_code != 409:  # noqa: PLR2004 - HTTP's "conflict"
                    raise

    with ThreadPoolExecutor(max_workers=len(ids)) as pool:
        for future in [pool.submit(remove, container_id) for container_id in ids]:
            future.result()


def describe_stopped(nodes: Iterable[NodeContainer]) -> str:
    """Name the node containers that are not running, e.g. ``node 'a-worker' is exited (Exited (137) ...)``."""
    return "\n".join(
        f"node container '{node.name}' is {node.state} ({node.status})" for node in nodes if node.state != "running"
    )
