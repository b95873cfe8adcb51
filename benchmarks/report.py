"""How every benchmark reports: the machine before and after, and Markdown tables."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path


class Report:
    """What one benchmark found; made before the first measurement, because it notes the load then."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0]
        self._started = time.monotonic()

    def show(self, what: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print the machine, `what` was measured, and a table; the first column is text, the others are figures."""
        taken_s, load = time.monotonic() - self._started, os.getloadavg()[0]
        print(f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, {machine()}")
        print(f"load average {self._load:.1f} before, {load:.1f} after; took {taken_s:.0f} s. {what}\n")
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        for row in rows:
            print(f"| {' | '.join(row)} |")
        print(flush=True)


def machine() -> str:
    """Return the cores, memory, kernel and Python of this machine, e.g. ``2 cores, 23 GiB, Linux 6.1``."""
    memory_kib = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1])
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {memory_kib / 2**20:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"
    )


def median(values: Sequence[float], digits: int = 2) -> str:
    """Return the median, and behind it the smallest and the largest value when there are several."""
    shown = f"{statistics.median(values):.{digits}f}"
    return f"{shown} ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else shown
