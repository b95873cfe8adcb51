"""Reaching a Service at a port of a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.access.api_server import ApiServer, open_api_server
from harness.access.endpoint import Endpoint
from harness.access.service import choose_port, described, http_url, read_service
from harness.cluster.provider import ClusterHandle, PortMapping
from harness.errors import AccessError


def node_port(
    handle: ClusterHandle,
    service: str,
    *,
    namespace: str,
    port: int | str | None = None,
    published: Sequence[PortMapping] = (),
    scheme: str = "http",
) -> Endpoint:
    """Return the endpoint of a Service of type NodePort or LoadBalancer at one of the nodes.

    Args:
        handle: the cluster.
        service: the Service's name.
        namespace: its namespace.
        port: number or name of the Service's port (not the node's); ``None`` for the only one.
        published: node ports published on the host, with the host ports they really got. One that publishes the
            Service's node port is used; otherwise the address is the InternalIP of a ready node, which the host
            reaches where nodes are containers on it.
        scheme: ``http`` or ``https``.

    Raises:
        AccessError: no such Service or port, it has no node port, or no node is ready.
    """
    with open_api_server(handle) as api:
        found = read_service(api, service, namespace)
        number = choose_port(found, port).node_port
        if not number:
            raise AccessError(
                f"reach {described(found)} at a port of a node",
                seen=f"its type is {found.spec.type}, it has no node port",
                hint="expose it with --type=NodePort, or use a port-forward",
            )
        for mapping in published:
            if mapping.container_port == number and mapping.protocol == "TCP" and mapping.host_port:
                return Endpoint(http_url(_reachable(mapping.listen_address), mapping.host_port, scheme), "node-port")
        return Endpoint(http_url(_internal_ip(api), number, scheme), "node-port")


def _reachable(listen_address: str) -> str:
    """Return an address to connect to for one that was listened on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(listen_address, listen_address)  # noqa: S104 - compared


def _internal_ip(api: ApiServer) -> str:
    nodes = api.read("nodes", api.core.list_node).items
    for node in sorted(nodes, key=lambda node: str(node.metadata.name)):
        addresses = [item.address for item in node.status.addresses or [] if item.type == "InternalIP"]
        if _is_ready(node) and addresses:
            return str(addresses[0])
    raise AccessError(
        f"find a node of cluster '{api.cluster}' to connect to",
        seen=", ".join(f"{node.metadata.name}: {'ready' if _is_ready(node) else 'not ready'}" for node in nodes)
        or "no nodes",
        hint="kubectl describe nodes",
    )


def _is_ready(node: Any) -> bool:
    return any(item.type == "Ready" and item.status == "True" for item in node.status.conditions or [])
