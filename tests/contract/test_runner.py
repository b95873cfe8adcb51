"""The scripted runner stands for the real one: both pass this suite."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.errors import CommandError, CommandTimeoutError, ProgramNotFoundError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import Runner, SubprocessRunner
from harness.testing import RecordingRunner


@dataclass
class Case:
    """A runner, a way to make a command that behaves as told, and what the runner reported."""

    runner: Runner
    command: Callable[..., Command]
    heard: list[Outcome] = field(default_factory=list)


@pytest.fixture(params=["scripted", "real"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """The same command for both: `stdout`, `stderr`, `exit_code`, and optionally for ever or missing altogether."""
    heard: list[Outcome] = []
    if request.param == "real":

        def real(*, stdout: str = "", stderr: str = "", exit_code: int = 0, endless: bool = False) -> Command:
            wait = "import signal; signal.pause()" if endless else ""
            source = (
                f"import sys; sys.stdout.write({stdout!r}); sys.stderr.write({stderr!r}); "
                f"sys.stdout.flush(); sys.stderr.flush()\n{wait}\nsys.exit({exit_code})"
            )
            return Command((sys.executable, "-IS", "-c", source), timeout_s=2.0 if endless else 60.0)

        return Case(SubprocessRunner(on_outcome=heard.append), real, heard)

    runner = RecordingRunner(on_outcome=heard.append)

    def scripted(*, stdout: str = "", stderr: str = "", exit_code: int = 0, endless: bool = False) -> Command:
        runner.on(
            "program", stdout=stdout, stderr=stderr, exit_code=-15 if endless else exit_code, timed_out=endless, times=1
        )
        return Command(("program",), timeout_s=2.0)

    runner.on("missing", not_found=True)
    return Case(runner, scripted, heard)


def test_success(case: Case) -> None:
    """A program that ends well gives its streams apart and a zero."""
    outcome = case.runner.run(case.command(stdout="out\n", stderr="err\n"))
    assert (outcome.stdout, outcome.stderr, outcome.exit_code) == ("out\n", "err\n", 0)
    assert outcome.succeeded
    assert outcome.check() is outcome


def test_failure_is_data_first(case: Case) -> None:
    """A non-zero exit code raises nothing until it is checked."""
    outcome = case.runner.run(case.command(stderr="broken", exit_code=3))
    assert (outcome.exit_code, outcome.succeeded) == (3, False)
    with pytest.raises(CommandError, match="broken"):
        outcome.check()


def test_time_limit(case: Case) -> None:
    """A program past its limit is stopped, and what it had said is kept."""
    outcome = case.runner.run(case.command(stdout="begun", endless=True))
    assert outcome.timed_out
    assert outcome.stdout == "begun"
    with pytest.raises(CommandTimeoutError, match="time limit of 2 s"):
        outcome.check()


def test_missing_program(case: Case) -> None:
    """A program that is not there is an outcome when run."""
    outcome = case.runner.run(Command(("missing",)))
    assert (outcome.exit_code, outcome.not_found) == (127, True)
    with pytest.raises(ProgramNotFoundError):
        outcome.check()


def test_missing_program_in_the_background(case: Case) -> None:
    """A program that is not there is an error when started: there is nothing to hand out."""
    with pytest.raises(ProgramNotFoundError):
        case.runner.start(Command(("missing",)))


def test_lines(case: Case) -> None:
    """Each line is handed on without its end, from both streams."""
    lines: list[str] = []
    case.runner.run(case.command(stdout="a\nb", stderr="c\n"), on_line=lines.append)
    assert sorted(lines) == ["a", "b", "c"]


def test_every_outcome_is_reported(case: Case) -> None:
    """The evidence hears of each command once, well or badly ended."""
    outcomes = [case.runner.run(case.command(exit_code=code)) for code in (0, 1)]
    assert case.heard == outcomes


def test_background_process(case: Case, tmp_path: Path) -> None:
    """What is started runs until it is stopped, with its output going to the log given."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = case.runner.start(case.command(stdout="begun\n", endless=True), log=file)
        assert process.is_running()
        assert process.pid > 0
        exit_code = process.stop()
    assert exit_code == -15
    assert not process.is_running()
    assert process.stop() == -15
