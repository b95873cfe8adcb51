"""What the host looked like before our engine started, so that it can be put back afterwards."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.engine.bridge import Bridges
from harness.engine.firewall import undo_script
from harness.errors import EngineError
from harness.process.command import Command
from harness.process.runner import Runner

# Kernel switches that dockerd turns on and leaves on: the first at start, the others with an IPv6 network or one
# without inter-container traffic (seen with 20.10.24; they belong to the network namespace).
SWITCHES = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/default/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "fs/inotify/max_user_instances",
)

# One user's inotify instances. systemd, kubelet and the control plane of a kind node use some twenty: at the kernel's
# default of 128 the seventh node on a host never becomes ready (seen; also kind's "known issues" page, checked with
# v0.32). The engine's containers all run as root, so the limit counts for all of them together.
WATCHERS = "fs/inotify/max_user_instances"
ENOUGH_WATCHERS = 1024

# What dockerd and its containerd make outside the directories they are given (seen with 20.10.24 and 1.6.20), the
# inner ones first. Removed only when new, directories only when empty.
STRAY_FILES = ("/etc/docker/key.json",)
STRAY_DIRECTORIES = (
    "/etc/docker",
    "/opt/containerd/bin",
    "/opt/containerd/lib",
    "/opt/containerd",
    "/run/containerd/s",
    "/run/containerd",
    "/run/docker/plugins",
    "/run/docker",
)
# The parent of all containers' control groups, one per controller on version 1.
CONTROL_GROUPS = ("/sys/fs/cgroup/*/docker", "/sys/fs/cgroup/docker")

SAVE_PROGRAMS = {"iptables-save": "iptables-restore", "ip6tables-save": "ip6tables-restore"}


@dataclass(frozen=True)
class HostRecord:
    """The host before our engine touched it.

    Args:
        boot_id: the boot it was taken in: a restart of the host undoes everything by itself.
        network: inode of the network namespace it was taken in.
        firewall: text printed by each program of ``SAVE_PROGRAMS`` that was there.
        switches: content of each kernel switch that was there.
        bridges: bridges that were there.
        paths: stray paths and control groups that were there.
    """

    boot_id: str
    network: int
    firewall: Mapping[str, str]
    switches: Mapping[str, str]
    bridges: tuple[str, ...]
    paths: tuple[str, ...]


class Host:
    """Records the host and puts it back.

    Args:
        runner: runs iptables' programs.
        bridges: lists and removes bridges.
        path: PATH to look programs up on.
        file: where the record is kept.
        root: stands before every absolute path outside ``/proc``, for tests.
        proc: where procfs is mounted.
    """

    def __init__(
        self,
        runner: Runner,
        bridges: Bridges,
        path: str,
        file: Path,
        *,
        root: Path = Path("/"),
        proc: Path = Path("/proc"),
    ) -> None:
        self._runner = runner
        self._bridges = bridges
        self._path = path
        self._file = file
        self._root = root
        self._proc = proc

    def record(self) -> None:
        """Write the record, unless one of this boot and network exists: then an engine of ours died after it."""
        if self._recorded() is not None:
            return
        boot_id, network = self._identity()
        taken = HostRecord(
            boot_id,
            network,
            {program: self._saved(program) for program in SAVE_PROGRAMS if shutil.which(program, path=self._path)},
            self._switches(),
            tuple(sorted(self._bridges.names())),
            tuple(str(path) for path in self._strays()),
        )
        self._file.write_text(json.dumps(asdict(taken), indent=1), encoding="utf-8")

    def allow_watchers(self, note: Callable[[str], None]) -> None:
        """Raise the limit of inotify instances to what some dozen kind nodes need; :meth:`restore` puts it back."""
        limit = self._proc / "sys" / WATCHERS
        try:
            before = int(limit.read_text(encoding="ascii"))
            if before < ENOUGH_WATCHERS:
                limit.write_text(str(ENOUGH_WATCHERS), encoding="ascii")
                note(f"{WATCHERS.replace('/', '.')} is {ENOUGH_WATCHERS} while the engine is up; it was {before}")
        except (OSError, ValueError) as error:
            note(f"{WATCHERS.replace('/', '.')} stays as it is: {error}; six kind nodes may be the most this host runs")

    def new_bridges(self) -> frozenset[str]:
        """Return the bridges that were not there when the record was taken, empty without a record."""
        record = self._recorded()
        return self._bridges.names() - frozenset(record.bridges) if record is not None else frozenset()

    def restore(self, bridges: frozenset[str], *, shared: bool, note: Callable[[str], None]) -> None:
        """Remove `bridges` and everything else our engine added since the record; then forget the record.

        Args:
            bridges: the bridges that are ours.
            shared: whether another engine works in this network namespace: what both use stays as it is.
            note: told of each thing that cannot be put back; the rest is still attempted.
        """
        record = self._recorded()
        self._bridges.remove(bridges)
        if record is not None:
            for program, before in record.firewall.items():
                self._restore_firewall(program, before, bridges, shared=shared, note=note)
            if not shared:
                self._restore_switches(record, note)
                self._remove_strays(record)
        self._file.unlink(missing_ok=True)

    def _identity(self) -> tuple[str, int]:
        boot_id = (self._proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return boot_id, (self._proc / "self/ns/net").stat().st_ino

    def _recorded(self) -> HostRecord | None:
        try:
            record = HostRecord(**json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return record if (record.boot_id, record.network) == self._identity() else None

    def _saved(self, program: str) -> str:
        command = Command((program,), env={"PATH": self._path}, timeout_s=10)
        outcome = self._runner.run(command)
        # A kernel without IPv6 has no tables for it, and no engine changes them.
        return outcome.stdout if outcome.succeeded else ""

    def _restore_firewall(
        self, program: str, before: str, bridges: frozenset[str], *, shared: bool, note: Callable[[str], None]
    ) -> None:
        script = undo_script(before, self._saved(program), bridges, shared=shared)
        if not script:
            return
        argv = (SAVE_PROGRAMS[program], "--noflush")
        outcome = self._runner.run(Command(argv, env={"PATH": self._path}, stdin=script, timeout_s=30))
        if not outcome.succeeded:
            note(f"{argv[0]} would not remove the engine's rules: {outcome.stderr.strip()}")

    def _switches(self) -> dict[str, str]:
        found = {}
        for name in SWITCHES:
            with contextlib.suppress(OSError):
                found[name] = (self._proc / "sys" / name).read_text(encoding="ascii").strip()
        return found

    def _restore_switches(self, record: HostRecord, note: Callable[[str], None]) -> None:
        for name, now in self._switches().items():
            before = record.switches.get(name, now)
            if before == now:
                continue
            try:
                (self._proc / "sys" / name).write_text(before, encoding="ascii")
            except OSError as error:
                note(f"{name.replace('/', '.')} stays {now} (it was {before}): {error}")

    def _strays(self) -> list[Path]:
        fixed = [self._root / name.lstrip("/") for name in (*STRAY_FILES, *STRAY_DIRECTORIES)]
        groups = [path for pattern in CONTROL_GROUPS for path in self._root.glob(pattern.lstrip("/"))]
        return [path for path in (*fixed, *groups) if path.exists()]

    def _remove_strays(self, record: HostRecord) -> None:
        for path in self._strays():
            if str(path) in record.paths:
                continue
            # Somebody else's content keeps a directory where it is.
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()


def other_engines(ours: int | None, proc: Path = Path("/proc")) -> list[tuple[int, str]]:
    """Return pid and command line of every other dockerd in this network namespace.

    Two engines in one namespace remove each other's iptables chains when they start.

    Args:
        ours: pid of our engine, ``None`` when it does not run.
        proc: where procfs is mounted.
    """
    here = (proc / "self/ns/net").stat().st_ino
    found = []
    for folder in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text(encoding="utf-8").strip() != "dockerd" or int(folder.name) == ours:
                continue
            command_line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if command_line and (folder / "ns/net").stat().st_ino == here:
                found.append((int(folder.name), command_line))
    return found


def refuse_beside_other_engines(proc: Path = Path("/proc")) -> None:
    """Raise EngineError when another engine works in this network namespace and ours would break its network."""
    others = other_engines(None, proc)
    if others:
        raise EngineError(
            "start a Docker engine of our own",
            seen="another engine is running on this host, at an address that was not looked at:\n"
            + "\n".join(f"process {pid}: {command_line}" for pid, command_line in others),
            hint="name its address with DOCKER_HOST; a second engine would remove the first one's iptables chains",
        )
