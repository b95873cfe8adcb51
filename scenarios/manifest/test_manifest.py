"""One YAML file: namespace, deployment and service together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.access.endpoint import Endpoint
from harness.deploy.kubectl import Contexts, KubectlDeployer
from harness.deploy.manifests import Manifest, ManifestDeployer
from harness.errors import DeployError, ManifestError, RolloutError
from harness.images.reference import ImageRef
from harness.process.runner import Runner
from harness.site import Site
from scenarios.conftest import Ask

MANIFESTS = Path(__file__).parents[2] / "fixtures" / "manifests"
NAMESPACE = "test-ml-app"
APP = "test-ml-score-api"
IMAGE = "example/test-ml-score-api:latest"


@pytest.fixture
def score_file(score_image: ImageRef) -> Manifest:
    """The tutorial's file, with the image as the cluster knows it."""
    return Manifest.load(MANIFESTS / "py-flask-ml-score.yaml").with_image(IMAGE, score_image)


def test_one_file_makes_everything_and_takes_it_away(
    manifests: ManifestDeployer,
    kubectl: KubectlDeployer,
    turn_with_namespace: Callable[[str], str],
    score_file: Manifest,
    load_balancer: Callable[..., Endpoint],
    ask: Ask,
) -> None:
    """`kubectl apply -f` makes three objects that score; `kubectl delete -f` leaves none of them."""
    turn_with_namespace(NAMESPACE)
    release = manifests.apply(score_file)
    assert [one.kind for one in release.resources] == ["Namespace", "Deployment", "Service"]
    listed = {(one["kind"], one["metadata"]["name"]) for one in manifests.get_all(NAMESPACE)}
    assert {("Deployment", APP), ("Service", "test-ml-score-lb")} <= listed

    ask(load_balancer("test-ml-score-lb", namespace=NAMESPACE))

    manifests.delete(release)
    assert manifests.get_all(NAMESPACE) == ()
    assert kubectl.get(f"namespace/{NAMESPACE}") == ()


def test_a_context_remembers_its_namespace(
    site: Site, kubectl: KubectlDeployer, namespace: str, score_image: ImageRef, runner: Runner, tmp_path: Path
) -> None:
    """The default namespace of a context is where kubectl looks that is told of none; it is set and set back."""
    kubectl.create_deployment(APP, score_image, namespace=namespace, wait=False)
    contexts = Contexts.gather([site.handle], tmp_path / "kubeconfig", runner)
    contexts.set_namespace(site.handle.context, namespace)
    assert [one.namespace for one in contexts.list()] == [namespace]
    assert contexts.run("get", "deployments", "--output=name").check().stdout.split() == [f"deployment.apps/{APP}"]
    contexts.set_namespace(site.handle.context, "default")
    assert [one.namespace for one in contexts.list()] == ["default"]


def test_a_file_with_a_mistake_is_refused_before_anything_is_made(manifests: ManifestDeployer, namespace: str) -> None:
    """YAML that does not parse names its file and line, and the cluster never hears of it."""
    with pytest.raises(ManifestError, match=r"broken-quote\.yaml"):
        manifests.apply(MANIFESTS / "broken-quote.yaml", namespace=namespace)
    assert manifests.get_all(namespace) == ()


def test_a_field_the_cluster_does_not_know_is_named(manifests: ManifestDeployer, namespace: str) -> None:
    """The API server's refusal comes back with the document and the field it is about."""
    with pytest.raises(DeployError, match="unknown field"):
        manifests.apply(MANIFESTS / "faulty" / "unknown-field.yaml", namespace=namespace)


def test_a_pod_that_never_becomes_ready_names_its_probe(
    manifests: ManifestDeployer, namespace: str, score_image: ImageRef
) -> None:
    """A readiness probe on the wrong port is the reason given, with what the probe saw."""
    faulty = Manifest.load(MANIFESTS / "faulty" / "wrong-port.yaml").with_image(IMAGE, score_image)
    with pytest.raises(RolloutError, match=r"(?i)readiness probe"):
        manifests.apply(faulty, namespace=namespace, timeout_s=20)
