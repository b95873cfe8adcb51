"""What every deployer must do, whichever way it deploys: one suite, three ways, a real cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.provider import ClusterHandle
from harness.commands.helm import Values
from harness.deploy.deployer import Deployer
from harness.deploy.helm import HelmDeployer
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.manifests import Manifest, ManifestDeployer
from harness.deploy.release import Release
from harness.errors import DeployError, RolloutError
from harness.images.reference import ImageRef

FIXTURES = Path(__file__).parents[2] / "fixtures"
NAME = "test-ml-score-api"


@dataclass(frozen=True)
class Way:
    """One way of deploying the scoring service into a namespace."""

    deployer: Deployer
    deploy: Callable[[str], Release]


@pytest.fixture(params=["kubectl", "manifests", "helm"])
def way(request: pytest.FixtureRequest, namespace: str, tmp_path: Path) -> Way:
    """Deploy the same container by each deployer in turn."""
    deployer = request.getfixturevalue(request.param)
    if isinstance(deployer, KubectlDeployer):
        return Way(deployer, lambda image: deployer.create_deployment(NAME, image, namespace=namespace))
    if isinstance(deployer, ManifestDeployer):
        return Way(deployer, lambda image: deployer.apply(_deployment(image), namespace=namespace))
    assert isinstance(deployer, HelmDeployer)
    chart = _chart_without_namespace(tmp_path / "chart")
    return Way(
        deployer,
        lambda image: deployer.install(
            NAME, chart, namespace=namespace, values=Values(inline={"app": {"image": image, "namespace": namespace}})
        ),
    )


def _deployment(image: str) -> Manifest:
    whole = Manifest.load(FIXTURES / "manifests" / "py-flask-ml-score.yaml")
    body = next(item for item in whole.bodies if item["kind"] == "Deployment")
    metadata = {key: value for key, value in body["metadata"].items() if key != "namespace"}
    manifest = Manifest.load([{**body, "metadata": metadata}])
    return manifest.with_image("example/test-ml-score-api:latest", image)


def _chart_without_namespace(target: Path) -> Path:
    """The tutorial's chart makes its own namespace; here there is one already, and it is another test's to delete."""
    source = FIXTURES / "charts" / "helm-ml-score-app"
    for file in ("Chart.yaml", "values.yaml", "templates/deployment.yaml"):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (target / file).write_text((source / file).read_text(encoding="utf-8"), encoding="utf-8")
    return target


def _left(kubectl: KubectlDeployer, namespace: str) -> list[str]:
    found: tuple[Mapping[str, Any], ...] = kubectl.get("deployments,replicasets,pods,services", namespace=namespace)
    return [f"{item['kind']}/{item['metadata']['name']}" for item in found]


def test_the_release_says_what_was_made(
    way: Way, kubectl: KubectlDeployer, namespace: str, score_image: ImageRef
) -> None:
    """The release names the deployment, holds its document, and its pods are there when the call returns."""
    release = way.deploy(score_image.name)
    assert (release.name, release.namespace, release.revision) == (NAME, namespace, 1)
    assert [(ref.kind, ref.name, ref.namespace, ref.api_version) for ref in release.resources] == [
        ("Deployment", NAME, namespace, "apps/v1")
    ]
    assert [body["metadata"]["name"] for body in release.manifest] == [NAME]
    (deployment,) = kubectl.get(f"deployment/{NAME}", namespace=namespace)
    assert deployment["status"]["availableReplicas"] == 1


def test_delete_leaves_nothing_and_may_be_repeated(
    way: Way, kubectl: KubectlDeployer, namespace: str, score_image: ImageRef
) -> None:
    """When delete returns, the pods are gone too; a second delete finds nothing to do."""
    release = way.deploy(score_image.name)
    way.deployer.delete(release)
    assert _left(kubectl, namespace) == []
    way.deployer.delete(release)


def test_close_deletes_what_is_still_there(
    way: Way, kubectl: KubectlDeployer, namespace: str, score_image: ImageRef
) -> None:
    """A release that its test forgot is deleted by close."""
    way.deploy(score_image.name)
    way.deployer.close()
    assert _left(kubectl, namespace) == []


def test_a_hopeless_image_name_ends_the_wait_with_the_reason(way: Way, namespace: str) -> None:
    """No registry knows an image of that name: the error names the reason, the pod and the image."""
    with pytest.raises(RolloutError) as caught:
        way.deploy("example//app:1")
    assert caught.value.reason == "InvalidImageName"
    assert "example//app:1" in str(caught.value)


def test_a_refusal_is_a_deploy_error(
    way: Way, cluster: ClusterHandle, kubectl: KubectlDeployer, namespace: str
) -> None:
    """An image that is an empty string is refused by the API server: nothing was made, nothing is left."""
    with pytest.raises(DeployError) as caught:
        way.deploy("")
    assert not isinstance(caught.value, RolloutError)
    assert _left(kubectl, namespace) == []
