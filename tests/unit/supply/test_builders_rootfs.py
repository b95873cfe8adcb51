"""Base images: the mmdebstrap call, the image's configuration, and what is said where mmdebstrap is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import BuildError
from harness.progress import SilentProgress
from harness.supply.builders.protocol import Build, BuildLog
from harness.supply.builders.rootfs import RootfsBuilder, bootstrap_command, image_changes
from harness.supply.pins import Pins
from harness.supply.recipe import Recipe, Recipes
from harness.testing import RecordingRunner


@pytest.fixture
def recipe() -> Callable[[str], Recipe]:
    """Seatrial's own recipes."""
    return Recipes(Pins.load(), "amd64").get


def test_a_full_system_is_bootstrapped_with_the_hosts_authorities(recipe: Callable[[str], Recipe]) -> None:
    """Packages, release and archive are named; the bundle is copied into the new root before it is packed."""
    argv = bootstrap_command(recipe("python-3.11"), Path("/w/rootfs.tar"), Path("/etc/my ca.pem")).argv
    assert argv[:4] == ("mmdebstrap", "--variant=minbase", "--architectures=amd64", "--format=tar")
    assert "--include=python3,python3-pip,python3-venv,python-is-python3,ca-certificates" in argv
    assert argv[-2:] == ("bookworm", "/w/rootfs.tar")
    hooks = [part for part in argv if part.startswith("--customize-hook=")]
    assert "cp -L '/etc/my ca.pem' \"$1\"/etc/ssl/certs/ca-certificates.crt" in hooks[0]
    assert hooks[1].endswith('setup.sh "$1"')


def test_extracted_packages_use_the_hook_that_runs_for_them(recipe: Callable[[str], Recipe]) -> None:
    """With variant `extract` mmdebstrap leaves customize hooks out, so the set-up must not be one."""
    argv = bootstrap_command(recipe("program-base"), Path("/w/rootfs.tar"), None).argv
    assert "--variant=extract" in argv
    assert [part for part in argv if "hook=" in part and not part.startswith("--extract-hook=")] == []
    assert any(part.startswith("--extract-hook=sh ") for part in argv)


def test_configuration_and_labels_become_instructions(recipe: Callable[[str], Recipe]) -> None:
    """What the recipe says comes first, labels follow in a stable order, quoted."""
    changes = image_changes(recipe("python-3.11"), {"b": 'x "y"', "a": "1"})
    assert 'CMD ["python3"]' in changes
    assert "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt" in changes
    assert changes[-2:] == ['LABEL a="1"', 'LABEL b="x \\"y\\""']


def test_stand_ins_are_named_as_such(recipe: Callable[[str], Recipe]) -> None:
    """Nobody mistakes Debian's Python for the official image."""
    assert "stands in for python:3.11-slim" in recipe("python-3.11").what
    assert "stands in for kindest/node" in recipe("node-1.34").what


@pytest.mark.parametrize(
    ("debian", "install", "root", "seen"),
    [
        pytest.param(False, True, True, "not Debian or Ubuntu", id="another distribution"),
        pytest.param(True, False, True, "was forbidden", id="installing forbidden"),
        pytest.param(True, True, False, "only root", id="not root"),
    ],
)
def test_missing_mmdebstrap_is_explained(
    recipe: Callable[[str], Recipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    debian: bool,
    install: bool,
    root: bool,
    seen: str,
) -> None:
    """Where it may not be installed nothing is run, and the message says why."""
    monkeypatch.setenv("PATH", str(tmp_path))
    runner = RecordingRunner()

    def no_engine() -> None:
        raise AssertionError("the engine is not needed to find out")

    builder = RootfsBuilder(runner, no_engine, SilentProgress(), install=install, debian=debian, root=root)  # type: ignore[arg-type]
    build = Build(recipe("node-rootfs"), {}, {}, tmp_path, BuildLog(tmp_path / "log"))
    with pytest.raises(BuildError, match=seen):
        builder.build(build, tag="seatrial/node-rootfs:x", labels={})
    build.log.close()
    assert runner.commands == []
