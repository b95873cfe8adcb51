"""Builds the parts of one run from its settings, for the plugin and the command line alike.

The only place that picks concrete classes. Parts are built when they are first asked for: a run that never needs a
cluster starts no engine, and `seatrial supply list` asks nobody.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from harness.access.endpoint import Endpoint
from harness.access.port_forward import port_forward_port
from harness.cleanup import CleanupStack
from harness.cluster.existing import ExistingProvider
from harness.cluster.kind import KindProvider
from harness.cluster.kind_config import minor_version
from harness.cluster.load_balancer import MetalLB
from harness.cluster.provider import ClusterHandle, ClusterProvider, ClusterSpec
from harness.cluster.pytest_kind import SeatrialKindCluster
from harness.cluster.record import RecordStore
from harness.cluster.sweep import sweep as sweep_clusters
from harness.engine.capabilities import missing_capabilities
from harness.engine.cli import disk_usage, managed_engine
from harness.engine.engine import Engine
from harness.engine.find import find_engine, look_for_engine, places
from harness.engine.managed import ManagedEngine
from harness.engine.sweep import sweep
from harness.errors import EngineError, ImageError, OutsideError
from harness.evidence.directory import RunDirectory
from harness.evidence.model import Phase
from harness.evidence.progress import RecordedProgress
from harness.evidence.prune import prune
from harness.evidence.recorder import Recorder
from harness.evidence.session import EvidenceSession, chosen_settings
from harness.evidence.transport import RecordedTransport
from harness.images.build import BuildRequest, ImageBuilder, prune_built
from harness.images.container import ContainerSpec, RunningContainer, running_container
from harness.images.load import load_image
from harness.images.push import PushedImage, image_in_engine, push
from harness.images.reference import ImageRef
from harness.images.turn import turn_with_image
from harness.naming import LABEL_OWNER, Run
from harness.outside.registry import LocalRegistry
from harness.outside.service import OutsideService
from harness.process.runner import SubprocessRunner
from harness.progress import LiveProgress, Progress
from harness.scoring.readiness import wait_until_answers
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.traffic import TrafficProbe, traffic
from harness.scoring.transport import RequestsTransport
from harness.settings.model import Settings
from harness.supply.artifact import Chart
from harness.supply.assembly import make_supply
from harness.supply.builders.image import DockerfileBuilder
from harness.supply.builders.node import NodeBuilder
from harness.supply.builders.rootfs import HOST_CA_BUNDLES, RootfsBuilder
from harness.supply.inventory import Pruned
from harness.supply.resolver import Supply

if TYPE_CHECKING:
    from harness.outside.world import OutsideWorld

T = TypeVar("T")

# What fixtures take from supply, as far as it is known before they are used. What pods of a chart ask for is not: that
# depends on whose chart it will be.
_TAKEN_BY = {
    "helm": ("helm",),
    "golden_renders": ("helm",),
    "registry": ("registry",),
    "seldon_core": ("helm", "seldon-core-operator"),
    "gateway": ("helm", "ambassador", "contour-image", "envoy-image"),
}
# What has kind clusters get a load balancer.
_BALANCED = frozenset({"load_balancer", "gateway"})
_LOAD_BALANCER_IMAGES = ("metallb-controller-image", "metallb-speaker-image")

# A creation that is to end begins one or two more programs at most.
_INTERRUPT_AGAIN_S = 0.2


class Assembly:
    """The parts of one run.

    Args:
        settings: the resolved settings.
        environ: the process's environment, for Docker's own variables and PATH.
        stream: where progress is shown.
        run: the run this is, a fresh one by default.
        fixtures: names of the fixtures that its tests use, for what is known to be needed before they are.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str],
        stream: TextIO,
        run: Run | None = None,
        fixtures: Collection[str] = (),
    ) -> None:
        self._fixtures = fixtures
        self.settings = settings
        self.run = run or Run.begin()
        self.recorder = Recorder(self.run)
        self.runner = SubprocessRunner(self.recorder.on_outcome)
        self.cleanup = CleanupStack()
        self._environ = environ
        self._progress = LiveProgress(stream)
        # A cluster is made beside other work: whoever asks first builds a part, the others wait for it.
        self._lock = threading.RLock()
        self._parts: dict[str, object] = {}
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="seatrial")
        self._pending: list[Future[ClusterHandle]] = []
        self._registries: list[str] = []
        self._built: list[ImageRef] = []
        self._pushes: list[Future[PushedImage]] = []

    def progress(self, phase: Phase) -> Progress:
        """Return a progress whose steps are recorded under `phase`."""
        return RecordedProgress(self._progress, self.recorder, phase)

    @property
    def helm_home(self) -> Path:
        """Helm's own directories, apart from the user's."""
        return self.settings.supply.cache_dir / "helm"

    @property
    def _clusters_dir(self) -> Path:
        return self.settings.supply.cache_dir / "clusters"

    def lock_dir(self, handle: ClusterHandle) -> Path:
        """Where those who use a cluster lock its fixed names: a cluster of ours takes its locks with it."""
        own = self._clusters_dir / handle.name
        return (own if handle.provider == "kind" else self.settings.supply.cache_dir) / "locks"

    # -- parts

    @property
    def supply(self) -> Supply:
        """Where programs and images come from."""
        return self._once("supply", self._make_supply)

    @property
    def managed_engine(self) -> ManagedEngine:
        """The engine Seatrial would start, running or not."""
        return self._once(
            "managed engine",
            lambda: managed_engine(self.settings, self.runner, self.supply, self.progress("engine"), self._environ),
        )

    @property
    def engine(self) -> Engine:
        """The Docker engine of this run: found, or started now. What killed runs left in it is removed first."""
        return self._once("engine", self._find_engine)

    @property
    def provider(self) -> ClusterProvider:
        """Where clusters come from."""
        return self._once("provider", self._make_provider)

    @property
    def load_balancer(self) -> MetalLB:
        """What gives LoadBalancer Services of kind clusters an address."""
        return self._once("load balancer", self._make_load_balancer)

    @property
    def registry(self) -> LocalRegistry:
        """An image registry on this host that belongs to no cluster."""
        return self._once("registry", self._start_registry)

    @property
    def evidence(self) -> EvidenceSession:
        """What records the run and collects what its failures need."""
        return self._once("evidence", self._begin_evidence)

    @property
    def transport(self) -> RecordedTransport:
        """What sends scoring requests."""
        return self._once("transport", self._make_transport)

    # -- clusters

    @property
    def clusters(self) -> RecordStore:
        """What is known of the clusters that Seatrial made."""
        return RecordStore(self._clusters_dir)

    def cluster(self, spec: ClusterSpec, suffix: str = "") -> ClusterHandle:
        """Return a usable cluster of this declaration.

        Args:
            spec: the declaration.
            suffix: tells several clusters of one run apart, e.g. ``"-b"``.
        """
        provider = self.provider
        name = provider.name_for(spec, suffix) if isinstance(provider, KindProvider) else spec.kubernetes
        with self.recorder.step(f"get cluster '{name}'", phase="cluster"):
            handle = provider.create(name, spec)
        self.recorder.version(f"kubernetes of {handle.name}", handle.kubernetes)
        self.evidence.scene.known.append(handle)
        return handle

    def begin_cluster(self, spec: ClusterSpec, suffix: str = "") -> Future[ClusterHandle]:
        """Start getting a cluster while the caller does something else."""
        future = self._pool.submit(self.cluster, spec, suffix)
        self._pending.append(future)
        return future

    def leave_cluster(self, handle: ClusterHandle) -> None:
        """Give a cluster up before the run ends: it is removed unless it is kept or other runs use it."""
        if isinstance(self.provider, KindProvider):
            with self.recorder.step(f"leave cluster '{handle.name}'", phase="cleanup"):
                self.provider.release(handle.name)
        known = self.evidence.scene.known
        known[:] = [one for one in known if one != handle]

    def kind_cluster(self, handle: ClusterHandle, spec: ClusterSpec) -> SeatrialKindCluster:
        """Return `handle` as the class that suites written for pytest-kind know."""
        return SeatrialKindCluster(
            handle.name,
            provider=self.provider,
            spec=spec,
            kind_path=self.supply.program("kind").path,
            kubectl_path=handle.kubectl,
            load_image=self.load_by_name,
            forward=port_forward_port,
            image=self.settings.cluster.node_image,
            handle=handle,
        )

    # -- images

    def build_image(self, directory: Path, *, name: str, **options: Any) -> ImageRef:
        """Return an image built from a directory, built now or by an earlier run; see :class:`ImageBuilder`.

        Args:
            directory: the build context.
            name: the human name, e.g. ``example/test-ml-score-api:latest``.
            options: further fields of :class:`~harness.images.build.BuildRequest`.
        """
        builder = ImageBuilder(
            self.engine,
            run=self.run,
            log_dir=self.settings.supply.cache_dir / "logs",
            timeout_s=self.settings.images.build_timeout_s,
            pull=self.supply.pull,
        )
        with self.progress("images").step(f"build image '{name}'"), self._turn_with_image(name):
            image = builder.build(BuildRequest(directory, name, **options))
        with self._lock:
            self._built.append(image)
            self._push_ahead([image], self._registries)
        return image

    def load_image(self, handle: ClusterHandle, image: ImageRef, nodes: Sequence[str] = ()) -> ImageRef:
        """Make `image` usable in a cluster and return the name its pods use.

        Args:
            handle: the cluster.
            image: an image of the engine.
            nodes: the nodes that need it, all by default (kind only).

        Raises:
            ImageError: the cluster is not ours and no registry it pulls from is named.
        """
        with self.progress("images").step(f"load image '{image.name}' into cluster '{handle.name}'"):
            # A push that failed is made again here, and then says why.
            wait(self._pushes)
            return self._load_alone(handle, image, nodes)

    def _load_alone(self, handle: ClusterHandle, image: ImageRef, nodes: Sequence[str]) -> ImageRef:
        with self._turn_with_image(image.name):
            if handle.provider == "kind":
                load_image(self.engine, image, nodes or handle.nodes, registry=handle.registry)
                return image
            registry = self.settings.images.registry
            if registry is None:
                raise ImageError(
                    f"make image '{image.name}' usable in cluster '{handle.name}'",
                    seen="the cluster is not Seatrial's, and no registry that it pulls from is named",
                    hint="name one with --image-registry HOST[:PORT][/PREFIX]",
                )
            pushed = push(self.engine, image, registry)
            return ImageRef(pushed.reference, image.image_id, image.content_tag)

    def load_by_name(self, handle: ClusterHandle, name: str) -> None:
        """Make an image that the engine knows as `name` present on every node."""
        self.load_image(handle, image_in_engine(self.engine, name))

    def load_chart_images(self, handle: ClusterHandle, chart: Chart) -> None:
        """Make the images that a chart's pods ask for present in a cluster; those of a published chart it pulls."""
        for reference, artifact in chart.images.items():
            built = image_in_engine(self.engine, self.supply.image(artifact).reference)
            self.load_image(handle, replace(built, name=reference))

    @contextmanager
    def running_container(self, spec: ContainerSpec) -> Iterator[RunningContainer]:
        """Run a container beside the tests while the block runs; see :func:`harness.images.container`."""
        with running_container(self.engine, spec, labels=self.run.labels()) as container:
            yield container

    # -- what is outside a cluster

    def outside_world(
        self, handle: ClusterHandle, services: Sequence[OutsideService], *, image: str | None = None
    ) -> OutsideWorld:
        """Serve `services` under their public names to a kind cluster's pods, and to containers on its network.

        It is there until the run ends; clusters of others, which have the Internet, need none.

        Args:
            handle: a cluster of ours.
            services: what to serve.
            image: the image to serve them from, the one of supply by default; see
                :func:`harness.outside.package_index.write_wheelhouse_context` for one with packages in it.

        Raises:
            OutsideError: the cluster is not ours, or the world does not answer.
        """
        # Not above: what these import is heavy, and few runs need it.
        from harness.outside.ca import PrivateCA  # noqa: PLC0415
        from harness.outside.world import OutsideWorld  # noqa: PLC0415

        name = f"{handle.name}-outside"
        if handle.provider != "kind":
            raise OutsideError(
                f"start outside world '{name}'",
                seen=f"cluster '{handle.name}' is not Seatrial's: its pods ask the Internet",
                hint="let the deployment use the real services there",
            )
        public = next((path for path in HOST_CA_BUNDLES if path.is_file()), None)
        with self.progress("deploy").step(f"start outside world '{name}'"):
            world = OutsideWorld.start(
                self.engine,
                image=image or self.supply.image("outside").reference,
                name=name,
                network=handle.name,
                services=services,
                ca=PrivateCA(public),
                labels=self.run.labels(),
            )
        self.cleanup.push(f"outside world '{name}'", world.remove)
        for stand_in in world.stand_ins():
            self.recorder.note(f"stand-in at {', '.join(stand_in.names)}: {stand_in.stands_for}")
        return world

    # -- scoring

    def score(
        self,
        endpoint: Endpoint,
        payload: Any = None,
        *,
        path: str = "",
        ready_timeout_s: float | None = None,
        **options: Any,
    ) -> ScoreResponse:
        """Send a scoring request once the service answers at all; a wrong answer is returned, never retried.

        Args:
            endpoint: where the service answers.
            payload: what is sent as JSON, e.g. ``{"X": [1, 2]}``.
            path: path below the endpoint, e.g. ``/score``.
            ready_timeout_s: seconds until something must have answered; the setting by default.
            options: further fields of :class:`~harness.scoring.request.ScoreRequest`.

        Raises:
            EndpointNotReadyError: nothing answered in time.
        """
        limits = self.settings.scoring
        request = ScoreRequest(
            endpoint, path=path, payload=payload, **{"timeout_s": limits.request_timeout_s, **options}
        )
        with self.recorder.step(f"{request.method} {request.url}", phase="scoring"):
            timeout_s = limits.ready_timeout_s if ready_timeout_s is None else ready_timeout_s
            return wait_until_answers(self.transport, request, timeout_s=timeout_s)

    @contextmanager
    def traffic(self, request: ScoreRequest, **options: Any) -> Iterator[TrafficProbe]:
        """Send `request` at a steady rate while the block runs; what it showed lands in the evidence, with a picture.

        Args:
            request: what is asked each time.
            options: what :func:`harness.scoring.traffic.traffic` takes besides.
        """
        self.recorder.keep_secret(*request.secrets, *request.endpoint.secrets)
        # Made first: a run that cannot write its evidence says so before the block rather than after it.
        evidence = self.evidence
        with ExitStack() as stack, traffic(request, **options) as probe:
            stack.callback(lambda: evidence.traffic(probe.verdict) if probe.has_ended else None)
            yield probe

    # -- what stays between runs

    def prune(self, *, stale_only: bool) -> Pruned:
        """Remove what runs leave for the next: programs, images and the rest of the cache.

        The data of Seatrial's own engine go too when that engine is down; kept clusters of another engine stay.

        Args:
            stale_only: keep what today's pins and recipes ask for, the latest builds of images, and all else.
        """
        built: tuple[str, ...] = ()
        with suppress(EngineError):  # supply says that none answers
            built = prune_built(self.engine) if stale_only else prune_built(self.engine, keep=0)
        pruned = self.supply.prune(stale_only=stale_only)
        pruned = replace(pruned, removed=[*built, *pruned.removed])
        if stale_only:
            return pruned
        pruned = self._prune_own_engine(pruned)
        self._prune_records()
        shutil.rmtree(self.helm_home, ignore_errors=True)
        with suppress(OSError):  # what is left in it was told
            self.settings.supply.cache_dir.rmdir()
        return pruned

    def _prune_own_engine(self, pruned: Pruned) -> Pruned:
        own = self.managed_engine
        data_root = own.data_root()
        if own.pid() is not None:
            self.progress("supply").say(
                f"Seatrial's own engine is running and keeps '{data_root}'; after `seatrial engine down` that goes too"
            )
            return pruned
        try:
            size_bytes = disk_usage(data_root) if data_root.exists() else 0
            if not own.delete_data():
                return pruned
        except EngineError as error:
            return replace(pruned, kept=[*pruned.kept, (str(data_root), error.seen)])
        records = self.clusters
        for name in records.names():
            record = records.load(name)
            if record is not None and record.docker_host == own.docker_host:
                records.remove(name)
        freed_bytes = pruned.freed_bytes + size_bytes
        return replace(pruned, removed=[*pruned.removed, str(data_root)], freed_bytes=freed_bytes)

    def _prune_records(self) -> None:
        records = self.clusters
        with suppress(EngineError):
            engine = self.engine
            with closing(engine.client()) as client:
                sweep_clusters(client, records, docker_host=engine.docker_host)
        if not records.names():
            shutil.rmtree(self._clusters_dir, ignore_errors=True)

    # -- the end

    def close(self) -> None:
        """Remove everything the run made.

        Raises:
            CleanupError: some of it could not be removed.
        """
        self._interrupt_creation()
        self._pool.shutdown(wait=True, cancel_futures=True)
        try:
            with self.recorder.step("remove what the run made", phase="cleanup"):
                self.cleanup.close()
        finally:
            if "evidence" in self._parts:
                for item in self.supply.used():
                    self.recorder.artifact(item.provenance)
                self.evidence.write()

    def _remove_own(self, engine: Engine) -> None:
        """Remove what bears this run's labels in the engine and was not removed, its test being interrupted at that."""
        me = self.run.labels()[LABEL_OWNER]
        with closing(engine.client()) as client:
            sweep(client, is_alive=lambda owner: owner != me)

    def _interrupt_creation(self) -> None:
        """Have clusters that nobody waits for any more roll themselves back."""
        waiting = any(not future.done() for future in self._pending)
        if waiting and isinstance(provider := self._parts.get("provider"), KindProvider):
            provider.interrupt()
        while waiting:
            # Again and again: a program that was not there the first time may have been started meanwhile.
            self.runner.interrupt()
            waiting = bool(wait(self._pending, timeout=_INTERRUPT_AGAIN_S).not_done)

    # -- making parts

    def _once(self, name: str, make: Callable[[], T]) -> T:
        with self._lock:
            if name not in self._parts:
                self._parts[name] = make()
            part: T = self._parts[name]  # type: ignore[assignment] # what was put in under this name
            return part

    def _make_supply(self) -> Supply:
        progress = self.progress("supply")
        install = self.settings.engine.install
        return make_supply(
            self.settings.supply,
            runner=self.runner,
            engine=lambda: self.engine,
            image_builders={
                "rootfs": RootfsBuilder(self.runner, lambda: self.engine, progress, install=install),
                "image": DockerfileBuilder(lambda: self.engine),
                "node": NodeBuilder(self.runner, lambda: self.engine, self.run),
            },
            progress=progress,
        )

    def _find_engine(self) -> Engine:
        engine = find_engine(self.settings.engine, self._environ, self.managed_engine)
        self.recorder.version("docker engine", engine.version + (" (Seatrial's own)" if engine.managed else ""))
        # The first to be registered is the last to run.
        self.cleanup.push("what Ctrl-C kept tests from removing", partial(self._remove_own, engine))
        with closing(engine.client()) as client:
            swept = sweep(client)
        for what, why in swept.failed:
            self.recorder.note(f"could not remove {what}, left behind by a run that has ended: {why}")
        return engine

    def _make_provider(self) -> ClusterProvider:
        self._require_what_is_needed()
        self._kubectl(self.settings.cluster.kubernetes)  # now rather than when the cluster is up
        if self.settings.cluster.provider == "existing":
            return ExistingProvider(
                kubectl=self._kubectl,
                cleanup=self.cleanup,
                run=self.run,
                settings=self.settings.cluster,
                state_dir=self._clusters_dir,
            )
        provider = KindProvider(
            engine=self.engine,
            runner=self.runner,
            kind_path=self.supply.program("kind").path,
            kubectl=self._kubectl,
            node_image=self._node_image,
            pull=self.supply.pull,
            registry=self._start_cluster_registry,
            cleanup=self.cleanup,
            run=self.run,
            settings=self.settings.cluster,
            state_dir=self._clusters_dir,
            progress=self.progress("cluster"),
        )
        provider.sweep()
        return provider

    def _require_what_is_needed(self) -> None:
        """Tell all that is missing at once, rather than one thing per run, where nothing may be fetched or built."""
        limits, cluster = self.settings.supply, self.settings.cluster
        if limits.download and limits.build and not limits.offline:
            return
        needed = [self._kubectl_name(version) for version in cluster.kubernetes_versions]
        needed += [name for fixture in self._fixtures for name in _TAKEN_BY.get(fixture, ())]
        if cluster.provider == "kind":
            needed += ["kind", *self._engine_programs(), "registry"]
            needed += [] if cluster.node_image else [f"node-{version}" for version in cluster.kubernetes_versions]
            needed += _LOAD_BALANCER_IMAGES if _BALANCED & set(self._fixtures) else []
        self.supply.require(dict.fromkeys(needed))

    def _engine_programs(self) -> list[str]:
        """Return the programs of supply's that an engine of ours takes, where one would be started now."""
        settings = self.settings.engine
        found, _ = look_for_engine(settings, self._environ, self.managed_engine)
        named = any(place.binding for place in places(settings, self._environ))
        ours = found is None and settings.managed and not named
        return ["oci-runtime"] if ours and missing_capabilities() else []

    def _kubectl(self, kubernetes: str) -> Path:
        return self.supply.program(self._kubectl_name(kubernetes)).path

    def _kubectl_name(self, kubernetes: str) -> str:
        """Return which kubectl speaks to this version: there is one of its own where the usual one is out of skew.

        A kubectl that the user gave is used with every version. Of a server that has not answered yet the version is
        not known: it is taken to be the one that was asked for.
        """
        if "kubectl" in self.settings.supply.given:
            return "kubectl"
        own = "kubectl-{}.{}".format(*minor_version(kubernetes or self.settings.cluster.kubernetes))
        return own if own in self.supply.names() else "kubectl"

    def _node_image(self, kubernetes: str) -> str:
        return self.settings.cluster.node_image or self.supply.image(f"node-{kubernetes}").reference

    def _make_load_balancer(self) -> MetalLB:
        supplied: dict[str, str] = {}

        def name_of(program: str) -> str:
            # The name under which Seatrial's node image has it already; other node images are sent it under this name.
            image = self.supply.image(f"{program}-image")
            name = f"seatrial/{program}:{image.provenance.version}"
            supplied[name] = image.reference
            return name

        def load(handle: ClusterHandle, name: str) -> None:
            self.load_image(handle, replace(image_in_engine(self.engine, supplied[name]), name=name))

        return MetalLB(
            engine=self.engine,
            runner=self.runner,
            controller_image=partial(name_of, "metallb-controller"),
            speaker_image=partial(name_of, "metallb-speaker"),
            load_image=load,
            progress=self.progress("cluster"),
        )

    def _start_cluster_registry(self, *, name: str, network: str, labels: Mapping[str, str]) -> LocalRegistry:
        image = self.supply.image("registry").reference
        registry = LocalRegistry.start(self.engine, image=image, name=name, network=network, labels=labels)
        with self._lock:
            self._registries.append(registry.host_address)
            self._push_ahead(self._built, [registry.host_address])
        return registry

    def _push_ahead(self, images: Sequence[ImageRef], registries: Sequence[str]) -> None:
        """Have layers travel while nodes boot: a cluster that is being made has its registry long before those."""
        engine = self.engine
        self._pushes += [
            self._pool.submit(self._push_alone, engine, image, registry) for image in images for registry in registries
        ]

    def _push_alone(self, engine: Engine, image: ImageRef, registry: str) -> PushedImage:
        with self._turn_with_image(image.name):
            return push(engine, image, registry)

    def _turn_with_image(self, name: str) -> AbstractContextManager[None]:
        locks = self.settings.supply.cache_dir / "locks"
        return turn_with_image(name, locks, timeout_s=self.settings.images.build_timeout_s)

    def _start_registry(self) -> LocalRegistry:
        name = f"seatrial-registry-{self.run.own_id}"  # a cluster's is called after the cluster
        image = self.supply.image("registry").reference
        with self.progress("images").step(f"start registry '{name}'"):
            registry = LocalRegistry.start(self.engine, image=image, name=name, labels=self.run.labels())
        self.cleanup.push(f"registry '{name}'", registry.remove)
        return registry

    def _begin_evidence(self) -> EvidenceSession:
        settings = self.settings.evidence
        self.recorder.settings(chosen_settings(self.settings))
        directory = RunDirectory.of_run(settings.directory, self.run).create()
        if not self.run.worker:
            prune(settings.directory, keep=settings.kept_runs)
        return EvidenceSession(
            self.recorder,
            directory,
            runner=SubprocessRunner(),
            diagnose=lambda handle: self.provider.diagnose(handle),
            collect_logs=lambda handle, directory: self.provider.collect_logs(handle, directory),
            log_tail_lines=settings.log_tail_lines,
        )

    def _make_transport(self) -> RecordedTransport:
        transport = RequestsTransport()
        self.cleanup.push("close the connections of scoring requests", transport.close)
        return RecordedTransport(transport, self.recorder)
