"""Recording the host and putting it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.engine.bridge import Bridges
from harness.engine.host import Host, other_engines, refuse_beside_other_engines
from harness.errors import EngineError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.testing import RecordingRunner

EMPTY = "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"
CHANGED = "*filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n-A FORWARD -o seatrial0 -j DOCKER\nCOMMIT\n"
FORWARDING = "sys/net/ipv4/ip_forward"


@dataclass
class Machine:
    """A made-up host below a temporary directory."""

    root: Path
    bridges: list[str]
    firewall: str = EMPTY

    @property
    def proc(self) -> Path:
        """Its procfs."""
        return self.root / "proc"

    def runner(self) -> RecordingRunner:
        """Script its programs."""
        runner = RecordingRunner()

        def links(command: Command) -> Outcome:
            return Outcome(command, 0, json.dumps([{"ifname": name} for name in self.bridges]))

        runner.on("ip", "link", "show", answer=links)
        runner.on("ip", "link", "delete")
        runner.on("iptables-save", answer=lambda command: Outcome(command, 0, self.firewall))
        runner.on("iptables-restore")
        return runner

    def host(self, runner: RecordingRunner) -> Host:
        """Return the object under test."""
        path = str(self.root / "bin")
        return Host(runner, Bridges(runner, path), path, self.root / "host.json", root=self.root, proc=self.proc)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Give a host with forwarding off, one foreign bridge and iptables without IPv6."""
    for name, text in {"sys/kernel/random/boot_id": "boot-1\n", FORWARDING: "0\n", "self/ns/net": ""}.items():
        file = tmp_path / "proc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/iptables-save").touch(mode=0o755)
    (tmp_path / "run/docker/plugins").mkdir(parents=True)
    return Machine(tmp_path, ["docker0"])


def engine_works(machine: Machine) -> None:
    """Change everything an engine changes."""
    (machine.proc / FORWARDING).write_text("1\n")
    machine.firewall = CHANGED
    machine.bridges += ["seatrial0", "br-0123456789ab"]
    for stray in ("etc/docker", "run/containerd/s", "opt/containerd/bin", "sys/fs/cgroup/cpu/docker"):
        (machine.root / stray).mkdir(parents=True)
    (machine.root / "etc/docker/key.json").touch()
    (machine.root / "opt/containerd/bin/somebody-elses").touch()


def restore_scripts(runner: RecordingRunner) -> list[str | None]:
    """Return what iptables-restore was told."""
    return [command.stdin for command in runner.commands if command.program == "iptables-restore"]


def test_everything_is_put_back(machine: Machine) -> None:
    """Rules, policy, switches, bridges and stray files go; what was there, and what others use, stays."""
    runner, notes = machine.runner(), []  # type: ignore[var-annotated]
    host = machine.host(runner)
    host.record()
    engine_works(machine)
    assert host.new_bridges() == {"seatrial0", "br-0123456789ab"}
    host.restore(frozenset({"seatrial0"}), shared=False, note=notes.append)
    assert notes == []
    assert (machine.proc / FORWARDING).read_text() == "0"
    (script,) = restore_scripts(runner)
    assert script is not None
    assert "-P FORWARD ACCEPT" in script
    assert ("ip", "link", "delete", "seatrial0", "type", "bridge") in [command.argv for command in runner.commands]
    for gone in ("etc/docker", "run/containerd", "sys/fs/cgroup/cpu/docker"):
        assert not (machine.root / gone).exists()
    for stays in ("run/docker/plugins", "opt/containerd/bin/somebody-elses"):
        assert (machine.root / stays).exists()
    assert not (machine.root / "host.json").exists()


def test_shared_things_stay_beside_another_engine(machine: Machine) -> None:
    """With another engine at work switches, policy and stray files stay as they are."""
    runner = machine.runner()
    host = machine.host(runner)
    host.record()
    engine_works(machine)
    host.restore(frozenset({"seatrial0"}), shared=True, note=pytest.fail)
    assert (machine.proc / FORWARDING).read_text() == "1\n"
    assert restore_scripts(runner) == ["*filter\n-D FORWARD -o seatrial0 -j DOCKER\nCOMMIT\n"]
    assert (machine.root / "etc/docker/key.json").exists()


def test_first_record_is_the_one_that_counts(machine: Machine) -> None:
    """An engine that died and is started again must not make its own traces look like the host's."""
    host = machine.host(machine.runner())
    host.record()
    engine_works(machine)
    host.record()
    host.restore(frozenset(), shared=False, note=pytest.fail)
    assert (machine.proc / FORWARDING).read_text() == "0"


def another_boot(machine: Machine) -> None:
    """Restart the machine."""
    (machine.proc / "sys/kernel/random/boot_id").write_text("boot-2\n")


def cut(machine: Machine) -> None:
    """Cut the record short."""
    (machine.root / "host.json").write_text('{"boot_id": "boot-1"')


@pytest.mark.parametrize("spoil", [another_boot, cut], ids=["of another boot", "cut short"])
def test_record_that_says_nothing(machine: Machine, spoil: Callable[[Machine], None]) -> None:
    """A record of another boot, or one cut by a kill, changes nothing and is forgotten."""
    runner = machine.runner()
    host = machine.host(runner)
    host.record()
    engine_works(machine)
    spoil(machine)
    assert host.new_bridges() == frozenset()
    host.restore(frozenset(), shared=False, note=pytest.fail)
    assert (machine.proc / FORWARDING).read_text() == "1\n"
    assert restore_scripts(runner) == []
    assert not (machine.root / "host.json").exists()


def test_refused_restore_is_told(machine: Machine) -> None:
    """Rules that iptables will not remove are told, and the rest is still put back."""
    notes: list[str] = []
    refusing = RecordingRunner()
    refusing.on("iptables-restore", stderr="Permission denied", exit_code=1)
    machine.host(machine.runner()).record()
    engine_works(machine)
    refusing.on("iptables-save", stdout=CHANGED)
    refusing.on("ip", stdout="[]")
    machine.host(refusing).restore(frozenset({"seatrial0"}), shared=False, note=notes.append)
    assert "Permission denied" in notes[0]
    assert (machine.proc / FORWARDING).read_text() == "0"


def process(proc: Path, pid: int, comm: str, *argv: str, network: str) -> None:
    """Add a process to a made-up procfs."""
    folder = proc / str(pid)
    (folder / "ns").mkdir(parents=True)
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "cmdline").write_bytes("\0".join([*argv, ""]).encode() if argv else b"")
    (folder / "ns/net").hardlink_to(proc / network)


def test_other_engines(machine: Machine) -> None:
    """Another dockerd of this network namespace is found; ours, a zombie and those of other namespaces are not."""
    proc = machine.proc
    (proc / "elsewhere").touch()
    process(proc, 10, "dockerd", "dockerd", "-H", "fd://", network="self/ns/net")
    process(proc, 11, "dockerd", "dockerd", "--ours", network="self/ns/net")
    process(proc, 12, "dockerd", network="self/ns/net")
    process(proc, 13, "dockerd", "dockerd", "--in-a-container", network="elsewhere")
    process(proc, 14, "python", "python", "dockerd", network="self/ns/net")
    assert other_engines(11, proc) == [(10, "dockerd -H fd://")]
    with pytest.raises(EngineError, match="process 10: dockerd -H fd://"):
        refuse_beside_other_engines(proc)


def test_no_other_engine(machine: Machine) -> None:
    """A host without a dockerd refuses nothing."""
    refuse_beside_other_engines(machine.proc)


@pytest.mark.parametrize(("before", "meanwhile"), [("128", "1024"), ("8192", "8192")], ids=["too low", "high enough"])
def test_the_limit_of_watchers_is_raised_and_put_back(machine: Machine, before: str, meanwhile: str) -> None:
    """Many kind nodes fit while the engine is up; afterwards the host has its own limit again."""
    limit = machine.proc / "sys/fs/inotify/max_user_instances"
    limit.parent.mkdir(parents=True)
    limit.write_text(before)
    host = machine.host(machine.runner())
    host.record()
    host.allow_watchers(lambda _: None)
    assert limit.read_text() == meanwhile
    host.restore(frozenset(), shared=False, note=lambda _: None)
    assert limit.read_text() == before


def test_a_limit_that_cannot_be_raised_is_told(machine: Machine) -> None:
    """A host that keeps its limit is used all the same, and the consequence is said."""
    notes: list[str] = []
    machine.host(machine.runner()).allow_watchers(notes.append)
    assert "fs.inotify.max_user_instances stays as it is" in notes[0]
