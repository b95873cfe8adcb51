"""Clusters made by kind: created, kept, found again, shared and removed."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from docker.errors import DockerException, ImageNotFound, NotFound
from filelock import BaseFileLock, Timeout
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from harness.cleanup import CleanupStack
from harness.cluster import kind_config, kubeconfig
from harness.cluster.containers import (
    create_network,
    describe_stopped,
    labelled_clusters,
    let_creation_end,
    node_containers,
    remove_cluster,
)
from harness.cluster.fence import fence
from harness.cluster.node_logs import known_causes
from harness.cluster.provider import ClusterHandle, ClusterSpec
from harness.cluster.readiness import is_healthy, server_version, wait_until_usable
from harness.cluster.record import LABEL_HOST, LABEL_RECORD, ClusterRecord, RecordStore, host_identity, kept_name
from harness.cluster.state import state_errors
from harness.cluster.sweep import is_outdated, remove_recorded, sweep
from harness.commands import kind as kind_argv
from harness.engine.engine import Engine
from harness.errors import ClusterError, ClusterNotReadyError, CommandError, SeatrialError, WaitTimeoutError
from harness.naming import LABEL_ARTIFACT, LABEL_CLUSTER, LABEL_OWNER, Run
from harness.process.command import Command
from harness.process.runner import Runner
from harness.progress import Progress
from harness.settings.model import ClusterSettings
from harness.wait import Deadline

if TYPE_CHECKING:
    import docker
    from docker.models.images import Image

_log = logging.getLogger(__name__)

# What a cluster usually takes on two cores (measured with the 1.34 node image), for the line shown while it is made.
_USUAL_S = 25.0
_USUAL_PER_MORE_NODE_S = 7.0
# Exporting the logs of a few nodes takes seconds; a node that hangs must not hold up the removal.
_LOGS_TIMEOUT_S = 60.0
# Waiting for another run, look this often whether this one was interrupted.
_LOOK_UP_S = 0.5


class ClusterRegistry(Protocol):
    """A registry container that serves one cluster."""

    @property
    def host_address(self) -> str:
        """``HOST:PORT`` where the host pushes."""

    def attach_to_nodes(self, nodes: Iterable[str]) -> None:
        """Make the containerd of each node pull through it."""


class StartRegistry(Protocol):
    """Starts the registry of one cluster."""

    def __call__(self, *, name: str, network: str, labels: Mapping[str, str]) -> ClusterRegistry:
        """Start container `name` on Docker network `network`, labelled with `labels`."""


@dataclass(frozen=True)
class _Plan:
    """A cluster about to be made or found: what makes it interchangeable.

    Args:
        name: the cluster's name.
        nodes: how many it has.
        document: kind's configuration.
        recipe: digest of everything that makes clusters interchangeable.
        declaration: digest of what was declared.
        needs_fence: whether its nodes are of others' images, and have kind's pod network.
    """

    name: str
    nodes: int
    document: str
    recipe: str
    declaration: str
    needs_fence: bool


class KindProvider:
    """Makes clusters available with kind.

    A cluster has its own Docker network (whose labels say who owns it: kind's node containers cannot be labelled), its
    own registry container and its own directory with a record and a kubeconfig. Runs that use the same cluster are
    listed in its record; the last one to leave removes it unless it is kept.

    Args:
        engine: the Docker engine the nodes live in.
        runner: runs kind.
        kind_path: the kind to use.
        kubectl: returns the kubectl that handles will name, for the server's version; that is empty before it answers.
        node_image: returns the reference of the node image for a Kubernetes minor version.
        pull: gets a node image that the engine lacks, or raises a SeatrialError.
        registry: starts registries; ``None`` makes clusters without one.
        cleanup: gets the removal of every cluster before it is made.
        run: who owns what is made.
        settings: the cluster slice of the settings.
        state_dir: parent of the clusters' directories.
        progress: shows long steps.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        runner: Runner,
        kind_path: Path,
        kubectl: Callable[[str], Path],
        node_image: Callable[[str], str],
        pull: Callable[[str], object],
        registry: StartRegistry | None,
        cleanup: CleanupStack,
        run: Run,
        settings: ClusterSettings,
        state_dir: Path,
        progress: Progress,
    ) -> None:
        self._engine = engine
        self._runner = runner
        self._kind = kind_path
        self._kubectl = kubectl
        self._node_image = node_image
        self._pull = pull
        self._registry = registry
        self._cleanup = cleanup
        self._run = run
        self._settings = settings
        self._store = RecordStore(state_dir)
        self._progress = progress
        self._kind_version: str | None = None
        self._interrupted = False
        # The user's --kubeconfig is one file: the first cluster of the run gets it.
        self._exported: str | None = None

    def name_for(self, spec: ClusterSpec, suffix: str = "") -> str:
        """Return the name a cluster of this declaration gets: the user's, or one per recipe when kept, or per run.

        Args:
            spec: the declaration.
            suffix: tells several clusters of one run apart, e.g. ``"-b"``.
        """
        if self._settings.name:
            return self._settings.name + suffix
        if not self._settings.keep:
            return f"seatrial-{self._run.run_id}{suffix}"
        with closing(self._engine.client()) as client:
            return f"{kept_name(self._plan(client, '', spec).recipe)}{suffix}"

    def create(self, name: str, spec: ClusterSpec) -> ClusterHandle:
        """See :meth:`ClusterProvider.create`.

        Raises:
            ClusterError: the name is not ours to use, the cluster is in use in a conflicting way, or kind failed;
                nothing of it is left then but the node logs, whose directory the error names.
            ClusterNotReadyError: it was made and did not become usable in time; likewise.
        """
        kind_argv.check_name(name)
        with closing(self._engine.client()) as client:
            plan = self._plan(client, name, spec)
            self._cleanup.push(f"release cluster '{name}'", partial(self.release, name))
            with self._locked(name, stopped=self._why_stopped):
                return self._join(client, plan) or self._make(client, plan)

    def delete(self, handle: ClusterHandle) -> None:
        """See :meth:`ClusterProvider.delete`; a cluster that other living runs use stays until they leave it."""
        self._leave(handle.name, even_if_kept=True)

    def release(self, name: str) -> None:
        """Leave cluster `name`: remove it unless it is kept or other living runs use it."""
        self._leave(name, even_if_kept=False)

    def interrupt(self) -> None:
        """Have a creation that another thread is at work on end soon, and roll itself back."""
        self._interrupted = True

    def sweep(self) -> tuple[str, ...]:
        """Remove what killed runs left in the engine and on disk; return the names of the clusters removed."""
        with closing(self._engine.client()) as client:
            return sweep(client, self._store, docker_host=self._engine.docker_host)

    def diagnose(self, handle: ClusterHandle) -> str:
        """See :meth:`ClusterProvider.diagnose`."""
        try:
            with closing(self._engine.client()) as client:
                nodes = node_containers(client, handle.name)
        except (DockerException, OSError) as error:
            return f"the Docker engine at '{self._engine.docker_host}' does not answer: {error}"
        if not nodes:
            return f"cluster '{handle.name}' has no node containers any more: it was removed from outside"
        return describe_stopped(nodes)

    def collect_logs(self, handle: ClusterHandle, directory: Path) -> Sequence[Path]:
        """See :meth:`ClusterProvider.collect_logs`."""
        with closing(self._engine.client()) as client:
            self._keep_logs(client, handle.name, directory)
        return sorted(path for path in directory.rglob("*") if path.is_file())

    # -- finding one that is there

    def _join(self, client: docker.DockerClient, plan: _Plan) -> ClusterHandle | None:
        """Return the cluster of that name when it can be used as it is; make room for a new one when it cannot."""
        record = self._store.load(plan.name)
        if record is None:
            self._refuse_foreign(client, plan.name)
            return None
        unfit = self._why_unfit(client, record, plan)
        if not unfit:
            self._store.save(record.with_user(self._run, keep=self._settings.keep))
            return self._handle(record)
        others = record.without_user(self._run).users
        if others:
            raise ClusterError(
                f"use cluster '{plan.name}'",
                seen=f"{unfit}, and it is in use by process {', '.join(user.partition('.')[0] for user in others)}",
                hint="wait for that run to end, or choose another --cluster-name",
            )
        with self._progress.step(f"remove cluster '{plan.name}': {unfit}"):
            remove_recorded(client, self._store, plan.name)
        return None

    def _refuse_foreign(self, client: docker.DockerClient, name: str) -> None:
        where = labelled_clusters(client).get(name, {}).get(LABEL_RECORD, "")
        if where and not Path(where).exists():
            # Made by us, its state directory deleted since: nobody can use it any more.
            remove_cluster(client, name)
        elif where or node_containers(client, name):
            raise ClusterError(
                f"create kind cluster '{name}'",
                seen=f"it belongs to another cache: '{where}'" if where else "it exists and Seatrial did not make it",
                hint=f"choose another --cluster-name, or use it as it is with the provider 'existing' and the context "
                f"'{kind_argv.context_name(name)}', or delete it yourself",
            )

    def _why_unfit(self, client: docker.DockerClient, record: ClusterRecord, plan: _Plan) -> str:
        """Say why a recorded cluster cannot be used as it is, or return the empty string."""
        if record.docker_host != self._engine.docker_host:
            return f"it was made in another engine, '{record.docker_host}'"
        if record.state != "ready":
            return "the run that made it did not finish"
        if record.recipe != plan.recipe:
            return "it was made from another declaration, node image or kind version"
        nodes = node_containers(client, record.name)
        stopped = describe_stopped(nodes) or ("" if nodes else "its node containers are gone")
        if stopped or (record.registry and not self._registry_runs(client, record.name)):
            return stopped or "its registry is not running"
        try:
            # Others who want the cluster wait meanwhile.
            with closing(self._handle(record).api_client(patient=False)) as api:
                return is_healthy(api, nodes=plan.nodes)
        except (ApiException, HTTPError, ConfigException, OSError) as error:
            return f"its API server does not answer: {error}"

    @staticmethod
    def _registry_runs(client: docker.DockerClient, name: str) -> bool:
        return bool(client.api.containers(filters={"name": f"^{_registry_name(name)}$", "status": "running"}))

    # -- making a new one

    def _make(self, client: docker.DockerClient, plan: _Plan) -> ClusterHandle:
        self._check_export(plan.name)
        record = ClusterRecord(
            name=plan.name,
            run_id=self._run.run_id,
            host=host_identity(),
            docker_host=self._engine.docker_host,
            recipe=plan.recipe,
            kept=self._settings.keep,
            users=(self._run.labels()[LABEL_OWNER],),
            state="creating",
            declaration=plan.declaration,
            kubeconfig=str(self._store.directory_of(plan.name) / "kubeconfig"),
            created_at=int(time.time()),
        )
        if self._settings.keep and not self._settings.name:
            self._remove_outdated(client, record)
        # The record comes first: whatever appears from here on is found by the next run if this one is killed.
        self._store.save(record)
        usual_s = _USUAL_S + _USUAL_PER_MORE_NODE_S * (plan.nodes - 1)
        try:
            with self._progress.step(f"create cluster '{plan.name}' ({_count(plan.nodes, 'node')})", usual_s=usual_s):
                record = self._run_actions(client, plan, record)
        except BaseException as error:
            # In a background thread Ctrl-C arrives as whatever it ended there.
            interrupted = self._interrupted or not isinstance(error, Exception)
            said = error.outcome.stdout + error.outcome.stderr if isinstance(error, CommandError) else ""
            logs = self._roll_back(client, plan, interrupted=interrupted, said=said)
            if isinstance(error, (SeatrialError, DockerException, ApiException, HTTPError)):
                raise _creation_error(error, plan.name, logs) from error
            raise
        self._store.save(record)
        return self._handle(record)

    def _remove_outdated(self, client: docker.DockerClient, made: ClusterRecord) -> None:
        """Remove what was kept in the place of the cluster that is `made` now, since no run would find it again."""
        why = "what is declared so is made from another node image or kind version now"
        for name in [name for name in self._store.names() if is_outdated(self._store.load(name), made)]:
            # A living run that holds the lock is at work on it.
            with suppress(Timeout), self._store.lock(name).acquire(timeout=0):
                if is_outdated(self._store.load(name), made):  # nobody has joined it since
                    with self._progress.step(f"remove kept cluster '{name}': {why}"):
                        remove_recorded(client, self._store, name)

    def _run_actions(self, client: docker.DockerClient, plan: _Plan, record: ClusterRecord) -> ClusterRecord:
        """Network, then nodes and registry side by side, then what joins them, then ready."""
        deadline = Deadline(self._settings.create_timeout_s)
        labels = self._labels(plan.name)
        create_network(client, plan.name, labels)
        with ThreadPoolExecutor(max_workers=1) as pool:
            starting = pool.submit(self._start_registry, plan.name, labels)
            self._create_nodes(plan, Path(record.kubeconfig), deadline)
            registry = starting.result()
        nodes = [node.name for node in node_containers(client, plan.name) if node.role != "external-load-balancer"]
        if plan.needs_fence:
            self._fence(client, nodes)
        if registry is not None:
            registry.attach_to_nodes(nodes)
            record = replace(record, registry=registry.host_address)
        made = replace(record, kubeconfig=str(self._export(plan.name, Path(record.kubeconfig))))
        with closing(self._handle(made).api_client(patient=False)) as api:
            ready = wait_until_usable(
                api,
                plan.name,
                nodes=plan.nodes,
                node_exec=partial(_exec_in_node, client, nodes[0]),
                deadline=deadline,
                hopeless=lambda: self._why_stopped(plan.name) or _dead_nodes(client, plan.name),
            )
            return replace(made, state="ready", nodes=ready, kubernetes=server_version(api))

    def _fence(self, client: docker.DockerClient, nodes: Iterable[str]) -> None:
        for node in nodes:
            if why := fence(partial(_exec_in_node, client, node)):
                self._progress.say(f"node '{node}' does not refuse packets for unknown pods and Services: {why}")

    def _why_stopped(self, name: str) -> ClusterError | None:
        if not self._interrupted:
            return None
        return ClusterError(
            f"create cluster '{name}'", seen="the run was interrupted", hint="run again: nothing of it is left"
        )

    def _start_registry(self, name: str, labels: Mapping[str, str]) -> ClusterRegistry | None:
        if self._registry is None:
            return None
        return self._registry(name=_registry_name(name), network=name, labels=labels)

    def _create_nodes(self, plan: _Plan, kubeconfig_path: Path, deadline: Deadline) -> None:
        if stopped := self._why_stopped(plan.name):
            raise stopped
        config = self._store.directory_of(plan.name) / "kind.yaml"
        with state_errors(f"write the configuration of cluster '{plan.name}'", config.parent):
            config.write_text(plan.document, encoding="utf-8")
        argv = kind_argv.create_cluster(plan.name, kubeconfig=kubeconfig_path, config=config)
        command = self._command(argv, timeout_s=deadline.remaining_s(at_least=1.0), network=plan.name)
        self._runner.run(command, on_line=_log.debug).check()
        kubeconfig_path.chmod(0o600)

    def _roll_back(self, client: docker.DockerClient, plan: _Plan, *, interrupted: bool, said: str) -> Path | None:
        """Remove what there is but the node logs; return where those are, with what kind said beside them.

        Nobody reads them after Ctrl-C.
        """
        logs: Path | None = None
        name = plan.name
        directory = self._store.directory / ".logs" / f"{name}-{self._run.own_id}"
        try:
            names, (image, *_) = kind_config.node_names(plan.document, name), kind_config.node_images(plan.document)
            let_creation_end(client, name, names, image=image)
            logs = None if interrupted else self._keep_logs(client, name, directory)
            if logs is not None and said:
                (logs / "kind.log").write_text(said, encoding="utf-8", errors="replace")
        except (SeatrialError, DockerException, OSError) as error:
            _log.warning("the node logs of cluster '%s' could not be kept: %s", name, error)
        finally:
            remove_recorded(client, self._store, name)
        return logs

    def _keep_logs(self, client: docker.DockerClient, name: str, directory: Path) -> Path | None:
        nodes = node_containers(client, name)
        if not nodes:
            return None
        directory.mkdir(parents=True, exist_ok=True)
        for node in nodes:
            text = client.api.logs(node.container_id)
            (directory / f"{node.name}.log").write_bytes(text)
        self._export_logs(name, directory)
        return directory

    def _export_logs(self, name: str, directory: Path) -> None:
        outcome = self._runner.run(self._command(kind_argv.export_logs(name, directory), timeout_s=_LOGS_TIMEOUT_S))
        # Some logs are better than none: a node that is down, or that has no crictl, cannot be asked for everything.
        if not outcome.succeeded and not any(directory.rglob("*")):
            _log.warning("the node logs of cluster '%s' could not be exported: %s", name, outcome.stderr.strip())

    # -- leaving and removing

    def _leave(self, name: str, *, even_if_kept: bool) -> None:
        if self._store.load(name) is None:
            return  # rolled back, and its lock removed: taking that would make it anew
        with self._locked(name), closing(self._engine.client()) as client:
            record = self._store.load(name)
            if record is None:
                return
            record = record.without_user(self._run)
            if record.users or (record.kept and not even_if_kept and record.state == "ready"):
                self._store.save(record)
                return
            with self._progress.step(f"remove cluster '{name}'", usual_s=2.0):
                remove_recorded(client, self._store, name)

    # -- the user's --kubeconfig

    def _check_export(self, name: str) -> None:
        """Refuse to write into a kubeconfig that holds anything but this cluster's context."""
        target = self._settings.kubeconfig
        if target is None or self._exported not in (None, name) or not target.exists() or not target.stat().st_size:
            return
        others = set(kubeconfig.context_names(kubeconfig.read(target))) - {kind_argv.context_name(name)}
        if others:
            raise ClusterError(
                f"write the kubeconfig of cluster '{name}' to '{target}'",
                seen=f"the file is there and holds other contexts: {', '.join(sorted(others))}",
                hint="name a file that does not exist: Seatrial never changes a kubeconfig of yours",
            )

    def _export(self, name: str, own: Path) -> Path:
        target = self._settings.kubeconfig
        if target is None or self._exported not in (None, name):
            return own
        self._exported = name
        kubeconfig.write_private(target, kubeconfig.read(own), otherwise="name another file with --kubeconfig")
        return target.absolute()

    # -- shared

    def _plan(self, client: docker.DockerClient, name: str, spec: ClusterSpec) -> _Plan:
        default = self._node_image(spec.kubernetes)
        patches = self._image(client, default).labels.get(kind_config.LABEL_PATCHES, "")
        document = kind_config.render(spec, default, kubeadm_patches=patches)
        images = {image: self._image(client, image) for image in kind_config.node_images(document)}
        ids = {reference: image.id for reference, image in images.items()}
        identity = {"config": document, "images": ids, "kind": self._version()}
        recipe = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        declaration = hashlib.sha256(json.dumps(asdict(spec), sort_keys=True).encode()).hexdigest()
        others = any(not image.labels.get(LABEL_ARTIFACT) for image in images.values())
        needs_fence = others and kind_config.has_pod_network(document)
        return _Plan(name, kind_config.count_nodes(document), document, recipe, declaration, needs_fence)

    def _image(self, client: docker.DockerClient, reference: str) -> Image:
        try:
            return client.images.get(reference)
        except ImageNotFound:
            pass
        try:
            with self._progress.step(f"pull node image '{reference}'", usual_s=60.0):
                self._pull(reference)
            return client.images.get(reference)
        except (SeatrialError, DockerException) as error:
            seen = error.seen if isinstance(error, SeatrialError) and error.seen else str(error)
            hints = ("check --kind-image", error.hint if isinstance(error, SeatrialError) else "")
            raise ClusterError(
                f"find the node image '{reference}'", seen=seen, hint="\n".join(filter(None, hints))
            ) from error

    def _version(self) -> str:
        if self._kind_version is None:
            self._kind_version = (
                self._runner.run(self._command(kind_argv.version(), timeout_s=10)).check().stdout.strip()
            )
        return self._kind_version

    def _command(self, argv: Sequence[str], *, timeout_s: float, network: str | None = None) -> Command:
        # KUBECONFIG is taken away so that no slip of kind's can reach the user's.
        env = {**self._engine.environment(), "KUBECONFIG": None, kind_argv.NETWORK_VARIABLE: network}
        return Command((str(self._kind), *argv), env=env, timeout_s=timeout_s)

    def _labels(self, name: str) -> dict[str, str]:
        return {
            **self._run.labels(),
            LABEL_CLUSTER: name,
            LABEL_HOST: host_identity(),
            LABEL_RECORD: str(self._store.path_of(name).absolute()),
        }

    def _handle(self, record: ClusterRecord) -> ClusterHandle:
        return ClusterHandle(
            name=record.name,
            provider="kind",
            kubeconfig=Path(record.kubeconfig),
            context=kind_argv.context_name(record.name),
            kubectl=self._kubectl(record.kubernetes),
            nodes=record.nodes,
            registry=record.registry or None,
            # Parallel workers are one run.
            reused=record.run_id != self._run.run_id,
            kubernetes=record.kubernetes,
        )

    @contextmanager
    def _locked(self, name: str, *, stopped: Callable[[str], ClusterError | None] = lambda _: None) -> Iterator[None]:
        """Hold the cluster's lock; another run that is making or removing it is waited for, until `stopped`."""
        lock = self._store.lock(name)
        limit_s = self._settings.create_timeout_s + self._settings.delete_timeout_s
        with state_errors(f"lock cluster '{name}'", Path(lock.lock_file).parent):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                try:
                    with self._progress.step(f"wait for another run that is making or removing cluster '{name}'"):
                        _acquire(lock, Deadline(limit_s), lambda: stopped(name))
                except Timeout as error:
                    raise ClusterError(
                        f"lock cluster '{name}' within {limit_s:g} s",
                        seen=f"another run holds '{lock.lock_file}'",
                        hint="wait for that run to end, or choose another --cluster-name",
                    ) from error
        try:
            yield
        finally:
            lock.release()


def _acquire(lock: BaseFileLock, deadline: Deadline, stopped: Callable[[], ClusterError | None]) -> None:
    while True:
        if error := stopped():
            raise error
        try:
            lock.acquire(timeout=min(_LOOK_UP_S, deadline.remaining_s()))
        except Timeout:
            if deadline.has_passed():
                raise
        else:
            return


def _registry_name(cluster: str) -> str:
    return f"{cluster}-registry"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _dead_nodes(client: docker.DockerClient, name: str) -> ClusterError | None:
    nodes = node_containers(client, name)
    seen = describe_stopped(nodes) or ("" if nodes else "its node containers are gone")
    if not seen:
        return None
    return ClusterNotReadyError(
        f"use cluster '{name}'",
        seen=seen,
        hint="has the host memory to spare (`free -m`, `docker stats`), and does nothing else stop containers there?",
    )


def _exec_in_node(client: docker.DockerClient, node: str, argv: Sequence[str]) -> tuple[int, bytes]:
    try:
        execution = client.api.exec_create(node, list(argv))
        output: bytes = client.api.exec_start(execution["Id"])
        return int(client.api.exec_inspect(execution["Id"])["ExitCode"] or 0), output
    except NotFound as error:
        return 1, str(error).encode()


def _creation_error(error: Exception, name: str, logs: Path | None) -> ClusterError:
    """Return the error that says why cluster `name` could not be made and where its node logs are."""
    attempted, seen, hint, kind_of = f"create cluster '{name}'", str(error), "", ClusterError
    if isinstance(error, CommandError) and not error.outcome.not_found and not error.outcome.timed_out:
        seen, hint = kind_argv.explain_failure(error.outcome.stderr)
    elif isinstance(error, WaitTimeoutError):
        seen, hint, kind_of = str(error), error.hint, ClusterNotReadyError
    elif isinstance(error, ClusterError):
        attempted, seen, hint, kind_of = error.attempted, error.seen, error.hint, type(error)
    if logs is None:
        return kind_of(attempted, seen=seen, hint=hint)
    hints = (*known_causes(logs), hint, f"the node logs are in '{logs}'")
    return kind_of(attempted, seen=seen, hint="\n".join(filter(None, hints)), node_logs=logs)
