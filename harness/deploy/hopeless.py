"""Telling a rollout that is slow from one that will never end.

Pure functions from the objects a wait has seen to :class:`Finding` values. Stopping a rollout that would have become
ready makes a test flaky, waiting for one that never will only makes it slow: so a finding says how long it must have
stood, without a break, before it counts (`settle_s`), and where Kubernetes itself retries, it must have failed twice.

Reasons, states and event texts are those of kubelet, scheduler and controllers of Kubernetes 1.34.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Body = Mapping[str, Any]

# A refusal that another object of the same deployment may still lift (a ConfigMap applied after the Deployment, a
# quota raised, old pods going away): everything one apply sends arrives well within this.
SETTLE_S = 5.0
# Never by itself, but the first thing to say when the deadline has passed.
AT_DEADLINE = math.inf

_READINESS_THRESHOLD = 3  # the API's default failureThreshold


@dataclass(frozen=True)
class Finding:
    """Why a rollout is not going to end.

    Args:
        reason: Kubernetes' own word, e.g. ``ImagePullBackOff``.
        seen: what was seen, for people.
        settle_s: seconds it must stand before the rollout counts as hopeless.
        hint: what to try.
        pod: the pod concerned, if one is.
        container: the container whose log says more, if one does.
        previous: whether the log of the container's previous life is meant.
    """

    reason: str
    seen: str
    settle_s: float
    hint: str = ""
    pod: str = ""
    container: str = ""
    previous: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays the same while a finding stands, although its wording changes."""
        return self.reason, self.pod, self.container


@dataclass(frozen=True)
class Patience:
    """How much is borne.

    Args:
        restarts: crashes of one container that are forgiven; 1 means the second one is final.
        probe_s: seconds a container whose readiness probe cannot connect may go on starting.
    """

    restarts: int
    probe_s: float


def find(workload: Body, pods: Sequence[Body], events: Sequence[Body], patience: Patience) -> list[Finding]:
    """Return everything that is in the way of `workload`, the gravest first.

    Args:
        workload: the Deployment, StatefulSet, DaemonSet, Job or Pod waited for.
        pods: the pods of its newest revision.
        events: the events about it, its ReplicaSets and its pods.
        patience: how much is borne.
    """
    findings = [*_workload_findings(workload, pods, events)]
    for pod in pods:
        if "deletionTimestamp" not in pod["metadata"]:
            about = [event for event in events if event.get("involvedObject", {}).get("uid") == pod["metadata"]["uid"]]
            findings += _pod_findings(pod, about, patience, retried=workload["kind"] == "Job")
    return sorted(findings, key=lambda finding: finding.settle_s)


# --- the workload itself ---------------------------------------------------------------------------------------------


def _workload_findings(workload: Body, pods: Sequence[Body], events: Sequence[Body]) -> Iterator[Finding]:
    conditions = {item["type"]: item for item in workload.get("status", {}).get("conditions", ())}
    progressing = conditions.get("Progressing", {})
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        yield Finding("ProgressDeadlineExceeded", progressing.get("message", ""), 0.0)
    failed = conditions.get("Failed", {})
    if workload["kind"] == "Job" and failed.get("status") == "True":
        pod = pods[-1]["metadata"]["name"] if pods else ""
        container = pods[-1]["spec"]["containers"][0]["name"] if pods else ""
        yield Finding(failed.get("reason", "Failed"), failed.get("message", ""), 0.0, pod=pod, container=container)
    if refusal := _why_pods_are_refused(conditions, events):
        yield _refused(refusal, old_pods_leave=any("deletionTimestamp" in pod["metadata"] for pod in pods))


def _why_pods_are_refused(conditions: Mapping[str, Body], events: Sequence[Body]) -> str:
    """Deployments carry the refusal as a condition; of the others only the controllers' events tell."""
    failure = conditions.get("ReplicaFailure", {})
    if failure.get("status") == "True":
        return str(failure.get("message", ""))
    if "Available" in conditions:
        return ""
    refusals = [event for event in events if event.get("reason") == "FailedCreate"]
    made = any(event.get("reason") == "SuccessfulCreate" for event in events)
    return "" if made or not refusals else str(refusals[-1].get("message", ""))


def _refused(message: str, *, old_pods_leave: bool) -> Finding:
    hint = "see `kubectl describe` of the workload and the namespace's quotas, limits and admission webhooks"
    if "exceeded quota" in message:
        hint = "ask for less, or raise the namespace's ResourceQuota"
    # A new namespace gets its service account a moment later; a webhook that cannot be reached may be starting.
    passing = "error looking up service account" in message or "failed calling webhook" in message or old_pods_leave
    return Finding("FailedCreate", message, AT_DEADLINE if passing else SETTLE_S, hint)


# --- its pods --------------------------------------------------------------------------------------------------------


def _pod_findings(pod: Body, events: Sequence[Body], patience: Patience, *, retried: bool) -> Iterator[Finding]:
    yield from _scheduling(pod, events)
    yield from _mounts(pod, events)
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        look = _Container(pod, container, events)
        yield from _image(look)
        yield from _config(look)
        if not retried:
            yield from _crashes(look, patience)
        yield from _liveness(look)
        yield from _readiness(look, patience)


def _scheduling(pod: Body, events: Iterable[Body]) -> Iterator[Finding]:
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] != "PodScheduled" or condition.get("reason") != "Unschedulable":
            continue
        message = condition.get("message", "")
        # A node that is just coming up, a volume claim that is still being bound and a cluster that grows on demand
        # all look unschedulable first.
        passing = (
            "node.kubernetes.io/not-ready" in message
            or "unbound immediate PersistentVolumeClaims" in message
            or "no nodes available" in message
            or any(event.get("reason") == "TriggeredScaleUp" for event in events)
        )
        hint = (
            "ask for less, or give the cluster more"
            if "Insufficient" in message
            else "see the pod's node selector, affinity and tolerations, and `kubectl describe nodes`"
        )
        yield Finding(
            "Unschedulable",
            f"{_pod_name(pod)}: {message}",
            AT_DEADLINE if passing else SETTLE_S,
            hint,
            pod["metadata"]["name"],
        )


def _mounts(pod: Body, events: Sequence[Body]) -> Iterator[Finding]:
    states = [status.get("state", {}) for status in pod.get("status", {}).get("containerStatuses", ())]
    if not any(state.get("waiting", {}).get("reason") in {"ContainerCreating", "PodInitializing"} for state in states):
        return
    failures = [event for event in events if event.get("reason") in {"FailedMount", "FailedCreatePodSandBox"}]
    if failures:
        event = failures[-1]
        message = event.get("message", "")
        definite = event["reason"] == "FailedMount" and re.search(r'(configmap|secret) "[^"]+" not found', message)
        yield Finding(
            event["reason"],
            f"{_pod_name(pod)}: {message}",
            SETTLE_S if definite else AT_DEADLINE,
            "apply what the volume refers to" if definite else "",
            pod["metadata"]["name"],
        )


@dataclass(frozen=True)
class _Container:
    """One container of a pod with the events of that pod."""

    pod: Body
    status: Body
    events: Sequence[Body]

    @property
    def name(self) -> str:
        return str(self.status["name"])

    @property
    def waiting(self) -> Body:
        return self.status.get("state", {}).get("waiting") or {}

    @property
    def spec(self) -> Body:
        spec = self.pod["spec"]
        return next(
            (item for item in (*spec.get("initContainers", ()), *spec["containers"]) if item["name"] == self.name), {}
        )

    def last_exit(self) -> Body:
        """The state of the container's latest end, or an empty mapping."""
        state = self.status.get("state", {}).get("terminated") or self.status.get("lastState", {}).get("terminated")
        return state or {}

    def count(self, wanted: Callable[[Body], bool]) -> tuple[int, str]:
        """How often events said what is `wanted` of this container, and the latest message."""
        matching = [
            event
            for event in self.events
            if event.get("involvedObject", {}).get("fieldPath", "").endswith(f"{{{self.name}}}") and wanted(event)
        ]
        matching.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
        return sum(event.get("count") or 1 for event in matching), matching[-1].get("message", "") if matching else ""

    def finding(self, reason: str, seen: str, settle_s: float, hint: str = "", *, log: bool = False) -> Finding:
        """A finding about this container."""
        return Finding(
            reason,
            f"{_pod_name(self.pod)}, container '{self.name}': {seen}",
            settle_s,
            hint,
            self.pod["metadata"]["name"],
            self.name if log else "",
            previous=log and not self.status.get("state", {}).get("terminated") and bool(self.last_exit()),
        )


def _pod_name(pod: Body) -> str:
    return f"pod '{pod['metadata']['name']}'"


# What registries and containerd say when asking again cannot change the answer.
_NO_SUCH_IMAGE = re.compile(
    r"code = NotFound|: not found|manifest unknown|repository does not exist|pull access denied"
    r"|insufficient_scope|no match for platform|name unknown|invalid reference format"
    # The name server's definite answer: there is no such registry for this node.
    r"|no such host"
)


def _image(look: _Container) -> Iterator[Finding]:
    reason, message = look.waiting.get("reason"), look.waiting.get("message", "")
    image = look.status.get("image") or look.spec.get("image", "")
    if reason == "InvalidImageName":
        yield look.finding(reason, f"'{image}' is no image name", 0.0, "correct the image's name")
    elif reason == "ErrImageNeverPull":
        hint = "load the image into the nodes first, or let the pull policy be IfNotPresent"
        yield look.finding(reason, f"'{image}' is not on the node and may not be pulled", 0.0, hint)
    elif reason in {"ErrImagePull", "ImagePullBackOff"}:
        # A registry that times out may answer the next time: kubelet tries again after 10 s, and a second failure
        # is final. That the image is not there is final at once.
        failures, told = look.count(lambda event: event.get("message", "").startswith("Failed to pull image"))
        text = told if len(told) > len(message) else message
        definite = bool(_NO_SUCH_IMAGE.search(text)) or failures > 1
        hint = "load or push the image, or correct its name"
        yield look.finding(reason, f"'{image}': {text}", 0.0 if definite else AT_DEADLINE, hint)


def _config(look: _Container) -> Iterator[Finding]:
    reason = look.waiting.get("reason")
    if reason in {"CreateContainerConfigError", "CreateContainerError"}:
        hint = "apply what the container refers to" if "not found" in look.waiting.get("message", "") else ""
        yield look.finding(reason, look.waiting.get("message", ""), SETTLE_S, hint)


def _crashes(look: _Container, patience: Patience) -> Iterator[Finding]:
    ended = look.last_exit()
    crashes = int(look.status.get("restartCount", 0)) + (1 if look.status.get("state", {}).get("terminated") else 0)
    # A container that waits for its restart has ended once more than it was restarted.
    if look.waiting.get("reason") in {"CrashLoopBackOff", "RunContainerError"}:
        crashes = int(look.status.get("restartCount", 0)) + 1
    if not ended or _is_done_init(look):
        return
    killed, _ = look.count(_killed_by_probe)
    if killed:
        return
    reason = ended.get("reason", "")
    told = reason if reason in {"OOMKilled", "StartError", "ContainerCannotRun"} else "CrashLoopBackOff"
    seen = f"ended {crashes} times, last with exit code {ended.get('exitCode')} ({reason or 'Error'})"
    if ended.get("message"):
        seen += f": {ended['message']}"
    hint = {
        "OOMKilled": "raise the container's memory limit",
        "StartError": "correct the container's command",
    }.get(told, "see the container's log")
    waits = look.waiting.get("reason") in {"CrashLoopBackOff", "RunContainerError"}
    # Only a container that Kubernetes itself holds back counts: one that was just restarted, and without a readiness
    # probe is ready again for a moment, may work this time.
    final = waits and crashes > patience.restarts
    yield look.finding(told, seen, 0.0 if final else AT_DEADLINE, hint, log=True)


def _is_done_init(look: _Container) -> bool:
    return (
        look.last_exit().get("exitCode") == 0
        and bool(look.status.get("state", {}).get("terminated"))
        and any(status["name"] == look.name for status in look.pod.get("status", {}).get("initContainerStatuses", ()))
    )


def _killed_by_probe(event: Body) -> bool:
    return event.get("reason") == "Killing" and "probe" in event.get("message", "")


def _liveness(look: _Container) -> Iterator[Finding]:
    # Kubelet kills a container after failureThreshold failures in a row, the manifest's own definition of dead; a
    # container that was never ready before that starts no faster the next time.
    killed, _ = look.count(_killed_by_probe)
    if killed and not look.status.get("ready"):
        _, message = look.count(
            lambda event: event.get("reason") == "Unhealthy" and "Readiness" not in event["message"]
        )
        hint = "correct the probe, or give the container more time before the first one"
        yield look.finding("Unhealthy", f"killed {killed} times: {message}", 0.0, hint, log=True)


def _readiness(look: _Container, patience: Patience) -> Iterator[Finding]:
    if "running" not in look.status.get("state", {}) or look.status.get("ready") or look.status.get("started") is False:
        return
    failures, message = look.count(
        lambda event: event.get("reason") == "Unhealthy" and event.get("message", "").startswith("Readiness")
    )
    threshold = look.spec.get("readinessProbe", {}).get("failureThreshold", _READINESS_THRESHOLD)
    if not failures:
        return
    settle_s = AT_DEADLINE
    if failures >= threshold:
        # A service that answers "no such page" is up and will not change its mind. One that does not answer, or says
        # 503, may be loading its model: it gets the patience that was asked for.
        settle_s = 0.0 if re.search(r"statuscode: 4\d\d", message) else patience.probe_s
    hint = "correct the port and path of the readiness probe, or of the service"
    yield look.finding("Unhealthy", f"{message.strip()} ({failures} times)", settle_s, hint, log=True)
