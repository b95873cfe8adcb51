"""The gateway on a real cluster, asked through the balancer, with Mappings as Seldon's operator v1.16.0 writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from kubernetes import client as kube

from harness.access.endpoint import Endpoint
from harness.cluster.provider import ClusterHandle
from harness.cluster.watching import watch_until
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.manifests import ManifestDeployer
from harness.errors import AccessError
from harness.gateway.contour import Gateway
from harness.gateway.controller import NOT_ROUTED
from harness.gateway.programmed import wait_for_route
from harness.images.reference import ImageRef
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.traffic import traffic
from harness.scoring.transport import RequestsTransport
from harness.scoring.verdict import ErrorBudget
from harness.scoring.weights import assert_weights, count_variants
from harness.site import Site
from harness.wait import Deadline, wait_until

PAYLOAD = {"X": [1, 2]}
# A second variant of the service: it answers every POST with another score.
CANARY = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        content = b'{"score": [3, 4]}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
http.server.ThreadingHTTPServer(("", 5000), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def gateway(site: Site) -> Iterator[Gateway]:
    """The gateway, installed once for this module."""
    with site.fixed_namespace("ambassador"), closing(site.helm()) as helm:
        yield site.gateway(helm)


def mapping(namespace: str, deployment: str, service: str, weight: int | None = None) -> str:
    """What the operator writes on the Service of a predictor; the first predictor has no weight."""
    lines = [
        "---",
        "apiVersion: ambassador/v1",
        "kind: Mapping",
        f"name: seldon_{namespace}_{deployment}_{service}_rest_mapping",
        f"prefix: {path_of(namespace, deployment)}",
        "rewrite: /",
        f"service: {service}.{namespace}:9000",
        "timeout_ms: 20000",  # the operator writes 3000, which a busy machine may need for itself
        *([f"weight: {weight}"] if weight is not None else []),
        "---",
        "apiVersion: ambassador/v1",
        "kind: Mapping",
        f"name: seldon_{namespace}_{deployment}_{service}_grpc_mapping",
        "grpc: true",
        "prefix: /(seldon.protos.*|tensorflow.serving.*|inference.*)/.*",
        "prefix_regex: true",
        'rewrite: ""',
        f"service: {service}.{namespace}:9500",
        "timeout_ms: 3000",
        "headers:",
        f"  namespace: {namespace}",
        f"  seldon: {deployment}",
        *([f"weight: {weight}"] if weight is not None else []),
        "---",
        "",
    ]
    return "\n".join(lines)


def path_of(namespace: str, deployment: str) -> str:
    """The prefix that the operator gives a deployment."""
    return f"/seldon/{namespace}/{deployment}/"


def service(name: str, app: str, annotation: str) -> Mapping[str, Any]:
    """A predictor's Service in front of `app`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "annotations": {"getambassador.io/config": annotation}},
        "spec": {
            "selector": {"app": app},
            "ports": [{"name": "http", "port": 9000, "targetPort": 5000}, {"name": "grpc", "port": 9500}],
        },
    }


def deployment(name: str, image: ImageRef, *, command: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """The scoring service, or something else in its image; ready when it takes connections."""
    container = {
        "name": "score",
        "image": image.name,
        "imagePullPolicy": "IfNotPresent",
        "readinessProbe": {"tcpSocket": {"port": 5000}, "periodSeconds": 1},
        **({"command": list(command)} if command else {}),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def request(endpoint: Endpoint, namespace: str, name: str, payload: Any = None) -> ScoreRequest:
    """A scoring request for a deployment through the gateway."""
    return ScoreRequest(endpoint, f"{path_of(namespace, name)}score", payload or PAYLOAD, timeout_s=10)


def test_a_deployment_answers_at_its_own_path_from_the_first_request_on(
    gateway: Gateway, cluster: ClusterHandle, manifests: ManifestDeployer, namespace: str, score_image: ImageRef
) -> None:
    """Two deployments behind one gateway answer each at its path; a path that is nobody's brings 404."""
    manifests.apply([deployment("app", score_image)], namespace=namespace)
    for name in ("one", "two"):
        manifests.apply(
            [service(f"{name}-default", "app", mapping(namespace, name, f"{name}-default"))], namespace=namespace
        )
        wait_for_route(cluster, path_of(namespace, name), timeout_s=60)
        with RequestsTransport() as transport:
            answer = transport.send(request(gateway.endpoint, namespace, name))
        answer.assert_status(200).assert_content_type("application/json").assert_json({"score": [1, 2]})
    with RequestsTransport() as transport:
        transport.send(request(gateway.endpoint, namespace, "three")).assert_status(404)


def test_a_canary_gets_its_share(
    gateway: Gateway, cluster: ClusterHandle, manifests: ManifestDeployer, namespace: str, score_image: ImageRef
) -> None:
    """Two predictors with traffic 75 and 25 are one route; without the second the first gets everything."""
    manifests.apply(
        [deployment("stable", score_image), deployment("canary", score_image, command=("python3", "-c", CANARY))],
        namespace=namespace,
    )
    manifests.apply([service("app-stable", "stable", mapping(namespace, "app", "app-stable"))], namespace=namespace)
    canary = manifests.apply(
        [service("app-canary", "canary", mapping(namespace, "app", "app-canary", weight=25))], namespace=namespace
    )
    wait_for_backends(cluster, namespace, 2)
    wait_for_route(cluster, path_of(namespace, "app"), timeout_s=60)
    assert_weights(variants(gateway, namespace, 400), {"stable": 75, "canary": 25})
    manifests.delete(canary)
    wait_for_backends(cluster, namespace, 1)
    wait_for_route(cluster, path_of(namespace, "app"), timeout_s=60)
    assert variants(gateway, namespace, 50) == {"stable": 50}


def variants(gateway: Gateway, namespace: str, requests: int) -> Mapping[str, int]:
    """Send so many requests and count which variant answered."""
    with RequestsTransport() as transport:
        answers = [
            transport.send(request(gateway.endpoint, namespace, "app")).assert_status(200) for _ in range(requests)
        ]
    return count_variants(answers, variant)


def variant(answer: ScoreResponse) -> str:
    """Tell the variants apart by what they answer."""
    return "stable" if answer.json() == {"score": [1, 2]} else "canary"


def routes(api: Any, namespace: str) -> Any:
    """Return the list call for the HTTPRoutes of a namespace."""
    return partial(
        kube.CustomObjectsApi(api).list_namespaced_custom_object,
        "gateway.networking.k8s.io",
        "v1",
        namespace,
        "httproutes",
    )


def wait_for_backends(cluster: ClusterHandle, namespace: str, count: int) -> None:
    """Watch until the one route of a namespace has so many backends; 0: until there is no route."""
    with closing(cluster.api_client()) as api:
        watch_until(
            routes(api, namespace),
            what=f"see {count} backends",
            done=lambda found: [len(r["spec"]["rules"][0]["backendRefs"]) for r in found.values()]
            == ([count] if count else []),
            describe=str,
            deadline=Deadline(120),
        )


def test_a_removed_service_takes_its_route_along_though_nobody_watches(
    gateway: Gateway,
    cluster: ClusterHandle,
    manifests: ManifestDeployer,
    kubectl: KubectlDeployer,
    namespace: str,
    score_image: ImageRef,
) -> None:
    """With the controller down the cluster's garbage collector removes the route; others go on answering."""
    manifests.apply([deployment("app", score_image)], namespace=namespace)
    manifests.apply([service("app-default", "app", mapping(namespace, "app", "app-default"))], namespace=namespace)
    wait_for_route(cluster, path_of(namespace, "app"), timeout_s=60)
    scale = partial(kubectl.run, "-n", "ambassador", "scale", "deployment/ambassador-routes")
    scale("--replicas=0").check()
    selector = "--selector=app.kubernetes.io/component=routes"
    kubectl.run("-n", "ambassador", "wait", "--for=delete", "pod", selector, "--timeout=60s", timeout_s=70).check()
    try:
        kubectl.run("-n", namespace, "delete", "service", "app-default").check()
        wait_for_backends(cluster, namespace, 0)
    finally:
        scale("--replicas=1").check()
        kubectl.run("-n", "ambassador", "rollout", "status", "deployment/ambassador-routes", timeout_s=120).check()
    with RequestsTransport() as transport:
        # The API server knows before the Envoys do.
        wait_until(
            "see the path forgotten",
            lambda: transport.send(request(gateway.endpoint, namespace, "app")).status,
            done=lambda status: status == 404,
            timeout_s=30,
        )


def test_what_cannot_be_routed_is_said_at_once_and_where_it_was_written(
    gateway: Gateway,
    cluster: ClusterHandle,
    manifests: ManifestDeployer,
    namespace: str,
) -> None:
    """The wait ends early with the reason, and the Service has an event that says it."""
    refused = mapping(namespace, "app", "app-default").replace("timeout_ms: 20000", "method: POST")
    manifests.apply([service("app-default", "app", refused)], namespace=namespace)
    with pytest.raises(AccessError, match="nothing is known of 'method'"):
        wait_for_route(cluster, path_of(namespace, "app"), timeout_s=120)
    with closing(cluster.api_client()) as api:
        events: Any = kube.CoreV1Api(api).list_namespaced_event(namespace, field_selector=f"reason={NOT_ROUTED}")
    assert {event.involved_object.name for event in events.items} == {"app-default"}


def test_an_ingress_of_class_nginx_is_routed(
    gateway: Gateway, cluster: ClusterHandle, manifests: ManifestDeployer, namespace: str, score_image: ImageRef
) -> None:
    """What Bodywork writes for ingress-nginx is answered by the stage's service, its prefix taken off."""
    prefix = f"/{namespace}/app--stage"
    backend = {"service": {"name": "app--stage", "port": {"number": 9000}}}
    path = {"path": f"{prefix}(/|$)(.*)", "pathType": "ImplementationSpecific", "backend": backend}
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": "app--stage",
            "annotations": {
                "kubernetes.io/ingress.class": "nginx",
                "nginx.ingress.kubernetes.io/rewrite-target": "/$2",
            },
        },
        "spec": {"rules": [{"http": {"paths": [path]}}]},
    }
    manifests.apply([deployment("app", score_image), service("app--stage", "app", "")], namespace=namespace)
    manifests.apply([ingress], namespace=namespace)
    wait_for_route(cluster, prefix, timeout_s=60)
    with RequestsTransport() as transport:
        answer = transport.send(ScoreRequest(gateway.endpoint, f"{prefix}/score", PAYLOAD))
    answer.assert_status(200).assert_json({"score": [1, 2]})


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "a connection per request"])
def test_a_gateway_restarted_under_traffic_loses_nothing(
    keep_alive: bool,
    gateway: Gateway,
    cluster: ClusterHandle,
    manifests: ManifestDeployer,
    kubectl: KubectlDeployer,
    namespace: str,
    score_image: ImageRef,
) -> None:
    """Every Envoy is replaced while requests arrive; each is answered, however slow the machine is meanwhile."""
    manifests.apply([deployment("app", score_image)], namespace=namespace)
    manifests.apply([service("app-default", "app", mapping(namespace, "app", "app-default"))], namespace=namespace)
    wait_for_route(cluster, path_of(namespace, "app"), timeout_s=60)
    asked = replace(request(gateway.endpoint, namespace, "app"), timeout_s=25)
    with traffic(asked, rate_per_s=10, keep_alive=keep_alive, name="restart of the gateway") as probe:
        probe.at_least(20)
        kubectl.run("-n", "ambassador", "rollout", "restart", "deployment/ambassador", "deployment/contour").check()
        status = partial(kubectl.run, "-n", "ambassador", "rollout", "status", timeout_s=120)
        status("deployment/ambassador").check()
        status("deployment/contour").check()
        probe.at_least(150)
    probe.verdict.assert_within(ErrorBudget(max_failed=0))
