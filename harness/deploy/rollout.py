"""Waiting, by watching, until what was deployed is ready, reachable or gone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from kubernetes.client import ApiClient

from harness.cluster.provider import ClusterHandle
from harness.deploy import hopeless
from harness.deploy.hopeless import Finding, Patience
from harness.deploy.release import Release, ResourceRef
from harness.deploy.watching import REQUEST_TIMEOUT_S, ApiReader, Follower, Source, reading
from harness.errors import DeployError, RolloutError, WaitTimeoutError
from harness.wait import SYSTEM_CLOCK, Clock, Deadline

Body = Mapping[str, Any]

# A container that crashed once may have been too early for something it needs; Kubernetes restarts it at once. The
# second crash in a row is taken for the truth.
TOLERATED_RESTARTS = 1
LOG_LINES = 20
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_REVISION = "deployment.kubernetes.io/revision"

# What can be waited for, with the API version to use when a reference names only the kind.
WORKLOADS = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1"}


@dataclass(frozen=True)
class Rollout:
    """A rollout that has ended well.

    Args:
        ref: what was waited for.
        ready: pods ready (for a Job: pods that succeeded).
        duration_s: seconds the wait took.
        pods: names of the pods of the newest revision, as far as the wait needed to look at them.
    """

    ref: ResourceRef
    ready: int
    duration_s: float
    pods: tuple[str, ...] = ()


def wait_for_rollout(
    cluster: ClusterHandle | ApiClient,
    ref: ResourceRef,
    timeout_s: float,
    *,
    tolerated_restarts: int = TOLERATED_RESTARTS,
    probe_patience_s: float | None = None,
    stable_s: float = 0.0,
    log_lines: int = LOG_LINES,
    clock: Clock = SYSTEM_CLOCK,
) -> Rollout:
    """Return when a Deployment, StatefulSet or DaemonSet has rolled out, or a Job is complete.

    Stops early when Kubernetes shows that it never will; what counts as that is in :mod:`harness.deploy.hopeless`.
    A container without a readiness probe is ready as soon as it runs, even if it ends a moment later: give `stable_s`,
    or ask :func:`rollout_problem` when the service does not answer.

    Args:
        cluster: where; a client of the caller's saves the 20 ms that making one takes.
        ref: what to wait for.
        timeout_s: seconds until the wait gives up.
        tolerated_restarts: crashes of one container that are forgiven.
        probe_patience_s: seconds a running container whose readiness probe cannot connect, or gets 5xx, may stay so
            after its failureThreshold; half of `timeout_s` by default, so that slow model loading is not cut short.
        stable_s: seconds it must stay rolled out before it counts.
        log_lines: lines of the crashed container's log put into the error.
        clock: the clock of the deadline.

    Raises:
        RolloutError: it will not become ready, or did not in time; `reason` is Kubernetes' word for why.
        DeployError: there is no such object, or it cannot be waited for.
        ClusterError: the API server is gone.
    """
    ref = _qualified(ref)
    patience = Patience(tolerated_restarts, timeout_s / 2 if probe_patience_s is None else probe_patience_s)
    deadline = Deadline(timeout_s, clock)
    with reading(cluster) as reader:
        workload = reader.find(ref)
        if workload is None:
            raise DeployError(
                f"wait for the rollout of {ref}",
                seen="there is no such object",
                hint="deploy it first, or correct its name",
            )
        if is_rolled_out(workload) and not stable_s:
            return Rollout(ref, _ready(workload), deadline.elapsed_s())
        return _Wait(reader, ref, deadline, patience, stable_s, log_lines).run(pod_selector(workload))


def rollout_problem(
    cluster: ClusterHandle | ApiClient,
    ref: ResourceRef,
    *,
    tolerated_restarts: int = TOLERATED_RESTARTS,
    log_lines: int = LOG_LINES,
) -> RolloutError | None:
    """Look once at a workload that was rolled out and say what is wrong with it now, if anything is.

    For callers that find its service not answering: a crash after the rollout is the better reason to report.
    """
    ref = _qualified(ref)
    with reading(cluster) as reader:
        workload = reader.find(ref)
        if workload is None:
            return RolloutError(
                f"see what is wrong with {ref}",
                reason="Deleted",
                seen="there is no such object",
                hint="deploy it first, or see who deleted it: another test, the end of a run, an operator",
            )
        wait = _Wait(reader, ref, Deadline(0.0), Patience(tolerated_restarts, 0.0), 0.0, log_lines)
        return wait.problem(pod_selector(workload))


def problem_in(cluster: ClusterHandle, namespace: str) -> RolloutError | None:
    """Look once at every Deployment of a namespace and return the first problem; see :func:`rollout_problem`."""
    with reading(cluster) as reader:
        listed = reader.get(f"/apis/apps/v1/namespaces/{namespace}/deployments")
    for body in listed["items"]:
        problem = rollout_problem(cluster, ResourceRef("Deployment", body["metadata"]["name"], namespace, "apps/v1"))
        if problem is not None:
            return problem
    return None


def _qualified(ref: ResourceRef) -> ResourceRef:
    if ref.kind not in WORKLOADS:
        raise DeployError(
            f"wait for the rollout of {ref}",
            seen=f"a {ref.kind} does not roll out",
            hint=f"one of {', '.join(WORKLOADS)}",
        )
    return replace(ref, api_version=WORKLOADS[ref.kind], namespace=ref.namespace or "default")


def is_rolled_out(workload: Body) -> bool:
    """Whether all pods of the newest revision are available and none of an older one is left.

    The same conditions as ``kubectl rollout status`` (kubectl 1.34, pkg/polymorphichelpers/rollout_status.go), and for
    Jobs the condition Complete.
    """
    status, spec = workload.get("status", {}), workload["spec"]
    if workload["kind"] == "Job":
        return any(item["type"] == "Complete" and item["status"] == "True" for item in status.get("conditions", ()))
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return False
    if workload["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(status.get("updatedNumberScheduled", 0) >= wanted and status.get("numberAvailable", 0) >= wanted)
    wanted = spec.get("replicas", 1)
    updated = status.get("updatedReplicas", 0)
    if workload["kind"] == "StatefulSet":
        # A StatefulSet counts as updated only what has another revision than the current one.
        current = status.get("currentRevision") == status.get("updateRevision")
        # Below its partition pods keep their revision; with OnDelete all do until somebody deletes them.
        strategy = spec.get("updateStrategy", {})
        kept = (strategy.get("rollingUpdate") or {}).get("partition", 0)
        if strategy.get("type") == "OnDelete":
            kept = wanted
        return bool(status.get("readyReplicas", 0) >= wanted and (current or updated >= wanted - kept))
    return bool(
        updated >= wanted and status.get("replicas", 0) <= updated and status.get("availableReplicas", 0) >= updated
    )


def _ready(workload: Body) -> int:
    status = workload.get("status", {})
    name = {"DaemonSet": "numberReady", "Job": "succeeded"}.get(workload["kind"], "readyReplicas")
    return int(status.get(name, 0))


def pod_selector(workload: Body) -> str:
    """Return a workload's ``spec.selector`` as a label selector's text."""
    selector = workload["spec"]["selector"]
    parts = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    for expression in selector.get("matchExpressions", ()):
        key, operator, values = expression["key"], expression["operator"], ",".join(expression.get("values", ()))
        parts.append({"Exists": key, "DoesNotExist": f"!{key}"}.get(operator, f"{key} {operator.lower()} ({values})"))
    return ",".join(parts)


class _Wait:
    """One wait for one workload."""

    def __init__(
        self,
        reader: ApiReader,
        ref: ResourceRef,
        deadline: Deadline,
        patience: Patience,
        stable_s: float,
        log_lines: int,
    ) -> None:
        self._reader = reader
        self._ref = ref
        self._deadline = deadline
        self._patience = patience
        self._stable_s = stable_s
        self._rolled_out_at: float | None = None
        self._log_lines = log_lines
        self._standing: dict[tuple[str, str, str], float] = {}
        self._workload: Body = {}

    def run(self, selector: str) -> Rollout:
        with Follower(self._reader, self._sources(selector)) as follower:
            pause_s = self._deadline.remaining_s()
            while True:
                follower.wait_for_news(pause_s)
                if follower.is_complete():
                    found = self._look(follower)
                    if isinstance(found, Rollout):
                        return found
                    pause_s = found
                if self._deadline.has_passed():
                    raise self._timed_out(follower)

    def problem(self, selector: str) -> RolloutError | None:
        """What :meth:`run` would stop for, whether it has settled or not."""
        with Follower(self._reader, self._sources(selector)) as follower:
            while not follower.is_complete():
                follower.wait_for_news(REQUEST_TIMEOUT_S)
            self._workload = next(iter(follower.items("workload")), {})
            if not self._workload:
                return None
            findings = self._findings(follower, self._newest_pods(follower))
            return self._error(findings[0], follower) if findings else None

    def _sources(self, selector: str) -> tuple[Source, ...]:
        core, apps = f"/api/v1/namespaces/{self._ref.namespace}", f"/apis/apps/v1/namespaces/{self._ref.namespace}"
        own = {"fieldSelector": f"metadata.name={self._ref.name}"}
        sources = [
            Source("workload", self._reader.collection(self._ref), own),
            Source("pods", f"{core}/pods", {"labelSelector": selector}),
            Source("events", f"{core}/events"),
        ]
        if self._ref.kind == "Deployment":
            sources.append(Source("replicasets", f"{apps}/replicasets", {"labelSelector": selector}))
        return tuple(sources)

    def _look(self, follower: Follower) -> Rollout | float:
        """Return the rollout when it is done, or the seconds after which to look again though nothing changed."""
        workloads = follower.items("workload")
        if not workloads:
            raise RolloutError(
                f"wait for the rollout of {self._ref}",
                reason="Deleted",
                seen="the object was deleted meanwhile",
                hint="see who deleted it: another test, the end of a run, an operator",
            )
        self._workload = workloads[0]
        pods = self._newest_pods(follower)
        if not is_rolled_out(self._workload):
            self._rolled_out_at = None
        elif (steady_s := self._steady_s()) < self._stable_s:
            return min(self._stable_s - steady_s, self._deadline.remaining_s())
        else:
            names = tuple(pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"])
            return Rollout(self._ref, _ready(self._workload), self._deadline.elapsed_s(), names)
        findings = self._findings(follower, pods)
        now = self._deadline.elapsed_s()
        self._standing = {finding.key: self._standing.get(finding.key, now) for finding in findings}
        for finding in findings:
            if now - self._standing[finding.key] >= finding.settle_s:
                raise self._error(finding, follower)
        due = [self._standing[finding.key] + finding.settle_s - now for finding in findings]
        return min([*due, self._deadline.remaining_s()])

    def _steady_s(self) -> float:
        """Seconds since the workload was seen rolled out without a break."""
        now = self._deadline.elapsed_s()
        if self._rolled_out_at is None:
            self._rolled_out_at = now
        return now - self._rolled_out_at

    def _findings(self, follower: Follower, pods: Sequence[Body]) -> list[Finding]:
        status = self._workload.get("status", {})
        if status.get("observedGeneration", 0) < self._workload["metadata"].get("generation", 0) and (
            self._ref.kind != "Job"
        ):
            return []  # what can be seen is still about the revision before
        return hopeless.find(self._workload, pods, self._events(follower), self._patience)

    def _newest_pods(self, follower: Follower) -> tuple[Body, ...]:
        """Pods of an older revision may well be broken: they must not fail the one that replaces them."""
        pods = tuple(sorted(follower.items("pods"), key=lambda pod: pod["metadata"]["creationTimestamp"]))
        if self._ref.kind == "Deployment":
            sets = [item for item in follower.items("replicasets") if _owned_by(item, self._workload)]
            if not sets:
                return ()
            newest = max(sets, key=lambda item: int(item["metadata"].get("annotations", {}).get(_REVISION, 0)))
            return tuple(pod for pod in pods if _owned_by(pod, newest))
        mine = tuple(pod for pod in pods if _owned_by(pod, self._workload))
        if self._ref.kind == "StatefulSet":
            revision = self._workload.get("status", {}).get("updateRevision")
            return tuple(pod for pod in mine if pod["metadata"]["labels"].get("controller-revision-hash") == revision)
        return mine

    def _events(self, follower: Follower) -> tuple[Body, ...]:
        about = {self._workload["metadata"]["uid"], *(pod["metadata"]["uid"] for pod in follower.items("pods"))}
        return tuple(event for event in follower.items("events") if event.get("involvedObject", {}).get("uid") in about)

    def _timed_out(self, follower: Follower) -> RolloutError:
        if not follower.is_complete():
            return self._error(Finding("Timeout", "the API server did not show it in time", 0.0), follower)
        findings = self._findings(follower, self._newest_pods(follower))
        if findings:
            return self._error(findings[0], follower)
        hint = "see the pods' events and logs, or allow more time"
        return self._error(Finding("Timeout", "nothing points to a failure", 0.0, hint), follower)

    def _error(self, finding: Finding, follower: Follower) -> RolloutError:
        waited_s = self._deadline.elapsed_s()
        pods = self._newest_pods(follower)
        lines = [finding.seen, f"after {waited_s:.1f} s: {self._progress()}", *map(_state_of, pods)]
        log = ""
        if finding.container:
            log = _log_of(self._reader, finding, self._ref.namespace, self._log_lines)
            if log:
                lines += [f"last lines of container '{finding.container}':", log]
        return RolloutError(
            f"roll out {self._ref} within {self._deadline.timeout_s:g} s",
            reason=finding.reason,
            seen="\n".join(lines),
            hint=finding.hint,
            ref=self._ref,
            waited_s=waited_s,
            pod=finding.pod,
            container=finding.container,
            log=log,
            events=tuple(map(_event_line, self._events(follower))),
        )

    def _progress(self) -> str:
        wanted = self._workload.get("spec", {}).get("replicas", self._workload.get("spec", {}).get("completions", 1))
        if self._ref.kind == "DaemonSet":
            wanted = self._workload.get("status", {}).get("desiredNumberScheduled", 0)
        return f"{_ready(self._workload) if self._workload else 0} of {wanted} pods ready"


def _log_of(reader: ApiReader, finding: Finding, namespace: str, lines: int) -> str:
    """The last lines of the container a finding is about, of the life that has ended if there is one."""
    for previous in (finding.previous, not finding.previous):
        text = reader.logs(finding.pod, finding.container, namespace=namespace, lines=lines, previous=previous)
        if text.strip():
            return _COLOURS.sub("", text).strip()
    return ""


def _owned_by(item: Body, owner: Body) -> bool:
    return any(ref["uid"] == owner["metadata"]["uid"] for ref in item["metadata"].get("ownerReferences", ()))


def _state_of(pod: Body) -> str:
    """One line about a pod for people: its phase and what each container does."""
    status = pod.get("status", {})
    parts = []
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        state: Mapping[str, Body] = container.get("state") or {"unknown": {}}
        word, details = next(iter(state.items()))
        words = [container["name"], word, details.get("reason", "")]
        if container.get("restartCount"):
            words.append(f"restarts {container['restartCount']}")
        parts.append(" ".join(word for word in words if word))
    return f"pod '{pod['metadata']['name']}' is {status.get('phase', 'Unknown')}" + (
        f" ({'; '.join(parts)})" if parts else ""
    )


def _event_line(event: Body) -> str:
    subject = event.get("involvedObject", {})
    return (
        f"{event.get('type', '')} {event.get('reason', '')} x{event.get('count') or 1} "
        f"{subject.get('kind', '').lower()}/{subject.get('name', '')}: {event.get('message', '')}"
    )


# --- other things to wait for ----------------------------------------------------------------------------------------


def wait_for_release(
    cluster: ClusterHandle | ApiClient,
    release: Release,
    timeout_s: float,
    *,
    clock: Clock = SYSTEM_CLOCK,
) -> tuple[Rollout, ...]:
    """Wait for every workload of a release, all within one deadline.

    Raises:
        RolloutError: as :func:`wait_for_rollout`.
    """
    deadline = Deadline(timeout_s, clock)
    return tuple(
        wait_for_rollout(cluster, ref, deadline.remaining_s(), clock=clock)
        for ref in release.resources
        if ref.kind in WORKLOADS
    )


def wait_for_pods(
    cluster: ClusterHandle | ApiClient,
    namespace: str,
    selector: str,
    timeout_s: float,
    *,
    count: int = 1,
    tolerated_restarts: int = TOLERATED_RESTARTS,
    log_lines: int = LOG_LINES,
    clock: Clock = SYSTEM_CLOCK,
) -> tuple[str, ...]:
    """Return the names of at least `count` ready pods that match a label selector.

    Args:
        cluster: where.
        namespace: the pods' namespace.
        selector: label selector, e.g. ``app=test-ml-score-api``.
        timeout_s: seconds until the wait gives up.
        count: how many must be ready.
        tolerated_restarts: crashes of one container that are forgiven.
        log_lines: lines of the crashed container's log put into the error.
        clock: the clock of the deadline.

    Raises:
        RolloutError: the pods that are there will not become ready, or did not in time.
    """
    deadline = Deadline(timeout_s, clock)
    core = f"/api/v1/namespaces/{namespace}"
    patience = Patience(tolerated_restarts, timeout_s / 2)
    sources = (Source("pods", f"{core}/pods", {"labelSelector": selector}), Source("events", f"{core}/events"))
    standing: dict[tuple[str, str, str], float] = {}
    attempted = f"see {count} ready pods '{selector}' in namespace '{namespace}' within {timeout_s:g} s"
    with reading(cluster) as reader, Follower(reader, sources) as follower:
        pause_s = timeout_s
        while True:
            follower.wait_for_news(pause_s)
            pods = [pod for pod in follower.items("pods") if "deletionTimestamp" not in pod["metadata"]]
            ready = tuple(sorted(pod["metadata"]["name"] for pod in pods if _is_ready(pod)))
            if len(ready) >= count:
                return ready
            findings = [
                finding
                for pod in pods
                for finding in hopeless.find({"kind": "Pod"}, [pod], follower.items("events"), patience)
            ]
            now = deadline.elapsed_s()
            standing = {finding.key: standing.get(finding.key, now) for finding in findings}
            due = {finding.key: standing[finding.key] + finding.settle_s - now for finding in findings}
            final = next((finding for finding in findings if due[finding.key] <= 0), None)
            if final or deadline.has_passed():
                finding = final or next(iter(findings), Finding("Timeout", f"{len(ready)} are ready", 0.0))
                log = _log_of(reader, finding, namespace, log_lines) if finding.container else ""
                states = [_state_of(pod) for pod in pods] or ["there are no such pods"]
                seen = "\n".join([finding.seen, f"after {now:.1f} s:", *states, *([log] if log else [])])
                raise RolloutError(attempted, reason=finding.reason, seen=seen, hint=finding.hint, log=log)
            pause_s = min([*due.values(), deadline.remaining_s()])


def _is_ready(pod: Body) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def wait_for_deletion(
    cluster: ClusterHandle | ApiClient,
    refs: Iterable[ResourceRef],
    timeout_s: float,
    *,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Return when none of the objects is there any more.

    Raises:
        WaitTimeoutError: some are; `last` names them, the message says what holds each.
    """
    deadline = Deadline(timeout_s, clock)
    wanted = tuple(refs)
    with reading(cluster) as reader:
        for ref in wanted:
            last = reader.find(ref)
            if last is None:
                continue
            source = Source("object", reader.collection(ref), {"fieldSelector": f"metadata.name={ref.name}"})
            # By uid: an object made anew under the same name is not the one that was to go.
            if _watch_until(reader, source, deadline, partial(_is_gone, last["metadata"]["uid"])):
                continue
            left = [(other, body) for other in wanted if (body := reader.find(other)) is not None]
            if left:
                raise WaitTimeoutError(
                    f"see {', '.join(str(other) for other, _ in left)} deleted",
                    timeout_s=timeout_s,
                    last=tuple(other for other, _ in left),
                    seen="\n".join(f"{other}: {_what_holds(body)}" for other, body in left),
                    hint="see what holds each of them; finalizers wait for the controller that set them",
                )


def _is_gone(uid: str, items: Mapping[str, Body]) -> bool:
    return uid not in items


def _watch_until(
    reader: ApiReader, source: Source, deadline: Deadline, done: Callable[[Mapping[str, Body]], bool]
) -> bool:
    """Follow one list until `done` holds of its items by uid; return False when the deadline passes first."""
    with Follower(reader, (source,)) as follower:
        while not deadline.has_passed():
            follower.wait_for_news(deadline.remaining_s())
            if follower.is_complete() and done({item["metadata"]["uid"]: item for item in follower.items(source.name)}):
                return True
    return False


def _what_holds(body: Body) -> str:
    """Why an object that is being deleted is still there."""
    metadata = body["metadata"]
    if "deletionTimestamp" not in metadata:
        return "nobody has deleted it"
    holds = [
        f"finalizer '{name}'" for name in (*metadata.get("finalizers", ()), *body.get("spec", {}).get("finalizers", ()))
    ]
    holds += [
        item["message"]
        for item in body.get("status", {}).get("conditions", ())
        if item.get("status") == "True" and item.get("message")
    ]
    if metadata.get("deletionGracePeriodSeconds"):
        holds.append(f"a grace period of {metadata['deletionGracePeriodSeconds']} s")
    return "; ".join(holds) or "it is being deleted"


def wait_for_load_balancer(
    cluster: ClusterHandle | ApiClient,
    service: ResourceRef,
    timeout_s: float,
    *,
    clock: Clock = SYSTEM_CLOCK,
) -> str:
    """Return the address (IP, else host name) a Service of type LoadBalancer was given.

    Never stops early: a cloud's balancer may take minutes and says nothing meanwhile.

    Raises:
        DeployError: there is no such Service, or it is of another type.
        WaitTimeoutError: it got no address; the message tells what its events say, or that nobody answered.
    """
    deadline = Deadline(timeout_s, clock)
    attempted = f"get a load balancer's address for {service}"
    with reading(cluster) as reader:
        body = reader.find(service)
        if body is None:
            raise DeployError(attempted, seen="there is no such Service", hint="expose it first, or correct its name")
        if body["spec"].get("type") != "LoadBalancer":
            raise DeployError(
                attempted, seen=f"its type is {body['spec'].get('type')}", hint="expose it as type LoadBalancer"
            )
        source = Source("object", reader.collection(service), {"fieldSelector": f"metadata.name={service.name}"})
        seen: list[str] = [_address(body)]

        def has_address(items: Mapping[str, Body]) -> bool:
            seen[0] = next((_address(item) for item in items.values()), "")
            return bool(seen[0])

        if seen[0] or _watch_until(reader, source, deadline, has_address):
            return seen[0]
        events = reader.get(
            f"/api/v1/namespaces/{service.namespace or 'default'}/events",
            fieldSelector=f"involvedObject.uid={body['metadata']['uid']}",
        )["items"]
        raise WaitTimeoutError(
            attempted,
            timeout_s=timeout_s,
            last=None,
            seen="\n".join(map(_event_line, events)) or "no address, and no controller said a word about it",
            hint="see the controller's log: its address pool may be used up"
            if events
            else "the cluster seems to have no load balancer controller: ask for one (ClusterSpec.load_balancer), "
            "or reach the Service another way",
        )


def _address(service: Body) -> str:
    for ingress in service.get("status", {}).get("loadBalancer", {}).get("ingress", ()):
        if address := ingress.get("ip") or ingress.get("hostname"):
            return str(address)
    return ""
