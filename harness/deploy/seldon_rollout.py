"""Waiting, by watching, until Seldon's operator has made of a SeldonDeployment what it asks for.

The operator does not say which generation of a SeldonDeployment its status is about: right after a change the status
still praises what was there before. So what the operator has made is held against what the SeldonDeployment asks for
(:func:`unfinished`), and only then the Deployments and the status count.

Names and labels are those of Seldon Core's operator 1.16.0 (seldondeployment_types.go in
apis/machinelearning.seldon.io/v1, controllers/seldondeployment_controller.go).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import yaml
from kubernetes.client import ApiClient
from kubernetes.utils.quantity import parse_quantity

from harness.cluster.provider import ClusterHandle
from harness.deploy.hopeless import AT_DEADLINE, SETTLE_S, Finding
from harness.deploy.release import ResourceRef
from harness.deploy.rollout import rollout_problem, wait_for_rollout
from harness.deploy.watching import ApiReader, Follower, Source, reading
from harness.errors import RolloutError, SeldonError, SeldonOperatorError
from harness.wait import SYSTEM_CLOCK, Clock, Deadline

Body = Mapping[str, Any]

API_VERSION = "machinelearning.seldon.io/v1"
KIND = "SeldonDeployment"
# On every object the operator makes for a SeldonDeployment and on their pods; the value is its name.
LABEL_DEPLOYMENT = "seldon-deployment-id"
# Kinds of what the operator makes; those that a SeldonDeployment did not ask for are not there.
CHILDREN = "deployments,services,horizontalpodautoscalers,poddisruptionbudgets"
# On a predictor: its pods have no executor.
NO_ENGINE = "seldon.io/no-engine"

_LABEL_SEPARATE_EXECUTOR = "seldon-deployment-contains-svcorch"
_SERVICE_NAME = "seldon.io/svc-name"
_ROUTES = "getambassador.io/config"
_EXECUTOR = "seldon-container-engine"
_OPERATOR = "control-plane=seldon-controller-manager"
# A DNS label; longer names the operator replaces by a digest.
_NAME_MAX = 63
# What the operator puts into every model's container.
_OWN_VARIABLES = ("PREDICTIVE_UNIT_", "PREDICTOR_", "SELDON_", "MLSERVER_")
# An idle operator acts within a fraction of a second. One that was just restarted waits up to 15 s for the lock of the
# one before it (controller-runtime's lease duration), and says nothing meanwhile.
SILENCE_S = 30.0


def wait_for_seldon(
    cluster: ClusterHandle | ApiClient, ref: ResourceRef, timeout_s: float, *, clock: Clock = SYSTEM_CLOCK
) -> tuple[ResourceRef, ...]:
    """Return when a SeldonDeployment is Available as it now is; the result is what the operator made for it.

    Args:
        cluster: where.
        ref: the SeldonDeployment.
        timeout_s: seconds until the wait gives up.
        clock: the clock of the deadline.

    Raises:
        RolloutError: the pods of one of its Deployments will not become ready; `reason` is Kubernetes' word for why.
        SeldonOperatorError: there is no operator, or it does not act.
        SeldonError: the operator says that it failed, or did not finish in time.
    """
    with reading(cluster) as reader:
        wait = _Wait(cluster, reader, ref, Deadline(timeout_s, clock))
        while True:
            deployments = wait.run(is_available=False)
            try:
                for name in deployments:
                    one = ResourceRef("Deployment", name, ref.namespace or "default", "apps/v1")
                    wait_for_rollout(cluster, one, wait.deadline.remaining_s(), clock=clock)
            except RolloutError as error:
                # The operator makes a Deployment anew when its labels change, e.g. with or without executor.
                if error.reason != "Deleted" or wait.deadline.has_passed():
                    raise
                continue
            wait.run(is_available=True)
            return wait.made()


class _Wait:
    """One wait for one SeldonDeployment."""

    def __init__(
        self, cluster: ClusterHandle | ApiClient, reader: ApiReader, ref: ResourceRef, deadline: Deadline
    ) -> None:
        self.deadline = deadline
        self._cluster = cluster
        self._reader = reader
        self._ref = ref
        self._namespace = ref.namespace or "default"
        self._standing: dict[tuple[str, str, str], float] = {}
        self._deployment: Body = {}
        self._children: tuple[Body, ...] = ()

    def made(self) -> tuple[ResourceRef, ...]:
        """What the operator had made when :meth:`run` returned, Services first as it makes them."""
        children = sorted(self._children, key=lambda item: item["kind"] != "Service")
        return tuple(
            ResourceRef(item["kind"], item["metadata"]["name"], self._namespace, item["apiVersion"])
            for item in children
        )

    def run(self, *, is_available: bool) -> tuple[str, ...]:
        """Return the names of the Deployments once the operator has done its part, and says Available if asked for."""
        core, apps = f"/api/v1/namespaces/{self._namespace}", f"/apis/apps/v1/namespaces/{self._namespace}"
        sources = (
            Source("self", self._reader.collection(self._ref), {"fieldSelector": f"metadata.name={self._ref.name}"}),
            Source("services", f"{core}/services", {"labelSelector": LABEL_DEPLOYMENT}),
            Source("deployments", f"{apps}/deployments", {"labelSelector": LABEL_DEPLOYMENT}),
            Source("events", f"{core}/events", {"fieldSelector": f"involvedObject.name={self._ref.name}"}),
        )
        with Follower(self._reader, sources) as follower:
            pause_s = self.deadline.remaining_s()
            while True:
                follower.wait_for_news(pause_s)
                if follower.is_complete():
                    missing = self._missing(follower, is_available=is_available)
                    if not missing:
                        return tuple(
                            item["metadata"]["name"] for item in self._children if item["kind"] == "Deployment"
                        )
                    pause_s = self._judge(missing, follower)
                elif self.deadline.has_passed():
                    raise self._error(Finding("Timeout", "the API server did not show it in time", 0.0), follower)

    def _missing(self, follower: Follower, *, is_available: bool) -> str:
        """What is not there yet, empty when all is."""
        self._deployment = next(iter(follower.items("self")), {})
        if not self._deployment:
            raise SeldonError(
                self._attempted(),
                seen="the object was deleted meanwhile, or was never there",
                hint="apply it first, or see who deleted it: another test, the end of a run",
            )
        uid = self._deployment["metadata"]["uid"]
        deployments = _owned(follower.items("deployments"), uid)
        services = _owned(follower.items("services"), uid)
        self._children = (*services, *deployments)
        missing = unfinished(self._deployment, deployments, services)
        if not missing and is_available and self._state() != "Available":
            missing = f"its state is {self._state() or 'not set'}"
        return missing

    def _state(self) -> str:
        return str(self._deployment.get("status", {}).get("state", ""))

    def _description(self) -> str:
        return str(self._deployment.get("status", {}).get("description", ""))

    def _judge(self, missing: str, follower: Follower) -> float:
        """Raise when waiting is of no use; return the seconds after which to look again though nothing changed."""
        findings = list(self._findings(missing))
        now = self.deadline.elapsed_s()
        self._standing = {finding.key: self._standing.get(finding.key, now) for finding in findings}
        due = {finding.key: self._standing[finding.key] + finding.settle_s - now for finding in findings}
        for finding in findings:
            if due[finding.key] <= 0:
                self._raise(finding, follower)
        if self.deadline.has_passed():
            self._raise(findings[0], follower)
        return min([*due.values(), self.deadline.remaining_s()])

    def _findings(self, missing: str) -> Iterator[Finding]:
        if self._state() == "Failed":
            # The operator tries again what the API server refused it, at growing intervals, and says Failed meanwhile:
            # also for what two of its own steps have in each other's way.
            hint = "see the operator's log and the SeldonDeployment's events"
            yield Finding("Failed", self._description() or "the operator gives no description", SETTLE_S, hint)
        elif not self._state():
            yield Finding("Silence", f"the operator has not said a word: {missing}", SILENCE_S)
        else:
            yield Finding("Unfinished", missing, AT_DEADLINE)

    def _raise(self, finding: Finding, follower: Follower) -> None:
        if finding.reason == "Failed":
            raise self._error(finding, follower)
        problem = operator_problem(self._cluster)
        if problem is not None or finding.reason == "Silence":
            seen = problem or f"{finding.seen}, though one is running"
            hint = "install Seldon Core first, or see its pods and log: kubectl get pods -A -l " + _OPERATOR
            raise SeldonOperatorError(
                self._attempted(), state=self._state(), description=self._description(), seen=seen, hint=hint
            )
        raise self._error(finding, follower)

    def _attempted(self) -> str:
        return f"see {self._ref} Available within {self.deadline.timeout_s:g} s"

    def _error(self, finding: Finding, follower: Follower) -> SeldonError:
        events = tuple(
            f"{item.get('type', '')} {item.get('reason', '')}: {item.get('message', '')}"
            for item in follower.items("events")
            if item.get("involvedObject", {}).get("kind") == KIND
        )
        warnings = [event for event in events if event.startswith("Warning")]
        lines = [
            finding.seen,
            f"after {self.deadline.elapsed_s():.1f} s: its state is {self._state() or 'not set'}",
            *warnings[-3:],
        ]
        return SeldonError(
            self._attempted(),
            state=self._state(),
            description=self._description(),
            seen="\n".join(lines),
            hint=finding.hint or "see the operator's log, or allow more time",
            events=events,
            waited_s=self.deadline.elapsed_s(),
        )


def _owned(items: Sequence[Body], uid: str) -> tuple[Body, ...]:
    return tuple(
        item for item in items if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences", ()))
    )


def _staying(items: Sequence[Body]) -> dict[str, Body]:
    """Items by name, without those that are being deleted."""
    return {item["metadata"]["name"]: item for item in items if "deletionTimestamp" not in item["metadata"]}


def operator_problem(cluster: ClusterHandle | ApiClient) -> str | None:
    """Say why no operator acts, as far as its Deployment shows; ``None`` when one runs."""
    with reading(cluster) as reader:
        found = reader.get("/apis/apps/v1/deployments", labelSelector=_OPERATOR)["items"]
    if not found:
        return "there is no operator in this cluster"
    if any(item.get("status", {}).get("availableReplicas") for item in found):
        return None
    metadata = found[0]["metadata"]
    ref = ResourceRef("Deployment", metadata["name"], metadata["namespace"], "apps/v1")
    problem = rollout_problem(cluster, ref)
    return f"the operator's {ref} has no pod that is ready" + (f": {problem.seen}" if problem else "")


# --- what the operator has made, held against what is asked for -------------------------------------------------------


def unfinished(deployment: Body, deployments: Sequence[Body], services: Sequence[Body]) -> str:
    """Return what of a SeldonDeployment's spec the operator has not carried out yet, empty when it has.

    What the API server and the operator add is left out of account. Not noticed is that a probe or a hook was taken
    away again: the operator then puts its own in the place.

    Args:
        deployment: the SeldonDeployment.
        deployments: the Deployments it owns.
        services: the Services it owns.
    """
    named, served = _staying(deployments), _staying(services)
    wanted: set[str] = set()
    spec = deployment["spec"]
    for index, predictor in enumerate(spec["predictors"]):
        service = service_name(deployment, predictor)
        wanted.add(f"service '{service}'")
        if service not in served:
            return f"service '{service}' is not there"
        if index and (why := _weight_differs(served[service], predictor)):
            return f"service '{service}': {why}"
        for position, component in enumerate(predictor.get("componentSpecs") or ()):
            if not component.get("spec", {}).get("containers"):
                continue
            name = deployment_name(deployment, predictor, position)
            wanted.add(f"deployment '{name}'")
            for container in component["spec"]["containers"]:
                of_container = _short(f"{deployment['metadata']['name']}-{predictor['name']}-{container['name']}")
                wanted.add(f"service '{of_container}'")
            if name not in named:
                return f"deployment '{name}' is not there"
            if why := _differs(named[name], spec, predictor, component):
                return f"deployment '{name}' is not of the present spec: {why}"
    # What is made for a model server that comes with Seldon, without a componentSpec, is not known beforehand.
    known = all(predictor.get("componentSpecs") for predictor in spec["predictors"])
    return _surplus((*services, *deployments), wanted) if known else ""


def _surplus(children: Sequence[Body], wanted: Collection[str]) -> str:
    """What an earlier spec has left; the Service of a predictor that went still has its route while its pods end."""
    for item in children:
        name = f"{item['kind'].lower()} '{item['metadata']['name']}'"
        is_other = _LABEL_SEPARATE_EXECUTOR in item["metadata"].get("labels", {}) or name.endswith("-explainer'")
        if name not in wanted and not is_other:
            return f"{name} of an earlier spec is still there"
    return ""


def deployment_name(deployment: Body, predictor: Body, position: int) -> str:
    """Return the name the operator gives to the Deployment of a predictor's componentSpec, counted from 0."""
    component = predictor["componentSpecs"][position]
    containers = "-".join(item["name"] for item in component["spec"]["containers"])
    last = component.get("metadata", {}).get("name") or containers
    return _short(f"{deployment['metadata']['name']}-{predictor['name']}-{position}-{last}")


def service_name(deployment: Body, predictor: Body) -> str:
    """Return the name the operator gives to a predictor's Service."""
    own = (predictor.get("annotations") or {}).get(_SERVICE_NAME)
    return str(own or _short(f"{deployment['metadata']['name']}-{predictor['name']}"))


def _short(name: str) -> str:
    if len(name) <= _NAME_MAX:
        return name
    return f"seldon-{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}"


def _weight_differs(service: Body, predictor: Body) -> str:
    """The first predictor's route has no weight: Ambassador gives it what the others leave."""
    config = service["metadata"].get("annotations", {}).get(_ROUTES)
    if config is None:
        return ""
    for mapping in yaml.safe_load_all(config):
        if mapping and mapping.get("kind") == "Mapping" and mapping.get("weight", 0) != predictor.get("traffic", 0):
            return f"its route has weight {mapping.get('weight', 0)}, asked for is {predictor.get('traffic', 0)}"
    return ""


def _differs(found: Body, spec: Body, predictor: Body, component: Body) -> str:
    replicas = next((part["replicas"] for part in (component, predictor, spec) if part.get("replicas") is not None), 1)
    scaled = component.get("hpaSpec") or component.get("kedaSpec")
    if not scaled and found["spec"].get("replicas", 1) != replicas:
        return f"it has {found['spec'].get('replicas', 1)} replicas, asked for are {replicas}"
    template = found["spec"]["template"]
    annotations = template["metadata"].get("annotations") or {}
    wanted = predictor.get("annotations") or {}
    for key in {*wanted, NO_ENGINE}:
        if annotations.get(key) != wanted.get(key):
            return f"its annotation {key} is {annotations.get(key)!r}, asked for is {wanted.get(key)!r}"
    containers = {item["name"]: item for item in template["spec"]["containers"]}
    for want in component["spec"]["containers"]:
        have = containers.get(want["name"])
        if have is None:
            return f"it has no container '{want['name']}'"
        if why := _container_differs(want, have):
            return f"container '{want['name']}': {why}"
    gone = {name for name in containers if name != _EXECUTOR} - {
        item["name"] for item in component["spec"]["containers"]
    }
    return f"it still has container '{min(gone)}'" if gone else ""


def _container_differs(want: Body, have: Body) -> str:
    variables = {item["name"]: item for item in want.get("env") or ()}
    for item in have.get("env") or ():
        if item["name"] not in variables and not item["name"].startswith(_OWN_VARIABLES):
            return f"it still has variable {item['name']}"
    for section in ("requests", "limits"):
        asked = _quantities((want.get("resources") or {}).get(section))
        given = _quantities((have.get("resources") or {}).get(section))
        if asked != given:
            return f"its resources.{section} differ"
    for key, value in want.items():
        if key != "resources" and not _is_within(value, have.get(key)):
            return f"its {key} differs"
    return ""


def _quantities(section: Mapping[str, Any] | None) -> dict[str, Any]:
    # The API server writes quantities its own way: 0.5 becomes 500m.
    return {
        name: parse_quantity(value)  # type: ignore[no-untyped-call] # the client has no types
        for name, value in (section or {}).items()
    }


def _is_within(want: Any, have: Any) -> bool:
    """Whether `have` is `want`, perhaps with defaults filled in."""
    if want in (None, "", [], {}, 0, False):
        return True
    if isinstance(want, Mapping):
        return isinstance(have, Mapping) and all(_is_within(value, have.get(key)) for key, value in want.items())
    if isinstance(want, list):
        if not isinstance(have, list):
            return False
        if all(isinstance(item, Mapping) and "name" in item for item in (*want, *have)):
            named = {item["name"]: item for item in have}
            return all(_is_within(item, named.get(item["name"])) for item in want)
        return len(want) == len(have) and all(_is_within(one, other) for one, other in zip(want, have, strict=True))
    return bool(want == have)
