"""The last lines of a run."""

from __future__ import annotations

from pathlib import Path

from harness.evidence.model import Evidence, Exchange, Phase, Step, StepOutcome
from harness.evidence.summary import summary_lines

DIRECTORY = Path("/evidence/run")


def step(
    number: int,
    name: str,
    phase: Phase | None,
    started_at: float,
    duration_s: float,
    *,
    outcome: StepOutcome = "passed",
    parent: int | None = None,
    argv: str = "",
) -> Step:
    """A step, in short."""
    return Step(number, name, phase, started_at, duration_s, outcome, parent, argv)


def test_summary_shows_where_the_time_went() -> None:
    """Phases in the order of the voyage, the rest of the run, the slowest steps, notes and where to look."""
    evidence = Evidence(
        "1f2e3d4c",
        "",
        100.0,
        60.0,
        steps=(
            step(1, "create cluster", "cluster", 100.0, 25.0),
            step(2, "kind create cluster", "cluster", 101.0, 22.0, parent=1, argv="kind create cluster"),
            step(3, "build image", "images", 100.0, 12.0),
            step(4, "roll out", "deploy", 130.0, 2.0, outcome="failed"),
            step(5, "kubectl get", None, 140.0, 0.2, argv="kubectl get"),
        ),
        exchanges=(Exchange("curl", 150.0, 0.1, 200), Exchange("curl", 151.0, 0.1)),
        notes=("could not collect events: no",),
    )
    assert summary_lines(evidence, DIRECTORY) == [
        "run 1f2e3d4c: 1 min 00 s",
        "  cluster         25 s  (1 step)",
        "  images          12 s  (1 step)",
        "  deploy         2.0 s  (1 step, 1 failed)",
        "  tests           33 s",
        "scoring requests: 2, 1 answered",
        "slowest:",
        "         22 s  kind create cluster",
        "         12 s  build image",
        "        2.0 s  roll out",
        "note: could not collect events: no",
        "evidence: /evidence/run",
    ]


def test_overlapping_steps_count_once() -> None:
    """Two builds at the same time take as long as the longer one; a gap between steps is not counted."""
    evidence = Evidence(
        "a",
        "",
        0.0,
        20.0,
        steps=(
            step(1, "a", "images", 0.0, 4.0),
            step(2, "b", "images", 2.0, 4.0),
            step(3, "c", "images", 3.0, 1.0),
            step(4, "d", "images", 10.0, 1.0),
        ),
    )
    assert "  images         7.0 s  (4 steps)" in summary_lines(evidence, DIRECTORY)


def test_only_the_slowest_are_shown() -> None:
    """A long run does not drown its reader."""
    steps = tuple(step(n, f"step {n}", "deploy", float(n), 0.1 * n) for n in range(1, 30))
    lines = summary_lines(Evidence("a", "", 0.0, 40.0, steps=steps), DIRECTORY)
    shown = lines[lines.index("slowest:") + 1 : -1]
    assert [line.split()[-1] for line in shown] == ["29", "28", "27", "26", "25"]


def test_run_of_nothing() -> None:
    """No step, no table."""
    assert summary_lines(Evidence("a", "", 0.0, 1.0), DIRECTORY) == ["run a: 1.0 s", "evidence: /evidence/run"]
