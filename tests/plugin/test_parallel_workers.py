"""The plugin under pytest-xdist: several processes, one run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.plugin.conftest import DEMO, FakeCluster

TESTS = """
    import time

    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_each(number, seatrial, cluster, request):
        worker = request.config.workerinput["workerid"]
        seatrial.recorder.note(f"test {number} by a worker of run {seatrial.run.run_id}")
        seatrial.recorder.version(f"worker {worker}", cluster.kubernetes)
        assert seatrial.run.own_id == f"{seatrial.run.run_id}-{worker}"
        assert cluster.kubeconfig.is_file()
"""


def latest(project: Path) -> Path:
    """Return the evidence directory of the last run."""
    return (project / "seatrial-evidence" / "latest").resolve()


def test_workers_take_part_in_one_run(pytester: pytest.Pytester, fake_cluster: FakeCluster) -> None:
    """One run id, one evidence directory with a record per worker, one summary by the controller."""
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess(*fake_cluster.arguments, "-n", "2", "--dist=each")
    result.assert_outcomes(passed=8)
    directory = latest(pytester.path)
    assert [path for path in directory.parent.iterdir() if path.name != "latest"] == [directory]
    record = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    assert (record["worker"], directory.name.rpartition("-")[2]) == ("", record["run_id"])
    assert {path.stem for path in (directory / "workers").iterdir()} == {"gw0", "gw1"}
    assert {"worker gw0", "worker gw1"} <= set(record["versions"])
    assert sorted(record["notes"]) == [f"test {number} by a worker of run {record['run_id']}" for number in range(4)]
    assert sum(step["name"].startswith("get cluster") for step in record["steps"]) == 2
    assert record["settings"]["cluster-provider"]["value"] == "existing"
    text = result.stdout.str()
    assert text.count(f"run {record['run_id']}: ") == 1
    assert text.count(f"evidence: {directory}") == 1


def test_failure_in_a_worker_is_reported_by_the_controller(
    pytester: pytest.Pytester, fake_cluster: FakeCluster
) -> None:
    """Evidence is collected where the test ran, and shown where the report is printed."""
    pytester.makeconftest(DEMO)
    pytester.makepyfile("def test_fails(demo):\n    raise OSError('reset by peer')")
    result = pytester.runpytest_subprocess(*fake_cluster.arguments, "-n", "2")
    result.stdout.fnmatch_lines(["*- seatrial evidence -*", "*= seatrial =*"])
    record = json.loads((latest(pytester.path) / "run.json").read_text(encoding="utf-8"))
    (failure,) = record["failures"]
    assert all((latest(pytester.path) / name).is_file() for name in failure["files"])


def test_workers_that_use_nothing_leave_nothing(pytester: pytest.Pytester) -> None:
    """A parallel run without our fixtures makes no directory and prints no summary."""
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_subprocess("-n", "2")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*= seatrial =*")
    assert not (pytester.path / "seatrial-evidence").exists()
