"""The page of a run for a CI system."""

from __future__ import annotations

from pathlib import Path

from harness.evidence.job_summary import FAILURES_SHOWN, job_summary
from harness.evidence.model import Evidence, Failure, TrafficRecord

DIRECTORY = Path("/evidence/run")


def test_what_failed_comes_first() -> None:
    """Counts, each failure with what was collected, traffic as a table, the terminal's lines, versions."""
    figures = {
        "name": "upgrade",
        "requests": 1000,
        "failed": 3,
        "longest_gap_s": 0.75,
        "p50_ms": 4.2,
        "p95_ms": 9.0,
        "p99_ms": None,
    }
    evidence = Evidence(
        "1f2e3d4c",
        "",
        100.0,
        60.0,
        versions={"kubernetes": "v1.34.4"},
        traffic=(TrafficRecord(figures),),
        failures=(
            Failure("tests/test_a.py::test_x", "call", "it was ```this```", ("failures/a/events.txt", "b")),
            Failure("tests/test_a.py::test_y", "setup", "no cluster"),
        ),
    )
    text = job_summary(evidence, {"passed": 5, "error": 1, "failed": 1, "skipped": 0}, DIRECTORY)
    assert text == (
        "## Seatrial: 1 error, 1 failed, 5 passed\n\n"
        "### `tests/test_a.py::test_x`\n\n"
        "````text\nit was ```this```\n````\n\n"
        "2 files were collected, the first is `failures/a/events.txt`.\n\n"
        "### `tests/test_a.py::test_y` (setup)\n\n"
        "```text\nno cluster\n```\n\n"
        "### Traffic\n\n"
        "| traffic | requests | failed | longest gap | p50 | p95 | p99 |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| upgrade | 1000 | 3 | 0.75 s | 4 ms | 9 ms |  |\n\n"
        "### The run\n\n"
        "```text\n"
        "run 1f2e3d4c: 1 min 00 s\n"
        "traffic: upgrade: 1000 requests, 3 failed, longest gap 0.75 s\n"
        "evidence: /evidence/run\n"
        "```\n\n"
        "| what took part | version |\n| --- | --- |\n| kubernetes | `v1.34.4` |\n"
    )


def test_a_page_stays_small_enough_to_be_taken() -> None:
    """However many tests fail and however long their messages are, it stays far below GitHub's limit of 1 MiB."""
    failures = tuple(Failure(f"test_a.py::test_{number}", "call", "x" * 100_000) for number in range(500))
    text = job_summary(Evidence("1f2e3d4c", "", 100.0, 60.0, failures=failures), {"failed": 500}, DIRECTORY)
    assert text.count("### `test_a.py") == FAILURES_SHOWN
    assert "450 more failures are in run.json." in text
    assert len(text.encode()) < 512 * 1024


def test_a_run_without_tests_says_so() -> None:
    """A run that was interrupted before its first test has a page too."""
    assert job_summary(Evidence("1f2e3d4c", "", 100.0, 60.0), {}, DIRECTORY).startswith("## Seatrial: no tests ran\n")
