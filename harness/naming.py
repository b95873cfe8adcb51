"""DNS-safe names, run ids and the labels that mark what a run owns."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

# RFC 1123: one label of a DNS name has at most 63 characters; Kubernetes names of namespaces and Services obey it.
DNS_LABEL_MAX = 63

LABEL_PREFIX = "seatrial.dev"
LABEL_RUN = f"{LABEL_PREFIX}/run"
LABEL_OWNER = f"{LABEL_PREFIX}/owner-pid"
LABEL_OWNER_HOST = f"{LABEL_PREFIX}/owner-host"
LABEL_STARTED = f"{LABEL_PREFIX}/started"
LABEL_RECIPE = f"{LABEL_PREFIX}/recipe"
LABEL_ARTIFACT = f"{LABEL_PREFIX}/artifact"
LABEL_CLUSTER = f"{LABEL_PREFIX}/cluster"
LABEL_KEPT = f"{LABEL_PREFIX}/kept"
LABEL_ROLE = f"{LABEL_PREFIX}/role"


def dns_label(*parts: str) -> str:
    """Join `parts` into one valid DNS label; too long a name is cut and ends in a digest of the whole.

    >>> dns_label("Test_ML", "score/api")
    'test-ml-score-api'
    """
    whole = re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-") or "x"
    if len(whole) <= DNS_LABEL_MAX:
        return whole
    digest = hashlib.sha256("-".join(parts).encode()).hexdigest()[:8]
    return f"{whole[: DNS_LABEL_MAX - 9].rstrip('-')}-{digest}"


@dataclass(frozen=True)
class Run:
    """Who owns what is made: one run of pytest or of the command line.

    Args:
        run_id: eight hex digits, unique per run.
        owner_pid: process id of the run.
        owner_started: the process's start time in clock ticks since boot (field 22 of /proc/PID/stat), so that a
            recycled pid is not mistaken for a living owner.
        started: wall-clock start, whole seconds since the epoch.
        worker: the parallel worker's name, empty for the controller.
    """

    run_id: str
    owner_pid: int
    owner_started: int
    started: int
    worker: str = ""

    @classmethod
    def begin(cls, *, run_id: str | None = None, started: int | None = None, worker: str = "") -> Run:
        """Describe the current process as an owner.

        Args:
            run_id: the run it takes part in, a fresh one by default. Parallel workers share their controller's, and
                are owners of their own: what one of them uses stays while it lives.
            started: when that run began, now by default.
            worker: the parallel worker's name, empty for the controller.
        """
        pid = os.getpid()
        return cls(
            run_id if run_id is not None else secrets.token_hex(4),
            pid,
            process_start_ticks(pid) or 0,
            started if started is not None else int(time.time()),
            worker,
        )

    @property
    def own_id(self) -> str:
        """The run id, the worker's name behind it in a parallel worker: for names of what one process alone uses."""
        return f"{self.run_id}-{self.worker}" if self.worker else self.run_id

    def labels(self) -> dict[str, str]:
        """The labels put on every container, network, image and Kubernetes object this run makes."""
        return {
            LABEL_RUN: self.run_id,
            LABEL_OWNER: f"{self.owner_pid}.{self.owner_started}",
            LABEL_OWNER_HOST: owner_host(),
            LABEL_STARTED: str(self.started),
        }


def owner_host() -> str:
    """Return twelve hex digits that say in which process table the pids of this host's owner labels are.

    Engines are shared, between machines and by containers with process ids of their own: a pid means something only
    to those with the same host name and the same pid namespace. The first pid namespace has the same number on every
    boot (PROC_PID_INIT_INO), so that what a run left before a restart of the host is still known as this host's.
    """
    name = f"{platform.node()}/{Path('/proc/self/ns/pid').readlink()}"
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def process_start_ticks(pid: int) -> int | None:
    """Return when process `pid` started, in clock ticks since boot, or ``None`` when it is gone (Linux only)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    # The program's name is in parentheses and may itself hold spaces and parentheses.
    return int(stat.rpartition(")")[2].split()[19])


def owner_is_alive(label: str) -> bool:
    """Whether the run that wrote an owner label (``PID.TICKS``) is still running on this host."""
    pid, _, ticks = label.partition(".")
    if not (pid.isdigit() and ticks.isdigit()):
        return False
    started = process_start_ticks(int(pid))
    return started is not None and started == int(ticks)
