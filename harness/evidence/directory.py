"""Where a run's evidence lies on disk."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SeatrialError
from harness.naming import Run, dns_label

LATEST = "latest"


@dataclass(frozen=True)
class RunDirectory:
    """The directory of one run.

    Parallel workers share it: each writes a record of its own, only the controller writes ``run.json`` and ``latest``.

    Args:
        path: ``<evidence directory>/<timestamp>-<run id>``.
        worker: name of the parallel worker, empty for the controller.
    """

    path: Path
    worker: str = ""

    @classmethod
    def of_run(cls, parent: Path, run: Run) -> RunDirectory:
        """Return the directory of `run` below `parent`, made or not; the same for all processes of the run."""
        # UTC, so that directories of one host sort by age through a change of clocks.
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(run.started))
        return cls(parent / f"{timestamp}-{run.run_id}", run.worker)

    def create(self) -> RunDirectory:
        """Make the directory and, unless this is a parallel worker, let ``latest`` point at it.

        Raises:
            SeatrialError: it cannot be made.
        """
        path = self.path
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not self.worker:
                _point_latest_at(path)
        except OSError as error:
            raise SeatrialError(
                f"make the evidence directory '{path}'",
                seen=f"{error.strerror or error}",
                hint="name a directory that can be written with --evidence-dir",
            ) from error
        return self

    @property
    def record(self) -> Path:
        """The file this process writes its account of the run to."""
        return self.path / "workers" / f"{self.worker}.json" if self.worker else self.path / "run.json"

    def worker_records(self) -> list[Path]:
        """The accounts that parallel workers have written."""
        return sorted((self.path / "workers").glob("*.json"))

    def of_failure(self, test: str, when: str) -> Path:
        """Directory for what is collected when `test` fails in its phase `when`; made by what is put there first."""
        return self.path / "failures" / dns_label(test, when)

    def of_log(self, name: str) -> Path:
        """A file of its own for what a program called `name` writes; its directory is made when asked for."""
        return self._file_of_its_own(_made(self.path / "logs"), name, ".log")

    def of_traffic(self, name: str) -> Path:
        """A file of its own for the picture of traffic called `name`; its directory is made when asked for."""
        return self._file_of_its_own(_made(self.path / "traffic"), name, ".svg")

    def of_release(self, name: str) -> Path:
        """A directory of its own for what is collected about a failed release before it is taken back."""
        parent = _made(self.path / "withdrawn")
        worker = (self.worker,) if self.worker else ()
        number = 1
        while True:
            with contextlib.suppress(FileExistsError):
                path = parent / dns_label(name, *worker, str(number))
                path.mkdir()
                return path
            number += 1

    def _file_of_its_own(self, parent: Path, name: str, suffix: str) -> Path:
        worker = (self.worker,) if self.worker else ()
        number = 1
        while True:
            path = parent / f"{dns_label(name, *worker, str(number))}{suffix}"
            with contextlib.suppress(FileExistsError):
                path.touch(exist_ok=False)
                return path
            number += 1


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _point_latest_at(path: Path) -> None:
    """Replace the link in one step, so that it never points nowhere while two runs begin at once."""
    link = path.parent / LATEST
    fresh = path.parent / f".{LATEST}-{path.name}"
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    fresh.symlink_to(path.name)
    if link.is_dir() and not link.is_symlink():
        # A file system without links left a directory here, or the user put one: it is theirs.
        fresh.unlink()
        return
    os.replace(fresh, link)  # noqa: PTH105 - Path.replace is the same; this says that it replaces a link
