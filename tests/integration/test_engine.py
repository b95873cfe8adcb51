"""The managed engine for real: started, used, killed, started again and stopped, in a network namespace of its own.

A namespace of its own, because an engine that is in use on this host shares its iptables chains with every other engine
in the same one.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import docker.types
import pytest

from harness.engine.engine import Engine
from harness.engine.leftovers import mounts_below, processes
from harness.engine.sweep import sweep
from harness.naming import LABEL_KEPT, LABEL_OWNER, LABEL_RUN, Run

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORY = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("engine_driver.py")
WRAPPER = REPOSITORY / "harness/supply/recipes/oci-runtime"
LIMIT_S = 120
IMAGE = "seatrial-test/tiny:1"

TINY = """
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Println(os.Args[1:])
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	select {
	case <-asked:
	case <-time.After(time.Hour):
	}
}
"""

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the managed engine is for Linux"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the managed engine needs root"),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is missing"),
    pytest.mark.skipif(shutil.which("go") is None, reason="go is missing: it builds what the containers run"),
]


@pytest.fixture(scope="module", autouse=True)
def _dockerd(request: pytest.FixtureRequest) -> None:
    """Have dockerd: where the machine came without it, the run's own engine brings it, after tests are collected."""

    def found() -> bool:
        return shutil.which("dockerd", path=os.environ["PATH"] + ":/usr/sbin") is not None

    if not found():
        request.getfixturevalue("engine")
    if not found():
        pytest.skip("no dockerd")


def go_build(source: Path, target: Path) -> Path:
    """Build a static program."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GO111MODULE": "on"}
    subprocess.run(
        ["go", "build", "-trimpath", "-o", str(target), "."], cwd=source, env=environment, check=True, timeout=LIMIT_S
    )
    return target


@pytest.fixture(scope="module")
def wrapper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the OCI runtime wrapper from its recipe."""
    return go_build(WRAPPER, tmp_path_factory.mktemp("wrapper") / "oci-runtime")


@pytest.fixture(scope="module")
def image_tar(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Pack a root file system that holds one static program."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "main.go").write_text(TINY)
    (folder / "go.mod").write_text("module tiny\n\ngo 1.21\n")
    program = go_build(folder, folder / "tiny")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(program, "tiny")
    return packed.getvalue()


@pytest.fixture(scope="module")
def namespace() -> Iterator[int]:
    """Hold a network and a mount namespace open; return the pid that nsenter takes."""
    holder = subprocess.Popen(
        ["unshare", "--net", "--mount", "sh", "-c", "ip link set lo up; echo; exec sleep 3600"], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder.pid
    finally:
        holder.kill()
        holder.communicate(timeout=LIMIT_S)


@dataclass
class Box:
    """One state directory with the namespace its engine lives in."""

    namespace: int
    folder: Path
    wrapper: Path
    image_tar: bytes

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.folder / "state"

    @property
    def data(self) -> Path:
        """The data root."""
        return self.folder / "data"

    def argv(self, *argv: str) -> list[str]:
        """Return how to run `argv` inside the namespace."""
        return ["nsenter", "--target", str(self.namespace), "--net", "--mount", *argv]

    def seatrial(self, *verb: str) -> list[str]:
        """Return how to run ``seatrial engine VERB`` inside the namespace."""
        return self.argv(sys.executable, str(DRIVER), str(self.state), str(self.data), str(self.wrapper), *verb)

    def run(self, *verb: str, expect: int = 0) -> str:
        """Run ``seatrial engine VERB``, check its exit code and return what it printed."""
        done = subprocess.run(
            self.seatrial(*verb),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            check=False,
        )
        assert done.returncode == expect, f"{verb}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def shell(self, *argv: str) -> str:
        """Run a program inside the namespace and return what it printed."""
        return subprocess.run(self.argv(*argv), capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout

    def pid(self) -> int | None:
        """Return the pid of the engine of this state directory."""
        config = str(self.state / "daemon.json")
        found = [pid for pid, argv in processes() if argv[-1] == config and "dockerd" in argv[0]]
        assert len(found) < 2, f"more than one engine: {found}"
        return found[0] if found else None

    def kill(self) -> None:
        """Kill the engine as the kernel would: it cleans up nothing."""
        pid = self.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + LIMIT_S
        while self.pid() is not None:
            assert time.monotonic() < deadline, "dockerd survived SIGKILL"

    @contextlib.contextmanager
    def client(self) -> Iterator[DockerClient]:
        """Talk to the engine: its socket is a file, which no network namespace hides."""
        client = Engine(f"unix://{self.state / 'docker.sock'}", "", managed=True).client()
        try:
            yield client
        finally:
            client.close()

    def load(self, client: DockerClient) -> None:
        """Import the image."""
        client.api.import_image_from_data(self.image_tar, repository=IMAGE.split(":")[0], tag="1")

    def of_the_engine(self) -> list[tuple[int, tuple[str, ...]]]:
        """Return every process with this box's directories in its arguments."""
        return [(pid, argv) for pid, argv in processes() if any(str(self.folder) in part for part in argv)]

    def host(self) -> dict[str, str]:
        """Return what an engine may change in the namespace."""
        rules = [line for line in self.shell("iptables-save").splitlines() if line.startswith("-A")]
        chains = [line for line in self.shell("iptables-save").splitlines() if "DOCKER" in line]
        return {
            "links": self.shell("ip", "-o", "-br", "link"),
            "rules": "\n".join(rules + chains),
            "policy": self.shell("iptables", "-S", "FORWARD"),
            "ip_forward": self.shell("cat", "/proc/sys/net/ipv4/ip_forward"),
            "ipv6": self.shell("cat", "/proc/sys/net/ipv6/conf/all/forwarding"),
        }


@pytest.fixture
def box(namespace: int, wrapper: Path, image_tar: bytes) -> Iterator[Box]:
    """Give a state directory of its own; nothing of it is left afterwards."""
    # Not below pytest's directories: a socket's path has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="seatrial-engine-"))
    box = Box(namespace, folder, wrapper, image_tar)
    # Off, as on a machine that never had an engine, so that turning it on shows.
    box.shell("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    try:
        yield box
        box.run("down", "--force", "--delete-data")
        assert box.of_the_engine() == []
        assert mounts_below((folder,)) == []
    finally:
        for pid, _ in box.of_the_engine():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)


def test_up_status_down(box: Box) -> None:
    """Up starts an engine that outlives its starter, down puts the host back exactly as it was."""
    before = box.host()
    assert "no Docker engine answers" in box.run("status", expect=1)
    assert box.pid() is None, "status started an engine"

    assert f"unix://{box.state}/docker.sock" in box.run("up")
    pid = box.pid()
    assert pid is not None
    with box.client() as client:
        box.load(client)
        said = client.containers.run(IMAGE, ["/tiny", "hello"], privileged=True, remove=True)
        assert said.strip() == b"[hello]"
        six = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet="fd00:5ea::/64")])
        client.networks.create("six", enable_ipv6=True, ipam=six)
        client.containers.run(IMAGE, ["/tiny"], detach=True, name="port", ports={"80/tcp": ("127.0.0.1", 0)})
    box.run("up")
    assert box.pid() == pid, "a second up started a second engine"

    status = box.run("status")
    for part in (
        f"unix://{box.state}/docker.sock",
        "own engine",
        str(pid),
        str(box.data),
        "uptime",
        "not Seatrial's: 1",
    ):
        assert part in status

    assert "kept" in box.run("down")
    assert box.pid() is None
    assert box.of_the_engine() == []
    assert not box.state.exists()
    assert box.host() == before
    assert "nothing to stop" in box.run("down")


def test_up_after_sigkill(box: Box) -> None:
    """An engine killed with containers running comes back: they are dead, what it stored is there, new ones run."""
    before = box.host()
    box.run("up")
    with box.client() as client:
        box.load(client)
        client.networks.create("net")
        client.containers.run(IMAGE, ["/tiny"], detach=True, name="busy", network="net", ports={"80/tcp": None})
    box.kill()
    assert any("shim" in argv[0] for _, argv in box.of_the_engine()), "the shim should outlive its engine"

    assert "no Docker engine answers" in box.run("status", expect=1)
    box.run("up")
    with box.client() as client:
        assert client.containers.get("busy").status == "exited"
        assert client.containers.run(IMAGE, ["/tiny", "again"], network="net", remove=True).strip() == b"[again]"
        client.containers.get("busy").start()
        client.containers.get("busy").remove(force=True)
    box.run("down")
    assert box.host() == before


def test_down_after_sigkill(box: Box) -> None:
    """Down clears what a killed engine left: container processes, shims, mounts, bridges, rules."""
    before = box.host()
    box.run("up")
    with box.client() as client:
        box.load(client)
        client.networks.create("net")
        busy = client.containers.run(IMAGE, ["/tiny"], detach=True, network="net", ports={"80/tcp": None})
        busy.reload()
        inside = busy.attrs["State"]["Pid"]
    box.kill()
    box.run("down")
    assert inside not in [pid for pid, _ in processes()]
    assert box.of_the_engine() == []
    assert mounts_below((box.folder,)) == []
    assert box.host() == before


def test_stale_files_of_another_boot(box: Box) -> None:
    """A pid file whose number another process has now, a dead socket and a broken state file stop nothing."""
    box.state.mkdir()
    (box.state / "dockerd.pid").write_text(str(os.getpid()))
    (box.state / "docker.sock").touch()
    (box.state / "engine.json").write_text('{"pid": 1')
    (box.state / "host.json").write_text('{"boot_id": "another"}')
    box.run("up")
    assert box.pid() not in {None, os.getpid()}


def test_two_at_once_start_one(box: Box) -> None:
    """Two runs that find no engine at the same moment end up with the same one."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    both = [
        subprocess.Popen(
            box.seatrial("up"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", env=environment
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=LIMIT_S)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("starting one" in text for text in said) == 1
    assert box.pid() is not None


def test_down_spares_living_runs(box: Box) -> None:
    """Down refuses while a run that is still going has a container, and takes it with --force."""
    box.run("up")
    with box.client() as client:
        box.load(client)
        client.containers.run(IMAGE, ["/tiny"], detach=True, name="mine", labels=Run.begin().labels())
    refusal = box.run("down", expect=3)
    assert "mine (run " in refusal
    assert "--force" in refusal
    assert box.pid() is not None
    box.run("down", "--force")
    assert box.pid() is None


def test_sweep_removes_what_dead_runs_left(box: Box) -> None:
    """Sweep takes containers, networks, volumes and images of dead runs; the living, the kept and strangers stay."""
    box.run("up")
    living = Run.begin().labels()
    dead = {**living, LABEL_OWNER: f"{os.getpid()}.1", LABEL_RUN: "00000000"}
    sets = {"dead": dead, "living": living, "kept": {**dead, LABEL_KEPT: "yes"}, "stranger": {}}
    with box.client() as client:
        box.load(client)
        for name, labels in sets.items():
            client.networks.create(name, labels=labels)
            client.volumes.create(name, labels=labels)
            client.containers.run(
                IMAGE, ["/tiny"], detach=True, name=name, labels=labels, network=name, volumes={name: {"bind": "/v"}}
            )
            text = io.BytesIO(f"FROM {IMAGE}\n".encode())
            client.images.build(fileobj=text, tag=f"made:{name}", labels=labels, rm=True)
        swept = sweep(client)
        assert swept.failed == []
        assert swept.removed == ["container dead", "network dead", "volume dead", "image made:dead"]
        left = {"living", "kept", "stranger"}
        assert {container.name for container in client.containers.list(all=True)} == left
        assert {network.name for network in client.networks.list()} == left | {"bridge", "host", "none"}
        assert {volume.name for volume in client.volumes.list()} == left
        tags = {tag for image in client.images.list() for tag in image.tags}
        assert tags >= {f"made:{name}" for name in left}
        assert "made:dead" not in tags


def test_refuses_beside_another_engine(box: Box) -> None:
    """A second engine in one network namespace would break the first one's network: refused, and the first named."""
    box.run("up")
    other = Box(box.namespace, box.folder / "other", box.wrapper, box.image_tar)
    refusal = other.run("up", expect=3)
    assert f"process {box.pid()}" in refusal
    assert "DOCKER_HOST" in refusal
    assert not other.state.exists()


def test_failed_start_says_why(box: Box) -> None:
    """An engine that does not start is an error with dockerd's own words and its log; down clears the rest."""
    before = box.host()
    box.data.mkdir()
    (box.data / "volumes").touch()
    said = box.run("up", expect=3)
    assert str(box.state / "dockerd.log") in said
    assert "volumes: not a directory" in said
    assert "nothing to stop" not in box.run("down")
    assert box.host() == before
