"""What the ways to a service need to know of a Kubernetes Service."""

from __future__ import annotations

from typing import Any

from harness.access.api_server import ApiServer
from harness.errors import AccessError


def read_service(api: ApiServer, name: str, namespace: str) -> Any:
    """Return the Service as the kubernetes client's ``V1Service``; raises :class:`~harness.errors.AccessError`."""
    return api.read(f"service/{name} in namespace '{namespace}'", api.core.read_namespaced_service, name, namespace)


def choose_port(service: Any, port: int | str | None) -> Any:
    """Return one port of a Service (``V1ServicePort``).

    Args:
        service: a ``V1Service``.
        port: number or name of the Service's port (not of the container's); ``None`` for the only one.

    Raises:
        AccessError: there is no such port, or several to choose from.
    """
    ports = service.spec.ports or []
    matching = [item for item in ports if port is None or port in (item.port, item.name)]
    if len(matching) == 1:
        return matching[0]
    listed = ", ".join(f"{item.port}" + (f" ({item.name})" if item.name else "") for item in ports) or "none"
    wanted = "its only port" if port is None else f"its port {port}"
    raise AccessError(
        f"reach {described(service)} at {wanted}", seen=f"its ports are: {listed}", hint="name one of its ports"
    )


def described(service: Any) -> str:
    """Return e.g. ``service/web in namespace 'demo'``."""
    return f"service/{service.metadata.name} in namespace '{service.metadata.namespace}'"


def http_url(host: str, port: int, scheme: str = "http") -> str:
    """Return the address of `host` (a name, an IPv4 or an IPv6 address) and `port`."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
