"""Seatrial's own Docker engine: one per host, started where the user has none.

Everything it has is its own: data root, exec root, socket, pid file, log, bridge, containerd. It is started in a
session of its own and stays up when the run that started it ends, so that the next run need not start one; it goes
with ``seatrial engine down``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.engine.bridge import BRIDGE, NETWORK_BRIDGE, Bridges
from harness.engine.capabilities import missing_capabilities
from harness.engine.engine import Engine
from harness.engine.host import Host, other_engines, refuse_beside_other_engines
from harness.engine.install import install_programs, is_debian, search_path
from harness.engine.leftovers import clear_leftovers, mounts_below, processes
from harness.engine.probe import Probe, probe
from harness.engine.sweep import sweep
from harness.errors import EngineError, WaitTimeoutError, tail
from harness.naming import LABEL_OWNER, LABEL_RUN, owner_is_alive, process_start_ticks
from harness.process.command import Command
from harness.process.runner import Runner
from harness.progress import Progress
from harness.settings.model import EngineSettings
from harness.wait import wait_until

# 2 s were measured on two cores; the first start on a cold disk takes longer.
START_USUAL_S = 2.0
START_TIMEOUT_S = 60.0
# dockerd gives containers 15 s to end before it kills them.
STOP_TIMEOUT_S = 45.0
# Longer than anybody else's start, with the packages' installation.
LOCK_TIMEOUT_S = 1200.0

# Linux's sun_path holds 108 bytes; the longest socket below the state directory is containerd's debug socket.
LONGEST_SOCKET = "exec/containerd/containerd-debug.sock"
SOCKET_PATH_MAX = 107

RUNTIME = "seatrial"


@dataclass(frozen=True)
class EngineState:
    """What ``engine.json`` says about the running engine.

    Args:
        pid: process id of dockerd.
        started_ticks: its start in clock ticks since boot, so that a recycled pid is not taken for it.
        version: its version.
        data_root: its data root.
        started: wall-clock start, seconds since the epoch.
    """

    pid: int
    started_ticks: int
    version: str
    data_root: str
    started: float


class ManagedEngine:
    """Starts, finds and stops the engine of one state directory.

    Args:
        settings: the engine's slice of the settings.
        runner: runs programs.
        oci_runtime: returns the path of the OCI runtime wrapper; called only on hosts that lack capabilities.
        progress: told what takes time.
        environ: the environment; read is PATH.
        ask: asks an address whether an engine answers.
        offline: never ask the network, for packages neither.
    """

    def __init__(
        self,
        settings: EngineSettings,
        runner: Runner,
        oci_runtime: Callable[[], Path],
        progress: Progress,
        environ: Mapping[str, str],
        *,
        ask: Probe = probe,
        offline: bool = False,
    ) -> None:
        self._offline = offline
        self._settings = settings
        self._runner = runner
        self._oci_runtime = oci_runtime
        self._progress = progress
        self._environ = environ
        self._ask = ask
        self._dir = settings.state_dir
        self._path = search_path(environ)
        self._bridges = Bridges(runner, self._path)
        self._host = Host(runner, self._bridges, self._path, self._dir / "host.json")
        self.docker_host = f"unix://{self._dir / 'docker.sock'}"
        self.log = self._dir / "dockerd.log"

    @property
    def _config(self) -> Path:
        return self._dir / "daemon.json"

    @property
    def _exec_root(self) -> Path:
        return self._dir / "exec"

    def running(self) -> Engine | None:
        """Return the engine when it answers; never starts it."""
        answer = self._ask(self.docker_host, None)
        return Engine(self.docker_host, answer.version, managed=True) if answer.answers else None

    def state(self) -> EngineState | None:
        """Return what is on record about the engine while its process lives."""
        state = self._read_state()
        alive = state is not None and process_start_ticks(state.pid) == state.started_ticks
        return state if alive and state is not None and self.pid() == state.pid else None

    def pid(self) -> int | None:
        """Return the process id of this state directory's dockerd, ``None`` when it does not run.

        Told by its arguments, which hold whatever became of the pid file.
        """
        arguments = ("--config-file", str(self._config))
        return next((pid for pid, argv in processes() if argv[-2:] == arguments), None)

    def data_root(self) -> Path:
        """Return the data root of the running engine, else of the one that would be started."""
        try:
            return Path(str(json.loads(self._config.read_text(encoding="utf-8"))["data-root"]))
        except (OSError, ValueError, KeyError, TypeError):
            return self._settings.data_dir

    def up(self) -> Engine:
        """Return the engine, starting it when it does not answer.

        Two runs that ask at once start one engine.

        Raises:
            EngineError: it cannot be started on this host, may not be, or did not start.
            CommandError: packages or the bridge could not be had.
        """
        running = self.running()
        if running is not None:
            return running
        self._require_host()
        with self._lock():
            running = self.running()
            return running if running is not None else self._start()

    def down(self, *, force: bool = False) -> bool:
        """Stop the engine and put the host back as it was found; images and volumes stay in the data root.

        Args:
            force: stop it even while containers of living runs are in it.

        Returns:
            Whether there was anything to stop or put back.

        Raises:
            EngineError: a living run uses it, or it would not stop.
        """
        if self.pid() is None and not self._dir.exists():
            return False
        self._require_root("stop Seatrial's Docker engine")
        with self._lock():
            bridges = self._empty(force=force) | {BRIDGE}
            pid = self.pid()
            if pid is not None:
                with self._progress.step("stop Seatrial's Docker engine", usual_s=1):
                    self._stop(pid)
            self._clear()
            shared = bool(other_engines(None))
            if not shared:
                # Without an answering engine its networks' bridges are known by their names only.
                bridges |= {name for name in self._host.new_bridges() if NETWORK_BRIDGE.fullmatch(name)}
            self._host.restore(bridges, shared=shared, note=self._progress.say)
            shutil.rmtree(self._dir, ignore_errors=True)
        return True

    def delete_data(self) -> bool:
        """Delete the data root (images, volumes, containers) of an engine that does not run.

        Returns:
            Whether there was one.

        Raises:
            EngineError: the engine runs, or the directory cannot be removed.
        """
        data_root = self._settings.data_dir
        if not data_root.exists():
            return False
        attempted = f"delete the engine's data root '{data_root}'"
        with self._lock():
            if self.pid() is not None and self.data_root() == data_root:
                raise EngineError(attempted, seen="the engine runs", hint="`seatrial engine down` first")
            mounted = mounts_below((data_root,))
            if mounted:
                raise EngineError(attempted, seen=f"still mounted: {', '.join(mounted)}", hint="`seatrial engine down`")
            try:
                shutil.rmtree(data_root)
            except OSError as error:
                raise EngineError(attempted, seen=str(error), hint="its owner is root: run this as root") from error
        return True

    def _require_host(self) -> None:
        attempted = "start a Docker engine of our own"
        if not sys.platform.startswith("linux"):
            raise EngineError(
                attempted, seen=f"this is {sys.platform}, not Linux", hint="start Docker Desktop or Colima"
            )
        self._require_root(attempted)
        longest = self._dir / LONGEST_SOCKET
        if len(os.fsencode(longest)) > SOCKET_PATH_MAX:
            raise EngineError(
                attempted,
                seen=f"the path of a socket would have more than {SOCKET_PATH_MAX} bytes: {longest}",
                hint="choose a shorter state directory",
            )

    @staticmethod
    def _require_root(attempted: str) -> None:
        if os.geteuid() != 0:
            raise EngineError(
                attempted, seen=f"this user (uid {os.geteuid()}) is not root", hint="run as root (`sudo -E ...`)"
            )

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the one lock of this state directory: its parent directory, so that no lock file stays behind."""
        parent = self._dir.parent
        parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if not _try_lock(descriptor):
                with self._progress.step("wait for another run that starts or stops the engine"):
                    wait_until(
                        f"get the lock on {parent}",
                        lambda: _try_lock(descriptor),
                        timeout_s=LOCK_TIMEOUT_S,
                        describe=lambda _: "held by another process",
                        hint=f"see who holds it: `fuser {parent}`",
                    )
            yield
        finally:
            os.close(descriptor)

    def _start(self) -> Engine:
        """Start dockerd; the lock is held and no engine answers at the socket."""
        pid = self.pid()
        if pid is not None:
            return self._wait_for(pid)
        refuse_beside_other_engines()
        forbidden_by = "--offline" if self._offline else "" if self._settings.install else "--no-install"
        install_programs(self._runner, self._progress, self._environ, forbidden_by=forbidden_by, debian=is_debian())
        # Again: a policy of the host's own may have let the packages start the distribution's engine.
        refuse_beside_other_engines()
        # Before anything of the host's is changed: it may be that this cannot be had.
        runtime = self._runtime()
        self._make_directories()
        self._clear()
        self._host.record()
        self._host.allow_watchers(self._progress.say)
        self._bridges.ensure()
        self._write_config(runtime)
        self._progress.say(f"no Docker engine answers: starting one of Seatrial's own at {self.docker_host}")
        with self._progress.step("start Seatrial's Docker engine", usual_s=START_USUAL_S):
            return self._wait_for(self._launch())

    def _make_directories(self) -> None:
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
            self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                "make the directories of Seatrial's Docker engine",
                seen=str(error),
                hint="free that path, or choose other directories for the engine's state and data",
            ) from error
        # The directory is root's alone but the socket's group may pass through to it.
        self._dir.chmod(0o711)

    def _clear(self) -> None:
        data_roots = {self._settings.data_dir, self.data_root()}
        clear_leftovers(self._runner, self._path, self._exec_root, data_roots)
        for name in ("docker.sock", "dockerd.pid", "engine.json"):
            (self._dir / name).unlink(missing_ok=True)

    def _runtime(self) -> str:
        """Return the path of the OCI runtime wrapper where this host needs it, else nothing."""
        lacking = missing_capabilities()
        if not lacking:
            return ""
        self._progress.say(f"this host lacks {', '.join(lacking)}: containers are started without")
        return str(self._oci_runtime())

    def _write_config(self, runtime: str) -> None:
        config = daemon_config(self._dir, self._settings.data_dir, runtime)
        self._config.write_text(json.dumps(config, indent=1), encoding="utf-8")

    def _launch(self) -> int:
        """Start dockerd as nobody's child, so that it outlives this process and is reaped when it ends."""
        dockerd = shutil.which("dockerd", path=self._path) or "dockerd"
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        argv = ("setsid", "--fork", dockerd, "--config-file", str(self._config))
        # The service manager's and the docker program's variables are not meant for this engine.
        unset = dict.fromkeys(("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "DOCKER_HOST", "DOCKER_CONTEXT"))
        command = Command(argv, env={**unset, "PATH": self._path}, cwd=Path("/"))
        with self.log.open("wb") as log:
            forking = self._runner.start(command, log=log)
        wait_until(
            "start dockerd", forking.is_running, done=lambda running: not running, timeout_s=10, poll_interval_s=0.01
        )
        pid = self.pid()
        if pid is None:
            raise self._did_not_start("it ended at once")
        return pid

    def _wait_for(self, pid: int) -> Engine:
        ticks = process_start_ticks(pid)

        def gone(_: Engine | None) -> EngineError | None:
            return None if self.pid() == pid else self._did_not_start("it ended")

        try:
            engine = wait_until(
                f"reach dockerd (process {pid}) at {self.docker_host}",
                self.running,
                done=lambda found: found is not None,
                failed=gone,
                timeout_s=START_TIMEOUT_S,
                poll_interval_s=0.1,
            )
        except WaitTimeoutError as error:
            raise self._did_not_start(f"it did not answer within {START_TIMEOUT_S:g} s") from error
        if engine is None:  # cannot be: `done` holds
            raise self._did_not_start("it does not answer")
        state = EngineState(pid, ticks or 0, engine.version, str(self.data_root()), time.time())
        (self._dir / "engine.json").write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
        return engine

    def _did_not_start(self, what: str) -> EngineError:
        said = ""
        with contextlib.suppress(OSError):
            said = tail(self.log.read_text(encoding="utf-8", errors="replace"), 2000)
        return EngineError(
            "start a Docker engine of our own",
            seen=f"dockerd: {what}\n{said}",
            hint=f"its log is {self.log}; `seatrial engine down` clears its state",
            log=self.log,
        )

    def _empty(self, *, force: bool) -> frozenset[str]:
        """Remove what dead runs left in the engine, refuse when living ones use it; return its networks' bridges."""
        engine = self.running()
        if engine is None:
            return frozenset()
        client = engine.client()
        try:
            living = living_containers(client.api.containers(all=True, filters={"label": LABEL_RUN}))
            if living and not force:
                raise EngineError(
                    "stop Seatrial's Docker engine",
                    seen="runs that are still going use it: " + ", ".join(living),
                    hint="wait for them, or `seatrial engine down --force`",
                )
            sweep(client)
            return network_bridges(client.api.networks(filters={"driver": "bridge"}))
        finally:
            client.close()

    def _stop(self, pid: int) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            try:
                wait_until(
                    f"stop dockerd (process {pid})",
                    self.pid,
                    done=lambda now: now != pid,
                    timeout_s=STOP_TIMEOUT_S,
                    poll_interval_s=0.05,
                )
            except WaitTimeoutError:
                continue
            return
        raise EngineError("stop Seatrial's Docker engine", seen=f"process {pid} survived SIGKILL", hint="see `dmesg`")

    def _read_state(self) -> EngineState | None:
        try:
            return EngineState(**json.loads((self._dir / "engine.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def daemon_config(state_dir: Path, data_root: Path, runtime: str) -> dict[str, object]:
    """Return dockerd's configuration file (docker documentation, "dockerd", daemon.json; checked with 20.10.24).

    Args:
        state_dir: holds socket, pid file and exec root.
        data_root: holds images, containers and volumes.
        runtime: path of the OCI runtime wrapper, empty for plain runc.
    """
    config: dict[str, object] = {
        "hosts": [f"unix://{state_dir / 'docker.sock'}"],
        "pidfile": str(state_dir / "dockerd.pid"),
        "exec-root": str(state_dir / "exec"),
        "data-root": str(data_root),
        "bridge": BRIDGE,
        # A chatty container must not fill the disk; the evidence keeps far less.
        "log-driver": "json-file",
        "log-opts": {"max-size": "20m", "max-file": "2"},
    }
    if runtime:
        config["runtimes"] = {RUNTIME: {"path": runtime}}
        config["default-runtime"] = RUNTIME
    return config


def living_containers(containers: list[dict[str, Any]]) -> list[str]:
    """Return ``NAME (run ID)`` of each of these containers (as the engine lists them) whose run is still going."""
    living = []
    for container in containers:
        labels = container.get("Labels") or {}
        if owner_is_alive(labels.get(LABEL_OWNER, "")):
            name = str((container.get("Names") or ["?"])[0]).lstrip("/")
            living.append(f"{name} (run {labels.get(LABEL_RUN)})")
    return living


def network_bridges(networks: list[dict[str, Any]]) -> frozenset[str]:
    """Return the bridge of each of these networks (as the engine lists them)."""
    return frozenset(
        (network.get("Options") or {}).get("com.docker.network.bridge.name", f"br-{network['Id'][:12]}")
        for network in networks
    )
