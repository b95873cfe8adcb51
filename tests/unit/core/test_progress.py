"""Live lines on a terminal and in a log."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from harness.progress import LiveProgress, SilentProgress, spoken_duration
from harness.testing import ManualClock


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that moves when told."""
    return ManualClock()


def test_log_gets_a_line_at_the_start_and_at_the_end(clock: ManualClock) -> None:
    """Where the stream is no terminal a step shows what begins, how long it usually takes, and how long it took."""
    log = io.StringIO()
    with LiveProgress(log, clock=clock).step("build kubernetes v1.34.4", usual_s=384):
        clock.advance(380)
    assert log.getvalue().splitlines() == [
        "build kubernetes v1.34.4 ... (usually 6 min 24 s)",
        "build kubernetes v1.34.4: done in 6 min 20 s",
    ]


def test_log_gets_a_line_now_and_then(clock: ManualClock) -> None:
    """A long step is heard of every thirty seconds and not more often."""
    log = io.StringIO()
    progress = LiveProgress(log, clock=clock)
    with progress.step("pull node", usual_s=40):
        for _ in range(7):
            clock.advance(10)
            progress.tick()
    assert log.getvalue().splitlines()[1:-1] == ["pull node: 30 s of about 40 s", "pull node: 1 min 00 s of about 40 s"]


def test_failed_step_is_told_as_failed(clock: ManualClock) -> None:
    """A step that raises is not shown as done, and its error passes on."""
    log = io.StringIO()
    progress = LiveProgress(log, clock=clock)

    def fail() -> None:
        with progress.step("build"):
            clock.advance(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert log.getvalue() == "build: failed in 3.0 s\n"


def test_log_is_not_filled_with_what_takes_no_time(clock: ManualClock) -> None:
    """A step that nobody would have waited for leaves no line in a log."""
    log = io.StringIO()
    with LiveProgress(log, clock=clock).step("build image", usual_s=5):
        clock.advance(1)
    assert log.getvalue() == ""


def test_log_hears_of_a_step_once_it_takes_a_while(clock: ManualClock) -> None:
    """A step of unknown length is announced as soon as it is worth waiting for."""
    log = io.StringIO()
    progress = LiveProgress(log, clock=clock)
    with progress.step("build image"):
        progress.tick()
        clock.advance(3)
        progress.tick()
        assert log.getvalue() == "build image ...\n"


def test_terminal_line_is_rewritten_in_place(clock: ManualClock) -> None:
    """On a terminal the line of an open step is rewritten; only its end becomes a line of its own."""
    terminal = Terminal()
    progress = LiveProgress(terminal, clock=clock)
    with progress.step("build", usual_s=100):
        clock.advance(12)
        progress.tick()
        assert terminal.getvalue().count("\n") == 0
        assert terminal.getvalue().endswith("\r\x1b[2Kbuild: 12 s of about 1 min 40 s")
    assert terminal.getvalue().endswith("\r\x1b[2Kbuild: done in 12 s\n")


def test_terminal_shows_steps_side_by_side(clock: ManualClock) -> None:
    """Work that goes on at once is shown at once, and what ends leaves the others in place."""
    terminal = Terminal()
    progress = LiveProgress(terminal, clock=clock)
    with progress.step("create cluster"):
        with progress.step("build image"):
            assert terminal.getvalue().endswith("create cluster: 0.0 s | build image: 0.0 s")
        assert terminal.getvalue().endswith("build image: done in 0.0 s\n\r\x1b[2Kcreate cluster: 0.0 s")


def test_terminal_line_does_not_wrap(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line longer than the terminal is cut: a wrapped line cannot be rewritten."""
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    with LiveProgress(terminal, clock=clock).step("a step with a rather long name"):
        assert len(terminal.getvalue().removeprefix("\r\x1b[2K")) == 19


def test_said_lines_stay(clock: ManualClock) -> None:
    """A remark becomes a line of its own above the live one."""
    terminal = Terminal()
    progress = LiveProgress(terminal, clock=clock)
    with progress.step("build"):
        progress.say("kind on PATH is v0.11.1: not used")
        assert "\r\x1b[2Kkind on PATH is v0.11.1: not used\n\r\x1b[2Kbuild" in terminal.getvalue()


def test_closed_stream_does_not_fail_the_work(clock: ManualClock) -> None:
    """When nobody reads any more (`| head`), the work goes on."""
    log = io.StringIO()
    progress = LiveProgress(log, clock=clock)
    with progress.step("build"):
        log.close()


@pytest.mark.parametrize("act", [lambda progress: progress.say("x"), lambda progress: progress.step("x").__enter__()])
def test_silent_progress_prints_nothing(
    act: Callable[[SilentProgress], object], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing at all is shown."""
    act(SilentProgress())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (384, "6 min 24 s")]
)
def test_durations_are_spoken(seconds: float, text: str) -> None:
    """Tenths below ten seconds, whole seconds below a minute, minutes above."""
    assert spoken_duration(seconds) == text
