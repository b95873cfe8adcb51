"""The account of a run as a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.evidence.model import ChosenSetting, Evidence, Exchange, Failure, Step, TrafficRecord
from harness.evidence.write_json import from_document, merge, to_document, write_json
from harness.scoring.verdict import Verdict
from harness.supply.artifact import Provenance

KIND = Provenance("kind", "v0.32.0", "build", "sigs.k8s.io/kind", "sha256:1", "r1", 1.0, "built from its Go module")
WHOLE = Evidence(
    "1f2e3d4c",
    "",
    100.0,
    30.0,
    {"kubernetes": ChosenSetting("1.34", "default")},
    {"docker": "20.10.24"},
    (KIND,),
    (Step(1, "create", "cluster", 101.0, 22.0, "passed"), Step(2, "kind", "cluster", 102.0, 20.0, "passed", 1, "kind")),
    (Exchange("curl http://größe", 125.0, 0.01, 200),),
    (
        TrafficRecord(
            Verdict("upgrade", "curl http://h", 50.0, True, 125.0, 1.0, ()).to_json(), "traffic/upgrade-1.svg"
        ),
    ),
    (Failure("test_a", "call", "wrong", ("failures/a/pods.txt",)),),
    ("a note",),
)


def test_file_can_be_read_back(tmp_path: Path) -> None:
    """Nothing is lost on the way to the file and back."""
    path = write_json(WHOLE, tmp_path / "new" / "run.json")
    assert from_document(json.loads(path.read_text(encoding="utf-8"))) == WHOLE


def test_keys_are_those_that_are_documented() -> None:
    """docs/evidence.md names every key of the document, of a step, an exchange, traffic and a failure."""
    text = (Path(__file__).parents[3] / "docs" / "evidence.md").read_text(encoding="utf-8")
    document = to_document(WHOLE)
    parts = [document, *(document[name][0] for name in ("steps", "exchanges", "traffic", "failures"))]
    parts.append(document["traffic"][0]["figures"])
    missing = {key for part in parts for key in part if f"`{key}`" not in text}
    assert missing == set()


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A reader never sees half a file: what cannot be written leaves the last good one."""
    path = write_json(WHOLE, tmp_path / "run.json")
    before = path.read_text()
    with pytest.raises(UnicodeEncodeError):
        write_json(replace(WHOLE, notes=("\ud800",)), path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_file_can_be_read_by_others(tmp_path: Path) -> None:
    """Evidence is uploaded by whoever collects it."""
    assert write_json(WHOLE, tmp_path / "run.json").stat().st_mode & 0o777 == 0o644


def test_other_schema_is_refused() -> None:
    """A document of another schema is not misread."""
    with pytest.raises(ValueError, match="schema 2, expected 1"):
        from_document({**to_document(WHOLE), "schema": 2})


def test_merge_joins_what_workers_wrote(tmp_path: Path) -> None:
    """Steps are numbered anew with their parents, the rest is added, artifacts are kept once."""
    part = replace(WHOLE, worker="gw0", notes=("a note", "another"), versions={"docker": "x", "helm": "v3"})
    record = write_json(part, tmp_path / "gw0.json")
    whole = merge(WHOLE, [record])
    assert [(step.number, step.parent) for step in whole.steps] == [(1, None), (2, 1), (3, None), (4, 3)]
    assert whole.artifacts == (KIND,)
    assert len(whole.exchanges) == 2
    assert len(whole.traffic) == 2
    assert len(whole.failures) == 2
    assert whole.notes == ("a note", "another")
    assert whole.versions == {"docker": "20.10.24", "helm": "v3"}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 1}'], ids=["empty", "cut", "a list", "bare", "thin"])
def test_record_of_a_killed_worker_is_a_note(tmp_path: Path, text: str) -> None:
    """A record that cannot be read does not cost the rest."""
    record = tmp_path / "gw0.json"
    record.write_text(text)
    whole = merge(WHOLE, [record])
    assert whole.steps == WHOLE.steps
    assert "the record of worker 'gw0' cannot be read" in whole.notes[-1]
