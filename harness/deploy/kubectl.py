"""Deploying with raw kubectl commands, and switching contexts: the real binary, argument lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cluster.provider import ClusterHandle
from harness.commands import kubectl
from harness.commands.kubectl import Context
from harness.deploy.deployer import ClusterDeployer
from harness.deploy.release import Release, ResourceRef
from harness.errors import ClusterError, DeployError
from harness.images.reference import ImageRef
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import Runner
from harness.wait import Deadline


class KubectlDeployer(ClusterDeployer):
    """Creates, exposes, looks at and deletes with kubectl.

    Args:
        handle: the cluster.
        runner: runs kubectl.
        settings: limits.
        witness: told what is deployed.
    """

    def run(self, *args: str, timeout_s: float | None = None) -> Outcome:
        """Run kubectl with `args` against the cluster and return how it ended, whatever that was."""
        command = self._handle.kubectl_command(*args)
        return self._runner.run(command if timeout_s is None else command.with_timeout(timeout_s))

    def create_deployment(
        self,
        name: str,
        image: ImageRef | str,
        *,
        namespace: str = "default",
        replicas: int = 1,
        port: int | None = None,
        wait: bool = True,
        timeout_s: float | None = None,
    ) -> Release:
        """``kubectl create deployment``, then wait for its rollout.

        When it does not become ready it stays to be looked at, until :meth:`delete` or :meth:`close`.

        Args:
            name: the deployment's name; its pods get the label ``app=<name>``.
            image: what to run.
            namespace: where.
            replicas: number of pods.
            port: container port to declare.
            wait: whether to wait for the rollout.
            timeout_s: limit for that, the settings' by default.

        Raises:
            DeployError: the cluster refused, e.g. because there is one of that name.
            RolloutError: it will not become ready.
        """
        reference = image.name if isinstance(image, ImageRef) else image
        ref = ResourceRef("Deployment", name, namespace, "apps/v1")
        args = kubectl.create_deployment(name, reference, namespace=namespace, replicas=replicas, port=port)
        release = Release(name, namespace, "kubectl", (ref,))
        withdraw = self._live.enter(namespace, name, lambda: self.delete(release))
        body = self._make(args, withdraw, f"create {ref} from image '{reference}'")
        release = replace(release, manifest=(body,))
        self._witness.deployed(release)
        if wait:
            self.wait(release, timeout_s=timeout_s)
        return release

    def expose(
        self,
        deployment: str,
        *,
        port: int,
        namespace: str = "default",
        name: str = "",
        target_port: int | None = None,
        service_type: str = "ClusterIP",
    ) -> Release:
        """``kubectl expose deployment``.

        Args:
            deployment: whose pods the Service selects.
            port: port of the Service.
            namespace: where.
            name: the Service's name, the deployment's by default.
            target_port: port of the container, `port` by default.
            service_type: ``ClusterIP``, ``NodePort`` or ``LoadBalancer``.

        Raises:
            DeployError: the cluster refused, or there is no such deployment.
        """
        ref = ResourceRef("Service", name or deployment, namespace)
        args = kubectl.expose_deployment(
            deployment,
            port=port,
            namespace=namespace,
            name=name,
            target_port=target_port,
            service_type=service_type,
        )
        # A Service may have the deployment's name: its entry must not take the deployment's place.
        release = Release(ref.name, namespace, "kubectl", (ref,), details={"exposes": deployment})
        withdraw = self._live.enter(namespace, f"{ref.name} (service)", lambda: self.delete(release))
        body = self._make(args, withdraw, f"expose deployment '{deployment}' as {ref}")
        release = replace(release, manifest=(body,))
        self._witness.deployed(release)
        return release

    def rollout_status(
        self, name: str, *, namespace: str = "default", kind: str = "deployment", timeout_s: float | None = None
    ) -> str:
        """Return what ``kubectl rollout status`` prints; :meth:`wait` stops early and tells why, this does not."""
        limit_s = timeout_s or self._settings.rollout_timeout_s
        args = kubectl.rollout_status(kind, name, timeout_s=limit_s, namespace=namespace)
        return self.run(*args, timeout_s=limit_s + 10).check().stdout.strip()

    def get(
        self, *resources: str, namespace: str = "default", all_namespaces: bool = False, selector: str = ""
    ) -> tuple[Mapping[str, Any], ...]:
        """Return the objects ``kubectl get`` finds, none when there are none.

        Args:
            resources: ``pods``, ``deployment/NAME``, ``all``...
            namespace: where.
            all_namespaces: look in all of them.
            selector: label selector.
        """
        args = kubectl.get(*resources, namespace=namespace, all_namespaces=all_namespaces, selector=selector)
        outcome = self.run(*args).check()
        if not outcome.stdout.strip():
            return ()
        found = json.loads(outcome.stdout)
        return tuple(found["items"]) if "items" in found else (found,)

    def logs(
        self, target: str, *, namespace: str = "default", container: str = "", previous: bool = False, tail: int = -1
    ) -> str:
        """Return ``kubectl logs`` of ``POD`` or ``KIND/NAME``."""
        args = kubectl.logs(target, namespace=namespace, container=container, previous=previous, tail=tail)
        return self.run(*args).check().stdout

    def describe(self, *resources: str, namespace: str = "default") -> str:
        """Return ``kubectl describe``."""
        return self.run(*kubectl.describe(*resources, namespace=namespace)).check().stdout

    def cluster_info(self) -> str:
        """Return ``kubectl cluster-info``."""
        return self.run(*kubectl.cluster_info()).check().stdout

    def delete(self, release: Release, *, timeout_s: float | None = None) -> None:
        """See :meth:`harness.deploy.deployer.Deployer.delete`."""
        limit_s = timeout_s or self._settings.rollout_timeout_s
        deadline = Deadline(limit_s)
        for ref in reversed(release.resources):
            args = kubectl.delete(f"{ref.kind.lower()}/{ref.name}", namespace=ref.namespace, timeout_s=limit_s)
            outcome = self.run(*args, timeout_s=limit_s + 10)
            if not outcome.succeeded and "timed out waiting" not in outcome.stderr:
                outcome.check(hint=f"see `kubectl describe` of {ref}")
        self._wait_until_gone(release, deadline)
        self._forget(release)

    def _forget(self, release: Release) -> None:
        name = f"{release.name} (service)" if "exposes" in release.details else release.name
        self._live.forget(release.namespace, name)

    def _make(self, args: Sequence[str], withdraw: Callable[[], None], attempted: str) -> Mapping[str, Any]:
        outcome = self.run(*args)
        if outcome.succeeded:
            body: Mapping[str, Any] = json.loads(outcome.stdout)
            return body
        if outcome.timed_out or outcome.not_found:
            outcome.check()
        withdraw()  # what was refused was not made, and what has its name is somebody else's
        refusal = next(iter(kubectl.parse_refusals(outcome.stderr)), kubectl.Refusal(outcome.stderr.strip()))
        raise DeployError(
            attempted,
            seen=refusal.message,
            hint=_HINTS.get(refusal.reason, "correct what it names, or see whether the cluster answers"),
            kind=refusal.kind,
            name=refusal.name,
            field=refusal.field,
            reason=refusal.reason,
        )


_HINTS = {
    "AlreadyExists": "delete it first, or choose another name or namespace",
    "NotFound": "create it first, or correct the name or namespace",
    "Forbidden": "see the namespace's quotas and admission rules, and the user's roles",
}


class Contexts:
    """The contexts of one kubeconfig file of Seatrial's own.

    Args:
        kubeconfig: the file; never the user's.
        kubectl_path: the kubectl to use.
        runner: runs it.
    """

    def __init__(self, kubeconfig: Path, kubectl_path: Path, runner: Runner) -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl_path
        self._runner = runner

    @classmethod
    def gather(cls, handles: Sequence[ClusterHandle], kubeconfig: Path, runner: Runner) -> Contexts:
        """Write the contexts of several clusters into the new file `kubeconfig`, readable by its owner only.

        The first cluster's context becomes the current one.
        """
        kubectl_path = handles[0].kubectl
        # KUBECONFIG holds several files; the first one that sets a value wins.
        command = Command(
            (str(kubectl_path), *kubectl.config_flatten()),
            env={"KUBECONFIG": ":".join(str(handle.kubeconfig) for handle in handles)},
        )
        text = runner.run(command).check().stdout
        kubeconfig.touch(mode=0o600, exist_ok=False)
        kubeconfig.write_text(text, encoding="utf-8")
        contexts = cls(kubeconfig, kubectl_path, runner)
        contexts.use(handles[0].context)
        return contexts

    def run(self, *args: str) -> Outcome:
        """Run kubectl with `args` against the current context."""
        return self._runner.run(Command((str(self._kubectl), *args), env={"KUBECONFIG": str(self.kubeconfig)}))

    def list(self) -> tuple[Context, ...]:
        """Return all contexts."""
        return kubectl.parse_contexts(self.run(*kubectl.config_get_contexts()).check().stdout)

    def current(self) -> str:
        """Return the current context's name."""
        return self.run(*kubectl.config_current_context()).check().stdout.strip()

    def use(self, context: str) -> None:
        """Make `context` the current one.

        Raises:
            ClusterError: there is no such context.
        """
        self._need(context)
        self.run(*kubectl.config_use_context(context)).check()

    def set_namespace(self, context: str, namespace: str) -> None:
        """Give `context` a default namespace; empty takes it away.

        Raises:
            ClusterError: there is no such context; kubectl would make a new and useless one.
        """
        self._need(context)
        self.run(*kubectl.config_set_context(context, namespace=namespace)).check()

    def cluster_info(self) -> str:
        """Return ``kubectl cluster-info`` of the current context."""
        return self.run(*kubectl.cluster_info()).check().stdout

    def _need(self, context: str) -> None:
        names = [item.name for item in self.list()]
        if context not in names:
            raise ClusterError(
                f"use context '{context}' of '{self.kubeconfig}'",
                seen=f"it holds {', '.join(names) or 'none'}",
                hint="choose one of these",
            )
