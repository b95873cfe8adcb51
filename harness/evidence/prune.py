"""Keeps the evidence of the latest runs and removes that of earlier ones."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

# As RunDirectory names them: the time in UTC, then the run id. Whatever else is there is somebody else's.
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
# A run writes its record when it ends. One without a record runs still, or was killed: no run takes a day.
_KILLED_AFTER_S = 24 * 3600.0


def prune(parent: Path, *, keep: int, wall_clock: Callable[[], float] = time.time) -> tuple[Path, ...]:
    """Remove the evidence of all but the latest runs; return what was removed.

    What cannot be removed stays: old evidence is no reason for a run to fail.

    Args:
        parent: the directory of the runs' directories.
        keep: for how many runs evidence is kept.
        wall_clock: returns seconds since the epoch.
    """
    before = wall_clock() - _KILLED_AFTER_S
    removed = []
    with contextlib.suppress(OSError):
        runs = sorted((path for path in parent.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()), reverse=True)
        for path in runs[keep:]:
            with contextlib.suppress(FileNotFoundError):  # another run prunes as well
                if (path / "run.json").is_file() or path.stat().st_mtime < before:
                    shutil.rmtree(path, ignore_errors=True)
                    removed.append(path)
    return tuple(removed)
