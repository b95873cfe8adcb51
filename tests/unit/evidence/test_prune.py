"""Which runs' evidence is kept."""

from __future__ import annotations

import os
from pathlib import Path

from harness.evidence.prune import prune

NOW = 1_700_000_000.0


def make_run(parent: Path, second: int, *, ended: bool = True, age_s: float = 60.0) -> Path:
    """Make the directory of a run that began at that second."""
    path = parent / f"20231114T2213{second:02}Z-1f2e3d4c"
    path.mkdir()
    if ended:
        (path / "run.json").write_text("{}", encoding="utf-8")
    os.utime(path, (NOW - age_s, NOW - age_s))
    return path


def names(parent: Path) -> set[str]:
    """What is there."""
    return {path.name for path in parent.iterdir()}


def test_the_latest_are_kept(tmp_path: Path) -> None:
    """By the time they began, which is in their names."""
    runs = [make_run(tmp_path, second) for second in range(5)]
    assert set(prune(tmp_path, keep=2, wall_clock=lambda: NOW)) == set(runs[:3])
    assert names(tmp_path) == {path.name for path in runs[3:]}


def test_fewer_than_are_kept_all_stay(tmp_path: Path) -> None:
    """There is nothing to remove."""
    make_run(tmp_path, 1)
    assert prune(tmp_path, keep=2, wall_clock=lambda: NOW) == ()


def test_a_run_that_goes_on_keeps_its_directory(tmp_path: Path) -> None:
    """It has no record yet; one that was killed has none either, and goes when no run can still be at work on it."""
    living = make_run(tmp_path, 1, ended=False)
    killed = make_run(tmp_path, 2, ended=False, age_s=25 * 3600)
    latest = make_run(tmp_path, 3)
    assert prune(tmp_path, keep=1, wall_clock=lambda: NOW) == (killed,)
    assert names(tmp_path) == {living.name, latest.name}


def test_what_is_no_runs_stays(tmp_path: Path) -> None:
    """The user may keep things there: other directories, files, links to runs."""
    run = make_run(tmp_path, 1)
    (tmp_path / "latest").symlink_to(run.name)
    (tmp_path / "20231114T221301Z-interesting").mkdir()
    (tmp_path / "20231114T221301Z-00000000").write_text("a file", encoding="utf-8")
    before = names(tmp_path)
    assert prune(tmp_path, keep=1, wall_clock=lambda: NOW) == ()
    assert names(tmp_path) == before


def test_a_directory_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    """Another run, or its user, may have removed it meanwhile."""
    assert prune(tmp_path / "gone", keep=0, wall_clock=lambda: NOW) == ()
