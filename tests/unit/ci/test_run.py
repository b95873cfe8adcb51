"""What CI runs, with stand-ins for every program: how it ends, and what it gives programs time for."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.settings.options import OPTIONS

ROOT = Path(__file__).parents[3]


def write_program(path: Path, body: str) -> None:
    """Write a shell script that can be executed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("tests", "engine_down", "expected"),
    [
        pytest.param(0, 0, 0, id="all is well"),
        pytest.param(0, 1, 1, id="the engine would not go down"),
        pytest.param(3, 0, 3, id="tests failed"),
        pytest.param(3, 1, 3, id="tests failed and the engine would not go down"),
    ],
)
def test_the_run_ends_as_its_worst_part(tmp_path: Path, tests: int, engine_down: int, expected: int) -> None:
    """A failing test gives the exit status, and an engine that stays behind is a failure too, with what was said."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    write_program(tmp_path / "bin" / "python3", "exit 0")
    write_program(tmp_path / "bin" / "tox", f"exit {tests}")
    write_program(tmp_path / ".tox" / "tests" / "bin" / "seatrial", f'echo "told $*" >&2; exit {engine_down}')
    environ = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", str(tmp_path / ".ci" / "run")], env=environ, capture_output=True, text=True, check=False
    )
    assert ended.returncode == expected, ended.stdout
    assert ended.stderr == "told engine down\n"
    assert ("engine down failed" in ended.stdout) == bool(engine_down)
    assert ended.stdout.endswith(f"with exit status {expected}\n")


def test_tox_gives_an_interrupted_run_time_to_remove_what_it_made() -> None:
    """Before tox sends its own signals a cluster may take all the time it has for its removal."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    limit = next(option for option in OPTIONS if option.name == "cluster-delete-timeout")
    assert limit.default == "2m"
    for name in ("suicide_timeout", "interrupt_timeout"):
        assert tox.getfloat("testenv", name) >= 120
    assert tox.getfloat("testenv", "terminate_timeout") >= 30
    for section in tox.sections():
        if section != "testenv":
            assert not {name for name in tox[section] if name.endswith("_timeout")}, section
