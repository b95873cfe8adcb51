"""Cases of charts: what the file and Python say of them, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.charts.case import Answer, ChartCase, Origin, Step, Traffic, cases_of, usual_steps
from harness.errors import ChartError

CHART = Path("charts/app")

EVERYTHING = """
cases:
  - name: whole
    values: [ci/small.yaml]
    set: {a: {b: 1, c: 2}}
    release: app
    namespace: apps
    makes: [app-models]
    from: {oci: oci://registry.example.com/app, version: 1.2.3, plain-http: true}
    answers:
      - {service: app, namespace: app-models, port: http, via: node-port, path: /score, request: {X: [1]}, status: 201}
    traffic: {rate: 20, requests: 500, keep-alive: true, timeout: 2, failed: 3, gap: 1.5, p99: 200}
    ready: {Certificate: Ready}
    leaves: [PersistentVolumeClaim/data-*]
    steps:
      - install: {chart: previous, set: {a: {b: 0}}}
      - score
      - upgrade: {values: [ci/large.yaml], set: {a: {c: 3}}}
      - upgrade: {set: {image: none}, fails: ErrImagePull}
      - rollback: {revision: 1}
      - test
      - delete-pod
      - drain
      - uninstall
"""


def write(directory: Path, text: str) -> Path:
    """Write a chart with two CI values files and a declaration."""
    (directory / "ci").mkdir(parents=True)
    (directory / "Chart.yaml").write_text("apiVersion: v2\nname: scorer\nversion: 1.0.0\n", encoding="utf-8")
    for name in ("small", "large"):
        (directory / "ci" / f"{name}.yaml").write_text("x: 1\n", encoding="utf-8")
    (directory / "seatrial.yaml").write_text(text, encoding="utf-8")
    return directory


def test_everything_the_file_can_say_is_taken_over(tmp_path: Path) -> None:
    """Each key ends up in its field, with its unit."""
    (case,) = cases_of(write(tmp_path / "app", EVERYTHING))
    assert case == ChartCase(
        tmp_path / "app",
        "whole",
        values=("ci/small.yaml",),
        set={"a": {"b": 1, "c": 2}},
        release="app",
        namespace="apps",
        makes=("app-models",),
        previous=Origin(oci="oci://registry.example.com/app", version="1.2.3", plain_http=True),
        answers=(
            Answer("app", "app-models", port="http", via="node-port", path="/score", request={"X": [1]}, status=201),
        ),
        traffic=Traffic(20, 500, keep_alive=True, timeout_s=2, max_failed=3, max_gap_s=1.5, p99_ms=200),
        ready={"Certificate": "Ready"},
        leaves=("PersistentVolumeClaim/data-*",),
        steps=(
            Step("install", previous=True, set={"a": {"b": 0}}),
            Step("score"),
            Step("upgrade", values=("ci/large.yaml",), set={"a": {"c": 3}}),
            Step("upgrade", set={"image": "none"}, fails="ErrImagePull"),
            Step("rollback", revision=1),
            Step("test"),
            Step("delete-pod"),
            Step("drain"),
            Step("uninstall"),
        ),
        chart_name="scorer",
    )
    assert case.id == "scorer/whole"


def test_a_case_that_says_nothing_has_the_usual_way(tmp_path: Path) -> None:
    """The chart's name as its release, a fresh namespace; with an earlier version, from there and back."""
    plain, upgraded = cases_of(write(tmp_path / "app", "cases: [{name: a}, {name: b, from: {path: ../old}}]"))
    assert (plain.release, plain.namespace) == ("scorer", "")
    assert [step.verb for step in plain.steps] == ["install", "test", "score", "uninstall"]
    assert upgraded.steps == usual_steps(upgrade=True)
    assert upgraded.previous == Origin(path=tmp_path / "app" / ".." / "old")


def test_each_step_has_values_of_its_own(tmp_path: Path) -> None:
    """They go on top of the case's, key by key; the earlier version gets the step's only."""
    (case,) = cases_of(write(tmp_path / "app", EVERYTHING))
    earlier, later = case.values_of(case.steps[0]), case.values_of(case.steps[2])
    assert (earlier.files, earlier.inline) == ((), {"a": {"b": 0}})
    assert later.files == (tmp_path / "app" / "ci" / "small.yaml", tmp_path / "app" / "ci" / "large.yaml")
    assert later.inline == {"a": {"b": 1, "c": 3}}


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"steps": (Step("score"),)}, "must begin with 'install'"),
        ({"steps": (Step("install"), Step("install"))}, "only one of those may be meant to succeed"),
        ({"steps": (Step("install"), Step("uninstall"), Step("score"))}, "nothing can follow 'uninstall'"),
        ({"steps": (Step("install", previous=True),)}, "'from' does not say where it is"),
        ({"steps": (Step("install"), Step("score", set={"a": 1}))}, "step 'score' has no values"),
        ({"traffic": Traffic()}, "'answers' names nothing"),
        ({"traffic": Traffic(), "answers": (Answer("app", via="port-forward"),)}, "traffic needs another way"),
        (
            {"traffic": Traffic(), "answers": (Answer("app"),), "steps": (Step("install"), Step("drain"))},
            "traffic over 'drain' needs another way",
        ),
    ],
    ids=[
        "no install",
        "two installs",
        "after uninstall",
        "no origin",
        "values of a score",
        "no answer",
        "one pod",
        "an address that moves",
    ],
)
def test_a_way_that_cannot_be_gone_is_refused(given: dict[str, Any], seen: str) -> None:
    """Before anything is installed, naming the case."""
    with pytest.raises(ChartError, match=r"case 'app/x'") as caught:
        ChartCase(CHART, "x", **given)
    assert seen in caught.value.seen


def test_an_install_that_fails_may_be_followed_by_one_that_does_not() -> None:
    """It leaves nothing behind that would be in the way."""
    steps = (Step("install", set={"a": 1}, fails="x"), Step("install"), Step("uninstall"))
    assert ChartCase(CHART, "x", steps=steps).steps == steps


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("steps: [install, sail]", "'sail' is not one of"),
        ("steps: [{upgrade: {replicas: 3}}]", "'replicas' was unexpected"),
        ("steps: [{install: {}, score: {}}]", "score"),
        ("from: {git: main, oci: 'oci://x/y'}", "is valid under each of"),
        ("from: {oci: 'https://x/y'}", "does not match"),
        ("answers: [{path: /score}]", "'service' is a required property"),
        ("traffic: {rate: 0}", "0 is less than or equal to the minimum of 0"),
        ("leaves: [forgotten]", "does not match"),
    ],
)
def test_what_the_schema_refuses_is_named(tmp_path: Path, text: str, seen: str) -> None:
    """An editor with the schema shows the same."""
    with pytest.raises(ChartError) as caught:
        cases_of(write(tmp_path / "app", f"cases:\n  - name: x\n    {text}\n"))
    assert seen in caught.value.seen
