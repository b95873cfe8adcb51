"""What a run showed, as Markdown for the page that a CI system shows of a job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.commands.github import code, code_block, table
from harness.errors import tail
from harness.evidence.model import Evidence, Failure, TrafficRecord
from harness.evidence.summary import summary_lines

# A summary of more than 1 MiB is refused as a whole; the failures beyond these are in run.json.
FAILURES_SHOWN = 50
# Outcomes that make a heading say what went wrong; the others are told after them.
_BAD = ("failed", "error")


def job_summary(evidence: Evidence, outcomes: Mapping[str, int], directory: Path) -> str:
    """Return the page of a run, secrets masked as in `evidence`.

    Args:
        evidence: what happened.
        outcomes: how many tests ended how, in pytest's words: ``passed``, ``failed``, ``error``, ``skipped``...
        directory: where the evidence is.
    """
    parts = [f"## Seatrial: {_counted(outcomes)}"]
    for failure in evidence.failures[:FAILURES_SHOWN]:
        parts += _failure(failure)
    if (left := len(evidence.failures) - FAILURES_SHOWN) > 0:
        parts.append(f"{left} more failures are in run.json.")
    if evidence.traffic:
        head = ("traffic", "requests", "failed", "longest gap", "p50", "p95", "p99")
        parts += ["### Traffic", table(head, [_traffic(record) for record in evidence.traffic])]
    parts += ["### The run", code_block("\n".join(summary_lines(evidence, directory)))]
    if evidence.versions:
        rows = [(name, code(version)) for name, version in evidence.versions.items()]
        parts.append(table(("what took part", "version"), rows))
    return "\n\n".join(parts) + "\n"


def _counted(outcomes: Mapping[str, int]) -> str:
    ordered = sorted(outcomes, key=lambda name: (name not in _BAD, name != "passed", name))
    return ", ".join(f"{outcomes[name]} {name}" for name in ordered if outcomes[name]) or "no tests ran"


def _failure(failure: Failure) -> list[str]:
    where = "" if failure.when == "call" else f" ({failure.when})"
    parts = [f"### {code(failure.test)}{where}", code_block(tail(failure.message))]
    if failure.files:
        parts.append(f"{len(failure.files)} files were collected, the first is {code(failure.files[0])}.")
    return parts


def _traffic(record: TrafficRecord) -> tuple[str, ...]:
    figures = record.figures
    latencies = (figures[name] for name in ("p50_ms", "p95_ms", "p99_ms"))
    return (
        str(figures["name"]),
        str(figures["requests"]),
        str(figures["failed"]),
        f"{figures['longest_gap_s']:.2f} s",
        *("" if value is None else f"{value:.0f} ms" for value in latencies),
    )
