"""Seatrial's cache of artifacts: whole or absent, one maker at a time, changed files noticed.

Layout, below ``$XDG_CACHE_HOME/seatrial``::

    artifacts/NAME/KEY/     the artifact's file or directory and provenance.json; KEY is VERSION-DIGEST12
    logs/NAME-KEY.log       output of the build
    locks/NAME-KEY.lock     held while the artifact is made
    tmp/PID.TICKS.HOST.*/   work directories, named after the process that owns them
    go/                     Go's own caches, and its toolchain where PATH has none

An artifact is prepared in ``tmp/`` and moved to its place by one rename, so a killed build leaves nothing that looks
like an artifact; what it leaves in ``tmp/`` goes when the next build starts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import filelock

from harness.errors import SupplyError
from harness.naming import owner_host, owner_is_alive, process_start_ticks
from harness.supply.artifact import Files, Program, Provenance
from harness.supply.provenance import RECORD_FILE, Record, content_digest, size_and_mtime

# Another run may be building what this one wants: a little longer than the longest build may take.
LOCK_TIMEOUT_S = 3900.0
# A work directory of another machine counts as left behind when nothing was added to it for a day.
FOREIGN_WORKDIR_S = 86_400.0


@dataclass(frozen=True)
class Entry:
    """One artifact in the cache.

    Args:
        name: the artifact's name.
        key: ``VERSION-DIGEST12``.
        directory: its folder.
        record: its record, or ``None`` when that cannot be read.
    """

    name: str
    key: str
    directory: Path
    record: Record | None

    def problem(self) -> str:
        """Return what is wrong with the artifact after reading all of it, or an empty string."""
        if self.record is None:
            return f"{RECORD_FILE} is missing or damaged"
        if not self.record.file:
            return ""
        path = self.directory / self.record.file
        if not path.exists():
            return f"{self.record.file} is missing"
        digest = content_digest(path)
        if digest != self.record.provenance.digest:
            return f"{self.record.file} is {digest}, recorded was {self.record.provenance.digest}"
        return ""


@contextlib.contextmanager
def cache_errors(attempted: str, root: Path) -> Iterator[None]:
    """Turn the operating system's refusals inside the block into a :class:`SupplyError` that says what to do."""
    try:
        yield
    except OSError as error:
        hint = "give Seatrial another cache: set XDG_CACHE_HOME to a directory you can write to"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            hint = f"free some space below {root}, or set XDG_CACHE_HOME to a directory on another disk"
        raise SupplyError(attempted, seen=str(error), hint=hint) from error


class Cache:
    """The cache below `root`; made when first written to.

    Args:
        root: ``$XDG_CACHE_HOME/seatrial``.
        say: told, in one sentence, when an artifact turns out to be damaged or a wait begins.
    """

    def __init__(self, root: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self.root = root
        self._say = say

    @property
    def go_dir(self) -> Path:
        """Where Go keeps what it downloads and compiles for Seatrial."""
        return self.root / "go"

    def log_path(self, name: str, key: str) -> Path:
        """Return the log file of a build, its folder made."""
        with cache_errors(f"write logs below '{self.root}'", self.root):
            (self.root / "logs").mkdir(parents=True, exist_ok=True)
        return self.root / "logs" / f"{name}-{key}.log"

    def directory(self, name: str, key: str) -> Path:
        """Return where an artifact is, or would be."""
        return self.root / "artifacts" / name / key

    @contextlib.contextmanager
    def lock(self, name: str, key: str, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold the right to make or remove an artifact; the kernel gives it back when the process dies.

        Raises:
            SupplyError: the cache cannot be written, or another run holds the right past `timeout_s` seconds.
        """
        with cache_errors(f"lock the cache '{self.root}'", self.root):
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            held = filelock.FileLock(self.root / "locks" / f"{name}-{key}.lock")
            try:
                try:
                    held.acquire(blocking=False)
                except filelock.Timeout:
                    if timeout_s > 0:
                        self._say(f"{name}: waiting for another run that is making it")
                    held.acquire(timeout=timeout_s)
            except filelock.Timeout:
                raise SupplyError(
                    f"lock {name} {key} in the cache within {timeout_s:g} s",
                    seen=f"another run holds {held.lock_file}",
                    hint="wait for it, or end it",
                ) from None
        try:
            yield
        finally:
            held.release()

    @contextlib.contextmanager
    def workdir(self, name: str) -> Iterator[Path]:
        """Give an empty directory on the cache's own file system, removed afterwards.

        Directories of processes that are gone are removed first.
        """
        with cache_errors(f"make a work directory below '{self.root}'", self.root):
            parent = self.root / "tmp"
            parent.mkdir(parents=True, exist_ok=True)
            self.remove_stale_workdirs()
            owner = f"{os.getpid()}.{process_start_ticks(os.getpid()) or 0}.{owner_host()}"
            path = Path(tempfile.mkdtemp(prefix=f"{owner}.{name}-", dir=parent))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def remove_stale_workdirs(self) -> None:
        """Remove work directories whose process is gone."""
        for path in self._workdirs():
            if not _owner_lives(path):
                shutil.rmtree(path, ignore_errors=True)

    def busy(self) -> bool:
        """Whether a living process, or one on another machine, has a work directory."""
        return any(_owner_lives(path) for path in self._workdirs())

    def _workdirs(self) -> list[Path]:
        return sorted((self.root / "tmp").glob("*"))

    def find(self, name: str, key: str) -> Program | None:
        """Return a cached program, or ``None`` when it is absent or damaged.

        The file is trusted while its size and modification time are as recorded; else it is read. A damaged artifact
        is removed and said so.
        """
        found = self._find(name, key)
        return Program(*found) if found else None

    def find_files(self, name: str, key: str) -> Files | None:
        """Return a cached directory, or ``None``; trusted and checked as :meth:`find` does, over all of its files."""
        found = self._find(name, key)
        return Files(*found) if found else None

    def _find(self, name: str, key: str) -> tuple[Path, Provenance] | None:
        entry = self.entry(name, key)
        if entry is None:
            return None
        record = entry.record
        if record is not None and record.file:
            path = entry.directory / record.file
            with contextlib.suppress(OSError):
                if size_and_mtime(path) == (record.size_bytes, record.mtime_ns):
                    return path, replace(record.provenance, source="cache")
        problem = entry.problem()
        if problem or record is None:
            self._say(f"{name} {key} in the cache is damaged ({problem}): removed, getting it again")
            self._drop(entry)
            return None
        path = entry.directory / record.file
        self._write_record(entry.directory, replace(record, mtime_ns=size_and_mtime(path)[1]))
        return path, replace(record.provenance, source="cache")

    def provenance(self, name: str, key: str) -> Provenance | None:
        """Return the recorded provenance of an artifact, or ``None``."""
        entry = self.entry(name, key)
        return entry.record.provenance if entry and entry.record else None

    def put_program(self, key: str, file: Path, provenance: Provenance) -> Program:
        """Move `file`, which must be in a work directory, into the cache and record its provenance; return it.

        Call it with the artifact's lock held.
        """
        return Program(self._put(key, file, provenance, mode=0o755), provenance)

    def put_files(self, key: str, directory: Path, provenance: Provenance) -> Files:
        """Move `directory`, which must be in a work directory, into the cache; see :meth:`put_program`."""
        return Files(self._put(key, directory, provenance), provenance)

    def _put(self, key: str, made: Path, provenance: Provenance, *, mode: int | None = None) -> Path:
        name = provenance.name
        with cache_errors(f"store {name} {key} in the cache '{self.root}'", self.root):
            staging = Path(tempfile.mkdtemp(prefix="store-", dir=made.parent))
            file = _file_name(name)
            target = staging / file
            made.rename(target)
            if mode is not None:
                target.chmod(mode)
            for path in [target, *target.rglob("*")]:
                _sync(path)
            self._write_record(staging, Record(provenance, file, *size_and_mtime(target)))
            self._publish(name, key, staging)
        return self.directory(name, key) / file

    def put_record(self, key: str, provenance: Provenance, *, size_bytes: int) -> None:
        """Record the provenance of an artifact that lives elsewhere: an image, in the engine."""
        with self.workdir(provenance.name) as staging:
            store = staging / "store"
            with cache_errors(f"store the provenance of {provenance.name}", self.root):
                store.mkdir()
                self._write_record(store, Record(provenance, "", size_bytes, 0))
                self._publish(provenance.name, key, store)

    def entries(self) -> list[Entry]:
        """Return every artifact in the cache, sorted by name and key."""
        return [
            entry
            for path in sorted((self.root / "artifacts").glob("[!.]*/*"))  # tools leave hidden directories of their own
            if path.is_dir() and (entry := self.entry(path.parent.name, path.name)) is not None
        ]

    def remove(self, entry: Entry) -> None:
        """Remove one artifact.

        Raises:
            SupplyError: another run is making it, or it cannot be removed.
        """
        removing = cache_errors(f"remove '{entry.directory}'", self.root)
        with self.lock(entry.name, entry.key, timeout_s=0), removing:
            self._drop(entry)
            (self.root / "logs" / f"{entry.name}-{entry.key}.log").unlink(missing_ok=True)

    def remove_everything_else(self) -> None:
        """Remove Go's caches, logs, locks and stale work directories, and the folders that are then empty.

        What belongs to others below the same root (the managed engine's data) stays.
        """
        self.remove_stale_workdirs()
        with cache_errors(f"empty the cache '{self.root}'", self.root):
            for name in ("go", "logs", "locks"):
                if (self.root / name).exists():
                    shutil.rmtree(self.root / name)
            for path in [*(self.root / "artifacts").glob("*"), self.root / "artifacts", self.root / "tmp", self.root]:
                with contextlib.suppress(OSError):  # not empty, or not there
                    path.rmdir()

    def entry(self, name: str, key: str) -> Entry | None:
        """Return one artifact, its record unread where damaged, or ``None`` when it is absent."""
        directory = self.directory(name, key)
        with cache_errors(f"read '{directory}' in the cache", self.root):
            try:
                text = (directory / RECORD_FILE).read_text(encoding="utf-8")
            except FileNotFoundError:
                return Entry(name, key, directory, None) if directory.is_dir() else None
        try:
            return Entry(name, key, directory, Record.from_json(text))
        except ValueError:
            return Entry(name, key, directory, None)

    def _publish(self, name: str, key: str, staging: Path) -> None:
        """Move a prepared folder to its place in one step, replacing what is there."""
        place = self.directory(name, key)
        place.parent.mkdir(parents=True, exist_ok=True)
        _sync(staging)
        if place.exists():
            place.rename(staging.with_name("replaced"))
        staging.rename(place)
        _sync(place.parent)

    def _drop(self, entry: Entry) -> None:
        """Move a folder out of sight in one step, then remove it."""
        with self.workdir(entry.name) as away:
            entry.directory.rename(away / "dropped")

    @staticmethod
    def _write_record(directory: Path, record: Record) -> None:
        fresh = directory / f".{RECORD_FILE}.{os.getpid()}"
        fresh.write_text(record.to_json(), encoding="utf-8")
        _sync(fresh)
        fresh.replace(directory / RECORD_FILE)


def _owner_lives(workdir: Path) -> bool:
    pid, ticks, host, *_ = [*workdir.name.split("."), "", "", ""]
    if host == owner_host():
        return owner_is_alive(f"{pid}.{ticks}")
    # A cache on a shared file system: another machine's process ids mean nothing here, so age decides.
    with contextlib.suppress(OSError):
        return time.time() - workdir.stat().st_mtime < FOREIGN_WORKDIR_S
    return False


def _sync(path: Path) -> None:
    """Have the kernel write `path`, a file or a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _file_name(artifact: str) -> str:
    """``kubectl-1.21`` -> ``kubectl``: what is called by another name may take itself for another program."""
    return re.sub(r"-\d+\.\d+$", "", artifact)
