"""Endpoints made from Services: balancer, node port and API proxy."""

from __future__ import annotations

from typing import Any

import pytest

from harness.access.api_proxy import api_proxy
from harness.access.load_balancer import load_balancer
from harness.access.node_port import node_port
from harness.cluster.provider import PortMapping
from harness.errors import AccessError
from harness.scoring.request import ScoreRequest

PATH = "/api/v1/namespaces/demo/services/web"


def service(api: Any, ingress: list[Any] | None = None, **spec: Any) -> None:
    """Put a Service into the fake cluster."""
    ports = [{"port": 80, "name": "web", "nodePort": 31000}, {"port": 81, "name": "admin", "nodePort": 31001}]
    api.objects[PATH] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "demo"},
        "spec": {"type": "LoadBalancer", "ports": ports} | spec,
        "status": {"loadBalancer": {"ingress": ingress} if ingress else {}},
    }


def nodes(api: Any, **ready: bool) -> None:
    """Put nodes into the fake cluster, each ready or not."""
    api.objects["/api/v1/nodes"] = {
        "kind": "NodeList",
        "items": [
            {
                "metadata": {"name": name},
                "status": {
                    "addresses": [
                        {"type": "Hostname", "address": name},
                        {"type": "InternalIP", "address": f"10.0.0.{index}"},
                    ],
                    "conditions": [{"type": "Ready", "status": str(is_ready)}],
                },
            }
            for index, (name, is_ready) in enumerate(ready.items())
        ],
    }


@pytest.mark.parametrize(
    ("ingress", "port", "url"),
    [
        pytest.param({"ip": "172.18.255.1"}, 80, "http://172.18.255.1:80", id="an address"),
        pytest.param({"hostname": "lb.example"}, "admin", "http://lb.example:81", id="a host name and a named port"),
        pytest.param({"ip": "fd00::1"}, "web", "http://[fd00::1]:80", id="an IPv6 address"),
    ],
)
def test_a_balancer_is_reached_at_its_address(api: Any, ingress: Any, port: int | str, url: str) -> None:
    """Address and port come from the Service."""
    service(api, [ingress])
    endpoint = load_balancer(api.handle, "web", namespace="demo", port=port)
    assert (endpoint.url, endpoint.via) == (url, "load-balancer")


def test_a_balancer_without_address_is_an_error(api: Any) -> None:
    """Pending is said to be pending."""
    service(api)
    with pytest.raises(AccessError, match="has no address yet"):
        load_balancer(api.handle, "web", namespace="demo", port=80)


def test_another_type_of_service_is_no_balancer(api: Any) -> None:
    """The error names the type and the way out."""
    service(api, type="ClusterIP")
    with pytest.raises(AccessError, match="type is ClusterIP"):
        load_balancer(api.handle, "web", namespace="demo", port=80)


@pytest.mark.parametrize(
    ("port", "says"),
    [
        pytest.param(5000, r"its ports are: 80 \(web\), 81 \(admin\)", id="a port it has not"),
        pytest.param(None, "its only port", id="several and none named"),
    ],
)
def test_a_port_must_be_one_of_the_service(api: Any, port: int | None, says: str) -> None:
    """The error lists the ports there are."""
    service(api, [{"ip": "10.1.1.1"}])
    with pytest.raises(AccessError, match=says):
        load_balancer(api.handle, "web", namespace="demo", port=port)


def test_a_service_that_is_not_there_is_an_error(api: Any) -> None:
    """404 says what was looked for, where, and how to look."""
    with pytest.raises(AccessError, match=r"service/web in namespace 'demo' of cluster 'fake'\n.*404"):
        load_balancer(api.handle, "web", namespace="demo")


def test_a_node_port_is_reached_at_a_ready_node(api: Any) -> None:
    """The first ready node's internal address counts."""
    service(api)
    nodes(api, broken=False, healthy=True)
    assert node_port(api.handle, "web", namespace="demo", port=80).url == "http://10.0.0.1:31000"


def test_a_published_node_port_is_reached_on_the_host(api: Any) -> None:
    """Where the node's port is published, the host's own address is used."""
    service(api)
    published = [PortMapping(31001, 8081), PortMapping(31000, 8080, "0.0.0.0"), PortMapping(31000, 0)]
    assert node_port(api.handle, "web", namespace="demo", port=80, published=published).url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"type": "ClusterIP", "ports": [{"port": 80}]}, "has no node port", id="no node port"),
        pytest.param({"ports": [{"port": 80, "nodePort": 31000}]}, "worker: not ready", id="no ready node"),
    ],
)
def test_a_node_port_nobody_can_reach_is_an_error(api: Any, change: Any, says: str) -> None:
    """The reason is named."""
    service(api, **change)
    nodes(api, worker=False)
    with pytest.raises(AccessError, match=says):
        node_port(api.handle, "web", namespace="demo")


def test_the_api_proxy_carries_the_credentials_and_hides_them(api: Any) -> None:
    """Address, token and masking are those of the kubeconfig's context."""
    service(api)
    endpoint = api_proxy(api.handle, "web", namespace="demo", port="web")
    assert endpoint.url.endswith("/api/v1/namespaces/demo/services/web:80/proxy")
    assert endpoint.headers == {"authorization": "Bearer t0p-secret"}
    curl = ScoreRequest(endpoint, "/score", {"X": [1]}).as_curl()
    assert "authorization: Bearer ****" in curl
    assert "t0p-secret" not in curl + repr(endpoint)


def test_the_api_proxys_path_of_an_only_port_names_none(api: Any) -> None:
    """As kubectl users write it: the API server takes the only port, where that has no name."""
    service(api, ports=[{"port": 80, "targetPort": 8080}])
    endpoint = api_proxy(api.handle, "web", namespace="demo")
    assert endpoint.url.endswith("/api/v1/namespaces/demo/services/web/proxy")


def test_the_api_proxy_can_speak_https_to_the_service(api: Any) -> None:
    """The scheme goes in front of the name."""
    service(api)
    endpoint = api_proxy(api.handle, "web", namespace="demo", port=81, scheme="https")
    assert endpoint.url.endswith("/services/https:web:81/proxy")
