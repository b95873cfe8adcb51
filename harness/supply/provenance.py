"""The record kept beside every artifact: where it came from, and what its file looked like."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.supply.artifact import Provenance

RECORD_FILE = "provenance.json"

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Record:
    """One artifact's provenance with what is needed to notice that its file changed.

    Args:
        provenance: where it came from.
        file: name of the artifact's file beside the record; empty for an image, which lives in the engine.
        size_bytes: size of that file, or of the image.
        mtime_ns: the file's modification time; together with the size it says, without reading the file, that it
            has not been touched since its digest was taken.
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


def file_digest(path: Path) -> str:
    """Return ``sha256:...`` of the file at `path`."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha.update(chunk)
    return f"sha256:{sha.hexdigest()}"
