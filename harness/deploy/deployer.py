"""What the ways of deploying have in common: protocol, witness, and what a deployer of Kubernetes objects does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

from kubernetes.client import ApiClient

from harness.cleanup import CleanupStack
from harness.cluster.provider import ClusterHandle
from harness.commands import kubectl
from harness.deploy import seldon_rollout
from harness.deploy.release import Release
from harness.deploy.rollout import wait_for_deletion, wait_for_release
from harness.deploy.watching import reading
from harness.process.runner import Runner
from harness.settings.model import DeploySettings
from harness.wait import Deadline


class Deployer(Protocol):
    """What all ways of deploying have in common; how a release comes about is each one's own."""

    def wait(self, release: Release, *, timeout_s: float | None = None) -> None:
        """Return when every workload of the release has rolled out; see :mod:`harness.deploy.rollout`."""

    def delete(self, release: Release, *, timeout_s: float | None = None) -> None:
        """Return when the release's objects and their pods are gone; nothing to do when they are already."""

    def close(self) -> None:
        """Delete every release that is still there and give up the connection to the cluster."""


@dataclass(frozen=True)
class Log:
    """Where the lines of a long operation go while it runs.

    Args:
        path: the file they are in afterwards; empty where nobody keeps them.
        write: takes one line.
    """

    path: str
    write: Callable[[str], None]


class Witness(Protocol):
    """Told what one deployer does, so that a failure's evidence can show it."""

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """Hear that the deployer waits, e.g. to ``roll out release 'app'``, while the block runs."""

    def log(self, name: str) -> AbstractContextManager[Log]:
        """Give a log to what the deployer runs while the block runs, e.g. ``bodywork-workflow``."""

    def deployed(self, release: Release) -> None:
        """Hear of `release` as soon as it was sent, also of one that the cluster then refuses or that never runs."""

    def leaving(self, release: Release) -> None:
        """Hear that `release` failed and is about to be taken back: the last moment to look at its pods."""

    def closed(self) -> None:
        """Hear that the deployer has deleted what it made."""


class NoWitness:
    """A :class:`Witness` that nobody asks afterwards."""

    def waiting(self, what: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's signature
        """See :meth:`Witness.waiting`."""
        return nullcontext()

    def log(self, name: str) -> AbstractContextManager[Log]:  # noqa: ARG002 - the protocol's signature
        """See :meth:`Witness.log`."""
        return nullcontext(Log("", lambda _: None))

    def deployed(self, release: Release) -> None:
        """See :meth:`Witness.deployed`."""

    def leaving(self, release: Release) -> None:
        """See :meth:`Witness.leaving`."""

    def closed(self) -> None:
        """See :meth:`Witness.closed`."""


class LiveReleases:
    """What one deployer has made and not deleted yet; entered before a thing is made, so that nothing is forgotten."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, str, Callable[[], object]]] = []

    def enter(self, namespace: str, name: str, remove: Callable[[], object]) -> Callable[[], None]:
        """Remember how to remove a release that is about to be made; return how to take the entry back.

        An entry is taken back when nothing was made after all; an earlier one of the same name then stays.
        """
        entry = (namespace, name, remove)
        self._entries.append(entry)

        def withdraw() -> None:
            if entry in self._entries:
                self._entries.remove(entry)

        return withdraw

    def forget(self, namespace: str, name: str) -> None:
        """The release is gone."""
        self._entries = [entry for entry in self._entries if entry[:2] != (namespace, name)]

    def remove_all(self) -> None:
        """Remove what is left, last made first.

        Raises:
            CleanupError: some of it could not be removed.
        """
        stack = CleanupStack()
        for entry in self._entries:
            stack.push(f"release '{entry[1]}' in namespace '{entry[0]}'", partial(self._remove, entry))
        stack.close()

    def _remove(self, entry: tuple[str, str, Callable[[], object]]) -> None:
        """Remove one release; Ctrl-C meanwhile leaves its entry to be removed the next time."""
        try:
            entry[2]()
        except Exception:
            self._entries = [one for one in self._entries if one is not entry]
            raise
        self._entries = [one for one in self._entries if one is not entry]


class ClusterDeployer(ABC):
    """A :class:`Deployer` whose releases are objects of one cluster; how they get there is each subclass's own.

    A subclass enters what it makes into ``_live``, tells ``_witness`` of it, and ends its :meth:`delete` with
    :meth:`_wait_until_gone`.

    Args:
        handle: the cluster.
        runner: runs the subclass's programs.
        settings: limits.
        witness: told what is deployed.
    """

    def __init__(
        self, handle: ClusterHandle, runner: Runner, settings: DeploySettings, *, witness: Witness | None = None
    ) -> None:
        self._handle = handle
        self._runner = runner
        self._settings = settings
        self._witness = witness or NoWitness()
        self._live = LiveReleases()

    @cached_property
    def _api(self) -> ApiClient:
        client: ApiClient = self._handle.api_client()
        return client

    def wait(self, release: Release, *, timeout_s: float | None = None) -> None:
        """See :meth:`Deployer.wait`; a SeldonDeployment has rolled out when the operator says Available.

        Raises:
            RolloutError: a workload will not become ready.
            SeldonError: Seldon's operator failed, does not act, or did not finish in time.
        """
        deadline = Deadline(timeout_s or self._settings.rollout_timeout_s)
        with self._witness.waiting(f"roll out {release.method} release '{release.name}'"):
            wait_for_release(self._api, release, deadline.timeout_s)
            for ref in release.resources:
                if ref.kind == seldon_rollout.KIND:
                    seldon_rollout.wait_for_seldon(self._api, ref, deadline.remaining_s(at_least=1.0))

    @abstractmethod
    def delete(self, release: Release, *, timeout_s: float | None = None) -> None:
        """See :meth:`Deployer.delete`."""

    def close(self) -> None:
        """See :meth:`Deployer.close`."""
        try:
            self._live.remove_all()
        finally:
            self._witness.closed()
            if "_api" in self.__dict__:
                self._api.close()  # type: ignore[no-untyped-call] # the client has no types

    def _delete_orphans(self, release: Release, deadline: Deadline) -> None:
        """Delete what Seldon's operator made of SeldonDeployments whose kind is gone, until the pods are gone, too.

        The garbage collector looks for new kinds every 30 seconds. Of one that came and went again in that time it does
        not know that the owners are gone, cannot ask any more ("unable to get REST mapping", seen with Kubernetes
        1.34), and lets the Deployments run on for good.
        """
        models = [ref for ref in release.resources if ref.kind == seldon_rollout.KIND]
        with reading(self._api) as reader:
            orphaning = [ref for ref in models if not reader.knows(ref)]
        for ref in orphaning:
            limit_s = deadline.remaining_s(at_least=1.0)
            selector = f"{seldon_rollout.LABEL_DEPLOYMENT}={ref.name}"
            args = kubectl.delete_labelled(
                seldon_rollout.CHILDREN, selector, namespace=ref.namespace or "default", timeout_s=limit_s
            )
            # The margin is for kubectl to say what it waited for.
            self._runner.run(self._handle.kubectl_command(*args).with_timeout(limit_s + 10)).check()

    def _wait_until_gone(self, release: Release, deadline: Deadline) -> None:
        """Return when the release's objects and their pods are gone; at least a second is left to see it.

        Raises:
            WaitTimeoutError: some are still there; the message says what holds each.
        """
        with self._witness.waiting(f"delete {release.method} release '{release.name}'"):
            wait_for_deletion(self._api, reversed(release.resources), deadline.remaining_s(at_least=1.0))


class LabellingDeployer(ClusterDeployer):
    """A :class:`ClusterDeployer` that has a say in the labels of what it makes: raw commands and pipelines have none.

    Args:
        handle: the cluster.
        runner: runs the subclass's programs.
        settings: limits.
        labels: put on what is deployed, so that it is known who made it; each subclass says on what.
        witness: told what is deployed.
    """

    def __init__(
        self,
        handle: ClusterHandle,
        runner: Runner,
        settings: DeploySettings,
        *,
        labels: Mapping[str, str] | None = None,
        witness: Witness | None = None,
    ) -> None:
        super().__init__(handle, runner, settings, witness=witness)
        self._labels = labels or {}
