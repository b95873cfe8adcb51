"""Installing what an engine needs, and refusing to."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine import install
from harness.engine.install import install_programs, is_debian, missing_programs, search_path, services_stay_down
from harness.errors import CommandError, EngineError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.progress import SilentProgress
from harness.testing import RecordingRunner


class Said(SilentProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)


def provide(folder: Path, *programs: str) -> None:
    """Put programs into a directory."""
    for program in programs:
        (folder / program).touch(mode=0o755)


@pytest.fixture
def bin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the one directory on PATH: the system's own are out of sight."""
    monkeypatch.setattr(install, "SYSTEM_PATH", ())
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def test_search_path_ends_in_the_systems_directories() -> None:
    """The user's order stands first; what is there already is not repeated."""
    assert search_path({"PATH": "/opt/x:/usr/bin"}).split(":") == [
        "/opt/x", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/sbin", "/bin",
    ]  # fmt: skip
    assert search_path({}).startswith("/usr/local/sbin:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ID=debian\n", True, id="Debian"),
        pytest.param('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', True, id="Ubuntu"),
        pytest.param('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True, id="a derivative of a derivative"),
        pytest.param("ID=fedora\n", False, id="Fedora"),
        pytest.param('ID=x\nNAME="not debian"\n', False, id="the word elsewhere"),
        pytest.param("", False, id="an empty file"),
    ],
)
def test_is_debian(text: str, expected: bool, tmp_path: Path) -> None:
    """ID and ID_LIKE decide."""
    (tmp_path / "os-release").write_text(text)
    assert is_debian(tmp_path / "os-release") == expected


def test_no_os_release(tmp_path: Path) -> None:
    """A host without os-release is not Debian."""
    assert not is_debian(tmp_path / "os-release")


def test_nothing_missing_installs_nothing(bin_dir: Path) -> None:
    """With everything there nothing is said, run or forbidden."""
    provide(bin_dir, *install.PACKAGES)
    said = Said()
    install_programs(RecordingRunner(), said, {"PATH": str(bin_dir)}, forbidden_by="--no-install", debian=False)
    assert said.lines == []


@pytest.mark.parametrize(
    ("forbidden_by", "debian", "words"),
    [
        pytest.param(
            "--no-install", True, ("--no-install", "dockerd", "apt-get install"), id="installing is forbidden"
        ),
        pytest.param("--offline", True, ("--offline", "dockerd", "apt-get install"), id="so is asking the network"),
        pytest.param("", False, ("dockerd", "not Debian", "DOCKER_HOST"), id="another distribution"),
    ],
)
def test_refusals(forbidden_by: str, debian: bool, words: tuple[str, ...], bin_dir: Path) -> None:
    """What is missing and what to do stand in the error, and nothing is run."""
    provide(bin_dir, "apt-get", "iptables", "ip")
    runner = RecordingRunner()
    with pytest.raises(EngineError) as caught:
        install_programs(runner, Said(), {"PATH": str(bin_dir)}, forbidden_by=forbidden_by, debian=debian)
    assert [word for word in words if word not in str(caught.value)] == []
    assert runner.commands == []


@pytest.mark.parametrize("split", [True, False], ids=["docker-cli is a package", "docker.io holds the client"])
def test_installs_what_is_missing(split: bool, bin_dir: Path, tmp_path: Path) -> None:
    """It says so first, then installs the missing packages only, with no service started meanwhile."""
    provide(bin_dir, "apt-get", "iptables")
    policy, said, runner = tmp_path / "policy-rc.d", Said(), RecordingRunner()

    def installed(command: Command) -> Outcome:
        assert policy.exists(), "the packages could start their services"
        provide(bin_dir, *install.PACKAGES)
        return Outcome(command, 0)

    runner.on("apt-get", "update")
    runner.on("apt-cache", "show", stdout="Package: docker-cli\n" if split else "", exit_code=0 if split else 100)
    runner.on("apt-get", "install", answer=installed)
    install_programs(runner, said, {"PATH": str(bin_dir)}, forbidden_by="", debian=True, policy_file=policy)
    packages = [part for part in runner.commands[-1].argv if part in {*install.PACKAGES.values(), "docker-cli"}]
    assert packages == ["docker.io", "iproute2", *(["docker-cli"] if split else [])]
    assert "--no-install-recommends" in runner.commands[-1].argv
    assert "dockerd" in said.lines[0]
    assert not policy.exists()


def test_failed_installation(bin_dir: Path, tmp_path: Path) -> None:
    """The words of apt come through, and the policy file is gone."""
    provide(bin_dir, "apt-get")
    runner, policy = RecordingRunner(), tmp_path / "policy-rc.d"
    runner.on("apt-get", "update")
    runner.on("apt-cache", exit_code=100)
    runner.on("apt-get", "install", stderr="E: Unable to locate package docker.io", exit_code=100)
    with pytest.raises(CommandError, match="Unable to locate"):
        install_programs(runner, Said(), {"PATH": str(bin_dir)}, forbidden_by="", debian=True, policy_file=policy)
    assert not policy.exists()


def test_installation_that_brings_nothing(bin_dir: Path, tmp_path: Path) -> None:
    """Packages that succeed without the program are an error that names it."""
    provide(bin_dir, "apt-get", "iptables", "ip", "docker")
    runner = RecordingRunner()
    runner.on()
    with pytest.raises(EngineError, match="still not on PATH: dockerd"):
        install_programs(
            runner, Said(), {"PATH": str(bin_dir)}, forbidden_by="", debian=True, policy_file=tmp_path / "policy"
        )


def test_policy_of_the_host_stays(tmp_path: Path) -> None:
    """A policy file somebody else wrote is neither changed nor removed."""
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    with services_stay_down(policy):
        assert policy.read_text() == "#!/bin/sh\nexit 101\n"
    assert policy.exists()


def test_policy_left_by_a_kill_is_replaced(tmp_path: Path) -> None:
    """One of ours, left by a killed run, is replaced and removed."""
    policy = tmp_path / "policy-rc.d"
    policy.write_text(f"{install.POLICY_MARK} while process 1 installs\n")
    with services_stay_down(policy):
        assert "exit 101" in policy.read_text()
    assert not policy.exists()


def test_missing_programs(bin_dir: Path) -> None:
    """Each needed program that is not on PATH is named."""
    provide(bin_dir, "ip", "docker")
    assert missing_programs(str(bin_dir)) == ("dockerd", "iptables")
