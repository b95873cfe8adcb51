"""Live lines for what takes long: what is being done, for how long so far, and how long it usually takes."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TextIO

from harness.wait import SYSTEM_CLOCK, Clock

# A terminal line is rewritten this often; twice a second looks alive and costs nothing.
REFRESH_S = 0.5
# A log (no terminal) gets one line this often, enough to see that nothing hangs without filling it.
LOG_INTERVAL_S = 30.0
# What takes less than this is not worth a line in a log.
LOG_AFTER_S = 2.0
# Terminals that do not tell their width.
FALLBACK_COLUMNS = 80


class Progress(Protocol):
    """Told what goes on while it goes on."""

    def step(self, what: str, *, usual_s: float = 0.0) -> AbstractContextManager[None]:
        """Show `what` as going on while the block runs.

        Args:
            what: an imperative, e.g. ``"build kubernetes v1.34.4"``.
            usual_s: seconds it usually takes; 0 when unknown.
        """

    def say(self, text: str) -> None:
        """Show one line that stays."""


class SilentProgress:
    """Shows nothing."""

    def step(self, what: str, *, usual_s: float = 0.0) -> AbstractContextManager[None]:  # noqa: ARG002 - silent
        """See :meth:`Progress.step`."""
        return contextlib.nullcontext()

    def say(self, text: str) -> None:
        """See :meth:`Progress.say`."""


def spoken_duration(seconds: float) -> str:
    """Return a duration as people say it.

    >>> spoken_duration(384)
    '6 min 24 s'
    >>> spoken_duration(0.34)
    '0.3 s'
    """
    if seconds < 10:  # noqa: PLR2004 - below ten seconds tenths are worth reading
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"  # noqa: PLR2004 - seconds of a minute


class _Step:
    def __init__(self, what: str, usual_s: float, started: float) -> None:
        self.what = what
        self.usual_s = usual_s
        self.started = started
        self.told: float | None = None

    def line(self, now: float) -> str:
        usual = f" of about {spoken_duration(self.usual_s)}" if self.usual_s else ""
        return f"{self.what}: {spoken_duration(now - self.started)}{usual}"


class LiveProgress:
    """Shows steps on a stream: rewritten in place on a terminal, as occasional lines elsewhere.

    Several threads may have steps open at once; a terminal shows them side by side.

    Args:
        stream: where to show; ``stream.isatty()`` decides how.
        clock: measures the steps.
        log_interval_s: seconds between lines of one step where the stream is no terminal.
    """

    def __init__(self, stream: TextIO, *, clock: Clock = SYSTEM_CLOCK, log_interval_s: float = LOG_INTERVAL_S) -> None:
        self._stream = stream
        self._clock = clock
        self._log_interval_s = log_interval_s
        self._is_terminal = stream.isatty()
        self._lock = threading.Lock()
        self._steps: list[_Step] = []
        self._idle = threading.Event()
        self._ticker: threading.Thread | None = None

    @contextlib.contextmanager
    def step(self, what: str, *, usual_s: float = 0.0) -> Iterator[None]:
        """See :meth:`Progress.step`."""
        step = _Step(what, usual_s, self._clock.now())
        self._open(step)
        outcome = "failed"
        try:
            yield
            outcome = "done"
        finally:
            self._close(step, outcome)

    def say(self, text: str) -> None:
        """See :meth:`Progress.say`."""
        with self._lock:
            self._write_line(text)
            self._redraw()

    def tick(self) -> None:
        """Show how far the open steps are; called by a thread of this class while there are any."""
        now = self._clock.now()
        with self._lock:
            if self._is_terminal:
                self._redraw()
                return
            for step in self._steps:
                if step.told is None:
                    if now - step.started >= LOG_AFTER_S:
                        self._tell_start(step, now)
                elif now - step.told >= self._log_interval_s:
                    step.told = now
                    self._write_line(step.line(now))

    def _open(self, step: _Step) -> None:
        with self._lock:
            self._steps.append(step)
            if self._is_terminal:
                self._redraw()
            elif step.usual_s >= self._log_interval_s:
                self._tell_start(step, step.started)
            if len(self._steps) == 1:
                self._idle = threading.Event()
                self._ticker = threading.Thread(
                    target=self._tick_until, args=(self._idle,), daemon=True, name="seatrial-progress"
                )
                self._ticker.start()

    def _close(self, step: _Step, outcome: str) -> None:
        with self._lock:
            self._steps.remove(step)
            duration_s = self._clock.now() - step.started
            if self._is_terminal or step.told is not None or duration_s >= LOG_AFTER_S:
                self._write_line(f"{step.what}: {outcome} in {spoken_duration(duration_s)}")
            self._redraw()
            if not self._steps:
                self._idle.set()

    def _tell_start(self, step: _Step, now: float) -> None:
        usual = f" (usually {spoken_duration(step.usual_s)})" if step.usual_s else ""
        self._write_line(f"{step.what} ...{usual}")
        step.told = now

    def _tick_until(self, idle: threading.Event) -> None:
        while not idle.wait(REFRESH_S):
            self.tick()

    def _write_line(self, text: str) -> None:
        self._write(f"\r\x1b[2K{text}\n" if self._is_terminal else f"{text}\n")

    def _redraw(self) -> None:
        if self._is_terminal and self._steps:
            now = self._clock.now()
            columns = shutil.get_terminal_size((FALLBACK_COLUMNS, 24)).columns
            text = " | ".join(step.line(now) for step in self._steps)
            # One column is left free: a full line makes some terminals wrap, and a wrapped line is not rewritten.
            self._write(f"\r\x1b[2K{text[: columns - 1]}")

    def _write(self, text: str) -> None:
        # A closed pipe (`seatrial supply get | head`) must not fail the work that is being shown.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
