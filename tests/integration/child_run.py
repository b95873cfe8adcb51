"""pytest as a user starts it: a process of its own in a project of somebody else, and every trace that it leaves.

A run is known by a mark in its environment, which all its children inherit, and by its run id: what other runs on this
host do meanwhile is not taken for its.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from docker import DockerClient
from docker.errors import NotFound
from kubernetes import client as kube

from harness.cluster.containers import node_containers
from harness.cluster.provider import ClusterHandle
from harness.engine.engine import Engine
from harness.naming import LABEL_RUN
from harness.process.command import Command
from harness.process.runner import BackgroundProcess, SubprocessRunner
from harness.wait import wait_until
from tests.integration.volumes import NotedVolumes

MARK = "CHILD_RUN_MARK"
# A run that was told to end has to stop programs, finish what the engine has begun, and remove it.
ENDED_TIMEOUT_S = 300.0
# Until the cluster that a run makes has got so far.
SEEN_TIMEOUT_S = 300.0


@dataclass
class ChildProject:
    """A project that uses Seatrial, with a home, temporary directory and cache of its own.

    The cache's artifacts are this run's: programs and images need not be had again.

    Args:
        directory: holds all of it.
        engine: the engine that its runs use.
        artifacts: directory of programs and of what is known about images.
        options: options of every run.
        volumes: what is noted of the engine's volumes meanwhile.
    """

    directory: Path
    engine: Engine
    artifacts: Path
    options: tuple[str, ...] = ()
    volumes: NotedVolumes = field(default_factory=NotedVolumes)
    mark: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        for name in ("project", "home", "tmp", "cache/seatrial"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        if not (self.cache / "artifacts").exists():
            (self.cache / "artifacts").symlink_to(self.artifacts)
        self.write({"pytest.ini": "[pytest]\n"})

    @property
    def cache(self) -> Path:
        """The cache of its runs."""
        return self.directory / "cache" / "seatrial"

    @property
    def project(self) -> Path:
        """The project's own directory, where its runs are started."""
        return self.directory / "project"

    def write(self, files: Mapping[str, str]) -> None:
        """Write files of the project, by their paths in it."""
        for name, text in files.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    def start(
        self, *arguments: str, environ: Mapping[str, str | None] | None = None, prefix: tuple[str, ...] = ()
    ) -> ChildRun:
        """Start a run.

        Args:
            arguments: of pytest.
            environ: changes of its environment.
            prefix: a program that starts it, with its arguments.
        """
        # PYTEST_* of the run that this test is part of would be taken for the child's.
        env: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("PYTEST_", "SEATRIAL_"))}
        env |= {
            **self.engine.environment(),
            "KUBECONFIG": None,
            "HOME": str(self.directory / "home"),
            "TMPDIR": str(self.directory / "tmp"),
            "XDG_CACHE_HOME": str(self.directory / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            MARK: self.mark,
            **(environ or {}),
        }
        argv = (*prefix, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *self.options, *arguments)
        log = self.directory / f"{uuid4().hex[:8]}.log"
        with log.open("wb") as file:
            return ChildRun(self, SubprocessRunner().start(Command(argv, env=env, cwd=self.project), log=file), log)

    def run(self, *arguments: str, **options: Any) -> ChildRun:
        """Start a run and return when it has ended."""
        child = self.start(*arguments, **options)
        child.wait()
        return child

    # -- what its runs left

    def evidence_directories(self) -> list[Path]:
        """The evidence of its runs, oldest first."""
        return sorted(self.project.glob("seatrial-evidence/*Z-*"), key=lambda path: path.stat().st_ctime_ns)

    def traces(self, handle: ClusterHandle | None = None) -> list[str]:
        """Name everything that its runs have left, evidence and logs of builds apart.

        Args:
            handle: a cluster that they used and that is not theirs.
        """
        run_ids = [path.name.rpartition("-")[2] for path in self.evidence_directories()]
        assert run_ids, "no run has got so far that it made an evidence directory"
        found = [*self._processes(), *self._files()]
        for run_id in run_ids:
            found += self._in_engine(run_id)
            if handle is not None:
                found += _in_cluster(handle, run_id)
        return found

    def _processes(self) -> Iterator[str]:
        for pid in processes_with(f"{MARK}={self.mark}"):
            yield f"process {pid}"

    def _files(self) -> Iterator[str]:
        for name in ("home", "tmp", "cache/seatrial/tmp", "cache/seatrial/clusters"):
            for path in sorted((self.directory / name).rglob("*")):
                if not path.is_dir():
                    yield f"file {path.relative_to(self.directory)}"
        for path in (self.cache / "clusters").glob("[!.]*"):
            yield f"cluster directory {path.name}"

    def _in_engine(self, run_id: str) -> Iterator[str]:
        with closing(self.engine.client()) as client:
            for container in client.api.containers(all=True):
                labels = container["Labels"] or {}
                its_own = labels.get(LABEL_RUN) == run_id or self.mark in container["Command"]
                if its_own or any(run_id in name for name in container["Names"]):
                    yield f"container {container['Names'][0]}"
            for network in client.api.networks():
                if (network["Labels"] or {}).get(LABEL_RUN) == run_id or run_id in network["Name"]:
                    yield f"network {network['Name']}"
            for volume in client.api.volumes()["Volumes"] or ():
                if (volume["Labels"] or {}).get(LABEL_RUN) == run_id:
                    yield f"volume {volume['Name']}"
            yield from self.volumes.left(client, lambda name: run_id in name)
            yield from (f"image {image_id}" for image_id in images_made_with(client, self.mark))


@dataclass
class ChildRun:
    """One run of a project's tests.

    Args:
        of: the project.
        process: its process.
        log: what it prints.
    """

    of: ChildProject
    process: BackgroundProcess
    log: Path
    exit_code: int = -1

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def run_id(self) -> str:
        """The id of the project's latest run, empty until it has one."""
        directories = self.of.evidence_directories()
        return directories[-1].name.rpartition("-")[2] if directories else ""

    @property
    def evidence(self) -> Path:
        """The evidence directory of the project's latest run."""
        return self.of.evidence_directories()[-1]

    def record(self) -> dict[str, Any]:
        """What it wrote into run.json."""
        document: dict[str, Any] = json.loads((self.evidence / "run.json").read_text(encoding="utf-8"))
        return document

    def until(self, what: str, seen: Callable[[], object], timeout_s: float = SEEN_TIMEOUT_S) -> None:
        """Wait until something is seen, while the run goes on."""
        wait_until(
            what,
            seen,
            timeout_s=timeout_s,
            poll_interval_s=0.05,
            failed=lambda _: None if self.process.is_running() else AssertionError(f"it has ended:\n{self.output}"),
            describe=lambda last: f"{last}\n{self.output}",
        )

    def signal(self, number: int) -> None:
        """Send a signal to it and to nothing else, as `kill` does."""
        os.kill(self.process.pid, number)

    def wait(self, timeout_s: float = ENDED_TIMEOUT_S) -> int:
        """Wait until it has ended and return its exit code; it is ended when it takes too long."""
        try:
            wait_until(
                "see the run end",
                self.process.is_running,
                done=lambda running: not running,
                timeout_s=timeout_s,
                poll_interval_s=0.05,
                describe=lambda _: self.output,
            )
        finally:
            self.exit_code = self.process.stop()
        return self.exit_code

    def node_is_there(self) -> bool:
        """Whether a node container of its cluster runs."""
        if not self.run_id:
            return False
        with closing(self.of.engine.client()) as client:
            return any(node.state == "running" for node in node_containers(client, f"seatrial-{self.run_id}"))

    def has_process(self, *words: str) -> bool:
        """Whether it runs a program whose arguments hold all of `words`."""
        for pid in processes_with(f"{MARK}={self.of.mark}"):
            argv = _read(Path(f"/proc/{pid}/cmdline")).split("\0")
            if all(any(word in argument for argument in argv) for word in words):
                return True
        return False


def images_made_with(client: DockerClient, mark: str) -> Iterator[str]:
    """Give the ids of the images, unnamed ones included, that a command with `mark` in it made."""
    for image in client.api.images(all=True):
        with suppress(NotFound):  # another worker's, gone since it was listed
            if any(mark in layer["CreatedBy"] for layer in client.api.history(image["Id"])):
                yield image["Id"]


def processes_with(setting: str) -> list[int]:
    """Return the processes that have ``NAME=VALUE`` in their environment."""
    return [
        int(folder.name) for folder in Path("/proc").glob("[0-9]*") if setting in _read(folder / "environ").split("\0")
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _in_cluster(handle: ClusterHandle, run_id: str) -> Iterator[str]:
    with closing(handle.api_client()) as api:
        core: Any = kube.CoreV1Api(api)
        for namespace in core.list_namespace(label_selector=f"{LABEL_RUN}={run_id}").items:
            yield f"namespace {namespace.metadata.name}"
        for secret in core.list_secret_for_all_namespaces(label_selector="owner=helm").items:
            if run_id in (secret.metadata.labels or {}).values():
                yield f"helm release {secret.metadata.name}"
