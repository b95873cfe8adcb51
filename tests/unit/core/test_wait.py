"""Deadlines, and the loop that waits where nothing can be watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.errors import ClusterError, WaitTimeoutError
from harness.testing import ManualClock
from harness.wait import Deadline, wait_until


def observations(*values: object) -> Iterator[object]:
    """The given observations, the last one for ever."""
    yield from values
    while True:
        yield values[-1]


def test_first_good_observation_ends_the_wait() -> None:
    """What is there already is returned without sleeping."""
    clock = ManualClock()
    assert wait_until("see it", lambda: "here", timeout_s=5, clock=clock) == "here"
    assert clock.slept == []


def test_waits_until_done() -> None:
    """The observation that is wanted is returned, after as many pauses as it took."""
    clock = ManualClock()
    seen = observations("a", "b", "ready")
    result = wait_until("see it", lambda: next(seen), done=lambda value: value == "ready", timeout_s=5, clock=clock)
    assert result == "ready"
    assert clock.slept == [0.2, 0.2]


def test_deadline_names_the_last_observation() -> None:
    """Past the deadline the error says what, how long, what was seen last and what to try."""
    clock = ManualClock()
    with pytest.raises(WaitTimeoutError) as caught:
        wait_until("see it", lambda: 0, timeout_s=1.0, describe=lambda count: f"{count} pods", hint="look", clock=clock)
    assert str(caught.value) == "could not see it within 1 s\n  seen: last: 0 pods\n  try:  look"
    assert caught.value.last == 0
    assert clock.now() == pytest.approx(1.0, abs=0.01)


def test_probe_is_asked_once_more_at_the_deadline() -> None:
    """What becomes true during the last pause is still seen."""
    clock = ManualClock()
    assert wait_until("see it", lambda: clock.now() >= 1.0, timeout_s=1.0, poll_interval_s=0.7, clock=clock)
    assert clock.slept == [0.7, pytest.approx(0.3)]


def test_hopeless_wait_stops_at_once() -> None:
    """An observation that can never become the wanted one ends the wait with its own error."""
    clock = ManualClock()
    with pytest.raises(ClusterError, match="could not live"):
        wait_until(
            "see it",
            lambda: "dead",
            done=lambda value: value == "ready",
            failed=lambda value: ClusterError("live") if value == "dead" else None,
            timeout_s=60,
            clock=clock,
        )
    assert clock.slept == []


def test_deadline_counts_down_to_nothing() -> None:
    """Elapsed and remaining seconds add up, and what remains is never negative."""
    clock = ManualClock(100.0)
    deadline = Deadline(10.0, clock)
    clock.advance(4.0)
    assert (deadline.elapsed_s(), deadline.remaining_s(), deadline.has_passed()) == (4.0, 6.0, False)
    clock.advance(60.0)
    assert (deadline.remaining_s(), deadline.has_passed()) == (0.0, True)
    assert deadline.remaining_s(at_least=1.0) == 1.0


def test_deadline_may_have_begun_earlier() -> None:
    """A start in the past, at zero too, is respected."""
    assert Deadline(10.0, ManualClock(4.0), started_at=0.0).remaining_s() == 6.0
