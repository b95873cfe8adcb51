"""What every way of deploying returns, and what can be done with it whichever way it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from harness.cleanup import CleanupStack


@dataclass(frozen=True)
class ResourceRef:
    """One Kubernetes object.

    Args:
        kind: e.g. ``Deployment``.
        name: the object's name.
        namespace: its namespace; empty for cluster-scoped objects.
        api_version: e.g. ``apps/v1``.
    """

    kind: str
    name: str
    namespace: str = ""
    api_version: str = "v1"

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}" + (f" in namespace '{self.namespace}'" if self.namespace else "")


@dataclass(frozen=True)
class Release:
    """What one deployment made.

    Args:
        name: the release's name (Helm's word; for manifests and kubectl the main object's name).
        namespace: the namespace it lives in.
        method: ``kubectl``, ``manifests`` or ``helm``.
        resources: the objects it made, in the order they were made.
        manifest: the documents as applied, parsed.
        notes: text meant for the user (Helm's NOTES.txt).
        revision: Helm's revision, 1 elsewhere.
    """

    name: str
    namespace: str
    method: str
    resources: tuple[ResourceRef, ...] = ()
    manifest: tuple[Mapping[str, Any], ...] = ()
    notes: str = ""
    revision: int = 1
    details: Mapping[str, Any] = field(default_factory=dict)


class Deployer(Protocol):
    """What all ways of deploying have in common; how a release comes about is each one's own."""

    def wait(self, release: Release, *, timeout_s: float | None = None) -> None:
        """Return when every workload of the release has rolled out; see :mod:`harness.deploy.rollout`."""

    def delete(self, release: Release, *, timeout_s: float | None = None) -> None:
        """Return when the release's objects and their pods are gone; nothing to do when they are already."""

    def close(self) -> None:
        """Delete every release that is still there and give up the connection to the cluster."""


class Witness(Protocol):
    """Told what one deployer does, so that a failure's evidence can show it."""

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """Hear that the deployer waits, e.g. to ``roll out release 'app'``, while the block runs."""

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
