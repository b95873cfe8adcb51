"""What is collected when a test has failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.provider import ClusterHandle
from harness.deploy.release import Release
from harness.evidence.collect import Finding, cluster_collectors, collect
from harness.testing import ManualClock, RecordingRunner
from harness.wait import Deadline

HANDLE = ClusterHandle("demo", "kind", Path("/kubeconfig"), "kind-demo", Path("/bin/kubectl"))

PODS = {
    "items": [
        {
            "metadata": {"name": "a-1"},
            "spec": {"containers": [{"name": "api"}, {"name": "side"}], "initContainers": [{"name": "prepare"}]},
            "status": {
                "containerStatuses": [{"name": "api", "restartCount": 3}, {"name": "side", "restartCount": 0}],
                "initContainerStatuses": [{"name": "prepare", "restartCount": 0}],
            },
        },
        {"metadata": {"name": "b-1"}, "spec": {"containers": [{"name": "api"}]}, "status": {}},
    ]
}
EVENTS = {
    "items": [
        {
            "metadata": {},
            "lastTimestamp": "2026-01-01T00:00:02Z",
            "type": "Warning",
            "reason": "BackOff",
            "message": "again",
            "count": 4,
            "involvedObject": {"kind": "Pod", "name": "a-1"},
        },
        {
            "metadata": {},
            "lastTimestamp": None,
            "eventTime": "2026-01-01T00:00:01.5Z",
            "type": "Normal",
            "reason": "Scheduled",
            "message": "on node",
            "involvedObject": {"kind": "Pod", "name": "a-1"},
        },
    ]
}

SELDON = "seldondeployments.machinelearning.seldon.io"
MODELS = {"items": [{"metadata": {"name": "model"}, "status": {"state": "Failed", "description": "no such image"}}]}


class Yields:
    """A collector that finds the given texts, and then perhaps fails."""

    def __init__(self, name: str, *texts: str, error: BaseException | None = None) -> None:
        self.name = name
        self._texts = texts
        self._error = error

    def collect(self, deadline: Deadline) -> Iterator[Finding]:
        """Yield, then fail."""
        for number, text in enumerate(self._texts):
            yield f"{self.name}/{number}.txt", text
        if self._error is not None:
            raise self._error


def kept(directory: Path) -> dict[str, str]:
    """Every file below `directory` with its text."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_text(encoding="utf-8") for path in files}


def gather(directory: Path, *collectors: Any, **more: Any) -> list[str]:
    """Collect without masking and return the notes."""
    notes: list[str] = []
    collect(collectors, directory, redact=lambda text: text, note=notes.append, **more)
    return notes


def test_failing_collector_becomes_a_note(tmp_path: Path) -> None:
    """What it found before it failed is kept, the others run, and nothing is raised."""
    notes = gather(tmp_path, Yields("one", "a", error=OSError("refused")), Yields("two", "b"))
    assert notes == ["could not collect one: refused"]
    assert kept(tmp_path) == {"one/0.txt": "a", "two/0.txt": "b"}


def test_interrupt_passes_through(tmp_path: Path) -> None:
    """Ctrl-C while collecting ends the run; it is not a note."""
    with pytest.raises(KeyboardInterrupt):
        gather(tmp_path, Yields("one", error=KeyboardInterrupt()))


def test_everything_written_is_masked(tmp_path: Path) -> None:
    """No collector writes by itself, so none can forget to mask."""
    paths = collect(
        [Yields("one", "key hunter2")], tmp_path, redact=lambda text: text.replace("hunter2", "****"), note=print
    )
    assert paths == (tmp_path / "one" / "0.txt",)
    assert kept(tmp_path) == {"one/0.txt": "key ****"}


def test_time_limit_skips_what_is_left(tmp_path: Path) -> None:
    """A slow collector costs those behind it, and the note says so."""
    clock = ManualClock()

    class Slow(Yields):
        def collect(self, deadline: Deadline) -> Iterator[Finding]:
            clock.advance(31.0)
            return super().collect(deadline)

    notes = gather(tmp_path, Slow("slow", "a"), Yields("late", "b"), clock=clock)
    assert notes == ["did not collect late: 30 s were used up by what came before"]
    assert kept(tmp_path) == {"slow/0.txt": "a"}


def test_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A full or forbidden disk is a note too."""
    (tmp_path / "one").write_text("in the way")
    (note,) = gather(tmp_path, Yields("one", "a"))
    assert note.startswith("could not collect one: ")


def script() -> RecordingRunner:
    """A cluster with two pods, one of them restarted."""
    runner = RecordingRunner()
    runner.on("kubectl", "get", "events", stdout=json.dumps(EVENTS))
    runner.on("kubectl", "describe", "pods", stdout="Name: a-1\n")
    runner.on("kubectl", "get", SELDON, stdout=json.dumps(MODELS))
    runner.on("kubectl", "get", "pods", stdout=json.dumps(PODS))
    runner.on("kubectl", "logs", "a-1", "--container=api", "--previous", stdout="old\n")
    runner.on("kubectl", "logs", "a-1", stdout="new\n")
    runner.on("kubectl", "logs", "b-1", stderr="container is waiting to start", exit_code=1)
    return runner


def test_namespace_is_collected(tmp_path: Path) -> None:
    """Events in order, models' status, descriptions, and every container's log, its predecessor's after a restart."""
    notes = gather(tmp_path, *cluster_collectors(script(), HANDLE, ["demo"], log_tail_lines=500))
    assert notes == []
    assert kept(tmp_path) == {
        "demo/events.txt": (
            "2026-01-01T00:00:01.5Z Normal Scheduled Pod/a-1: on node\n"
            "2026-01-01T00:00:02Z Warning BackOff Pod/a-1: again (x4)\n"
        ),
        "demo/seldondeployments.yaml": (
            "metadata:\n  name: model\nstatus:\n  state: Failed\n  description: no such image\n"
        ),
        "demo/pods.txt": "Name: a-1\n",
        "demo/logs/a-1.prepare.log": "new\n",
        "demo/logs/a-1.api.log": "new\n",
        "demo/logs/a-1.api.previous.log": "old\n",
        "demo/logs/a-1.side.log": "new\n",
        "demo/logs/b-1.api.log": "no log: container is waiting to start",
    }


def test_calls_are_bounded_and_name_their_cluster(tmp_path: Path) -> None:
    """Each kubectl call has a limit of its own, asks the right cluster and takes only the end of a log."""
    runner = script()
    gather(tmp_path, *cluster_collectors(runner, HANDLE, ["demo"], log_tail_lines=500))
    assert all(command.timeout_s <= 10.0 for command in runner.commands)
    assert all(command.argv[:3] == ("/bin/kubectl", "--context", "kind-demo") for command in runner.commands)
    assert all("--tail=500" in command.argv for command in runner.commands if "logs" in command.argv)


def test_dead_cluster_is_notes_only(tmp_path: Path) -> None:
    """A cluster that does not answer leaves one note per thing that is missing, and the manifests."""
    runner = RecordingRunner()
    runner.on("kubectl", stderr="connection refused", exit_code=1)
    release = Release("a", "demo", "manifests", manifest=({"kind": "Service", "metadata": {"name": "a"}},))
    notes = gather(tmp_path, *cluster_collectors(runner, HANDLE, ["demo"], [release], log_tail_lines=5))
    assert [note.split(":")[0] for note in notes] == [
        "could not collect events of namespace 'demo'",
        "could not collect SeldonDeployments of namespace 'demo'",
        "could not collect pod descriptions of namespace 'demo'",
        "could not collect container logs of namespace 'demo'",
    ]
    assert kept(tmp_path) == {"demo/a.manifests.yaml": "kind: Service\nmetadata:\n  name: a\n"}


def test_manifests_do_not_show_secrets(tmp_path: Path) -> None:
    """The values of a Secret are masked, its keys stay, and the release itself is not changed."""
    document = {"kind": "Secret", "data": {"key": "aHVudGVyMg=="}, "stringData": {"other": "hunter2"}}
    release = Release("a", "", "helm", manifest=(document, {"kind": "ConfigMap", "data": {"key": "plain"}}))
    gather(tmp_path, *cluster_collectors(RecordingRunner(), HANDLE, [], [release], log_tail_lines=5))
    text = kept(tmp_path)["cluster/a.helm.yaml"]
    assert "aHVudGVyMg==" not in text
    assert "hunter2" not in text
    assert "plain" in text
    assert document["stringData"] == {"other": "hunter2"}


def test_empty_namespace(tmp_path: Path) -> None:
    """Nothing there is an answer too."""
    runner = RecordingRunner()
    runner.on("kubectl", "get", stdout="")
    runner.on("kubectl", "describe", stdout="")
    assert gather(tmp_path, *cluster_collectors(runner, HANDLE, ["demo"], log_tail_lines=5)) == []
    assert kept(tmp_path) == {"demo/events.txt": "no events\n", "demo/pods.txt": "no pods\n"}


@pytest.mark.parametrize(
    "told",
    [
        pytest.param('error: the server doesn\'t have a resource type "seldondeployments"', id="the kind is unknown"),
        pytest.param(
            "Error from server (NotFound): Unable to list: the server could not find the requested resource",
            id="the kind is gone",
        ),
    ],
)
def test_cluster_without_seldon(tmp_path: Path, told: str) -> None:
    """Most clusters have no such kind, which is nothing to note."""
    runner = RecordingRunner()
    runner.on("kubectl", "get", SELDON, stderr=told, exit_code=1)
    runner.on("kubectl", "get", stdout="")
    runner.on("kubectl", "describe", stdout="")
    assert gather(tmp_path, *cluster_collectors(runner, HANDLE, ["demo"], log_tail_lines=5)) == []
    assert "demo/seldondeployments.yaml" not in kept(tmp_path)
