"""Reaching a Service at its load balancer's address."""

from __future__ import annotations

from harness.access.api_server import open_api_server
from harness.access.endpoint import Endpoint
from harness.access.service import choose_port, described, http_url, read_service
from harness.cluster.provider import ClusterHandle
from harness.errors import AccessError


def load_balancer(
    handle: ClusterHandle, service: str, *, namespace: str, port: int | str | None = None, scheme: str = "http"
) -> Endpoint:
    """Return the endpoint of a Service of type LoadBalancer that has its address already.

    Waiting for the address is the rollout's business; here its absence is an error.

    Args:
        handle: the cluster.
        service: the Service's name.
        namespace: its namespace.
        port: number or name of the Service's port; ``None`` for the only one.
        scheme: ``http`` or ``https``.

    Raises:
        AccessError: no such Service, port or address.
    """
    with open_api_server(handle) as api:
        found = read_service(api, service, namespace)
    if found.spec.type != "LoadBalancer":
        raise AccessError(
            f"reach {described(found)} at a load balancer",
            seen=f"its type is {found.spec.type}",
            hint="expose it with --type=LoadBalancer, or use a port-forward",
        )
    chosen = choose_port(found, port)
    # A cloud gives a host name (AWS) or an address (the others, MetalLB): Service v1, status.loadBalancer.ingress.
    ingress = (found.status.load_balancer.ingress if found.status and found.status.load_balancer else None) or []
    address = next((item.ip or item.hostname for item in ingress if item.ip or item.hostname), None)
    if address is None:
        raise AccessError(
            f"reach {described(found)} at a load balancer",
            seen="it has no address yet: status.loadBalancer.ingress is empty",
            hint="wait for the address first; the cluster needs a load balancer that gives out addresses",
        )
    return Endpoint(http_url(address, chosen.port, scheme), "load-balancer")
