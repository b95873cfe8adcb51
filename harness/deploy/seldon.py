"""Deploying models as SeldonDeployments, with kubectl, for Seldon's operator to see to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.commands import kubectl
from harness.deploy.deployer import LabellingDeployer
from harness.deploy.manifests import Manifest
from harness.deploy.release import Release, ResourceRef
from harness.deploy.seldon_rollout import (
    API_VERSION,
    KIND,
    LABEL_DEPLOYMENT,
    NO_ENGINE,
    operator_problem,
    service_name,
)
from harness.deploy.watching import reading
from harness.errors import ManifestError, SeldonError, SeldonOperatorError, SeldonRefusedError
from harness.images.reference import ImageRef
from harness.process.outcome import Outcome
from harness.wait import Deadline

# Asks from the start and often, so that a model is ready as soon as it is: the operator's own probe connects to the
# port, for the first time after 20 s. The port's name is the operator's.
READINESS_PROBE: Mapping[str, Any] = {
    "httpGet": {"path": "/health/ping", "port": "http"},
    "periodSeconds": 1,
    "timeoutSeconds": 5,
    "failureThreshold": 3,
}

# Kind, version and path of what the operator makes of a SeldonDeployment.
_CHILDREN = (("Service", "v1", "/api/v1"), ("Deployment", "apps/v1", "/apis/apps/v1"))


@dataclass(frozen=True)
class Predictor:
    """One model behind a SeldonDeployment: a graph of one node, in one container.

    Args:
        image: what to run; it serves Seldon's protocol on the port the operator names.
        name: part of the names of its Service and Deployment.
        replicas: number of pods.
        traffic: percent of the requests, for several predictors; they sum to 100.
        env: variables for the model's server.
        resources: ``requests`` and ``limits``.
        annotations: put on the predictor, its Services and pods.
        container: name of the container and of the graph's node; ``meta.requestPath`` in answers is keyed by it.
        readiness_probe: when the model counts as ready; empty leaves it to the operator.
        lifecycle: hooks of the container; empty leaves it to the operator, whose hook lets a pod live on for 10 s after
            it was told to stop.
    """

    image: ImageRef | str
    name: str = "default"
    replicas: int = 1
    traffic: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    container: str = "model"
    readiness_probe: Mapping[str, Any] = field(default_factory=lambda: READINESS_PROBE)
    lifecycle: Mapping[str, Any] = field(default_factory=dict)

    def body(self, *, no_engine: bool) -> dict[str, Any]:
        """Return the predictor as a SeldonDeployment holds it."""
        container: dict[str, Any] = {
            "name": self.container,
            "image": self.image.name if isinstance(self.image, ImageRef) else self.image,
            "env": [{"name": name, "value": value} for name, value in self.env.items()],
        }
        optional = {
            "resources": self.resources,
            "readinessProbe": self.readiness_probe,
            "lifecycle": self.lifecycle,
        }
        container |= {key: value for key, value in optional.items() if value}
        annotations = {**self.annotations, **({NO_ENGINE: "true"} if no_engine else {})}
        return {
            "name": self.name,
            "replicas": self.replicas,
            **({} if self.traffic is None else {"traffic": self.traffic}),
            **({"annotations": annotations} if annotations else {}),
            "graph": {"name": self.container, "type": "MODEL", "children": []},
            "componentSpecs": [{"spec": {"containers": [container]}}],
        }


@dataclass(frozen=True)
class SeldonDeployment:
    """What to deploy: one model, or several versions of it that share its requests.

    Args:
        name: its name; the gateway serves it under ``/seldon/NAMESPACE/NAME/``.
        predictors: the versions, e.g. ``(Predictor(old, "main", traffic=75), Predictor(new, "canary", traffic=25))``.
        no_engine: leave the executor out, so that each model's own server answers.
        annotations: for the operator and the gateway, e.g. ``{"seldon.io/rest-timeout": "10000"}`` (milliseconds).
    """

    name: str
    predictors: Sequence[Predictor]
    no_engine: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the Kubernetes object."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": self.name},
            "spec": {
                "name": self.name,
                "annotations": dict(self.annotations),
                "predictors": [predictor.body(no_engine=self.no_engine) for predictor in self.predictors],
            },
        }


class SeldonDeployer(LabellingDeployer):
    """Applies SeldonDeployments and waits for what the operator makes of them.

    Args:
        handle: the cluster; Seldon's operator runs in it.
        runner: runs kubectl.
        settings: limits.
        labels: put on every SeldonDeployment, so that it is known who made it.
        witness: told what is deployed.
    """

    def apply(
        self,
        source: SeldonDeployment | Mapping[str, Any] | Path | str,
        *,
        namespace: str = "default",
        wait: bool = True,
        timeout_s: float | None = None,
    ) -> Release:
        """Create a SeldonDeployment or change the one of its name, then wait until it is Available as it now is.

        One that was accepted and does not become Available stays to be looked at, until :meth:`delete` or
        :meth:`close`.

        Args:
            source: what to deploy; or the object, its file, or its text in YAML or JSON.
            namespace: where, when the object does not say.
            wait: whether to wait.
            timeout_s: limit for that, the settings' by default.

        Raises:
            ManifestError: the document is no SeldonDeployment, or not one alone; nothing was applied.
            SeldonRefusedError: the operator's webhook or the definition of the kind refused it.
            SeldonOperatorError: there is no operator, or it does not answer or act.
            SeldonError: the operator says that it failed.
            RolloutError: a pod will not become ready.
        """
        body = self._read(source, namespace)
        name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
        ref = ResourceRef(KIND, name, namespace, API_VERSION)
        no_engine = all(NO_ENGINE in (item.get("annotations") or {}) for item in body["spec"]["predictors"])
        release = Release(
            name,
            namespace,
            "seldon",
            (ref,),
            (body,),
            details={
                "no_engine": no_engine,
                "services": tuple(service_name(body, item) for item in body["spec"]["predictors"]),
            },
        )
        withdraw = self._live.enter(namespace, name, lambda: self.delete(release))
        outcome = self._runner.run(
            self._handle.kubectl_command(*kubectl.apply(namespace=namespace), stdin=json.dumps(body))
        )
        if not outcome.succeeded:
            if outcome.timed_out or outcome.not_found:
                outcome.check()
            withdraw()  # what was refused was not made, and one that is there already stays as it is
            raise self._refusal(f"apply {ref}", outcome)
        self._witness.deployed(release)
        if not wait:
            return release
        self.wait(release, timeout_s=timeout_s)
        return self._with_children(release)

    def status(self, name: str, *, namespace: str = "default") -> Mapping[str, Any]:
        """Return the status the operator has written, empty when it has not.

        Raises:
            SeldonError: there is no such SeldonDeployment.
        """
        ref = ResourceRef(KIND, name, namespace, API_VERSION)
        with reading(self._api) as reader:
            found = reader.find(ref)
        if found is None:
            hint = "apply it first, or correct its name and namespace"
            raise SeldonError(f"see the status of {ref}", seen="there is no such object", hint=hint)
        status: Mapping[str, Any] = found.get("status", {})
        return status

    def delete(self, release: Release, *, timeout_s: float | None = None) -> None:
        """Delete the SeldonDeployment and return when what the operator made of it, and its pods, are gone.

        Raises:
            WaitTimeoutError: some are not in time; the message says what holds each.
        """
        deadline = Deadline(timeout_s or self._settings.rollout_timeout_s)
        # The pods, too: where the operator went first, nothing else may be left that leads to them.
        whole = self._with_children(release, (*_CHILDREN, ("Pod", "v1", "/api/v1")))
        args = kubectl.delete(
            f"seldondeployments.machinelearning.seldon.io/{release.name}",
            namespace=release.namespace,
            timeout_s=deadline.timeout_s,
        )
        outcome = self._runner.run(self._handle.kubectl_command(*args).with_timeout(deadline.timeout_s + 10))
        told = outcome.stderr
        # Uninstalling the operator takes the kind away and every object of it: then only what it made may be left.
        if not outcome.succeeded and "have a resource type" not in told and "timed out waiting" not in told:
            outcome.check(hint=f"see `kubectl describe` of {release.resources[0]}")
        self._delete_orphans(release, deadline)
        self._wait_until_gone(whole, deadline)
        self._live.forget(release.namespace, release.name)

    def _read(self, source: SeldonDeployment | Mapping[str, Any] | Path | str, namespace: str) -> dict[str, Any]:
        if isinstance(source, SeldonDeployment):
            manifest = Manifest.load([source.body()])
        else:
            manifest = Manifest.load([source] if isinstance(source, Mapping) else source)
        first = manifest.documents[0]
        if len(manifest.documents) != 1 or first.kind != KIND or not first.body.get("spec", {}).get("predictors"):
            kinds = ", ".join(item.kind for item in manifest.documents)
            raise ManifestError(
                "read the SeldonDeployment",
                file=first.file,
                line=first.line,
                seen=f"it holds {kinds}" if kinds != KIND else "its spec.predictors names no model",
                hint="give one SeldonDeployment; apply what else there is with the deployer of manifests",
            )
        body = dict(manifest.with_labels(self._labels).documents[0].body)
        body["metadata"] = {"namespace": namespace, **body["metadata"]}
        return body

    def _with_children(self, release: Release, kinds: Iterable[tuple[str, str, str]] = _CHILDREN) -> Release:
        """Return `release` with what the operator has made of it."""
        selector = f"{LABEL_DEPLOYMENT}={release.name}"
        children = []
        with reading(self._api) as reader:
            for kind, version, path in kinds:
                listed = reader.get(f"{path}/namespaces/{release.namespace}/{kind.lower()}s", labelSelector=selector)
                children += [
                    ResourceRef(kind, item["metadata"]["name"], release.namespace, version) for item in listed["items"]
                ]
        return replace(release, resources=(release.resources[0], *children))

    def _refusal(self, attempted: str, outcome: Outcome) -> SeldonError:
        refusal = next(iter(kubectl.parse_refusals(outcome.stderr)), kubectl.Refusal(outcome.stderr.strip()))
        facts = {"kind": refusal.kind, "name": refusal.name, "field": refusal.field, "reason": refusal.reason}
        told = refusal.message
        # kubectl remembers kinds for a while: of one that was there before only the server knows that it is gone.
        if refusal.reason == "NoMatch" or "could not find the requested resource" in told:
            hint = "install Seldon Core first: its chart defines the kind"
            return SeldonOperatorError(attempted, seen=told, hint=hint, **facts)
        if "failed calling webhook" in told:
            problem = operator_problem(self._api)
            seen = f"{told}\n{problem}" if problem else told
            return SeldonOperatorError(attempted, seen=seen, hint="see the operator's pod and its log", **facts)
        # A webhook's refusal comes under its name, unless it says Invalid: then it looks like the server's own.
        said = re.sub(
            r'^.*?(denied the request: |SeldonDeployment.{0,3}"[^"]*" is invalid: )', "", told, flags=re.DOTALL
        )
        hint = _HINTS.get(refusal.reason, "correct the SeldonDeployment")
        return SeldonRefusedError(attempted, description=said.strip(), seen=told, hint=hint, **facts)


_HINTS = {
    "NotFound": "make the namespace first",
    "Forbidden": "see the namespace's quotas and admission rules, and the user's roles",
}
