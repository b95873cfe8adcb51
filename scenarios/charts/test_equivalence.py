"""Three ways to deploy one service: kubectl, YAML and Helm make the same objects where it matters, and answer alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from harness.access.endpoint import Endpoint
from harness.commands.helm import Values
from harness.images.reference import ImageRef
from harness.site import Site
from scenarios.charts.conftest import NAMESPACE, RELEASED
from scenarios.conftest import Ask

MANIFEST = Path(__file__).parents[2] / "fixtures" / "manifests" / "py-flask-ml-score.yaml"
APP = "test-ml-score-api"


def with_kubectl(site: Site, image: ImageRef) -> Iterator[None]:
    """Deploy with raw commands."""
    with site.fixed_namespace(NAMESPACE), closing(site.kubectl()) as kubectl:
        kubectl.create_deployment(APP, image, namespace=NAMESPACE)
        kubectl.expose(APP, port=5000, namespace=NAMESPACE, service_type="LoadBalancer")
        yield


def with_one_file(site: Site, image: ImageRef) -> Iterator[None]:
    """Deploy the one YAML file."""
    del image  # the file names it
    with site.turn_with_namespace(NAMESPACE), closing(site.manifests()) as manifests:
        manifests.apply(MANIFEST)
        yield


def with_helm(site: Site, image: ImageRef) -> Iterator[None]:
    """Install the chart."""
    with site.turn_with_namespace(NAMESPACE), closing(site.helm()) as helm:
        helm.install("equivalent", RELEASED, values=Values(inline={"app": {"image": image.name}}))
        yield


WAYS = {"kubectl": with_kubectl, "one file": with_one_file, "Helm": with_helm}


def what_there_is(site: Site) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the Deployment and the Service, as the cluster has them; there are no others."""
    with closing(site.kubectl()) as kubectl:
        (deployment,) = kubectl.get("deployments", namespace=NAMESPACE)
        (service,) = kubectl.get("services", namespace=NAMESPACE)
    return deployment, service


def what_matters(deployment: Mapping[str, Any], service: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a client or an operator would notice; the tutorial gives the Service another name in each way."""
    spec = deployment["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    labels = spec["template"]["metadata"]["labels"]
    return {
        "name": deployment["metadata"]["name"],
        "image": container["image"],
        "selector": spec["selector"],
        "serves pods": all(labels.get(key) == value for key, value in service["spec"]["selector"].items()),
        "type": service["spec"]["type"],
        "ports": [(port["port"], port["targetPort"], port["protocol"]) for port in service["spec"]["ports"]],
    }


def test_each_way_gives_the_same_objects_and_the_same_answer(
    site: Site, score_image: ImageRef, load_balancer: Callable[..., Endpoint], ask: Ask
) -> None:
    """Name, image, selector, Service and ports are the same whichever way; so is the tutorial's answer."""
    found = {}
    for way, deploy in WAYS.items():
        with contextmanager(deploy)(site, score_image):
            deployment, service = what_there_is(site)
            ask(load_balancer(service["metadata"]["name"], namespace=NAMESPACE))
        found[way] = what_matters(deployment, service)
    assert found["kubectl"]["serves pods"]
    assert found["one file"] == found["kubectl"]
    assert found["Helm"] == found["kubectl"]
