"""Clusters of several Kubernetes versions, one after the other: so many at a time, each made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from harness.cluster.provider import ClusterHandle, ClusterSpec

Begin = Callable[[ClusterSpec, str], "Future[ClusterHandle]"]


class ClusterRotation:
    """Gives a run that goes through several versions the cluster of each, in turn.

    Where more than one may be there at a time, the next are begun while the first is worked with.

    Args:
        versions: the minor versions that are needed, in the order they are.
        at_once: how many clusters may be there at a time.
        begin: starts getting a cluster; its second argument tells clusters of one run apart.
        leave: gives a cluster up.
    """

    def __init__(
        self, versions: Sequence[str], at_once: int, *, begin: Begin, leave: Callable[[ClusterHandle], None]
    ) -> None:
        self._versions = tuple(versions)
        self._at_once = at_once
        self._begin = begin
        self._leave = leave
        self._pending: dict[str, Future[ClusterHandle]] = {}

    def start(self, spec: ClusterSpec) -> Future[ClusterHandle]:
        """Return the cluster of `spec`'s version, begun now or before; the next ones are to be of the same form."""
        version = spec.kubernetes
        self._get(spec)
        following = self._versions[self._versions.index(version) + 1 :] if version in self._versions else ()
        for later in following[: max(0, self._at_once - len(self._pending))]:
            self._get(replace(spec, kubernetes=later))
        return self._pending[version]

    def end(self, version: str) -> None:
        """Give the version's cluster up, if it could be had."""
        future = self._pending.pop(version, None)
        if future is not None and not future.cancelled() and future.exception() is None:
            self._leave(future.result())

    def _get(self, spec: ClusterSpec) -> None:
        version = spec.kubernetes
        if version not in self._pending:
            self._pending[version] = self._begin(spec, f"-{version.replace('.', '-')}")
