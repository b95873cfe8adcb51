"""Progress that is recorded as well as shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.evidence.model import Phase
from harness.evidence.recorder import Recorder
from harness.progress import Progress


class RecordedProgress:
    """Shows steps through another progress and records each as a step of one phase.

    Args:
        inner: shows them.
        recorder: records them.
        phase: the phase they belong to.
    """

    def __init__(self, inner: Progress, recorder: Recorder, phase: Phase) -> None:
        self._inner = inner
        self._recorder = recorder
        self._phase = phase

    @contextmanager
    def step(self, what: str, *, usual_s: float = 0.0) -> Iterator[None]:
        """See :meth:`harness.progress.Progress.step`."""
        with self._recorder.step(what, phase=self._phase), self._inner.step(what, usual_s=usual_s):
            yield

    def say(self, text: str) -> None:
        """See :meth:`harness.progress.Progress.say`."""
        self._recorder.note(text)
        self._inner.say(text)
