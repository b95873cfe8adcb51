"""How a command ended: data first, an error when asked for one."""

from __future__ import annotations

import pytest

from harness.errors import CommandError, CommandTimeoutError, ProgramNotFoundError
from harness.process.command import Command
from harness.process.outcome import Outcome

COMMAND = Command(("kubectl", "get", "pods"), timeout_s=7.0)


def test_check_of_a_success_returns_the_outcome() -> None:
    """Calls can be chained."""
    outcome = Outcome(COMMAND, 0, "out")
    assert outcome.check() is outcome


FAILURES = {
    "a non-zero exit code": (
        Outcome(COMMAND, 3, "out", "  it broke\n", duration_s=1.25),
        CommandError,
        "could not run `kubectl get pods`\n  seen: exit code 3 after 1.2 s\n        it broke",
    ),
    "only standard output": (Outcome(COMMAND, 1, "only out"), CommandError, "only out"),
    "no output at all": (Outcome(COMMAND, 1), CommandError, "no output"),
    "a time-out": (
        Outcome(COMMAND, -15, timed_out=True),
        CommandTimeoutError,
        "still running after its time limit of 7 s, stopped",
    ),
    "a missing program": (
        Outcome(COMMAND, 127, stderr="kubectl: No such file or directory", not_found=True),
        ProgramNotFoundError,
        "kubectl: No such file or directory",
    ),
}


@pytest.mark.parametrize(("outcome", "kind", "says"), FAILURES.values(), ids=FAILURES.keys())
def test_check_of_a_failure(outcome: Outcome, kind: type[CommandError], says: str) -> None:
    """Each way to fail is an error of its own that says what was run and what was seen, and carries the outcome."""
    with pytest.raises(CommandError) as caught:
        outcome.check(hint="look again")
    assert type(caught.value) is kind
    assert says in str(caught.value)
    assert "try:  look again" in str(caught.value)
    assert caught.value.outcome is outcome


def test_json() -> None:
    """Standard output can be read as JSON."""
    assert Outcome(COMMAND, 0, '{"a": [1]}').json() == {"a": [1]}
