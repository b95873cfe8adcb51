"""Who builds or sends an image has its name to themselves meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.errors import ImageError
from harness.images.turn import turn_with_image

NAME = "example/test-ml-score-api:latest"


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    """Its block begins when the first one's has ended."""
    told: list[str] = []
    begun = threading.Event()

    def second() -> None:
        begun.set()
        with turn_with_image(NAME, tmp_path / "locks", timeout_s=30):
            told.append("second")

    with turn_with_image(NAME, tmp_path / "locks", timeout_s=30):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert begun.wait(30)
        # Time enough for the thread to get there, if nothing kept it.
        with pytest.raises(ImageError), turn_with_image(NAME, tmp_path / "locks", timeout_s=0.2):
            told.append("a third")
        told.append("first")
    waiting.join(30)
    assert told == ["first", "second"]


def test_another_name_is_free(tmp_path: Path) -> None:
    """Only those of the same name wait for each other."""
    with turn_with_image(NAME, tmp_path, timeout_s=0), turn_with_image("example/other:1", tmp_path, timeout_s=0):
        pass


def test_who_waits_too_long_is_told_for_what(tmp_path: Path) -> None:
    """The error names the image, the limit and the lock's file."""
    with (
        turn_with_image(NAME, tmp_path, timeout_s=0),
        pytest.raises(ImageError, match=rf"'{NAME}' within 0\.1 s") as caught,
        turn_with_image(NAME, tmp_path, timeout_s=0.1),
    ):
        pass
    assert str(tmp_path) in str(caught.value)


def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    """A file in its place is an error that says so."""
    (tmp_path / "locks").write_text("")
    with pytest.raises(ImageError, match="locks"), turn_with_image(NAME, tmp_path / "locks", timeout_s=0):
        pass


def test_a_block_that_fails_gives_the_name_back(tmp_path: Path) -> None:
    """The next one has it at once."""
    with pytest.raises(ZeroDivisionError), turn_with_image(NAME, tmp_path, timeout_s=0):
        raise ZeroDivisionError
    with turn_with_image(NAME, tmp_path, timeout_s=0):
        pass
