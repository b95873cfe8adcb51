"""The parts of the managed engine that need no engine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.engine import install, leftovers
from harness.engine import managed as module
from harness.engine.engine import Engine
from harness.engine.managed import (
    ManagedEngine,
    daemon_config,
    living_containers,
    network_bridges,
)
from harness.engine.probe import Answer
from harness.errors import EngineError
from harness.naming import LABEL_OWNER, LABEL_RUN, Run
from harness.progress import SilentProgress
from harness.settings.model import EngineSettings
from harness.testing import RecordingRunner


def managed(
    folder: Path, *, answers: bool = False, may_install: bool = False, offline: bool = False, path: str = ""
) -> ManagedEngine:
    """Return an engine below `folder` that answers or is not there."""

    def ask(docker_host: str, tls_dir: Path | None = None) -> Answer:
        return Answer(docker_host, "answers" if answers else "absent", version="20.10")

    def no_runtime() -> Path:
        raise AssertionError("the wrapper is built only when an engine is started")

    settings = EngineSettings(
        None, managed=True, install=may_install, state_dir=folder / "state", data_dir=folder / "data"
    )
    environ = {"PATH": path}
    return ManagedEngine(settings, RecordingRunner(), no_runtime, SilentProgress(), environ, ask=ask, offline=offline)


def test_own_everything() -> None:
    """Socket, pid file, exec root, data root and bridge are all ours; plain runc unless a wrapper is needed."""
    config = daemon_config(Path("/run/seatrial"), Path("/cache/engine"), "")
    assert config["hosts"] == ["unix:///run/seatrial/docker.sock"]
    assert config["pidfile"] == "/run/seatrial/dockerd.pid"
    assert config["exec-root"] == "/run/seatrial/exec"
    assert config["data-root"] == "/cache/engine"
    assert config["bridge"] == "seatrial0"
    assert "default-runtime" not in config


def test_wrapper_is_the_default_runtime() -> None:
    """With a wrapper every container gets it, kind's included."""
    config = daemon_config(Path("/run/seatrial"), Path("/d"), "/cache/oci-runtime")
    assert config["runtimes"] == {config["default-runtime"]: {"path": "/cache/oci-runtime"}}


def test_running_engine_is_used(tmp_path: Path) -> None:
    """An engine that answers is returned at once: no lock, no root, no program."""
    engine = managed(tmp_path, answers=True)
    assert engine.up() == Engine(f"unix://{tmp_path}/state/docker.sock", "20.10", managed=True)
    assert not (tmp_path / "state").exists()


def test_start_needs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root nothing is tried, and the error says which user it was."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EngineError, match="uid 1000"):
        managed(tmp_path).up()


def test_start_needs_a_short_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory too deep for a socket is refused before anything is made."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    deep = tmp_path / ("d" * 90)
    with pytest.raises(EngineError, match="shorter state directory"):
        managed(deep).up()
    assert not deep.exists()


def test_start_needs_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the error names the system and what people use there."""
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(EngineError, match="darwin"):
        managed(tmp_path).up()


@pytest.mark.parametrize(
    ("allowed", "offline", "option"),
    [
        pytest.param(True, True, "--offline", id="the network is not to be asked"),
        pytest.param(False, False, "--no-install", id="packages are not to be installed"),
        pytest.param(False, True, "--offline", id="neither"),
    ],
)
def test_start_may_not_install(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, allowed: bool, offline: bool, option: str
) -> None:
    """The error names the option and what is missing; apt is not run, and no state is made."""
    # A short one: containerd's socket has to fit, also below a parallel worker's directory.
    tmp_path = tmp_path_factory.mktemp("e")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "refuse_beside_other_engines", lambda: None)
    monkeypatch.setattr(module, "is_debian", lambda: True)
    monkeypatch.setattr(install, "SYSTEM_PATH", ())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apt-get").touch(mode=0o755)
    engine = managed(tmp_path, may_install=allowed, offline=offline, path=str(tmp_path / "bin"))
    with pytest.raises(EngineError) as caught:
        engine.up()
    assert f"forbidden ({option})" in str(caught.value)
    assert "dockerd" in str(caught.value)
    assert not (tmp_path / "state").exists()


def test_down_with_nothing_there(tmp_path: Path) -> None:
    """Down of an engine that never was does nothing and says so."""
    assert managed(tmp_path).down() is False
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"pid": 1}', json.dumps({"pid": os.getpid(), "started_ticks": 1, "version": "", "data_root": "/x",
                                              "started": 0.0})],
    ids=["empty", "cut", "list", "incomplete", "of a recycled pid"],
)  # fmt: skip
def test_stale_state(text: str, tmp_path: Path) -> None:
    """A state file that is broken, or whose pid is another process now, is no running engine."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state/engine.json").write_text(text)
    assert managed(tmp_path).state() is None


def test_data_root_of_the_one_that_runs(tmp_path: Path) -> None:
    """A second cache home is told where the running engine really keeps its data."""
    assert managed(tmp_path).data_root() == tmp_path / "data"
    (tmp_path / "state").mkdir()
    config = daemon_config(tmp_path / "state", Path("/elsewhere"), "")
    (tmp_path / "state/daemon.json").write_text(json.dumps(config))
    assert managed(tmp_path).data_root() == Path("/elsewhere")


def test_delete_data(tmp_path: Path) -> None:
    """Data goes once, and a second time there is nothing to delete."""
    (tmp_path / "data/overlay2").mkdir(parents=True)
    engine = managed(tmp_path)
    assert engine.delete_data() is True
    assert not (tmp_path / "data").exists()
    assert engine.delete_data() is False


def test_living_containers() -> None:
    """Only containers of runs that still go on are named."""
    mine = Run.begin().labels()
    containers: list[dict[str, Any]] = [
        {"Names": ["/mine"], "Labels": mine},
        {"Names": ["/dead"], "Labels": {**mine, LABEL_OWNER: "1.1"}},
        {"Names": ["/stranger"], "Labels": None},
    ]
    assert living_containers(containers) == [f"mine (run {mine[LABEL_RUN]})"]


def test_network_bridges() -> None:
    """A network's bridge has the name it was given, else one made of the network's id."""
    networks: list[dict[str, Any]] = [
        {"Id": "0123456789abcdef", "Options": None},
        {"Id": "ff", "Options": {"com.docker.network.bridge.name": "seatrial0"}},
    ]
    assert network_bridges(networks) == {"br-0123456789ab", "seatrial0"}


def test_mount_points(tmp_path: Path) -> None:
    """Mounts below a folder are found innermost first, with blanks decoded; the folder and its neighbours are not."""
    (tmp_path / "self").mkdir()
    lines = ["/x/data", "/x/data/a", "/x/data/a/b\\040c", "/x/data2/a", "/"]
    text = "".join(f"1 2 0:1 / {point} rw - ext4 /dev/vda rw\n" for point in lines)
    (tmp_path / "self/mountinfo").write_text(text)
    assert leftovers.mounts_below((Path("/x/data"),), tmp_path) == ["/x/data/a/b c", "/x/data/a"]


def test_processes(tmp_path: Path) -> None:
    """Arguments are split at their zeros; a zombie has none and is left out."""
    for pid, raw in {"7": b"dockerd\0--config-file\0/x\0", "8": b""}.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_bytes(raw)
    assert list(leftovers.processes(tmp_path)) == [(7, ("dockerd", "--config-file", "/x"))]
