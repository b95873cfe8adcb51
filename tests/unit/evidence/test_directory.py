"""Where a run's evidence lies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import SeatrialError
from harness.evidence.directory import RunDirectory
from harness.naming import Run

RUN = Run("1f2e3d4c", 42, 1000, 1_700_000_000)


def test_directory_is_named_by_time_and_run(tmp_path: Path) -> None:
    """Names sort by age and cannot meet."""
    directory = RunDirectory.of_run(tmp_path / "a" / "evidence", RUN).create()
    assert directory.path == tmp_path / "a" / "evidence" / "20231114T221320Z-1f2e3d4c"
    assert directory.path.is_dir()
    assert directory.record == directory.path / "run.json"


def test_latest_points_at_the_last_run(tmp_path: Path) -> None:
    """The link is relative, so that the evidence can be moved as a whole, and follows the last run begun."""
    RunDirectory.of_run(tmp_path, RUN).create()
    second = RunDirectory.of_run(tmp_path, Run("aaaaaaaa", 42, 1000, 1_700_000_100)).create()
    link = tmp_path / "latest"
    assert str(link.readlink()) == second.path.name
    assert {path.name for path in tmp_path.iterdir()} == {
        "20231114T221320Z-1f2e3d4c",
        "20231114T221500Z-aaaaaaaa",
        "latest",
    }


def test_directory_called_latest_is_the_users(tmp_path: Path) -> None:
    """A real directory of that name is left as it is."""
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "file").write_text("mine")
    RunDirectory.of_run(tmp_path, RUN).create()
    assert (tmp_path / "latest" / "file").read_text() == "mine"


def test_link_that_points_nowhere_is_replaced(tmp_path: Path) -> None:
    """The run it pointed at may have been removed."""
    (tmp_path / "latest").symlink_to("gone")
    directory = RunDirectory.of_run(tmp_path, RUN).create()
    assert (tmp_path / "latest").resolve() == directory.path.resolve()


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in the way is an error that names it and the option to use."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SeatrialError) as caught:
        RunDirectory.of_run(tmp_path / "file", RUN).create()
    assert f"make the evidence directory '{tmp_path / 'file'}/" in str(caught.value)
    assert "--evidence-dir" in caught.value.hint


def test_workers_write_records_of_their_own(tmp_path: Path) -> None:
    """Only the controller owns run.json; a worker's record has the worker's name."""
    controller = RunDirectory.of_run(tmp_path, RUN).create()
    worker = RunDirectory.of_run(tmp_path, replace(RUN, worker="gw1"))
    assert worker.record == controller.path / "workers" / "gw1.json"
    assert controller.worker_records() == []
    worker.record.parent.mkdir()
    worker.record.write_text("{}")
    assert controller.worker_records() == [worker.record]


def test_workers_leave_the_link_to_the_controller(tmp_path: Path) -> None:
    """Workers begin at the same moment; one process alone replaces the link."""
    RunDirectory.of_run(tmp_path, replace(RUN, worker="gw0")).create()
    assert not (tmp_path / "latest").is_symlink()
    RunDirectory.of_run(tmp_path, RUN).create()
    assert (tmp_path / "latest").is_symlink()


def test_failures_have_directories_of_their_own(tmp_path: Path) -> None:
    """A test's id becomes one directory name, told apart by the phase it failed in, however odd or long the id is."""
    directory = RunDirectory.of_run(tmp_path, RUN).create()
    paths = {
        directory.of_failure(test, when)
        for test in ("tests/test_a.py::test_x[a/b ../c]", "tests/test_a.py::test_x[" + "a" * 300 + "]")
        for when in ("setup", "call")
    }
    assert len(paths) == 4
    assert all(path.parent == directory.path / "failures" for path in paths)
    assert not any(path.exists() for path in paths), "one that nothing is put into is not made"
