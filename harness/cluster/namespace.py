"""A namespace per test, and the fixed ones that tests take turns with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from harness.cleanup import CleanupStack
from harness.cluster.provider import ClusterHandle
from harness.cluster.state import state_errors
from harness.cluster.watching import Objects, watch_until
from harness.errors import ClusterError, WaitTimeoutError
from harness.naming import LABEL_OWNER, LABEL_OWNER_HOST, LABEL_RUN, Run, dns_label, owner_host, owner_is_alive
from harness.wait import Deadline, wait_until

_CONFLICT, _NOT_FOUND = 409, 404

# A test's pods have nothing to save: they get one second instead of Kubernetes' thirty to end by themselves.
_POD_GRACE_S = 1

# Waiting for another run to end, which cannot be watched, look this often.
_LOOK_AGAIN_S = 0.5

# Conditions of a namespace that is being deleted: what is left in it, and which finalizers hold that.
_BLOCKERS = ("NamespaceContentRemaining", "NamespaceFinalizersRemaining", "NamespaceDeletionContentFailure")


class NamespaceFactory:
    """Makes and removes namespaces of one cluster.

    Args:
        handle: the cluster.
        run: who makes them.
        cleanup: gets the removal of every namespace before it is made.
        lock_dir: where runs on this host lock fixed names against each other.
        disposable: whether this run made the cluster and removes it when it ends, and its namespaces with it.
        timeout_s: limit for a namespace to become usable, and for it to be gone.
    """

    def __init__(
        self,
        handle: ClusterHandle,
        *,
        run: Run,
        cleanup: CleanupStack,
        lock_dir: Path,
        disposable: bool = False,
        timeout_s: float = 120.0,
    ) -> None:
        self._handle = handle
        self._run = run
        self._cleanup = cleanup
        self._lock_dir = lock_dir
        self._disposable = disposable
        self._timeout_s = timeout_s
        self._taken: set[str] = set()
        self._registered: set[str] = set()

    def create(self, test_name: str) -> str:
        """Make a fresh namespace named after a test and this run; return its name once pods can be made in it."""
        name = self._unused(dns_label(test_name, self._run.own_id))
        self._register(name)
        self._make(name)
        return name

    def remove_abandoned(self) -> None:
        """Begin to remove the namespaces of runs of this host that were killed; those of others stay."""
        with closing(self._handle.api_client()) as api:
            try:
                selector = f"{LABEL_RUN},{LABEL_OWNER_HOST}={owner_host()}"
                found: Any = client.CoreV1Api(api).list_namespace(label_selector=selector)
            except (ApiException, HTTPError):
                return  # who may not list them, or gets no answer, hears of it when making one
        for metadata in [item.metadata for item in found.items]:
            if not owner_is_alive(metadata.labels.get(LABEL_OWNER, "")):
                self._register(metadata.name)
                self.delete(metadata.name, wait=False)

    @contextmanager
    def turn(self, name: str) -> Iterator[str]:
        """Have the name `name` to oneself while the block runs, for a deployment that makes the namespace itself.

        What an earlier run left of it goes before, and what is there goes after. A namespace that a deployment makes
        bears no label of Seatrial's: that the name was taken is written down beside the cluster, until it is given
        back. In a cluster that is this run's alone, whatever bears the name is the run's.

        Runs of one cache take turns by a lock. One that has another cache, or is on another host, is known by the
        labels of its namespace, which stays until that run has removed it, or is known to have ended: its process is
        gone, or it took the name with this lock and has it no more.

        Raises:
            ClusterError: somebody else's namespace bears the name, or another run does not give it back in time.
        """
        with self._turn(name) as claim, CleanupStack() as cleanup:
            self._remove_leftover(name, claim)
            with state_errors(f"write down that namespace '{name}' is taken", claim.parent):
                claim.write_text(_owner(self._run.labels()), encoding="utf-8")
            self._register(name)
            cleanup.push(f"namespace '{name}' of cluster '{self._handle.name}'", partial(self._give_back, name, claim))
            yield name

    @contextmanager
    def fixed(self, name: str) -> Iterator[str]:
        """Have namespace `name` to oneself while the block runs; it is made anew before, and going away after.

        Raises:
            ClusterError: as for :meth:`turn`.
        """
        with self.turn(name):
            self._make(name)
            yield name

    def delete(self, name: str, *, wait: bool = True) -> None:
        """Remove a namespace with all that is in it; nothing to do when it is not there.

        Kubernetes lets five seconds pass before it looks at what is in it (namespaceDeletionGracePeriod of the
        namespace controller), so a test's end removes without waiting and the run's end waits for all of them at once.

        Args:
            name: the namespace.
            wait: whether to return only when it is gone.

        Raises:
            ClusterError: the cluster does not let this user remove it.
            ClusterNotReadyError: something in it will not go; the error names what.
        """
        with closing(self._handle.api_client()) as api:
            core = client.CoreV1Api(api)
            try:
                core.delete_namespace(name)
                core.delete_collection_namespaced_pod(name, grace_period_seconds=_POD_GRACE_S)
            except ApiException as error:
                # 409: it is being deleted already.
                if error.status not in {_NOT_FOUND, _CONFLICT}:
                    raise _refused(f"remove namespace '{name}' of cluster '{self._handle.name}'", error) from error
            except HTTPError as error:
                raise _refused(f"remove namespace '{name}' of cluster '{self._handle.name}'", error) from error
            if wait:
                watch_until(
                    partial(core.list_namespace, field_selector=f"metadata.name={name}"),
                    what=f"remove namespace '{name}' of cluster '{self._handle.name}'",
                    done=lambda found: not found,
                    describe=describe_blockers,
                    deadline=Deadline(self._timeout_s),
                    hint=f"`kubectl get all,pvc -n {name}` shows what is left; remove finalizers whose owner is gone",
                )

    def _give_back(self, name: str, claim: Path) -> None:
        if self._holder(self._read(name)):
            self._registered.discard(name)  # who has no lock of ours was quicker to make it
        else:
            self.delete(name, wait=False)
        claim.unlink(missing_ok=True)

    def _register(self, name: str) -> None:
        """Have the run's end wait until `name` is gone, unless the whole cluster goes."""
        if self._disposable:
            return
        if not self._registered:
            self._cleanup.push(f"namespaces of cluster '{self._handle.name}'", self._delete_all)
        self._registered.add(name)

    def _delete_all(self) -> None:
        """Remove every namespace of this run: start all removals, then wait, so that they go side by side."""
        with CleanupStack() as each:
            for wait in (True, False):  # a stack runs backwards
                for name in sorted(self._registered):
                    each.push(f"namespace '{name}'", partial(self.delete, name, wait=wait))
        self._registered.clear()

    def _make(self, name: str) -> None:
        metadata = client.V1ObjectMeta(name=name, labels=self._run.labels())
        with closing(self._handle.api_client()) as api:
            core = client.CoreV1Api(api)
            try:
                core.create_namespace(client.V1Namespace(metadata=metadata))
            except (ApiException, HTTPError) as error:
                raise _refused(f"make namespace '{name}' in cluster '{self._handle.name}'", error) from error
            # Pods are refused until the namespace's own service account is there.
            watch_until(
                partial(core.list_namespaced_service_account, name, field_selector="metadata.name=default"),
                what=f"see the default service account of namespace '{name}'",
                done=bool,
                describe=lambda _: "it is not there",
                deadline=Deadline(self._timeout_s),
                hint="the controller manager makes it: is it running?",
            )

    def _unused(self, wanted: str) -> str:
        """Return `wanted`, or with a number behind it when this run has made one of that name."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = dns_label(wanted, str(number))
        self._taken.add(name)
        return name

    def _remove_leftover(self, name: str, claim: Path) -> None:
        """Remove what an earlier run left under a fixed name; what it did not leave is somebody else's.

        Args:
            name: the namespace.
            claim: there when a run took the name and did not give it back; says which.
        """
        claimed = claim.exists()
        found = self._until_free(name, ended=claim.read_text(encoding="utf-8") if claimed else "")
        if found is None:
            return
        labels: Mapping[str, str] = found.metadata.labels or {}
        # A claim is worth something beside a cluster of ours only: another cluster may have the same context's name.
        ours = self._disposable or (claimed and self._handle.provider == "kind")
        labelled = LABEL_RUN in labels and LABEL_OWNER in labels
        if not (ours or labelled or found.metadata.deletion_timestamp):
            raise ClusterError(
                f"make namespace '{name}' anew in cluster '{self._handle.name}'",
                seen="it is there and Seatrial did not make it",
                hint=f"if nobody needs it, remove it yourself with `kubectl delete namespace {name}`, "
                "or use another cluster",
            )
        self.delete(name)

    def _until_free(self, name: str, *, ended: str) -> Any:
        """Return the namespace of that name once no other run can be at work in it, ``None`` when there is none.

        Args:
            name: the namespace.
            ended: the owner that has ended for sure: who had the lock that is had now.
        """
        try:
            return wait_until(
                f"get the turn for namespace '{name}'",
                partial(self._read, name),
                done=lambda found: not self._holder(found, ended=ended),
                timeout_s=self._turn_limit_s,
                poll_interval_s=_LOOK_AGAIN_S,
            )
        except WaitTimeoutError as error:
            raise ClusterError(
                f"get the turn for namespace '{name}' of cluster '{self._handle.name}' within {error.timeout_s:g} s",
                seen=self._holder(error.last),
                hint=f"wait for that run to end, or use another cluster; if it was killed, `kubectl delete namespace "
                f"{name}` removes what it left",
            ) from error

    def _read(self, name: str) -> Any:
        """Return the namespace, ``None`` when there is none of that name."""
        attempted = f"look for namespace '{name}' in cluster '{self._handle.name}'"
        with closing(self._handle.api_client()) as api:
            try:
                return client.CoreV1Api(api).read_namespace(name)
            except ApiException as error:
                if error.status == _NOT_FOUND:
                    return None
                raise _refused(attempted, error) from error
            except HTTPError as error:
                raise _refused(attempted, error) from error

    def _holder(self, found: Any, *, ended: str = "") -> str:
        """Say which other run has a namespace and may still live, or return the empty string.

        What is being removed already nobody has any more, and nobody but this run has anything in a cluster of its own.
        """
        if found is None or found.metadata.deletion_timestamp or self._disposable:
            return ""
        labels: Mapping[str, str] = found.metadata.labels or {}
        if LABEL_RUN not in labels or LABEL_OWNER not in labels or _owner(labels) == ended:
            return ""
        run, owner = f"run '{labels[LABEL_RUN]}'", labels[LABEL_OWNER]
        if labels.get(LABEL_OWNER_HOST) != owner_host():
            return f"{run} of another host or container has it; whether that still lives cannot be seen from here"
        if owner == self._run.labels()[LABEL_OWNER] or not owner_is_alive(owner):
            return ""
        return f"{run}, process {owner.partition('.')[0]} of this host, has it"

    @property
    def _turn_limit_s(self) -> float:
        # The run before may take as long as a whole test, and then has to remove the namespace.
        return 10 * self._timeout_s

    @contextmanager
    def _turn(self, name: str) -> Iterator[Path]:
        """Yield the file that says that the name is taken and was not given back."""
        path = self._lock_dir / f"{dns_label(self._handle.name, name)}.lock"
        lock = FileLock(path)
        attempted = f"get the turn for namespace '{name}' of cluster '{self._handle.name}'"
        try:
            with state_errors(attempted, self._lock_dir):
                self._lock_dir.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=self._turn_limit_s)
        except Timeout as error:
            raise ClusterError(
                f"{attempted} within {self._turn_limit_s:g} s",
                seen=f"another run holds '{lock.lock_file}'",
                hint="wait for that run to end, or use another cluster",
            ) from error
        try:
            yield path.with_suffix(".claim")
        finally:
            lock.release()


def _owner(labels: Mapping[str, str]) -> str:
    return " ".join(labels.get(label, "") for label in (LABEL_RUN, LABEL_OWNER, LABEL_OWNER_HOST))


def _refused(attempted: str, error: ApiException | HTTPError) -> ClusterError:
    if isinstance(error, ApiException):
        seen = f"{error.status} {error.reason}: {error.body}"
        hint = "may this context's user create and delete namespaces?"
        if error.status == _CONFLICT:
            hint = "somebody else made it at the same time: try again"
    else:
        seen, hint = f"the API server does not answer: {error}", "is the cluster still there?"
    return ClusterError(attempted, seen=seen, hint=hint)


def describe_blockers(namespaces: Objects) -> str:
    """Say what keeps namespaces from going, in Kubernetes' own words."""
    lines = [
        condition["message"]
        for namespace in namespaces.values()
        for condition in namespace.get("status", {}).get("conditions") or ()
        if condition["type"] in _BLOCKERS and condition["status"] == "True"
    ]
    return "\n".join(lines) or "it is still being removed"
