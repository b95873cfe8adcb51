"""The record kept beside every artifact: where it came from, and what its file looked like."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.supply.artifact import Provenance, SourceName

RECORD_FILE = "provenance.json"

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Record:
    """One artifact's provenance with what is needed to notice that its content changed.

    Args:
        provenance: where it came from.
        file: name of the artifact's file or directory beside the record; empty for an image, which lives in the
            engine.
        size_bytes: size of that file, of all files of that directory together, or of the image.
        mtime_ns: modification time of the file, or of the directory's last changed file; together with the size it
            says, without reading anything, that nothing has been touched since the digest was taken.
    """

    provenance: Provenance
    file: str
    size_bytes: int
    mtime_ns: int

    def to_json(self) -> str:
        """Return the record as people and :meth:`from_json` read it."""
        facts = {"file": self.file, "size_bytes": self.size_bytes, "mtime_ns": self.mtime_ns}
        return json.dumps({"provenance": asdict(self.provenance), **facts}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Parse a record.

        Raises:
            ValueError: `text` is no record.
        """
        try:
            table: dict[str, Any] = json.loads(text)
            provenance = Provenance(**table.pop("provenance"))
            return cls(provenance=provenance, **table)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a provenance record: {error}") from error


def content_digest(path: Path) -> str:
    """Return ``sha256:...`` of the file at `path`, or of a directory: its files' names and digests, in order."""
    if not path.is_dir():
        return file_digest(path)
    sha = hashlib.sha256()
    for file in _files(path):
        sha.update(f"{file.relative_to(path).as_posix()} {file_digest(file)}\n".encode())
    return f"sha256:{sha.hexdigest()}"


def users_own(name: str, path: Path, *, version: str, source: SourceName, how: str) -> Provenance:
    """Return the provenance of artifact `name` that is the user's own file or directory at `path`."""
    return Provenance(
        name=name,
        version=version,
        source=source,
        origin=str(path),
        digest=content_digest(path),
        recipe="",
        made_at=path.stat().st_mtime,
        how=how,
    )


def size_and_mtime(path: Path) -> tuple[int, int]:
    """Return the bytes and the last modification (in ns since the epoch) of a file, or of all files of a directory."""
    stats = [file.stat() for file in (_files(path) if path.is_dir() else [path])]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def file_digest(path: Path) -> str:
    """Return ``sha256:...`` of the file at `path`."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha.update(chunk)
    return f"sha256:{sha.hexdigest()}"
