"""A repository's first day: `seatrial init`, the static checks, and goldens by a real Helm, as a new user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.supply.resolver import Supply
from tests.integration.chart_faults import GOOD, write_chart

LIMIT_S = 120


class Repository:
    """A git repository with one chart, and a shell in it.

    Args:
        path: where it is.
        helm: the Helm it uses.
    """

    def __init__(self, path: Path, helm: Path) -> None:
        self.path = path
        self._env = {**os.environ, "SEATRIAL_HELM_BIN": str(helm), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": ""}
        write_chart(path / "charts" / "scorer", GOOD)
        self.run("git", "init", "-q", "-b", "main")

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program there."""
        return subprocess.run(
            argv, cwd=self.path, env=self._env, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )

    def seatrial(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return self.run(str(Path(sys.executable).with_name("seatrial")), *args)

    def pytest(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run pytest."""
        return self.run(sys.executable, "-m", "pytest", *args)


@pytest.fixture(params=["helm", "helm-4"])
def repository(request: pytest.FixtureRequest, supply: Supply, tmp_path: Path) -> Repository:
    """The same for Helm 3 and Helm 4."""
    return Repository(tmp_path / "repository", supply.program(request.param).path)


def test_a_first_day(repository: Repository) -> None:
    """What init writes works as it is: checked, goldens kept and held to, and a changed chart noticed."""
    begun = repository.seatrial("init")
    assert begun.returncode == 0, begun.stderr
    assert "tests/test_charts.py" in begun.stdout
    checked = repository.seatrial("charts", "check", "--kubernetes=1.34")
    assert checked.returncode == 0, checked.stdout + checked.stderr

    missing = repository.pytest("-k", "renders")
    assert missing.returncode == pytest.ExitCode.TESTS_FAILED, missing.stdout
    kept = repository.pytest("-k", "renders", "--snapshot-update")
    assert kept.returncode == 0, kept.stdout
    assert list(repository.path.glob("tests/__snapshots__/**/*"))
    held = repository.pytest("-k", "renders")
    assert held.returncode == 0, held.stdout

    values = repository.path / "charts" / "scorer" / "values.yaml"
    values.write_text(values.read_text().replace("replicas: 2", "replicas: 3"))
    changed = repository.pytest("-k", "renders")
    assert changed.returncode == pytest.ExitCode.TESTS_FAILED
    assert "replicas: 3" in changed.stdout


def test_a_second_init_writes_nothing(repository: Repository) -> None:
    """It says what is there already, and changes none of it."""
    repository.seatrial("init")
    before = {path: path.read_bytes() for path in repository.path.rglob("*") if path.is_file()}
    again = repository.seatrial("init")
    assert again.returncode != 0
    assert "there already: tests/test_charts.py" in again.stderr
    assert {path: path.read_bytes() for path in repository.path.rglob("*") if path.is_file()} == before
