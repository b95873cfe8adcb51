"""Collects what a cluster says about itself when a test has failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from harness.cluster.provider import ClusterHandle
from harness.commands import kubectl
from harness.deploy.release import Release
from harness.errors import SeatrialError
from harness.process.outcome import Outcome
from harness.process.redact import MASK
from harness.process.runner import Runner
from harness.wait import SYSTEM_CLOCK, Clock, Deadline

# A healthy cluster answers all of it in a second or two; a dead one must not hold up the report of the failure.
COLLECT_TIMEOUT_S = 30.0
# One call may use up a third of that: a hung API server still leaves time for what does not need it.
CALL_TIMEOUT_S = 10.0

# What kubelet answers, as if it were the log, when it knows a container that the container runtime has removed.
_REMOVED_LOG = "unable to retrieve container logs for "

# A file's path below the failure's directory, and its text.
Finding = tuple[str, str]


class Collector(Protocol):
    """Finds out one kind of thing."""

    @property
    def name(self) -> str:
        """What it collects, completing "could not collect ..."."""

    def collect(self, deadline: Deadline) -> Iterator[Finding]:
        """Yield findings as they are made, until the deadline; may raise: what was yielded before is kept."""


def collect(
    collectors: Sequence[Collector],
    directory: Path,
    *,
    redact: Callable[[str], str],
    note: Callable[[str], None],
    timeout_s: float = COLLECT_TIMEOUT_S,
    clock: Clock = SYSTEM_CLOCK,
) -> tuple[Path, ...]:
    """Run every collector and write what they find below `directory`, secrets masked; return the files.

    It raises nothing but what stops the whole program (Ctrl-C): a collector that fails becomes a note, so that the
    failure being reported stays the one that is seen.

    Args:
        collectors: asked in this order; what is worth most comes first.
        directory: where to write.
        redact: masks secrets in a text.
        note: told what could not be collected.
        timeout_s: limit for all of them together.
        clock: the clock the limit is measured on.
    """
    deadline = Deadline(timeout_s, clock)
    written: list[Path] = []
    for collector in collectors:
        if deadline.has_passed():
            note(f"did not collect {collector.name}: {timeout_s:g} s were used up by what came before")
            continue
        try:
            for relative, text in collector.collect(deadline):
                path = directory / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(redact(text), encoding="utf-8", errors="replace")
                written.append(path)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test's own failure must stay the one reported
            note(f"could not collect {collector.name}: {error}")
    return tuple(written)


def cluster_collectors(
    runner: Runner,
    handle: ClusterHandle,
    namespaces: Sequence[str],
    releases: Sequence[Release] = (),
    *,
    log_tail_lines: int,
) -> tuple[Collector, ...]:
    """Return the collectors for some namespaces of a cluster and for what was deployed there.

    Args:
        runner: runs kubectl.
        handle: the cluster.
        namespaces: where to look.
        releases: what was deployed.
        log_tail_lines: log lines kept per container.
    """
    asking = _Kubectl(runner, handle)
    return (
        Manifests(releases),
        *(Events(asking, namespace) for namespace in namespaces),
        *(SeldonDeployments(asking, namespace) for namespace in namespaces),
        *(PodDescriptions(asking, namespace) for namespace in namespaces),
        *(ContainerLogs(asking, namespace, log_tail_lines) for namespace in namespaces),
    )


@dataclass(frozen=True)
class _Kubectl:
    """Asks a cluster through kubectl, never past a deadline."""

    runner: Runner
    handle: ClusterHandle

    def ask(self, args: tuple[str, ...], deadline: Deadline) -> Outcome:
        limit_s = min(CALL_TIMEOUT_S, deadline.remaining_s())
        if limit_s <= 0:
            raise SeatrialError(f"run kubectl {' '.join(args)}", seen="no time left")
        return self.runner.run(self.handle.kubectl_command(*args, timeout_s=limit_s))

    def read(self, args: tuple[str, ...], deadline: Deadline) -> str:
        return self.ask(args, deadline).check().stdout


@dataclass(frozen=True)
class Events:
    """The events of a namespace, oldest first."""

    kubectl: _Kubectl
    namespace: str

    @property
    def name(self) -> str:
        """See :attr:`Collector.name`."""
        return f"events of namespace '{self.namespace}'"

    def collect(self, deadline: Deadline) -> Iterator[Finding]:
        """See :meth:`Collector.collect`."""
        listed = json.loads(self.kubectl.read(kubectl.get("events", namespace=self.namespace), deadline) or "{}")
        events = sorted(listed.get("items", ()), key=_last_seen)
        yield f"{self.namespace}/events.txt", "".join(f"{_event_line(event)}\n" for event in events) or "no events\n"


def _last_seen(event: Mapping[str, Any]) -> str:
    # Events written through events.k8s.io/v1 carry eventTime and leave lastTimestamp null (Kubernetes API, Event v1).
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _event_line(event: Mapping[str, Any]) -> str:
    about = event.get("involvedObject", {})
    count = event.get("count") or 1
    times = f" (x{count})" if count > 1 else ""
    return (
        f"{_last_seen(event)} {event.get('type', '')} {event.get('reason', '')} "
        f"{about.get('kind', '')}/{about.get('name', '')}: {event.get('message', '')}{times}"
    )


@dataclass(frozen=True)
class SeldonDeployments:
    """The SeldonDeployments of a namespace, with the status that Seldon's operator gave each."""

    kubectl: _Kubectl
    namespace: str

    @property
    def name(self) -> str:
        """See :attr:`Collector.name`."""
        return f"SeldonDeployments of namespace '{self.namespace}'"

    def collect(self, deadline: Deadline) -> Iterator[Finding]:
        """See :meth:`Collector.collect`; nothing where the cluster has no such kind or the namespace none of it."""
        kind = "seldondeployments.machinelearning.seldon.io"
        outcome = self.kubectl.ask(kubectl.get(kind, namespace=self.namespace), deadline)
        # The second is the server's word where kubectl remembers a kind that went a moment ago.
        if any(words in outcome.stderr for words in ("have a resource type", "could not find the requested resource")):
            return
        found = json.loads(outcome.check().stdout or "{}").get("items", ())
        if found:
            yield f"{self.namespace}/seldondeployments.yaml", yaml.safe_dump_all(found, sort_keys=False)


@dataclass(frozen=True)
class PodDescriptions:
    """What ``kubectl describe pods`` says about a namespace."""

    kubectl: _Kubectl
    namespace: str

    @property
    def name(self) -> str:
        """See :attr:`Collector.name`."""
        return f"pod descriptions of namespace '{self.namespace}'"

    def collect(self, deadline: Deadline) -> Iterator[Finding]:
        """See :meth:`Collector.collect`."""
        text = self.kubectl.read(kubectl.describe("pods", namespace=self.namespace), deadline)
        yield f"{self.namespace}/pods.txt", text or "no pods\n"


@dataclass(frozen=True)
class ContainerLogs:
    """The logs of every container of a namespace, and of its predecessor where it was restarted."""

    kubectl: _Kubectl
    namespace: str
    tail_lines: int

    @property
    def name(self) -> str:
        """See :attr:`Collector.name`."""
        return f"container logs of namespace '{self.namespace}'"

    def collect(self, deadline: Deadline) -> Iterator[Finding]:
        """See :meth:`Collector.collect`; a container that has no log yet leaves a file that says so."""
        listed = json.loads(self.kubectl.read(kubectl.get("pods", namespace=self.namespace), deadline) or "{}")
        for pod in listed.get("items", ()):
            for container, restarts in _containers(pod):
                name = pod["metadata"]["name"]
                stem = f"{self.namespace}/logs/{name}.{container}"
                yield f"{stem}.log", self._log(name, container, deadline, previous=False)
                if restarts:
                    yield f"{stem}.previous.log", self._log(name, container, deadline, previous=True)

    def _log(self, pod: str, container: str, deadline: Deadline, *, previous: bool) -> str:
        args = kubectl.logs(pod, namespace=self.namespace, container=container, previous=previous, tail=self.tail_lines)
        outcome = self.kubectl.ask(args, deadline)
        if outcome.stdout.startswith(_REMOVED_LOG):
            return "no log: the node has removed that container; it keeps the last one that ended\n"
        return outcome.stdout if outcome.succeeded else f"no log: {outcome.stderr}"


def _containers(pod: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield each container's name with how often it was restarted."""
    status = pod.get("status", {})
    for containers, statuses in (
        ("initContainers", "initContainerStatuses"),
        ("containers", "containerStatuses"),
        ("ephemeralContainers", "ephemeralContainerStatuses"),
    ):
        restarts = {one["name"]: int(one.get("restartCount", 0)) for one in status.get(statuses) or ()}
        for container in pod["spec"].get(containers) or ():
            yield container["name"], restarts.get(container["name"], 0)


@dataclass(frozen=True)
class Manifests:
    """What was deployed, as it was sent to the cluster, the values of Secrets masked."""

    releases: Sequence[Release]

    @property
    def name(self) -> str:
        """See :attr:`Collector.name`."""
        return "rendered manifests"

    def collect(self, deadline: Deadline) -> Iterator[Finding]:  # noqa: ARG002 - nothing here can take long
        """See :meth:`Collector.collect`."""
        # A Deployment and its Service may be releases of the same name; of what was sent twice, the last counts.
        files: dict[str, dict[tuple[str, ...], Mapping[str, Any]]] = {}
        for release in self.releases:
            path = f"{release.namespace or 'cluster'}/{release.name}.{release.method}.yaml"
            for document in release.manifest:
                metadata = document.get("metadata", {})
                key = (str(document.get("kind")), str(metadata.get("namespace")), str(metadata.get("name")))
                files.setdefault(path, {})[key] = document
        for path, documents in files.items():
            yield path, yaml.safe_dump_all([*map(_without_secrets, documents.values())], sort_keys=False)


def _without_secrets(document: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(document, default=str))
    if plain.get("kind") == "Secret":
        for part in ("data", "stringData"):
            if plain.get(part):
                plain[part] = dict.fromkeys(plain[part], MASK)
    return plain
