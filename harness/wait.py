"""Deadlines, and the one loop that waits where nothing can be watched."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from harness.errors import WaitTimeoutError

T = TypeVar("T")


class Clock(Protocol):
    """Time as a collaborator, so that tests take none."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class SystemClock:
    """The real clock."""

    def now(self) -> float:
        """See :meth:`Clock.now`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See :meth:`Clock.sleep`."""
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True)
class Deadline:
    """A point in time before which something must have happened.

    Args:
        timeout_s: seconds from the start to the deadline.
        clock: the clock it is measured on.
        started_at: start on that clock; the moment of construction by default.
    """

    timeout_s: float
    clock: Clock = SYSTEM_CLOCK
    started_at: float = field(default=-1.0)

    def __post_init__(self) -> None:
        if self.started_at < 0:
            object.__setattr__(self, "started_at", self.clock.now())

    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self.clock.now() - self.started_at

    def remaining_s(self, *, at_least: float = 0.0) -> float:
        """Return the seconds left, never negative; `at_least` this many, for what is to have one try all the same."""
        return max(at_least, self.timeout_s - self.elapsed_s())

    def has_passed(self) -> bool:
        """Whether no time is left."""
        return self.remaining_s() <= 0


def wait_until(
    what: str,
    probe: Callable[[], T],
    *,
    done: Callable[[T], bool] = bool,
    failed: Callable[[T], BaseException | None] = lambda _: None,
    timeout_s: float,
    poll_interval_s: float = 0.2,
    describe: Callable[[T], str] = str,
    hint: str = "",
    clock: Clock = SYSTEM_CLOCK,
) -> T:
    """Call `probe` until `done` holds for what it returns, and return that.

    Watching is better than polling: use this only where nothing can be watched.

    Args:
        what: completes "could not ...", e.g. ``"reach the API server of 'demo'"``.
        probe: observes; its exceptions are the caller's to handle inside it.
        done: whether an observation is the wanted one.
        failed: returns an error when an observation can never become the wanted one: raised at once.
        timeout_s: seconds until :class:`~harness.errors.WaitTimeoutError`.
        poll_interval_s: seconds between probes.
        describe: turns the last observation into the words of the time-out's message.
        hint: what to try, for the time-out's message.
        clock: the clock to wait on.

    Raises:
        WaitTimeoutError: the deadline passed; it carries the last observation.
    """
    deadline = Deadline(timeout_s, clock)
    while True:
        observed = probe()
        if done(observed):
            return observed
        error = failed(observed)
        if error is not None:
            raise error
        if deadline.has_passed():
            raise WaitTimeoutError(
                what, timeout_s=timeout_s, last=observed, seen=f"last: {describe(observed)}", hint=hint
            )
        clock.sleep(min(poll_interval_s, deadline.remaining_s(at_least=0.001)))
