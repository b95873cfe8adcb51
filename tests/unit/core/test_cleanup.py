"""The teardown stack."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from harness.cleanup import CleanupStack, terminated_like_ctrl_c, undisturbed
from harness.errors import CleanupError


def failing(message: str) -> Callable[[], object]:
    """A removal that fails."""

    def remove() -> object:
        raise OSError(message)

    return remove


def test_last_registered_is_removed_first() -> None:
    """What was made last depends on what was made before it."""
    removed: list[str] = []
    with CleanupStack() as stack:
        for name in ("network", "node", "cluster"):
            stack.push(name, lambda name=name: removed.append(name))  # type: ignore[misc] # a default binds the name
    assert removed == ["cluster", "node", "network"]


def test_every_entry_is_attempted() -> None:
    """One removal that fails does not keep the others from running, and all failures are named."""
    removed: list[str] = []
    stack = CleanupStack()
    stack.push("first", lambda: removed.append("first"))
    stack.push("second", failing("busy"))
    stack.push("third", failing("gone"))
    with pytest.raises(CleanupError) as caught:
        stack.close()
    assert removed == ["first"]
    assert [(label, str(error)) for label, error in caught.value.errors] == [("third", "gone"), ("second", "busy")]


def test_closing_twice_removes_once() -> None:
    """An entry is forgotten once it was attempted."""
    removed: list[str] = []
    stack = CleanupStack()
    stack.push("one", lambda: removed.append("one"))
    stack.close()
    stack.close()
    assert removed == ["one"]


def test_failure_of_the_block_stays_the_one_reported() -> None:
    """A failing cleanup becomes a note on the error that caused it."""
    stack = CleanupStack()
    stack.push("network", failing("busy"))
    with pytest.raises(ValueError, match="the true reason") as caught, stack:
        raise ValueError("the true reason")
    assert any("network: busy" in note for note in caught.value.__notes__)


def test_failing_cleanup_after_a_good_block_is_reported() -> None:
    """Leftovers are an error when nothing else is."""
    with pytest.raises(CleanupError, match="network: busy"), CleanupStack() as stack:
        stack.push("network", failing("busy"))


def test_interrupt_cleans_up() -> None:
    """Ctrl-C inside the block removes everything and passes on."""
    removed: list[str] = []
    stack = CleanupStack()
    stack.push("one", lambda: removed.append("one"))
    with pytest.raises(KeyboardInterrupt), stack:
        raise KeyboardInterrupt
    assert removed == ["one"]


def test_what_was_moved_is_not_removed() -> None:
    """Moved entries belong to the new stack alone."""
    removed: list[str] = []
    with CleanupStack() as stack:
        stack.push("one", lambda: removed.append("one"))
        kept = stack.pop_all()
    assert removed == []
    kept.close()
    assert removed == ["one"]


def test_what_removes_is_not_disturbed_once() -> None:
    """A first SIGINT or SIGTERM is told and noted, and the block goes on; the handlers before are back after it."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    told: list[str] = []
    with undisturbed(told.append) as disturbance:
        assert disturbance() is None
        signal.raise_signal(signal.SIGTERM)
        assert disturbance() == signal.SIGTERM
    assert disturbance() == signal.SIGTERM
    assert told[0].startswith("SIGTERM: removing")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_who_insists_is_heard() -> None:
    """Ctrl-C after a first signal ends the removal; a second SIGTERM does not."""
    with undisturbed(lambda _: None):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_sigterm_ends_a_block_as_ctrl_c_does() -> None:
    """What would be removed after Ctrl-C is removed, the signal is told, and the handler before is back."""
    before = signal.getsignal(signal.SIGTERM)
    heard: list[signal.Signals] = []
    removed: list[str] = []
    stack = CleanupStack()
    stack.push("it", lambda: removed.append("it"))
    with pytest.raises(KeyboardInterrupt, match="received SIGTERM"), terminated_like_ctrl_c(heard.append), stack:
        signal.raise_signal(signal.SIGTERM)
    assert (heard, removed) == ([signal.SIGTERM], ["it"])
    assert signal.getsignal(signal.SIGTERM) is before
