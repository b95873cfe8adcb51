"""What is kept on disk about clusters cannot be written: told as what to do about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from harness.errors import ClusterError

ANOTHER_CACHE = "name another cache with --supply-cache or XDG_CACHE_HOME"


@contextmanager
def state_errors(attempted: str, directory: Path, *, otherwise: str = ANOTHER_CACHE) -> Iterator[None]:
    """Turn the operating system's refusals inside the block into a :class:`ClusterError`.

    For file operations alone: answers of Docker that did not come are `OSError` too. That a lock was not had in time
    passes through.

    Args:
        attempted: completes "could not ...".
        directory: where it was tried.
        otherwise: what else than room and permissions can be given.
    """
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        remedy = f"see that '{directory}' is a directory that this user can write to"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            remedy = f"free some space below '{directory}'"
        raise ClusterError(attempted, seen=str(error), hint=f"{remedy}, or {otherwise}") from error
