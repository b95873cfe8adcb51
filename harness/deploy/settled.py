"""Waiting for what is no workload: claims, load balancers' addresses, custom objects by a condition of theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubernetes.client import ApiClient

from harness.cluster.provider import ClusterHandle
from harness.deploy.release import Release, ResourceRef
from harness.deploy.rollout import wait_for_load_balancer
from harness.deploy.watching import ApiReader, Follower, Source, reading
from harness.errors import RolloutError
from harness.wait import SYSTEM_CLOCK, Clock, Deadline

Body = Mapping[str, Any]

# Conditions that say for good that something failed.
_FAILED = ("Failed", "Stalled")


def wait_until_settled(
    cluster: ClusterHandle | ApiClient,
    release: Release,
    timeout_s: float,
    *,
    conditions: Mapping[str, str] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Return when a release's claims are bound, its load balancers have addresses, its custom objects are as wanted.

    Claims that wait for their first consumer are passed over: the workload that uses them was waited for, or there is
    none. Workloads are :func:`harness.deploy.rollout.wait_for_release`'s business.

    Args:
        cluster: where.
        release: what was deployed.
        timeout_s: seconds for all of it.
        conditions: by kind, the condition that must be ``True``, of the object's present generation where it says so.
        clock: the clock of the deadline.

    Raises:
        RolloutError: something is not; `facts["ref"]` and the message name it.
        WaitTimeoutError: a Service of type LoadBalancer got no address.
    """
    deadline = Deadline(timeout_s, clock)
    wanted = conditions or {}
    with reading(cluster) as reader:
        bodies = {(str(body["kind"]), str(body["metadata"]["name"])): body for body in release.manifest}
        for ref in release.resources:
            body = bodies.get((ref.kind, ref.name), {})
            if ref.kind == "PersistentVolumeClaim":
                if not _waits_for_consumer(reader, ref):
                    _wait(reader, ref, deadline, _claim_problem)
            elif ref.kind == "Service" and (body.get("spec") or {}).get("type") == "LoadBalancer":
                wait_for_load_balancer(cluster, ref, deadline.remaining_s(at_least=1.0), clock=clock)
            elif ref.kind in wanted:
                condition = wanted[ref.kind]
                _wait(reader, ref, deadline, lambda seen, name=condition: _condition_problem(seen, name))  # type: ignore[misc] # mypy types no defaults


def _wait(reader: ApiReader, ref: ResourceRef, deadline: Deadline, problem: Callable[[Body], tuple[str, str]]) -> None:
    """Watch one object until `problem` returns empty words; its second word ends the wait early."""
    attempted, hint = f"see {ref} ready within {deadline.timeout_s:g} s", f"see `kubectl describe` of {ref}"
    source = Source("object", reader.collection(ref), {"fieldSelector": f"metadata.name={ref.name}"})
    with Follower(reader, (source,)) as follower:
        while True:
            follower.wait_for_news(deadline.remaining_s())
            items = follower.items("object")
            if follower.is_complete():
                if not items:
                    raise RolloutError(
                        attempted,
                        reason="Deleted",
                        seen="there is no such object",
                        hint="see who deleted it: another test, the end of a run, an operator",
                        ref=ref,
                    )
                seen, final = problem(items[0])
                if not seen:
                    return
                if final:
                    raise RolloutError(attempted, reason=final, seen=seen, hint=hint, ref=ref)
            if deadline.has_passed():
                seen = problem(items[0])[0] if items else "the API server did not show it in time"
                raise RolloutError(attempted, reason="Timeout", seen=seen, hint=hint, ref=ref)


def _waits_for_consumer(reader: ApiReader, ref: ResourceRef) -> bool:
    claim = reader.find(ref)
    if claim is None or claim.get("status", {}).get("phase") == "Bound":
        return False
    name = claim["spec"].get("storageClassName")
    found = reader.find(ResourceRef("StorageClass", name, "", "storage.k8s.io/v1")) if name else None
    return bool(found and found.get("volumeBindingMode") == "WaitForFirstConsumer")


def _claim_problem(claim: Body) -> tuple[str, str]:
    phase = claim.get("status", {}).get("phase", "Pending")
    if phase == "Bound":
        return "", ""
    return f"its phase is {phase}", "Lost" if phase == "Lost" else ""


def _condition_problem(body: Body, name: str) -> tuple[str, str]:
    status = body.get("status") or {}
    conditions = {str(one.get("type")): one for one in status.get("conditions", ())}
    generation = body["metadata"].get("generation", 0)
    found = conditions.get(name)
    if found is None:
        listed = ", ".join(f"{key}={one.get('status')}" for key, one in conditions.items())
        return f"it has no condition {name}; it has {listed or 'none: no controller has seen to it'}", ""
    observed = found.get("observedGeneration", status.get("observedGeneration", generation))
    if found.get("status") == "True" and observed >= generation:
        return "", ""
    words = ": ".join(str(found[key]) for key in ("reason", "message") if found.get(key))
    final = next((key for key in _FAILED if conditions.get(key, {}).get("status") == "True"), "")
    return f"condition {name} is {found.get('status')}" + (f" ({words})" if words else ""), final
