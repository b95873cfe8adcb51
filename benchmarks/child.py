"""A child process measured from outside: how long it took, how much memory it itself held at most."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# The kernel keeps the peak itself: it is only read now and then so as to have read it shortly before the end.
_READ_EVERY_S = 0.05


@dataclass(frozen=True)
class Ended:
    """A child that has ended.

    Args:
        started: seconds since the epoch.
        wall_s: seconds from its start to its end.
        peak_mb: the most memory the process itself had resident, its children not counted; 10^6 bytes.
        exit_code: its exit code.
        output: standard output and error together.
    """

    started: float
    wall_s: float
    peak_mb: float
    exit_code: int
    output: str

    def check(self, *allowed: int) -> Ended:
        """Return it, or end the benchmark with its output when its exit code is neither 0 nor allowed."""
        if self.exit_code not in (0, *allowed):
            sys.exit(f"exit code {self.exit_code}\n{self.output[-4000:]}")
        return self


def run(
    *argv: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, limit_s: float = 600
) -> Ended:
    """Run a program to its end.

    Args:
        argv: the program, then its arguments.
        cwd: where it runs.
        env: what is added to the environment.
        limit_s: seconds after which it is killed.
    """
    started, clock = time.time(), time.perf_counter()
    with subprocess.Popen(
        list(map(str, argv)),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        peaks, over = [0.0], threading.Event()
        reader = threading.Thread(target=_read_peak, args=(child.pid, peaks, over))
        reader.start()
        try:
            output, _ = child.communicate(timeout=limit_s)
            wall_s = time.perf_counter() - clock
        except BaseException:
            child.kill()
            raise
        finally:
            over.set()
            reader.join()
    return Ended(started, wall_s, max(peaks), child.returncode, output)


def _read_peak(pid: int, peaks: list[float], over: threading.Event) -> None:
    """Append the peak so far until `over`; once the child has ended there is none to read."""
    while not over.wait(_READ_EVERY_S):
        with suppress(OSError):
            found = re.search(
                r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(encoding="ascii"), re.MULTILINE
            )
            if found:
                peaks.append(int(found[1]) * 1024 / 1e6)
