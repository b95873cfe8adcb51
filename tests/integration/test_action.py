"""What the action runs, in the shell that GitHub runs it in, on a repository of charts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.supply.resolver import Supply
from tests.integration.chart_faults import GOOD, write_chart

ROOT = Path(__file__).parents[2]
STEPS: list[dict[str, Any]] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"]


@dataclass
class Job:
    """A job's working directory and what its steps left for GitHub.

    Args:
        repository: the charts.
        env: the environment its steps run in.
    """

    repository: Path
    env: dict[str, str]

    def run(self, step: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run the step called `step`, its environment filled in from `inputs`; those not given are empty."""
        (found,) = (one for one in STEPS if one.get("name") == step)
        given = {
            name: re.sub(
                r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: inputs.get(match[1].replace("-", "_"), ""), text
            )
            for name, text in found["env"].items()
        }
        # As GitHub calls it for `shell: bash`.
        argv = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"])
        return subprocess.run(
            argv,
            cwd=self.repository,
            env={**self.env, **given},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def left(self, variable: str) -> str:
        """Return what was written to the file that a variable names."""
        return Path(self.env[variable]).read_text(encoding="utf-8")


@pytest.fixture
def job(tmp_path: Path, supply: Supply) -> Job:
    """A repository with two charts, the second of which a branch changes."""
    repository = tmp_path / "repository"
    for name in ("one", "two"):
        write_chart(repository / "charts" / name, {**GOOD, "Chart.yaml": GOOD["Chart.yaml"].replace("scorer", name)})
    git = ("git", "-C", str(repository), "-c", "user.name=n", "-c", "user.email=n@example.org")
    for words in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "x"), ("checkout", "-qb", "work")):
        subprocess.run([*git, *words], check=True)
    values = GOOD["values.yaml"].replace("replicas: 2", "replicas: 3")
    (repository / "charts" / "two" / "values.yaml").write_text(values, encoding="utf-8")
    files = {name: tmp_path / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        path.touch()
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")},
        **{name: str(path) for name, path in files.items()},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SEATRIAL_HELM_BIN": str(supply.program("helm").path),
    }
    return Job(repository, env)


def test_what_changed_becomes_a_matrix(job: Job) -> None:
    """One line of output, and a list on the job's page."""
    ended = job.run("seatrial charts changed", since="main", kubernetes="1.34,1.35")
    assert ended.returncode == 0, ended.stderr
    name, _, line = job.left("GITHUB_OUTPUT").strip().partition("=")
    assert name == "matrix"
    assert json.loads(line)["include"] == [
        {"chart": "charts/two", "name": "two", "kubernetes": version} for version in ("1.34", "1.35")
    ]
    assert "- `charts/two` on Kubernetes 1.34\n" in job.left("GITHUB_STEP_SUMMARY")


def test_nothing_changed_is_an_empty_matrix(job: Job) -> None:
    """The output is there, so that a condition can ask it."""
    (job.repository / "charts" / "two" / "values.yaml").write_text(GOOD["values.yaml"], encoding="utf-8")
    ended = job.run("seatrial charts changed", since="main")
    assert ended.returncode == 0, ended.stderr
    assert job.left("GITHUB_OUTPUT") == 'matrix={"include":[]}\n'


def test_a_ref_that_is_not_there_fails_the_step(job: Job) -> None:
    """With the error that says what to do, and without an output."""
    ended = job.run("seatrial charts changed", since="origin/nowhere")
    assert ended.returncode == 1
    assert "there is no commit 'origin/nowhere' here" in ended.stderr
    assert job.left("GITHUB_OUTPUT") == ""


@pytest.mark.parametrize(
    ("inputs", "code", "found"),
    [
        pytest.param({"since": "main"}, 1, {"two: version-bump"}, id="those that changed"),
        pytest.param({"charts": "charts/one charts/two"}, 0, set(), id="two by name"),
        pytest.param({}, 0, set(), id="all of them"),
    ],
)
def test_checks_annotate(inputs: dict[str, str], code: int, found: set[str], job: Job) -> None:
    """What is found is printed as GitHub reads it, and fails the step."""
    ended = job.run("seatrial charts check", kubernetes="1.34", **inputs)
    assert ended.returncode == code, ended.stdout + ended.stderr
    titles = re.findall(r"^::error file=charts/\S+,title=([^:]+)::", ended.stdout, re.MULTILINE)
    assert {title.replace("%3A", ":") for title in titles} == found


TEST = """
import pytest

@pytest.mark.chart("charts/two")
def test_two(pytestconfig):
    assert pytestconfig.getoption("--kubernetes") == "1.33"

def test_else():
    raise AssertionError("of no chart")
"""


def test_tests_of_one_chart_are_run(job: Job) -> None:
    """Those of others are not, and a failure fails the step."""
    (job.repository / "test_it.py").write_text(TEST, encoding="utf-8")
    ended = job.run("pytest", charts="charts/two", kubernetes="1.33", arguments="-p no:cacheprovider -q")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed, 1 deselected" in ended.stdout
    ended = job.run("pytest", charts="charts/two", kubernetes="1.34", arguments="-p no:cacheprovider -q")
    assert ended.returncode == 1


def test_a_chart_without_tests_is_a_warning(job: Job) -> None:
    """A library that changed has none of its own."""
    (job.repository / "test_it.py").write_text(TEST, encoding="utf-8")
    ended = job.run("pytest", charts="charts/one", arguments="-p no:cacheprovider -q")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "::warning::no test is about charts/one\n" in ended.stdout
