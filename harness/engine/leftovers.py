"""What a killed engine leaves behind: containers' processes, shims, mounts, socket and pid file."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.process.command import Command
from harness.process.runner import Runner
from harness.wait import wait_until

# runc ends a container with SIGKILL; a kind node's hundred processes are gone within a second.
REAP_TIMEOUT_S = 20.0


def processes(proc: Path = Path("/proc")) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield pid and argv of every process that has an argv (zombies and kernel threads have none)."""
    for folder in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            raw = (folder / "cmdline").read_bytes()
            if raw:
                yield int(folder.name), tuple(raw.rstrip(b"\0").decode(errors="replace").split("\0"))


def mounts_below(folders: Iterable[Path], proc: Path = Path("/proc")) -> list[str]:
    """Return the mount points below `folders`, the innermost first."""
    prefixes = tuple(f"{folder.resolve()}/" for folder in folders)
    points = []
    for line in (proc / "self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        # Field 5 of proc_pid_mountinfo(5), with blanks and the like as octal escapes.
        point = line.split()[4].encode().decode("unicode_escape")
        if point.startswith(prefixes):
            points.append(point)
    return sorted(points, key=len, reverse=True)


def clear_leftovers(runner: Runner, path: str, exec_root: Path, data_roots: Iterable[Path]) -> None:
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
    # Lazy: a process that still has its working directory there must not keep the engine from starting.
    for point in mounts_below((exec_root, *data_roots)):
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
