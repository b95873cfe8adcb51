"""Telling slow from hopeless, on the objects Kubernetes shows."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harness.deploy import hopeless
from harness.deploy.hopeless import AT_DEADLINE, SETTLE_S, Patience

PATIENCE = Patience(restarts=1, probe_s=60.0)
DEPLOYMENT: dict[str, Any] = {"kind": "Deployment", "metadata": {"uid": "d"}, "status": {}}


def pod(state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    """A pod of one container 'app' in that state."""
    containers = [{"name": "app", "image": "example/app:1", "state": state or {}, "ready": False, **status}]
    return {
        "metadata": {"name": "app-1", "uid": "p"},
        "spec": {"containers": [{"name": "app", "readinessProbe": {"failureThreshold": 2}}]},
        "status": {"containerStatuses": containers},
    }


def event(reason: str, message: str, count: int = 1) -> dict[str, Any]:
    """An event about the container 'app'."""
    about = {"uid": "p", "fieldPath": "spec.containers{app}"}
    return {"involvedObject": about, "reason": reason, "message": message, "count": count}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """A waiting container state."""
    return {"waiting": {"reason": reason, "message": message}}


ENDED = {"terminated": {"exitCode": 1, "reason": "Error"}}
RUNNING: dict[str, Any] = {"running": {}}
TIMED_OUT = "failed to do request: dial tcp 10.0.0.1:443: i/o timeout"


@pytest.mark.parametrize(
    ("broken", "events", "reason", "settle_s"),
    [
        pytest.param(pod(waiting("InvalidImageName")), [], "InvalidImageName", 0.0, id="no image name"),
        pytest.param(pod(waiting("ErrImageNeverPull")), [], "ErrImageNeverPull", 0.0, id="never pull"),
        pytest.param(
            pod(waiting("ErrImagePull", "rpc error: code = NotFound desc = x")), [], "ErrImagePull", 0.0, id="not found"
        ),
        pytest.param(
            pod(waiting("ErrImagePull", "dial tcp: lookup registry.invalid on 10.96.0.10:53: no such host")),
            [],
            "ErrImagePull",
            0.0,
            id="no such registry",
        ),
        pytest.param(
            pod(waiting("ErrImagePull", TIMED_OUT)), [], "ErrImagePull", AT_DEADLINE, id="registry slow once: may pass"
        ),
        pytest.param(
            pod(waiting("ImagePullBackOff", TIMED_OUT)),
            [event("Failed", "Failed to pull image: " + TIMED_OUT, 2)],
            "ImagePullBackOff",
            0.0,
            id="registry slow twice",
        ),
        pytest.param(
            pod(waiting("CrashLoopBackOff"), restartCount=0, lastState=ENDED),
            [],
            "CrashLoopBackOff",
            AT_DEADLINE,
            id="crashed once: may pass",
        ),
        pytest.param(
            pod(waiting("CrashLoopBackOff"), restartCount=1, lastState=ENDED),
            [],
            "CrashLoopBackOff",
            0.0,
            id="crashed twice",
        ),
        pytest.param(
            pod(RUNNING, restartCount=3, lastState=ENDED),
            [],
            "CrashLoopBackOff",
            AT_DEADLINE,
            id="just restarted: may pass",
        ),
        pytest.param(
            pod(
                waiting("CrashLoopBackOff"),
                restartCount=1,
                lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            ),
            [],
            "OOMKilled",
            0.0,
            id="out of memory",
        ),
        pytest.param(
            pod(waiting("CreateContainerConfigError", 'configmap "x" not found')),
            [],
            "CreateContainerConfigError",
            SETTLE_S,
            id="no ConfigMap yet",
        ),
        pytest.param(
            pod(RUNNING),
            [event("Killing", "Container app failed liveness probe"), event("Unhealthy", "Liveness probe failed: x")],
            "Unhealthy",
            0.0,
            id="killed by its liveness probe",
        ),
        pytest.param(
            pod(RUNNING),
            [event("Unhealthy", "Readiness probe failed: connection refused")],
            "Unhealthy",
            AT_DEADLINE,
            id="probe failed less often than its threshold",
        ),
        pytest.param(
            pod(RUNNING),
            [event("Unhealthy", "Readiness probe failed: connection refused", 2)],
            "Unhealthy",
            60.0,
            id="probe cannot connect: gets the patience",
        ),
        pytest.param(
            pod(RUNNING),
            [event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", 9)],
            "Unhealthy",
            60.0,
            id="probe answered 503: gets the patience",
        ),
        pytest.param(
            pod(RUNNING),
            [event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404", 2)],
            "Unhealthy",
            0.0,
            id="probe answered 404",
        ),
    ],
)
def test_a_broken_pod_is_found_and_given_the_time_it_deserves(
    broken: dict[str, Any], events: list[dict[str, Any]], reason: str, settle_s: float
) -> None:
    """The reason is Kubernetes' word; 0 stops the wait at once, infinity only names the reason at the deadline."""
    (finding,) = hopeless.find(DEPLOYMENT, [broken], events, PATIENCE)
    assert (finding.reason, finding.settle_s) == (reason, settle_s)
    assert "'app-1'" in finding.seen


def unschedulable(message: str) -> dict[str, Any]:
    """A pod the scheduler has found no node for."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"metadata": {"name": "app-1", "uid": "p"}, "spec": {}, "status": {"conditions": [condition]}}


@pytest.mark.parametrize(
    ("message", "events", "settle_s"),
    [
        pytest.param("0/1 nodes are available: 1 Insufficient memory.", [], SETTLE_S, id="too big"),
        pytest.param(
            "1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }", [], math.inf, id="node starting"
        ),
        pytest.param("pod has unbound immediate PersistentVolumeClaims", [], math.inf, id="volume being bound"),
        pytest.param("Insufficient cpu", [event("TriggeredScaleUp", "")], math.inf, id="cluster growing"),
    ],
)
def test_only_what_stays_unschedulable_is_hopeless(message: str, events: list[dict[str, Any]], settle_s: float) -> None:
    """Nodes that start, volumes being bound and clusters that grow are waited for."""
    (finding,) = hopeless.find(DEPLOYMENT, [unschedulable(message)], events, PATIENCE)
    assert (finding.reason, finding.settle_s) == ("Unschedulable", settle_s)


@pytest.mark.parametrize(
    ("message", "settle_s"),
    [
        pytest.param('pods "x" is forbidden: exceeded quota: q', SETTLE_S, id="quota"),
        pytest.param("error looking up service account n/default: not found", math.inf, id="new namespace"),
        pytest.param('failed calling webhook "w": connection refused', math.inf, id="webhook starting"),
    ],
)
def test_refused_pods_are_found_in_the_deployments_condition(message: str, settle_s: float) -> None:
    """A service account or webhook that is about to come is waited for."""
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    (finding,) = hopeless.find({**DEPLOYMENT, "status": {"conditions": [condition]}}, [], [], PATIENCE)
    assert (finding.reason, finding.settle_s) == ("FailedCreate", settle_s)


def test_old_pods_that_leave_may_free_the_quota() -> None:
    """During a rolling update the quota is full for as long as the old pods take to end."""
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    leaving = {**pod(RUNNING), "metadata": {"name": "old", "uid": "o", "deletionTimestamp": "now"}}
    (finding,) = hopeless.find({**DEPLOYMENT, "status": {"conditions": [condition]}}, [leaving], [], PATIENCE)
    assert finding.settle_s == AT_DEADLINE


def test_kubernetes_own_verdict_is_final() -> None:
    """ProgressDeadlineExceeded and a failed Job end the wait at once."""
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    (first,) = hopeless.find({**DEPLOYMENT, "status": {"conditions": [late]}}, [], [], PATIENCE)
    (second,) = hopeless.find({"kind": "Job", "status": {"conditions": [failed]}}, [], [], PATIENCE)
    assert [(item.reason, item.settle_s) for item in (first, second)] == [
        ("ProgressDeadlineExceeded", 0.0),
        ("BackoffLimitExceeded", 0.0),
    ]


@pytest.mark.parametrize(
    "healthy",
    [
        pytest.param(pod(waiting("ContainerCreating")), id="being created"),
        pytest.param(pod(RUNNING, ready=True), id="ready"),
        pytest.param(pod(RUNNING), id="running"),
        pytest.param(
            {**pod(waiting("InvalidImageName")), "metadata": {"name": "x", "deletionTimestamp": "now"}}, id="leaving"
        ),
    ],
)
def test_nothing_is_found_where_nothing_is_wrong(healthy: dict[str, Any]) -> None:
    """Pods that start, run or go away are no reason to stop."""
    assert hopeless.find(DEPLOYMENT, [healthy], [], PATIENCE) == []


def test_the_gravest_comes_first() -> None:
    """What is final stands before what may pass."""
    passing = {**pod(waiting("ErrImagePull", TIMED_OUT)), "metadata": {"name": "a", "uid": "a"}}
    findings = hopeless.find(DEPLOYMENT, [passing, pod(waiting("InvalidImageName"))], [], PATIENCE)
    assert [finding.reason for finding in findings] == ["InvalidImageName", "ErrImagePull"]


def test_the_log_of_the_life_that_ended_is_asked_for() -> None:
    """A container held back has its last words in the log of its previous life."""
    (finding,) = hopeless.find(
        DEPLOYMENT, [pod(waiting("CrashLoopBackOff"), restartCount=1, lastState=ENDED)], [], PATIENCE
    )
    assert (finding.pod, finding.container, finding.previous) == ("app-1", "app", True)
