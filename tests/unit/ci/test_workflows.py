"""The workflows and the action: what they read is what our commands write, what they pin is pinned once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.charts.changed import Changed, TouchedChart, as_github_matrix
from harness.cli import build_parser
from harness.settings.options import OPTIONS
from harness.settings.values import known_kubernetes_versions

ROOT = Path(__file__).parents[3]
SCAFFOLDED = ROOT / "harness" / "scaffold" / "files" / "charts.yml.in"
WORKFLOWS = (*sorted((ROOT / ".github" / "workflows").glob("*.yml")), SCAFFOLDED)
EVERYWHERE = (*WORKFLOWS, ROOT / "action.yml")


def load(file: Path) -> Mapping[Any, Any]:
    """Read a workflow; the scaffold's after what is filled in there."""
    text = file.read_text(encoding="utf-8").replace("@KUBERNETES@", "1.33,1.34,1.35")
    body: Mapping[Any, Any] = yaml.safe_load(text)
    return body


def jobs(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the jobs of a workflow."""
    yield from load(file)["jobs"].items()


def matrix_of(charts: int, kubernetes: tuple[str, ...]) -> Mapping[str, Any]:
    """Return what `seatrial charts changed --output=github-matrix` writes, as GitHub reads it."""
    touched = tuple(TouchedChart(f"charts/c{number}", f"c{number}", "1.0.0") for number in range(charts))
    line = as_github_matrix(Changed("main", "0" * 40, ROOT, touched), kubernetes)
    assert "\n" not in line, "a line of GITHUB_OUTPUT ends there"
    matrix: Mapping[str, Any] = json.loads(line)
    return matrix


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_what_a_job_reads_from_a_made_matrix_is_in_it(file: Path) -> None:
    """Each `matrix.X` of a job whose matrix is fromJSON of our command's output is a key of each of its entries."""
    (entry, *others) = matrix_of(2, ("1.33", "1.34"))["include"]
    assert all(set(one) == set(entry) for one in others)
    for name, job in jobs(file):
        made = job.get("strategy", {}).get("matrix", {})
        read = set(re.findall(r"matrix\.([\w-]+)", json.dumps({**job, "strategy": {}})))
        assert read <= (set(entry) if isinstance(made, str) else _keys(made)), name


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_newer_push_ends_the_run_of_the_older_one_but_on_the_main_branch(file: Path) -> None:
    """There each commit is judged to its end; runs of different branches have nothing to do with each other."""
    concurrency = load(file)["concurrency"]
    assert "github.ref }}" in concurrency["group"]
    assert re.search(
        r"github\.ref != ('refs/heads/main'|format\('refs/heads/\{0\}')", concurrency["cancel-in-progress"]
    )


def _keys(matrix: Mapping[str, Any]) -> set[str]:
    return {key for key in matrix if key != "include"} | {key for one in matrix.get("include", ()) for key in one}


def test_workflows_that_use_a_made_matrix_were_looked_at() -> None:
    """The test above would pass when nobody used one."""
    made = [
        file.name
        for file in WORKFLOWS
        for _, job in jobs(file)
        if isinstance(job.get("strategy", {}).get("matrix"), str)
    ]
    assert made == ["charts.yml", "charts.yml.in"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_matrix_of_no_jobs_is_asked_for_first(file: Path) -> None:
    """GitHub refuses an empty matrix: a job asks for its first entry, which an empty one has not."""
    assert matrix_of(0, ("1.34",))["include"] == []
    for name, job in jobs(file):
        if isinstance(made := job.get("strategy", {}).get("matrix"), str):
            source = re.fullmatch(r"\$\{\{ (fromJSON\(needs\.changed\.outputs\.matrix\)) \}\}", made)
            assert source is not None, name
            assert job["if"] == f"{source[1]}.include[0]", name


def test_what_the_action_is_given_it_takes() -> None:
    """No linter looks behind `$/`: inputs are declared, and what is required is given.

    A bare `$/` is never used: the runner may take its empty path for none.
    """
    inputs = load(ROOT / "action.yml")["inputs"]
    needed = {name for name, one in inputs.items() if one.get("required")}
    uses = [
        step
        for file in WORKFLOWS
        for _, job in jobs(file)
        for step in job["steps"]
        if step.get("uses", "").startswith(("./", "$/"))
    ]
    assert len(uses) == 5
    assert (ROOT / ".github/actions/seatrial/action.yml").resolve() == ROOT / "action.yml"
    for step in uses:
        assert step["uses"] == "$/.github/actions/seatrial"
        assert needed <= set(step["with"]) <= set(inputs)
        assert step["with"]["command"] in {"changed", "check", "test"}


@pytest.mark.parametrize("file", EVERYWHERE, ids=lambda file: file.name)
def test_commands_exist(file: Path) -> None:
    """What is called of `seatrial` parses, and options of pytest are ours."""
    text = file.read_text(encoding="utf-8")
    for words in re.findall(r"seatrial ((?:charts|supply) [\w-]+)", text):
        verb = words.split()
        given = ["--since=x"] if verb[1] == "changed" else []
        build_parser().parse_args([*verb, *given])
    flags = {option.flag for option in OPTIONS}
    for line in re.findall(r"-m pytest .*(?:\\\n.*)*", text):
        assert set(re.findall(r"--[a-z][\w-]*", line)) <= flags


@pytest.mark.parametrize("file", EVERYWHERE, ids=lambda file: file.name)
def test_actions_are_pinned_by_commit(file: Path) -> None:
    """By all 40 digits, with the release beside them; the same action by the same commit everywhere."""
    everything = "".join(one.read_text(encoding="utf-8") for one in EVERYWHERE)
    for line in re.findall(r"uses: (\S.*)", file.read_text(encoding="utf-8")):
        if line.startswith(("$/", "OWNER/")):
            continue
        pinned = re.fullmatch(r"([\w/-]+)@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line)
        assert pinned is not None, line
        assert set(re.findall(rf"uses: ({pinned[1]}@.*)", everything)) == {line}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_jobs_are_modest(file: Path) -> None:
    """Each may read the code and no more, has a limit of time, and a superseded run ends."""
    body = load(file)
    assert body["permissions"] == {}
    assert body["concurrency"]["cancel-in-progress"]
    for name, job in jobs(file):
        assert job["permissions"] == {"contents": "read"}, name
        assert job["timeout-minutes"], name
        kept = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
        assert all(step["if"] == "always()" for step in kept), name
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, name
    limits = re.findall(r"timeout-minutes: .*", file.read_text(encoding="utf-8"))
    assert all("# usually " in line for line in limits)


def test_every_python_and_every_kubernetes_is_tried() -> None:
    """All Pythons on one Kubernetes, one Python on all versions of Kubernetes there are recipes for."""
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pythons = set(re.findall(r"Python :: (3\.\d+)", metadata))
    ours = dict(jobs(ROOT / ".github" / "workflows" / "ci.yml"))
    assert set(ours["unit"]["strategy"]["matrix"]["python"]) == pythons
    pairs = {(one["python"], one["kubernetes"]) for one in ours["kind"]["strategy"]["matrix"]["include"]}
    assert pairs == {(python, "1.34") for python in pythons} | {
        ("3.12", version) for version in known_kubernetes_versions()
    }
