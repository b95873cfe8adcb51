"""The teardown stack: registered before a thing is made, run in reverse, every entry attempted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from harness.errors import CleanupError


@contextmanager
def terminated_like_ctrl_c(note: Callable[[signal.Signals], object]) -> Iterator[None]:
    """Have SIGTERM end the block the way Ctrl-C does, so that programs are stopped and what was made is removed.

    Only the main thread may say what a signal does; in another the block runs as it is.

    Args:
        note: told of the signal before the block is ended.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        heard = signal.Signals(number)
        note(heard)
        # Nothing that is an Exception: code that handles those would go on.
        raise KeyboardInterrupt(f"received {heard.name}")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed(say: Callable[[str], object]) -> Iterator[Callable[[], signal.Signals | None]]:
    """Let the block, which removes things, run to its end although SIGINT or SIGTERM arrives meanwhile.

    The first is told and noted: the block's value returns it when asked. A second SIGINT ends the block after all.
    Only the main thread may say what a signal does; in another the block runs as it is.

    Args:
        say: gets a sentence for the user, in the middle of whatever the main thread is doing.
    """
    noted: list[signal.Signals] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if noted and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not noted:
            noted.append(signal.Signals(number))
            say(f"{noted[0].name}: removing what this run made first; Ctrl-C now leaves the rest to the next run")

    def first() -> signal.Signals | None:
        return noted[0] if noted else None

    if threading.current_thread() is not threading.main_thread():
        yield first
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield first
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class CleanupStack:
    """Removals to run later, last registered first.

    As a context manager it closes on leaving; when the block itself failed, that failure stays the one reported and
    the cleanup's errors are added to it as notes.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[str, Callable[[], object]]] = []

    def push(self, label: str, remove: Callable[[], object]) -> None:
        """Register `remove`, described by `label`."""
        self._entries.append((label, remove))

    def pop_all(self) -> CleanupStack:
        """Move every entry to a new stack and return it: what was made is now somebody else's to remove."""
        other = CleanupStack()
        other._entries, self._entries = self._entries, []
        return other

    def close(self) -> None:
        """Run every entry in reverse; raise one :class:`~harness.errors.CleanupError` for all that failed."""
        errors: list[tuple[str, BaseException]] = []
        while self._entries:
            label, remove = self._entries.pop()
            try:
                remove()
            except Exception as error:  # noqa: BLE001 - every entry is attempted, whatever the others did
                errors.append((label, error))
        if errors:
            raise CleanupError(errors)

    def __enter__(self) -> CleanupStack:  # noqa: PYI034 - Self is from Python 3.11 on
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except CleanupError as cleanup_error:
            if error is None:
                raise
            # BaseException.add_note is from Python 3.11 on; the list it appends to is what tracebacks read.
            notes = getattr(error, "__notes__", [])
            error.__notes__ = [*notes, str(cleanup_error)]
