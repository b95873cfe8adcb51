"""Turns at an image's name: runs and parallel workers of one host build and send under the same names.

Who sends an image gives it a name in the engine for as long, and a node gives it one after pulling: another who sends
what bears the same name would take away the one and move the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import ImageError
from harness.naming import dns_label


@contextmanager
def turn_with_image(name: str, locks: Path, *, timeout_s: float) -> Iterator[None]:
    """Have the name of an image to oneself while the block runs; the kernel gives it back when the process dies.

    Args:
        name: the human name, e.g. ``example/test-ml-score-api:latest``.
        locks: directory of the lock files; whoever shares it takes turns. Made when it is not there.
        timeout_s: how long to wait for those before.

    Raises:
        ImageError: the directory cannot be written, or others still have the name after `timeout_s` seconds.
    """
    path = locks / f"{dns_label('image', name)}.lock"
    attempted = f"get the turn for image '{name}'"
    lock = FileLock(path)
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout_s)
    except Timeout as error:
        raise ImageError(
            f"{attempted} within {timeout_s:g} s",
            seen=f"another run holds '{path}'",
            hint="wait until it has built or sent what it calls so, or end it",
        ) from error
    except OSError as error:
        raise ImageError(
            attempted, seen=str(error), hint=f"see that '{locks}' is a directory that this user can write to"
        ) from error
    try:
        yield
    finally:
        lock.release()
