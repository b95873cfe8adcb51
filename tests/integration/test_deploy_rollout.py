"""Rollouts on a real cluster: the slow, the hopeless and the good."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.provider import ClusterHandle
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.manifests import Manifest, ManifestDeployer
from harness.deploy.release import ResourceRef
from harness.deploy.rollout import (
    rollout_problem,
    wait_for_deletion,
    wait_for_load_balancer,
    wait_for_pods,
    wait_for_rollout,
)
from harness.errors import DeployError, RolloutError, WaitTimeoutError
from harness.images.reference import ImageRef

FAULTY = Path(__file__).parents[2] / "fixtures" / "manifests" / "faulty"
IMAGE = "example/test-ml-score-api:latest"
# None of the waits below should come near it: they stop early.
LIMIT_S = 120.0


@pytest.mark.parametrize(
    ("name", "reasons", "told"),
    [
        pytest.param("bad-image-name", {"InvalidImageName"}, "Not An Image", id="no image name"),
        pytest.param("no-such-image", {"ErrImagePull", "ImagePullBackOff"}, "no-such-image:absent", id="no such image"),
        pytest.param("crash", {"CrashLoopBackOff"}, "the model file is missing", id="crash loop, with its last words"),
        pytest.param("no-such-program", {"StartError"}, "/no/such/program", id="no such program"),
        pytest.param("wrong-path", {"Unhealthy"}, "statuscode: 404", id="readiness probe answered 404"),
        pytest.param("wrong-liveness", {"Unhealthy"}, "Liveness probe failed", id="killed by the liveness probe"),
        pytest.param("unschedulable", {"Unschedulable"}, "Insufficient memory", id="unschedulable"),
        pytest.param(
            "no-such-configmap", {"CreateContainerConfigError"}, 'configmap "absent" not found', id="no ConfigMap"
        ),
        pytest.param("over-quota", {"FailedCreate"}, "exceeded quota: no-pods", id="over quota"),
    ],
)
def test_a_hopeless_rollout_ends_early_with_its_reason(
    name: str,
    reasons: set[str],
    told: str,
    manifests: ManifestDeployer,
    namespace: str,
    kubectl: KubectlDeployer,
    score_image: ImageRef,
) -> None:
    """The reason is Kubernetes' own word, the message says what was seen, and the wait did not use up its limit."""
    manifest = Manifest.load(FAULTY / f"{name}.yaml")
    if any(IMAGE in str(body) for body in manifest.bodies):
        manifest = manifest.with_image(IMAGE, score_image.name)
    if name == "over-quota":  # which counts once a controller has said so in its status
        manifests.apply(Manifest(manifest.documents[:1]), namespace=namespace)
        counts = ("--for=jsonpath={.status.hard.pods}=0", "--timeout=60s", f"--namespace={namespace}")
        kubectl.run("wait", "resourcequota/no-pods", *counts, timeout_s=70).check()
    with pytest.raises(RolloutError) as caught:
        manifests.apply(manifest, namespace=namespace, timeout_s=LIMIT_S)
    assert caught.value.reason in reasons
    assert told in str(caught.value)
    assert float(str(caught.value.facts["waited_s"])) < LIMIT_S / 2


def test_a_probe_that_cannot_connect_ends_the_wait_after_half_of_it(
    manifests: ManifestDeployer, namespace: str, score_image: ImageRef
) -> None:
    """A model may be loading: connection refused gets half of the limit, then the probe's message is the reason."""
    manifest = Manifest.load(FAULTY / "wrong-port.yaml").with_image(IMAGE, score_image.name)
    with pytest.raises(RolloutError, match=r"Unhealthy.*connection refused") as caught:
        manifests.apply(manifest, namespace=namespace, timeout_s=24.0)
    assert caught.value.facts["log"]


def test_a_crash_after_the_rollout_is_found_by_asking(
    cluster: ClusterHandle, kubectl: KubectlDeployer, manifests: ManifestDeployer, namespace: str, score_image: ImageRef
) -> None:
    """Without a readiness probe a container that ends at once was ready for a moment; what is wrong is told later."""
    (body,) = Manifest.load(FAULTY / "crash.yaml").with_image(IMAGE, score_image.name).bodies
    container = dict(body["spec"]["template"]["spec"]["containers"][0])
    del container["readinessProbe"]
    spec = {**body["spec"], "template": {**body["spec"]["template"], "spec": {"containers": [container]}}}
    manifests.apply([{**body, "spec": spec}], namespace=namespace, wait=False)
    ref = ResourceRef("Deployment", "crash", namespace, "apps/v1")
    with pytest.raises(RolloutError, match="the model file is missing"):
        wait_for_rollout(cluster, ref, LIMIT_S, stable_s=20.0)
    problem = rollout_problem(cluster, ref)
    assert problem is not None
    assert problem.reason == "CrashLoopBackOff"


def test_a_broken_old_revision_does_not_fail_the_one_that_replaces_it(
    cluster: ClusterHandle, manifests: ManifestDeployer, namespace: str, score_image: ImageRef
) -> None:
    """Only the newest revision's pods are judged."""
    bad = Manifest.load(FAULTY / "bad-image-name.yaml")
    with pytest.raises(RolloutError):
        manifests.apply(bad, namespace=namespace)
    manifests.apply(bad.with_image("Example/Not An Image", score_image.name), namespace=namespace)
    assert rollout_problem(cluster, ResourceRef("Deployment", "bad-image-name", namespace)) is None


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "Job"])
def test_the_other_workloads_roll_out_too(
    kind: str, cluster: ClusterHandle, manifests: ManifestDeployer, namespace: str, score_image: ImageRef
) -> None:
    """Each kind's own idea of done is understood."""
    labels = {"app": "other"}
    command = ["python", "-c", "print('done')"] if kind == "Job" else ["python", "api.py"]
    container = {"name": "other", "image": score_image.name}
    pod = {"containers": [{**container, "command": command} if kind == "Job" else container]}
    if kind == "Job":
        pod["restartPolicy"] = "Never"  # type: ignore[assignment]
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"template": template} if kind == "Job" else {"template": template, "selector": {"matchLabels": labels}}
    version = "batch/v1" if kind == "Job" else "apps/v1"
    release = manifests.apply(
        [{"apiVersion": version, "kind": kind, "metadata": {"name": "other"}, "spec": spec}], namespace=namespace
    )
    assert wait_for_rollout(cluster, release.resources[0], 1.0).ready == 1


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_a_hopeless_workload_of_another_kind_is_named_too(
    kind: str, manifests: ManifestDeployer, namespace: str, score_image: ImageRef
) -> None:
    """The kind and the name are in the message, with the reason of its pod and its last words."""
    (body,) = Manifest.load(FAULTY / "crash.yaml").with_image(IMAGE, score_image.name).bodies
    with pytest.raises(RolloutError, match=f"(?i){kind}/crash") as caught:
        manifests.apply([{**body, "kind": kind}], namespace=namespace, timeout_s=LIMIT_S)
    assert caught.value.reason == "CrashLoopBackOff"
    assert "the model file is missing" in str(caught.value)


def test_a_job_that_fails_says_so(manifests: ManifestDeployer, namespace: str, score_image: ImageRef) -> None:
    """The condition Failed ends the wait; the last pod's log is in the error."""
    container = {
        "name": "train",
        "image": score_image.name,
        "command": ["python", "-c", "import sys; sys.exit('no data')"],
    }
    spec = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train"}, "spec": spec}
    with pytest.raises(RolloutError, match="no data") as caught:
        manifests.apply([job], namespace=namespace)
    assert caught.value.reason == "BackoffLimitExceeded"


def test_pods_are_waited_for_by_label(
    cluster: ClusterHandle, kubectl: KubectlDeployer, namespace: str, score_image: ImageRef
) -> None:
    """Ready pods are named; when there are none the error says so."""
    kubectl.create_deployment("labelled", score_image.name, namespace=namespace, replicas=2, wait=False)
    names = wait_for_pods(cluster, namespace, "app=labelled", LIMIT_S, count=2)
    assert [name.startswith("labelled-") for name in names] == [True, True]
    with pytest.raises(RolloutError, match="there are no such pods"):
        wait_for_pods(cluster, namespace, "app=nobody", 0.5)


def test_what_is_not_deleted_is_named_with_what_holds_it(
    cluster: ClusterHandle, manifests: ManifestDeployer, kubectl: KubectlDeployer, namespace: str
) -> None:
    """An object that a finalizer holds is named together with the finalizer."""
    held = {"name": "held", "finalizers": ["seatrial.dev/hold"]}
    manifests.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": held}], namespace=namespace)
    ref = ResourceRef("ConfigMap", "held", namespace)
    try:
        kubectl.run("delete", "configmap/held", "--namespace", namespace, "--wait=false").check()
        with pytest.raises(WaitTimeoutError, match=r"finalizer 'seatrial.dev/hold'"):
            wait_for_deletion(cluster, [ref], 0.5)
    finally:
        patch = '{"metadata": {"finalizers": null}}'
        kubectl.run("patch", "configmap/held", "--namespace", namespace, "--type=merge", f"--patch={patch}").check()
    wait_for_deletion(cluster, [ref], 10.0)


def test_a_service_of_another_type_gets_no_balancer(
    cluster: ClusterHandle, kubectl: KubectlDeployer, namespace: str, score_image: ImageRef
) -> None:
    """Waiting for what cannot come is refused at once."""
    kubectl.create_deployment("plain", score_image.name, namespace=namespace, wait=False)
    release = kubectl.expose("plain", port=5000, namespace=namespace)
    with pytest.raises(DeployError, match="its type is ClusterIP"):
        wait_for_load_balancer(cluster, release.resources[0], 1.0)


def test_what_is_not_there_cannot_be_waited_for(cluster: ClusterHandle, namespace: str) -> None:
    """A name that is wrong is an error at once, not a time-out."""
    with pytest.raises(DeployError, match="no such object"):
        wait_for_rollout(cluster, ResourceRef("Deployment", "absent", namespace), LIMIT_S)
