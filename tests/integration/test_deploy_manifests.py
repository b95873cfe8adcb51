"""Manifests on a real cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.manifests import Manifest, ManifestDeployer
from harness.errors import DeployError, ManifestError
from harness.images.reference import ImageRef

MANIFESTS = Path(__file__).parents[2] / "fixtures" / "manifests"
IMAGE = "example/test-ml-score-api:latest"

CRD = """
apiVersion: stable.seatrial.dev/v1
kind: Trial
metadata:
  name: first
spec:
  sea: calm
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: trials.stable.seatrial.dev
spec:
  group: stable.seatrial.dev
  scope: Namespaced
  names: {plural: trials, singular: trial, kind: Trial}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                sea: {type: string}
"""


def test_the_scoring_service_comes_up_from_one_file_and_goes_away_again(
    manifests: ManifestDeployer, kubectl: KubectlDeployer, score_image: ImageRef
) -> None:
    """Namespace first, all three objects made, all of it gone after delete."""
    manifest = Manifest.load(MANIFESTS / "py-flask-ml-score.yaml").with_image(IMAGE, score_image.name)
    release = manifests.apply(manifest)
    assert [str(ref) for ref in release.resources] == [
        "namespace/test-ml-app",
        "deployment/test-ml-score-api in namespace 'test-ml-app'",
        "service/test-ml-score-lb in namespace 'test-ml-app'",
    ]
    assert release.details["actions"] == ("created", "created", "created")
    kinds = {item["kind"] for item in manifests.get_all("test-ml-app")}
    assert kinds == {"Deployment", "Pod", "ReplicaSet", "Service"}
    manifests.delete(release)
    assert kubectl.get("namespace/test-ml-app") == ()


def test_applying_again_changes_nothing(manifests: ManifestDeployer, namespace: str) -> None:
    """The words of kubectl for what it did are kept."""
    source = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "same"}, "data": {"a": "1"}}]
    manifests.apply(source, namespace=namespace)
    assert manifests.apply(source, namespace=namespace).details["actions"] == ("unchanged",)


def test_a_custom_kind_and_its_object_in_one_text(
    manifests: ManifestDeployer, kubectl: KubectlDeployer, namespace: str
) -> None:
    """The definition is applied and established before its object, though it is written after it."""
    release = manifests.apply(CRD, namespace=namespace)
    assert [ref.kind for ref in release.resources] == ["CustomResourceDefinition", "Trial"]
    (trial,) = kubectl.get("trials.stable.seatrial.dev/first", namespace=namespace)
    assert trial["spec"] == {"sea": "calm"}
    manifests.delete(release)
    assert kubectl.get("crd/trials.stable.seatrial.dev") == ()


@pytest.mark.parametrize(
    ("name", "kind", "field"),
    [
        pytest.param("unknown-field", "Deployment", "spec.replicass", id="a field that there is not"),
        pytest.param(
            "bad-selector", "Deployment", "spec.template.metadata.labels", id="a selector that selects nothing"
        ),
    ],
)
def test_a_refusal_names_document_kind_name_and_field(
    name: str, kind: str, field: str, manifests: ManifestDeployer, kubectl: KubectlDeployer, namespace: str
) -> None:
    """The error says which document of the file it is about, and what was created before it is deleted again."""
    with pytest.raises(DeployError) as caught:
        manifests.apply(MANIFESTS / "faulty" / f"{name}.yaml", namespace=namespace)
    facts = caught.value.facts
    assert (facts["kind"], facts["name"], facts["field"]) == (kind, name, field)
    assert f"{name}.yaml:" in str(facts["document"])
    assert kubectl.get("deployments,configmaps", namespace=namespace, selector="seatrial.dev/run") == ()


def test_a_namespace_that_is_not_there_is_a_refusal(manifests: ManifestDeployer) -> None:
    """The hint tells what to do about it."""
    source = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lost"}}]
    with pytest.raises(DeployError, match="apply what the document refers to first") as caught:
        manifests.apply(source, namespace="no-such-namespace")
    assert caught.value.facts["reason"] == "NotFound"


def test_a_kind_that_there_is_not_is_a_refusal(manifests: ManifestDeployer, namespace: str) -> None:
    """No kind of that name: the error names kind and object."""
    source = [{"apiVersion": "no.such/v1", "kind": "Nothing", "metadata": {"name": "thing"}}]
    with pytest.raises(DeployError, match="no matches for kind") as caught:
        manifests.apply(source, namespace=namespace)
    assert (caught.value.facts["kind"], caught.value.facts["name"]) == ("Nothing", "thing")


def test_a_malformed_file_is_refused_before_anything_is_applied(
    manifests: ManifestDeployer, kubectl: KubectlDeployer, namespace: str
) -> None:
    """The good document before the bad one is not applied either."""
    with pytest.raises(ManifestError):
        manifests.apply(MANIFESTS / "faulty" / "no-kind.yaml", namespace=namespace)
    assert kubectl.get("configmap/fine", namespace=namespace) == ()
