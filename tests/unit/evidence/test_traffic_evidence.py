"""What traffic showed, in the run's directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.evidence.directory import RunDirectory
from harness.evidence.model import Evidence, TrafficRecord
from harness.evidence.recorder import Recorder
from harness.evidence.session import EvidenceSession
from harness.evidence.summary import summary_lines
from harness.naming import Run
from harness.scoring.verdict import FailedRequest, Sample, Verdict
from harness.testing import RecordingRunner

SEEN = FailedRequest(0.1, "status 503", "no token hunter2")
VERDICT = Verdict(
    "upgrade of a/b",
    "curl http://h",
    10.0,
    True,
    1.0,
    0.2,
    (Sample(0.0, 0.0, 0.01), Sample(0.1, 0.1, 0.11, "status 503")),
    first_failure=SEEN,
    last_failure=SEEN,
)


def session(path: Path, recorder: Recorder, worker: str = "") -> EvidenceSession:
    """A session whose collectors are not asked."""
    return EvidenceSession(
        recorder,
        RunDirectory(path, worker),
        runner=RecordingRunner(),
        diagnose=lambda _: "",
        collect_logs=lambda *_: (),
        log_tail_lines=1,
    )


def test_verdict_is_recorded_with_its_picture(tmp_path: Path) -> None:
    """The figures are in the record, the picture lies beside it; traffic of the same name gets a picture of its own."""
    recorder = Recorder(Run.begin())
    of_run = session(tmp_path, recorder)
    of_run.traffic(VERDICT)
    of_run.traffic(VERDICT)
    first, second = recorder.evidence().traffic
    assert (first.picture, second.picture) == ("traffic/upgrade-of-a-b-1.svg", "traffic/upgrade-of-a-b-2.svg")
    assert first.figures["failures"] == {"status 503": 1}
    assert (tmp_path / first.picture).read_text(encoding="utf-8").startswith("<svg")


def test_parallel_workers_have_pictures_of_their_own(tmp_path: Path) -> None:
    """They share a directory."""
    for worker in ("gw0", "gw1"):
        session(tmp_path, Recorder(Run.begin()), worker).traffic(VERDICT)
    assert sorted(path.name for path in (tmp_path / "traffic").iterdir()) == [
        "upgrade-of-a-b-gw0-1.svg",
        "upgrade-of-a-b-gw1-1.svg",
    ]


def test_secrets_are_masked(tmp_path: Path) -> None:
    """Neither figures nor picture hold one."""
    recorder = Recorder(Run.begin())
    recorder.keep_secret("hunter2")
    session(tmp_path, recorder).traffic(VERDICT)
    (record,) = recorder.evidence().traffic
    assert record.figures["first_failure"]["seen"] == "no token ****"
    assert "hunter2" not in (tmp_path / record.picture).read_text(encoding="utf-8")


def test_picture_that_cannot_be_drawn_is_a_note(tmp_path: Path) -> None:
    """The figures are recorded all the same, and the test goes on."""
    (tmp_path / "traffic").write_text("in the way")
    recorder = Recorder(Run.begin())
    session(tmp_path, recorder).traffic(VERDICT)
    (record,) = recorder.evidence().traffic
    assert record.picture == ""
    assert "the traffic 'upgrade of a/b' could not be drawn" in recorder.evidence().notes[0]


@pytest.mark.parametrize("picture", ["traffic/x-1.svg", ""])
def test_summary_names_traffic(picture: str) -> None:
    """One line per stretch of traffic, with its picture where there is one."""
    evidence = Evidence("1f2e3d4c", "", 1.0, 2.0, traffic=(TrafficRecord(VERDICT.to_json(), picture),))
    expected = "traffic: upgrade of a/b: 2 requests, 1 failed, longest gap 0.19 s" + (f", {picture}" if picture else "")
    assert expected in summary_lines(evidence, Path("/evidence"))
    assert not evidence.is_empty
