"""What is known on disk about a cluster Seatrial made, and who uses it."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from filelock import BaseFileLock, FileLock

from harness.cluster.state import state_errors
from harness.naming import LABEL_OWNER, LABEL_PREFIX, Run, owner_is_alive

# Docker labels of a cluster's network and registry beside the run's own: which process table the owner's pid belongs
# to, and where the record is. Both are needed to judge leftovers of an engine that several machines or containers use.
LABEL_HOST = f"{LABEL_PREFIX}/host"
LABEL_RECORD = f"{LABEL_PREFIX}/record"

State = Literal["creating", "ready"]

_RECIPE_CHARS = 8


def kept_name(recipe: str) -> str:
    """Return how the name of a kept cluster of this recipe begins whose user chose none."""
    return f"seatrial-{recipe[:_RECIPE_CHARS]}"


def host_identity() -> str:
    """Return ``HOSTNAME/BOOT/PIDS``: a pid means something only to those who share all three."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    pids = str(Path("/proc/self/ns/pid").readlink()).partition("[")[2].rstrip("]")
    return f"{platform.node()}/{boot}/{pids}"


def owner_has_ended(owner: str, host: str, *, here: str) -> bool:
    """Whether the owner is known to have ended; an owner that cannot be judged from `here` counts as living.

    Args:
        owner: ``PID.TICKS`` as labelled.
        host: :func:`host_identity` of where it ran.
        here: :func:`host_identity` of this process.
    """
    name, _, rest = host.partition("/")
    boot, _, pids = rest.partition("/")
    here_name, _, here_rest = here.partition("/")
    here_boot, _, here_pids = here_rest.partition("/")
    if name != here_name:
        return False
    if boot != here_boot:
        return True
    return pids == here_pids and not owner_is_alive(owner)


@dataclass(frozen=True)
class ClusterRecord:
    """A cluster Seatrial made.

    Args:
        name: the cluster's name.
        run_id: the run that made it.
        host: :func:`host_identity` of that run.
        docker_host: address of the engine it lives in.
        recipe: digest of everything that makes clusters interchangeable.
        kept: whether it stays when its last user ends.
        users: owner labels (``PID.TICKS``) of the runs that use it.
        state: ``creating`` until it was usable once.
        kubeconfig: its kubeconfig file.
        registry: ``HOST:PORT`` of its registry on the host, empty when there is none.
        nodes: node names.
        kubernetes: the server's version.
        created_at: seconds since the epoch.
        declaration: digest of what was declared, whatever it was made from.
    """

    name: str
    run_id: str
    host: str
    docker_host: str
    recipe: str
    kept: bool
    users: tuple[str, ...]
    state: State
    kubeconfig: str
    registry: str = ""
    nodes: tuple[str, ...] = ()
    kubernetes: str = ""
    created_at: int = 0
    declaration: str = ""

    def living_users(self) -> tuple[str, ...]:
        """The users that have not ended, as far as can be told."""
        here = host_identity()
        return tuple(user for user in self.users if not owner_has_ended(user, self.host, here=here))

    def with_user(self, run: Run, *, keep: bool) -> ClusterRecord:
        """Return the record with `run` among its users; a lone user decides anew whether the cluster is kept."""
        me, others = run.labels()[LABEL_OWNER], self.living_users()
        return replace(self, users=(*(u for u in others if u != me), me), kept=keep or (bool(others) and self.kept))

    def without_user(self, run: Run) -> ClusterRecord:
        """Return the record with `run` and every ended run taken from its users."""
        me = run.labels()[LABEL_OWNER]
        return replace(self, users=tuple(user for user in self.living_users() if user != me))


@dataclass(frozen=True)
class RecordStore:
    """One directory per cluster with its record and kubeconfig, and one lock per cluster name.

    Args:
        directory: parent of the clusters' directories.
    """

    directory: Path
    _locks: dict[str, BaseFileLock] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def holding(cls, record_path: Path) -> RecordStore:
        """Return the store that a record's path belongs to."""
        return cls(record_path.parent.parent)

    def directory_of(self, name: str) -> Path:
        """The directory of cluster `name`."""
        return self.directory / name

    def path_of(self, name: str) -> Path:
        """The record file of cluster `name`."""
        return self.directory_of(name) / "record.json"

    def lock(self, name: str) -> BaseFileLock:
        """The lock to hold while cluster `name` is made, joined, left or removed.

        Raises:
            ClusterError: there is no place for it.
        """
        if name not in self._locks:
            path = self._lock_path(name)
            with state_errors(f"lock cluster '{name}'", path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._locks[name] = FileLock(path)
        return self._locks[name]

    def _lock_path(self, name: str) -> Path:
        return self.directory / ".locks" / f"{name}.lock"

    def load(self, name: str) -> ClusterRecord | None:
        """Return the record of cluster `name`, ``None`` when there is none that can be read."""
        try:
            data = json.loads(self.path_of(name).read_text(encoding="utf-8"))
            return ClusterRecord(**{**data, "users": tuple(data["users"]), "nodes": tuple(data["nodes"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def save(self, record: ClusterRecord) -> None:
        """Write `record` in one step: a reader sees the old or the new, never half.

        Raises:
            ClusterError: it cannot be written.
        """
        path = self.path_of(record.name)
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        with state_errors(f"write down who uses cluster '{record.name}'", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
            draft.replace(path)

    def remove(self, name: str) -> None:
        """Remove the directory of cluster `name` with all that is in it.

        Its lock goes too where the name is one run's own. Others may be waiting for the lock of a name that is used
        again: they would hold a file that nobody else finds.
        """
        record = self.load(name)
        shutil.rmtree(self.directory_of(name), ignore_errors=True)
        if record is not None and record.run_id in name:
            self._lock_path(name).unlink(missing_ok=True)

    def names(self) -> tuple[str, ...]:
        """The names of all clusters with a directory here."""
        if not self.directory.is_dir():
            return ()
        return tuple(sorted(d.name for d in self.directory.iterdir() if d.is_dir() and not d.name.startswith(".")))
