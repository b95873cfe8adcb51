"""What is kept of a test that failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.cluster.provider import ClusterHandle
from harness.deploy.release import Release
from harness.errors import ClusterError, ImageBuildError, RolloutError, SeatrialError
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


# -- logs that an error names


def test_the_log_that_an_error_names_is_kept(recorder: Recorder, tmp_path: Path) -> None:
    """A copy lies with the failure, secrets masked: the cache it is in may be pruned. Once: it may fail many tests."""
    log = tmp_path / "cache" / "build-app.log"
    log.parent.mkdir()
    log.write_text("RUN pip install --token t0p-secret", encoding="utf-8")
    error = ImageBuildError("build image 'app'", log=str(log))
    kept = session(recorder, tmp_path, trouble="")
    for test in ("test_x", "test_y"):
        kept.of_failure(test, "setup", str(error), error)
    first, second = recorder.evidence().failures
    assert first.files == ("failures/test-x-setup/logs/build-app.log",)
    assert second.files == ()
    assert (tmp_path / "latest" / first.files[0]).read_text(encoding="utf-8") == f"RUN pip install --token {MASK}"


def test_a_directory_of_logs_is_kept_whole(recorder: Recorder, tmp_path: Path) -> None:
    """Those of the nodes of a cluster that could not be made, also where it is the cause of another error."""
    logs = tmp_path / "cache" / "demo-1f2e3d4c"
    (logs / "demo-control-plane").mkdir(parents=True)
    for name in ("kind.log", "demo-control-plane/kubelet.log"):
        (logs / name).write_text(name, encoding="utf-8")
    error = SeatrialError("begin")
    error.__cause__ = ClusterError("create cluster 'demo'", node_logs=logs)
    session(recorder, tmp_path, trouble="").of_failure("test_x", "setup", str(error), error)
    (failure,) = recorder.evidence().failures
    below = "failures/test-x-setup/logs/demo-1f2e3d4c"
    assert failure.files == (f"{below}/demo-control-plane/kubelet.log", f"{below}/kind.log")


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RolloutError("roll out", reason="CrashLoopBackOff", log="the container's own words"), id="a text"),
        pytest.param(ImageBuildError("build image 'app'", log="/nonexistent/build.log"), id="a file that is gone"),
        pytest.param(ImageBuildError("build image 'app'"), id="no log"),
        pytest.param(None, id="no error"),
    ],
)
def test_where_there_is_no_log_there_is_no_copy(
    recorder: Recorder, tmp_path: Path, error: BaseException | None
) -> None:
    """The failure is recorded all the same."""
    session(recorder, tmp_path, trouble="").of_failure("test_x", "call", "", error)
    (failure,) = recorder.evidence().failures
    assert failure.files == ()


def test_a_log_without_room_for_its_copy(recorder: Recorder, tmp_path: Path) -> None:
    """The note says which."""
    log = tmp_path / "build-app.log"
    log.write_text("all of it", encoding="utf-8")
    without_room = session(recorder, tmp_path, trouble="")
    in_the_way(tmp_path, "failures")
    error = ImageBuildError("build image 'app'", log=str(log))
    without_room.of_failure("test_x", "setup", str(error), error)
    assert f"could not keep '{log}' with the evidence: [Errno" in notes(recorder)


# -- no room for evidence: a report never breaks a run


def in_the_way(tmp_path: Path, name: str) -> None:
    """Put a file where the run would make a directory."""
    (tmp_path / "latest" / name).write_text("", encoding="utf-8")


def notes(recorder: Recorder) -> str:
    """What the summary of the run tells."""
    return "\n".join(recorder.evidence().notes)


def test_a_failure_without_room_for_its_evidence(recorder: Recorder, tmp_path: Path) -> None:
    """The failure is recorded and the cluster's trouble shown; that nothing was kept is a note."""
    without_room = session(recorder, tmp_path)
    in_the_way(tmp_path, "failures")
    assert without_room.of_failure("test_x", "call", "reset by peer")[0][0] == "seatrial cluster"
    (failure,) = recorder.evidence().failures
    assert (failure.message, failure.files) == ("reset by peer", ())
    assert "could not collect the node logs of cluster 'demo'" in notes(recorder)


def test_what_a_living_cluster_says_without_room(recorder: Recorder, tmp_path: Path) -> None:
    """Each thing that could not be written is named."""
    without_room = session(recorder, tmp_path, trouble="")
    in_the_way(tmp_path, "failures")
    without_room.scene.releases.append((HANDLE, Release("scorer", "default", "helm", (), ({"kind": "Service"},))))
    assert without_room.of_failure("test_x", "call", "wrong score") == []
    assert "could not collect rendered manifests: [Errno 20] Not a directory" in notes(recorder)


def test_a_diagnosis_that_fails_hides_nothing(recorder: Recorder, tmp_path: Path) -> None:
    """The failure is recorded, with what else there is."""

    def diagnose(handle: ClusterHandle) -> str:
        raise RuntimeError(f"nobody knows {handle.name}")

    confused = EvidenceSession(
        recorder,
        RunDirectory.of_run(tmp_path, recorder.run).create(),
        runner=RecordingRunner(),
        diagnose=diagnose,
        collect_logs=write_node_log,
        log_tail_lines=10,
    )
    confused.scene.known.append(HANDLE)
    confused.of_failure("test_x", "call", "wrong score")
    assert [failure.test for failure in recorder.evidence().failures] == ["test_x"]
    assert "what is wrong with cluster 'demo': nobody knows demo" in notes(recorder)


def test_a_release_that_is_taken_back_without_room(recorder: Recorder, tmp_path: Path) -> None:
    """The deployer goes on to take it back and raises what it failed with."""
    without_room = session(recorder, tmp_path, trouble="")
    in_the_way(tmp_path, "withdrawn")
    without_room.witness(HANDLE).leaving(Release("scorer", "default", "helm"))
    assert "could not collect what there was to see of release 'scorer': [Errno" in notes(recorder)


def test_a_program_whose_log_cannot_be_kept_runs_all_the_same(recorder: Recorder, tmp_path: Path) -> None:
    """It is told that there is no file."""
    without_room = session(recorder, tmp_path)
    in_the_way(tmp_path, "logs")
    with without_room.log("bodywork-workflow") as log:
        log.write("one")
    assert log.path == ""
    assert "the log of 'bodywork-workflow' is not kept: [Errno" in notes(recorder)


def test_a_log_that_no_more_fits_into_is_cut_short(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full: the program goes on, and one note says so."""
    monkeypatch.setattr(RunDirectory, "of_log", lambda *_: Path("/dev/full"))
    with session(recorder, tmp_path).log("bodywork-workflow") as log:
        log.write("one")
        log.write("two")
    assert [note for note in recorder.evidence().notes if "No space left on device" in note] == [
        "the log of 'bodywork-workflow' in '/dev/full' is cut short: [Errno 28] No space left on device"
    ]


def test_an_account_that_cannot_be_written_is_told(recorder: Recorder, tmp_path: Path) -> None:
    """The terminal still shows the summary, once with the reason."""
    without_room = session(recorder, tmp_path)
    (tmp_path / "latest" / "run.json").mkdir()
    without_room.write()
    lines = without_room.finish().lines()
    path = (tmp_path / "latest").resolve() / "run.json"
    assert [line for line in lines if line.startswith("note:")] == [
        f"note: the account of the run could not be written to '{path}': Is a directory"
    ]
