"""What a cluster consists of in the Docker engine: node containers, registry, network, volumes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Network, ip_network
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, NotFound

from harness.commands.kind import LABEL_CLUSTER as KIND_CLUSTER
from harness.commands.kind import LABEL_ROLE as KIND_ROLE
from harness.errors import ClusterError
from harness.naming import LABEL_CLUSTER
from harness.wait import wait_until

if TYPE_CHECKING:
    import docker

# Removing takes one or two seconds; a container in the middle of its start a few more, on a busy host many.
_REMOVAL_TIMEOUT_S = 120.0

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
    # A container that is just being started refuses to go, and the engine may finish making one whose maker was killed:
    # look again until nothing is there.
    wait_until(
        f"remove the containers of cluster '{name}'",
        lambda: _remove_once(client, name),
        done=lambda found: not found,
        timeout_s=_REMOVAL_TIMEOUT_S,
        poll_interval_s=0.05,
        describe="; ".join,
        hint=f"`docker ps -a --filter label={KIND_CLUSTER}={name}` shows what is left",
    )
    for volume in client.volumes.list(filters={"label": f"{LABEL_CLUSTER}={name}"}):
        with contextlib.suppress(NotFound):
            volume.remove(force=True)
    for network in client.api.networks(names=[name], filters={"label": f"{LABEL_CLUSTER}={name}"}):
        with contextlib.suppress(NotFound):
            client.api.remove_network(network["Id"])


def _remove_once(client: docker.DockerClient, name: str) -> list[str]:
    """Try to remove every container of the cluster; return what became of each, nothing when there was none."""
    mine = [item["Id"] for item in client.api.containers(all=True, filters={"label": f"{LABEL_CLUSTER}={name}"})]
    nodes = [node.container_id for node in node_containers(client, name) if name in node.networks]
    ids = tuple(dict.fromkeys((*nodes, *mine)))
    if not ids:
        return []

    def remove(container_id: str) -> str:
        try:
            client.api.remove_container(container_id, v=True, force=True)
        except NotFound:
            return "gone"
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
            return str(error.explanation)
        return "removed"

    # At the same time: each takes a second or two to stop its processes.
    with ThreadPoolExecutor(max_workers=len(ids)) as pool:
        return list(pool.map(remove, ids))


def let_creation_end(client: docker.DockerClient, cluster: str, names: Iterable[str], *, image: str) -> None:
    """Wait until the engine has finished making containers whose maker was stopped halfway.

    While it is at it they are listed without networks, or not listed at all although their names are taken: a name that
    can be taken is one that nobody is using any more (Docker 20.10).

    Args:
        client: the engine.
        cluster: the cluster they belong to.
        names: names of containers that may be in the making.
        image: any image, for containers that are never started.
    """

    def in_the_making() -> list[str]:
        there = {node.name: bool(node.networks) for node in node_containers(client, cluster)}
        return [name for name in names if not (there[name] if name in there else _is_free(client, name, image))]

    wait_until(
        f"see the engine finish what was begun for cluster '{cluster}'",
        in_the_making,
        done=lambda found: not found,
        timeout_s=_REMOVAL_TIMEOUT_S,
        poll_interval_s=0.1,
        describe=", ".join,
    )


def _is_free(client: docker.DockerClient, name: str, image: str) -> bool:
    try:
        probe = client.api.create_container(image, name=name)
    except APIError as error:
        if error.status_code == HTTPStatus.CONFLICT:
            return False
        raise
    client.api.remove_container(probe["Id"], v=True, force=True)
    return True


def orphans(client: docker.DockerClient) -> tuple[str, ...]:
    """Return the clusters that have node containers which were made but never started, and whose network is gone.

    The engine finishes making a container although whoever asked was killed meanwhile; without its network it can
    never start. Only clusters on a network of their own name count: those of others are on the network "kind".
    """
    made = client.api.containers(all=True, filters={"label": KIND_CLUSTER, "status": "created"})
    names = {item["Labels"][KIND_CLUSTER] for item in made}
    there = {network["Name"] for network in client.api.networks()}
    return tuple(
        sorted(
            name
            for name in names - there
            if any(name in node.networks and node.state == "created" for node in node_containers(client, name))
        )
    )


def describe_stopped(nodes: Iterable[NodeContainer]) -> str:
    """Name the node containers that are not running, e.g. ``node 'a-worker' is exited (Exited (137) ...)``."""
    return "\n".join(
        f"node container '{node.name}' is {node.state} ({node.status})" for node in nodes if node.state != "running"
    )
