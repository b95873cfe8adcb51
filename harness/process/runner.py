"""The seam between Seatrial and the operating system's processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Protocol

from harness.process.command import Command
from harness.process.outcome import Outcome

# How long a program may take to end after SIGTERM before it gets SIGKILL. kind and helm clean up within a second.
GRACE_S = 5.0

LineSink = Callable[[str], None]
OutcomeSink = Callable[[Outcome], None]


class BackgroundProcess(Protocol):
    """A started program that runs beside the caller."""

    @property
    def pid(self) -> int:
        """The process id."""

    def is_running(self) -> bool:
        """Whether it has not ended yet."""

    def stop(self, grace_s: float = GRACE_S) -> int:
        """End it and its children, SIGTERM first; return its exit code."""


class Runner(Protocol):
    """Runs commands. The real one starts processes; :class:`harness.testing.RecordingRunner` answers from a script."""

    def run(self, command: Command, *, on_line: LineSink | None = None) -> Outcome:
        """Run `command` to its end and return how it ended; `on_line` gets each output line as it appears."""

    def start(self, command: Command, *, log: IO[bytes] | None = None) -> BackgroundProcess:
        """Start `command` in a session of its own, its output going to `log`, and return at once."""


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    env = dict(os.environ)
    for name, value in changes.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


class _Started:
    """A :class:`BackgroundProcess` over ``subprocess.Popen``."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self, grace_s: float = GRACE_S) -> int:
        return _stop_group(self._process, grace_s)


def _stop_group(process: subprocess.Popen[bytes], grace_s: float) -> int:
    """End the process group of `process`: it was started as the leader of its own.

    The leader gets `grace_s` seconds to end its children in order; what is left of the group then, or is left behind by
    a leader that ended sooner, is killed.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=grace_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


class SubprocessRunner:
    """Runs commands as real processes, each the leader of its own group so that none of its children outlive it.

    Args:
        on_outcome: told of every outcome, for the evidence.
    """

    def __init__(self, on_outcome: OutcomeSink | None = None) -> None:
        self._on_outcome = on_outcome
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def interrupt(self) -> None:
        """Stop every program that a :meth:`run` of another thread waits for, as Ctrl-C does in the main thread."""
        with self._lock:
            running = list(self._running)
        for process in running:
            _stop_group(process, GRACE_S)

    def run(self, command: Command, *, on_line: LineSink | None = None) -> Outcome:
        """See :meth:`Runner.run`."""
        started_at, clock = time.time(), time.monotonic()
        try:
            process = self._popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as error:
            outcome = Outcome(
                command,
                exit_code=127,
                stderr=f"{command.argv[0]}: {error.strerror or error}",
                started_at=started_at,
                not_found=True,
            )
            return self._finish(outcome)
        with self._lock:
            self._running.add(process)
        try:
            timed_out, stdout, stderr = self._communicate(process, command, on_line)
        finally:
            with self._lock:
                self._running.discard(process)
        outcome = Outcome(
            command,
            exit_code=process.returncode,
            stdout=stdout,
            stderr=stderr,
            started_at=started_at,
            duration_s=time.monotonic() - clock,
            timed_out=timed_out,
        )
        return self._finish(outcome)

    def start(self, command: Command, *, log: IO[bytes] | None = None) -> BackgroundProcess:
        """See :meth:`Runner.start`."""
        sink = log if log is not None else subprocess.DEVNULL
        try:
            return _Started(self._popen(command, stdout=sink, stderr=subprocess.STDOUT))
        except OSError as error:
            stderr = f"{command.argv[0]}: {error.strerror or error}"
            Outcome(command, exit_code=127, stderr=stderr, not_found=True).check()
            raise

    def _finish(self, outcome: Outcome) -> Outcome:
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        return outcome

    @staticmethod
    def _popen(command: Command, *, stdout: int | IO[bytes], stderr: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - argv is a list and shell is off: this is the one place that starts programs
            list(command.argv),
            env=_environment(command.env),
            cwd=command.cwd,
            stdin=subprocess.PIPE if command.stdin is not None else subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    @staticmethod
    def _communicate(
        process: subprocess.Popen[bytes], command: Command, on_line: LineSink | None
    ) -> tuple[bool, str, str]:
        """Read both streams to their end; stop the group at the time limit and on any exception (Ctrl-C)."""
        stdout, stderr = _Reader(process.stdout, on_line), _Reader(process.stderr, on_line)
        threads: list[threading.Thread] = [stdout, stderr]
        if command.stdin is not None:
            threads.append(threading.Thread(target=_feed, args=(process.stdin, command.stdin), daemon=True))
        timed_out = False
        try:
            for thread in threads:
                thread.start()
            process.wait(timeout=command.timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
            _stop_group(process, GRACE_S)
        except BaseException:
            _stop_group(process, GRACE_S)
            raise
        finally:
            # A child that inherited the streams and lives on (a daemon) would hold them open for ever.
            for thread in threads:
                if thread.ident is not None:  # interrupted before, it was never started
                    thread.join(timeout=GRACE_S)
        return timed_out, stdout.text(), stderr.text()


class _Reader(threading.Thread):
    """Reads one output stream to its end and closes it."""

    def __init__(self, stream: IO[bytes] | None, on_line: LineSink | None) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._on_line = on_line
        self._lines: list[str] = []

    def run(self) -> None:
        if self._stream is None:
            return
        with self._stream as stream:
            for raw in stream:
                line = raw.decode("utf-8", errors="replace")
                self._lines.append(line)
                if self._on_line is not None:
                    self._on_line(line.rstrip("\n"))

    def text(self) -> str:
        return "".join(self._lines)


def _feed(stream: IO[bytes] | None, text: str) -> None:
    """Write `text` to a program's standard input; a program that does not read it all is not an error."""
    if stream is not None:
        with contextlib.suppress(BrokenPipeError), stream:
            stream.write(text.encode())
