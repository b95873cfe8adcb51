"""Stand-ins for the edges of Seatrial, for its own tests and for those of projects built on it.

Each takes the place of the lowest seam only, so that everything above it stays real.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import BackgroundProcess, LineSink, OutcomeSink
from harness.scoring.payloads import to_json_text
from harness.scoring.request import JSON_CONTENT, ScoreRequest
from harness.scoring.response import ScoreResponse

__all__ = ["ManualClock", "RecordedProcess", "RecordingRunner", "ScriptedTransport"]

# The first process id handed out; larger than any real one of a default Linux (pid_max is 4,194,304 at most).
_FIRST_PID = 10_000_000
# What a shell and Popen report for a program ended by SIGTERM.
_TERMINATED = -15


class ManualClock:
    """A clock that moves only when somebody sleeps on it or moves it.

    Args:
        now_s: where it starts, seconds.
    """

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s
        self.slept: list[float] = []

    def now(self) -> float:
        """See :meth:`harness.wait.Clock.now`."""
        return self._now_s

    def sleep(self, seconds: float) -> None:
        """See :meth:`harness.wait.Clock.sleep`: takes no time and is noted in ``slept``."""
        self.slept.append(seconds)
        self._now_s += seconds

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass without anybody sleeping."""
        self._now_s += seconds


class RecordedProcess:
    """A background process that runs until it is stopped.

    Args:
        command: what was started.
        pid: its made-up process id.
    """

    def __init__(self, command: Command, pid: int) -> None:
        self.command = command
        self._pid = pid
        self._exit_code: int | None = None

    @property
    def pid(self) -> int:
        """See :attr:`harness.process.runner.BackgroundProcess.pid`."""
        return self._pid

    def is_running(self) -> bool:
        """See :meth:`harness.process.runner.BackgroundProcess.is_running`."""
        return self._exit_code is None

    def end(self, exit_code: int) -> None:
        """Let it end by itself."""
        self._exit_code = exit_code

    def stop(self, grace_s: float = 0.0) -> int:  # noqa: ARG002 - the seam's signature
        """See :meth:`harness.process.runner.BackgroundProcess.stop`."""
        if self._exit_code is None:
            self._exit_code = _TERMINATED
        return self._exit_code


@dataclass
class _Rule:
    """What to answer to commands that hold some words."""

    words: tuple[str, ...]
    answer: Callable[[Command], Outcome]
    times: int | None
    used: int = field(default=0)

    def is_open_to(self, command: Command) -> bool:
        return (self.times is None or self.used < self.times) and self._holds(command)

    def _holds(self, command: Command) -> bool:
        """Whether the program is the first word and the others follow in their order, whatever stands between."""
        if not self.words:
            return True
        if command.program != self.words[0]:
            return False
        rest = iter(command.argv[1:])
        return all(word in rest for word in self.words[1:])


class RecordingRunner:
    """A runner that answers from a script and keeps what it was asked.

    A command nobody scripted an answer for is an ``AssertionError``: a test says what it expects to happen.

    >>> runner = RecordingRunner()
    >>> runner.on("kubectl", "get", "pods", stdout="{}")
    >>> runner.run(Command(("/usr/bin/kubectl", "--context", "demo", "get", "pods"))).stdout
    '{}'
    >>> [command.argv[-1] for command in runner.commands]
    ['pods']

    Args:
        on_outcome: told of every outcome, as the real runner's.
    """

    def __init__(self, on_outcome: OutcomeSink | None = None) -> None:
        self._on_outcome = on_outcome
        self._rules: list[_Rule] = []
        self.commands: list[Command] = []
        self.started: list[RecordedProcess] = []

    def on(
        self,
        *words: str,
        stdout: str = "",
        stderr: str = "",
        exit_code: int = 0,
        duration_s: float = 0.0,
        timed_out: bool = False,
        not_found: bool = False,
        times: int | None = None,
        answer: Callable[[Command], Outcome] | None = None,
    ) -> None:
        """Script an answer. Rules are tried in the order they were given; the first that fits answers.

        Args:
            words: program name (without its directory) and words of its arguments, in order but not necessarily
                adjacent; none at all fits every command.
            stdout: standard output.
            stderr: standard error.
            exit_code: how it ends.
            duration_s: seconds it pretends to take.
            timed_out: whether it pretends to have been stopped at its time limit.
            not_found: whether it pretends not to be there.
            times: how often the rule answers before the next one that fits takes over; ``None`` for ever.
            answer: computes the outcome instead, e.g. to look at ``stdin`` or to write a file.
        """

        def scripted(command: Command) -> Outcome:
            return Outcome(
                command,
                127 if not_found else exit_code,
                stdout,
                stderr,
                duration_s=duration_s,
                timed_out=timed_out,
                not_found=not_found,
            )

        self._rules.append(_Rule(words, answer or scripted, times))

    def run(self, command: Command, *, on_line: LineSink | None = None) -> Outcome:
        """See :meth:`harness.process.runner.Runner.run`."""
        outcome = self._answer(command)
        if on_line is not None:
            for line in (*outcome.stdout.splitlines(), *outcome.stderr.splitlines()):
                on_line(line)
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        return outcome

    def start(self, command: Command, *, log: IO[bytes] | None = None) -> BackgroundProcess:
        """See :meth:`harness.process.runner.Runner.start`; what is scripted as output goes to `log` at once."""
        outcome = self._answer(command)
        if outcome.not_found:
            outcome.check()
        if log is not None:
            log.write((outcome.stdout + outcome.stderr).encode())
            log.flush()
        process = RecordedProcess(command, _FIRST_PID + len(self.started))
        self.started.append(process)
        return process

    def _answer(self, command: Command) -> Outcome:
        self.commands.append(command)
        for rule in self._rules:
            if rule.is_open_to(command):
                rule.used += 1
                return rule.answer(command)
        scripted = "\n".join(f"  {' '.join(rule.words)}" for rule in self._rules) or "  nothing"
        raise AssertionError(f"no answer is scripted for\n  {command.pasteable()}\nscripted:\n{scripted}")


class ScriptedTransport:
    """A transport that gives its answers in turn and keeps what it was asked.

    A request nobody scripted an answer for is an ``AssertionError``.

    >>> from harness.access.endpoint import Endpoint
    >>> transport = ScriptedTransport({"score": [1, 2]})
    >>> transport.send(ScoreRequest(Endpoint("http://127.0.0.1:5000"), "/score", {"X": [1, 2]})).json()
    {'score': [1, 2]}
    >>> transport.requests[0].path
    '/score'

    Args:
        answers: in turn: an exception (raised), an ``int`` (that status, no body), a function of the request that
            returns the response, or anything else: status 200 with that as its JSON body.
        latency_s: how long each answer pretends to have taken, seconds.
    """

    def __init__(self, *answers: Any, latency_s: float = 0.001) -> None:
        self._answers = list(answers)
        self._latency_s = latency_s
        self.requests: list[ScoreRequest] = []

    def send(self, request: ScoreRequest) -> ScoreResponse:
        """See :meth:`harness.scoring.transport.Transport.send`."""
        self.requests.append(request)
        if not self._answers:
            raise AssertionError(f"no answer is scripted for request {len(self.requests)}: {request}")
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            response: ScoreResponse = answer(request)
            return response
        if isinstance(answer, int):
            return ScoreResponse(request, answer, {}, b"", self._latency_s)
        body = to_json_text(answer).encode()
        return ScoreResponse(request, 200, {"Content-Type": JSON_CONTENT}, body, self._latency_s)
