"""Reaching a Service through the API server's proxy, with the credentials of the cluster's kubeconfig."""

from __future__ import annotations

from harness.access.api_server import open_api_server
from harness.access.endpoint import Endpoint
from harness.access.service import choose_port, read_service
from harness.cluster.provider import ClusterHandle


def api_proxy(
    handle: ClusterHandle, service: str, *, namespace: str, port: int | str | None = None, scheme: str = "http"
) -> Endpoint:
    """Return the endpoint of a Service behind ``/api/v1/namespaces/NAMESPACE/services/NAME/proxy``.

    Where the Service has several ports, or does not speak HTTP, the path says so: ``SCHEME:NAME:PORT``.
    Any method passes (GET, POST, ...). The API server removes the ``Authorization`` header before it calls the
    Service, so a Service that wants one of its own cannot be reached this way; its 503 means that nothing stands
    behind the Service (Kubernetes documentation, "Access Services Running on Clusters", checked with 1.34).

    Args:
        handle: the cluster; the endpoint's certificate files are those of its kubeconfig and last as long as this
            process.
        service: the Service's name.
        namespace: its namespace.
        port: number or name of the Service's port; ``None`` for the only one.
        scheme: what the Service itself speaks, ``http`` or ``https``.

    Raises:
        AccessError: no such Service or port, or the API server does not answer.
    """
    with open_api_server(handle) as api:
        found = read_service(api, service, namespace)
        chosen = choose_port(found, port)
        name = service
        # Without a port the API server takes the only one, unnamed; kubectl users write the path so.
        if scheme != "http" or chosen.name or len(found.spec.ports) > 1:
            name = f"{service}:{chosen.port}" if scheme == "http" else f"{scheme}:{service}:{chosen.port}"
        return api.endpoint(f"/api/v1/namespaces/{namespace}/services/{name}/proxy", "api-proxy")
