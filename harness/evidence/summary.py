"""The last lines of a run in the terminal: where the time went, and where to look."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.evidence.model import PHASES, Evidence, Step
from harness.progress import spoken_duration

SLOWEST_SHOWN = 5


def summary_lines(evidence: Evidence, directory: Path) -> list[str]:
    """Return the summary of a run.

    A phase's time is the time during which at least one of its steps was going on, so work that overlaps is not
    counted twice within a phase; phases that overlap each other add up to more than the run.
    """
    steps = [step for step in evidence.steps if step.phase is not None]
    lines = [f"run {evidence.run_id}: {spoken_duration(evidence.duration_s)}"]
    for phase in PHASES:
        own = [step for step in steps if step.phase == phase]
        if own:
            lines.append(_phase_line(phase, own))
    elsewhere = evidence.duration_s - _covered_s(steps)
    if steps and elsewhere > 0:
        lines.append(f"  {'tests':<8} {spoken_duration(elsewhere):>11}")
    if evidence.exchanges:
        lines.append(f"scoring requests: {len(evidence.exchanges)}, {_answered(evidence)} answered")
    for traffic in evidence.traffic:
        figures = traffic.figures
        lines.append(
            f"traffic: {figures['name']}: {figures['requests']} requests, {figures['failed']} failed, "
            f"longest gap {figures['longest_gap_s']:.2f} s{f', {traffic.picture}' if traffic.picture else ''}"
        )
    lines += _slowest(steps)
    lines += [f"note: {note}" for note in evidence.notes]
    lines.append(f"evidence: {directory}")
    return lines


def _phase_line(phase: str, steps: list[Step]) -> str:
    # A failed command inside a failed step is one failure; a wanted one inside a passed step is none.
    failed = sum(step.outcome != "passed" for step in steps if not step.argv)
    broken = f", {failed} failed" if failed else ""
    outermost = sum(not step.argv for step in steps) or len(steps)
    plural = "" if outermost == 1 else "s"
    return f"  {phase:<8} {spoken_duration(_covered_s(steps)):>11}  ({outermost} step{plural}{broken})"


def _covered_s(steps: Iterable[Step]) -> float:
    """Seconds during which at least one of `steps` was going on."""
    covered, reached = 0.0, float("-inf")
    for step in sorted(steps, key=lambda step: step.started_at):
        end = step.started_at + step.duration_s
        covered += max(0.0, end - max(step.started_at, reached))
        reached = max(reached, end)
    return covered


def _slowest(steps: list[Step]) -> list[str]:
    """The steps that took longest, without those that only contain one of them."""
    parents = {step.parent for step in steps}
    leaves = sorted((step for step in steps if step.number not in parents), key=lambda step: -step.duration_s)
    if not leaves:
        return []
    return ["slowest:", *(f"  {spoken_duration(step.duration_s):>11}  {step.name}" for step in leaves[:SLOWEST_SHOWN])]


def _answered(evidence: Evidence) -> int:
    return sum(exchange.status is not None for exchange in evidence.exchanges)
