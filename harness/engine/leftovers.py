"""What a killed engine leaves behind: containers' processes, shims, mounts, socket and pid file."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from harness.process.command import Command
from harness.process.runner import Runner
from harness.wait import wait_until

# runc ends a container with SIGKILL; a kind node's hundred processes are gone within a second.
REAP_TIMEOUT_S = 20.0

# Name of that note, in the exec root (moby v20.10, daemon/daemon_linux.go).
MOUNTED_ITSELF = "unmount-on-shutdown"


def processes(proc: Path = Path("/proc")) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield pid and argv of every process that has an argv (zombies and kernel threads have none)."""
    for folder in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            raw = (folder / "cmdline").read_bytes()
            if raw:
                yield int(folder.name), tuple(raw.rstrip(b"\0").decode(errors="replace").split("\0"))


def mount_points(proc: Path = Path("/proc")) -> list[str]:
    """Return all mount points of this mount namespace, bind mounts within one file system included."""
    # Field 5 of proc_pid_mountinfo(5), with blanks and the like as octal escapes.
    lines = (proc / "self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    return [re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4]) for line in lines]


def mounts_below(folders: Iterable[Path], proc: Path = Path("/proc")) -> list[str]:
    """Return the mount points below `folders`, not the folders themselves, the innermost first."""
    prefixes = tuple(f"{folder.resolve()}/" for folder in folders)
    points = [point for point in mount_points(proc) if point.startswith(prefixes)]
    return sorted(points, key=len, reverse=True)


def clear_leftovers(runner: Runner, path: str, exec_root: Path, data_roots: Collection[Path]) -> None:
    """Remove every trace of an engine that is dead: afterwards a new one starts as after an ordinary stop.

    The caller has made sure that its dockerd is gone.

    Args:
        runner: runs runc and umount.
        path: PATH to look them up on.
        exec_root: dockerd's ``exec-root``: runtime state of its containers and of its containerd.
        data_roots: its data roots.
    """
    _stop_containerd(exec_root)
    runc = shutil.which("runc", path=path)
    for folder in exec_root.glob("runtime-*/moby/*"):
        if runc is not None:
            # The outcome does not matter: a container whose state is half written is ended with its shim below.
            runner.run(Command((runc, "--root", str(folder.parent), "delete", "--force", folder.name), timeout_s=30))
    _end(_of_exec_root(exec_root))
    points = mounts_below((exec_root, *data_roots))
    # dockerd mounts its data root on itself where that is not shared yet, and notes so for its own shutdown.
    if (exec_root / MOUNTED_ITSELF).exists():
        mounted = mount_points()
        points += [str(folder) for folder in data_roots if str(folder.resolve()) in mounted]
    # Lazy: a process that still has its working directory there must not keep the engine from starting.
    for point in points:
        runner.run(Command(("umount", "--lazy", point), timeout_s=10))
    if exec_root.exists() and not mounts_below((exec_root,)):
        shutil.rmtree(exec_root, ignore_errors=True)


def _stop_containerd(exec_root: Path) -> None:
    """End containerd first: it would restart nothing, but would answer the shims' ends by writing into exec-root."""
    config = str(exec_root / "containerd/containerd.toml")
    _end([pid for pid, argv in processes() if "--config" in argv and config in argv])


def _of_exec_root(exec_root: Path) -> list[int]:
    """Return the shims of this engine: they carry the address of its containerd."""
    address = str(exec_root / "containerd/containerd.sock")
    return [pid for pid, argv in processes() if "-address" in argv and address in argv]


def _end(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if pids:
        wait_until(
            f"end processes {', '.join(map(str, pids))} of an engine that died",
            lambda: [pid for pid, _ in processes() if pid in pids],
            done=lambda left: not left,
            timeout_s=REAP_TIMEOUT_S,
            poll_interval_s=0.05,
        )
