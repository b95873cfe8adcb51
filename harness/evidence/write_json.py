"""Writes the account of a run as JSON (docs/evidence.md describes the file)."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.evidence.model import ChosenSetting, Evidence, Exchange, Failure, Step, TrafficRecord
from harness.supply.artifact import Provenance

# Raised when a reader of the old form could misread the new one; a new key alone does not count.
SCHEMA_VERSION = 1


def to_document(evidence: Evidence) -> dict[str, Any]:
    """Return the JSON document of `evidence`."""
    return {"schema": SCHEMA_VERSION, **asdict(evidence)}


def from_document(document: object) -> Evidence:
    """Return the evidence a document was made from.

    Raises:
        ValueError: the document is of another schema.
    """
    if not isinstance(document, dict):
        raise ValueError(f"evidence is an object, not {document!r}")  # noqa: TRY004 - the file is wrong, not the call
    if document.get("schema") != SCHEMA_VERSION:
        raise ValueError(f"evidence of schema {document.get('schema')!r}, expected {SCHEMA_VERSION}")
    facts = {name: value for name, value in document.items() if name != "schema"}
    return Evidence(
        **facts
        | {
            "settings": {name: ChosenSetting(**chosen) for name, chosen in facts["settings"].items()},
            "artifacts": tuple(Provenance(**one) for one in facts["artifacts"]),
            "steps": tuple(Step(**one) for one in facts["steps"]),
            "exchanges": tuple(Exchange(**one) for one in facts["exchanges"]),
            "traffic": tuple(TrafficRecord(**one) for one in facts.get("traffic", ())),
            "failures": tuple(Failure(**one | {"files": tuple(one["files"])}) for one in facts["failures"]),
            "notes": tuple(facts["notes"]),
        }
    )


def write_json(evidence: Evidence, path: Path) -> Path:
    """Write `evidence` to `path` in one step: a reader sees the old file or the new one, never half of either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_document(evidence), indent=2, ensure_ascii=False) + "\n"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)  # mkstemp makes it private; evidence is uploaded by other users' jobs
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    return path


def merge(controller: Evidence, records: Iterable[Path]) -> Evidence:
    """Return the controller's evidence with what its parallel workers wrote; a record that cannot be read is noted.

    Steps are numbered anew, workers after the controller and in the order of `records`.
    """
    whole = controller
    for path in records:
        try:
            part = from_document(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            whole = replace(whole, notes=(*whole.notes, f"the record of worker '{path.stem}' cannot be read: {error}"))
            continue
        whole = _joined(whole, part)
    return whole


def _joined(whole: Evidence, part: Evidence) -> Evidence:
    offset = max((step.number for step in whole.steps), default=0)
    moved = (
        replace(step, number=step.number + offset, parent=None if step.parent is None else step.parent + offset)
        for step in part.steps
    )
    known = {one.name for one in whole.artifacts}
    return replace(
        whole,
        versions={**part.versions, **whole.versions},
        artifacts=(*whole.artifacts, *(one for one in part.artifacts if one.name not in known)),
        steps=(*whole.steps, *moved),
        exchanges=(*whole.exchanges, *part.exchanges),
        traffic=(*whole.traffic, *part.traffic),
        failures=(*whole.failures, *part.failures),
        notes=(*whole.notes, *(note for note in part.notes if note not in whole.notes)),
    )
