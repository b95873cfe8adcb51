"""What is kept of a test that failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.cluster.provider import ClusterHandle
from harness.evidence.directory import RunDirectory
from harness.evidence.recorder import Recorder
from harness.evidence.session import EvidenceSession
from harness.naming import Run
from harness.process.redact import MASK
from harness.testing import RecordingRunner

HANDLE = ClusterHandle("demo", "kind", Path("/kubeconfig"), "kind-demo", Path("/bin/kubectl"))


def write_node_log(handle: ClusterHandle, directory: Path) -> Sequence[Path]:
    """Stand in for a provider: one node, whose log holds a secret."""
    directory.mkdir(parents=True)
    path = directory / f"{handle.name}-control-plane.log"
    path.write_text("kubelet: token t0p-secret refused", encoding="utf-8")
    return [path]


@pytest.fixture
def recorder() -> Recorder:
    """A recorder that knows a secret."""
    recorder = Recorder(Run.begin())
    recorder.keep_secret("t0p-secret")
    return recorder


def session(
    recorder: Recorder,
    tmp_path: Path,
    collect_logs: Callable[[ClusterHandle, Path], Sequence[Path]] = write_node_log,
    trouble: str = "node container 'demo-control-plane' is exited: exit code 137",
) -> EvidenceSession:
    """The session of a run with one cluster, which has died."""
    made = EvidenceSession(
        recorder,
        RunDirectory.of_run(tmp_path, recorder.run).create(),
        runner=RecordingRunner(),
        diagnose=lambda _: trouble,
        collect_logs=collect_logs,
        log_tail_lines=10,
    )
    made.scene.known.append(HANDLE)
    return made


def test_node_logs_of_a_dead_cluster_are_kept(recorder: Recorder, tmp_path: Path) -> None:
    """They are what is left to say why it died; secrets in them are masked."""
    sections = session(recorder, tmp_path).of_failure("test_a.py::test_x", "call", "reset by peer")
    assert [title for title, _ in sections] == ["seatrial cluster", "seatrial evidence"]
    (failure,) = recorder.evidence().failures
    assert failure.files == ("failures/test-a-py-test-x-call/nodes/demo/demo-control-plane.log",)
    text = (tmp_path / "latest" / failure.files[0]).read_text(encoding="utf-8")
    assert "kubelet: token" in text
    assert "t0p-secret" not in text


def test_node_logs_are_kept_once(recorder: Recorder, tmp_path: Path) -> None:
    """The tests that fail after the first know no more, and exporting takes its time."""
    ended = session(recorder, tmp_path)
    ended.of_failure("test_x", "call", "reset by peer")
    ended.of_failure("test_y", "setup", "reset by peer")
    assert [len(failure.files) for failure in recorder.evidence().failures] == [1, 0]


def test_a_living_cluster_keeps_its_node_logs(recorder: Recorder, tmp_path: Path) -> None:
    """What a living cluster says of the test's own namespaces is worth more."""
    session(recorder, tmp_path, trouble="").of_failure("test_x", "call", "wrong score")
    assert not list(tmp_path.rglob("*.log"))


def test_logs_that_cannot_be_had_hide_nothing(recorder: Recorder, tmp_path: Path) -> None:
    """The failure stays the one reported; that the logs are missing is a note."""

    def refuse(handle: ClusterHandle, directory: Path) -> Sequence[Path]:
        raise OSError(f"no room for the logs of {handle.name} in {directory.name}")

    sections = session(recorder, tmp_path, refuse).of_failure("test_x", "call", "reset by peer")
    assert [title for title, _ in sections] == ["seatrial cluster"]
    assert "no room for the logs of demo" in recorder.evidence().notes[-1]


def test_what_a_program_writes_is_kept_as_it_comes(recorder: Recorder, tmp_path: Path) -> None:
    """Each line is on disk at once, secrets masked; a second log of the same name has a file of its own."""
    kept = session(recorder, tmp_path)
    with kept.witness(HANDLE).log("bodywork-workflow") as log:
        log.write("one t0p-secret")
        assert Path(log.path).read_text(encoding="utf-8") == f"one {MASK}\n"
    with kept.log("bodywork-workflow") as second:
        assert second.path != log.path
