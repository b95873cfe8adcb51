"""What a deployer remembers of what it has made."""

from __future__ import annotations

import pytest

from harness.deploy.deployer import LiveReleases
from harness.errors import CleanupError


def test_ctrl_c_while_removing_forgets_nothing() -> None:
    """What was not removed, being interrupted at it, is removed the next time; what was, is not removed twice."""
    live, removed = LiveReleases(), []
    presses = iter([KeyboardInterrupt()])

    def interrupted_once() -> None:
        for press in presses:
            raise press
        removed.append("second")

    live.enter("default", "first", lambda: removed.append("first"))
    live.enter("default", "second", interrupted_once)
    live.enter("default", "third", lambda: removed.append("third"))
    with pytest.raises(KeyboardInterrupt):
        live.remove_all()
    assert removed == ["third"]
    live.remove_all()
    assert removed == ["third", "second", "first"]


def test_what_cannot_be_removed_is_told_once() -> None:
    """A failed removal does not keep others, and is not tried again."""
    live, removed = LiveReleases(), []

    def fail() -> None:
        raise OSError("it will not go")

    live.enter("default", "stubborn", fail)
    live.enter("default", "fine", lambda: removed.append("fine"))
    with pytest.raises(CleanupError, match="release 'stubborn' in namespace 'default': it will not go"):
        live.remove_all()
    live.remove_all()
    assert removed == ["fine"]
