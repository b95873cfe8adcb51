"""Temporary files that do not outlive their process for long."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from harness.naming import owner_host, owner_is_alive, process_start_ticks


@functools.cache
def own_temporary_directory() -> Path:
    """Return a private directory of this process, removed when it ends.

    Those of processes of this host that were killed are removed now: keys in them may be a user's own, and images are
    large.
    """
    prefix = f"seatrial-{owner_host()}-"
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if not owner_is_alive(path.name.removeprefix(prefix).partition("-")[0]):
            shutil.rmtree(path, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}.{process_start_ticks(os.getpid()) or 0}-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
