"""Clusters made by kind for real: usable, kept, shared, refused, interrupted and swept."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import requests
from kubernetes import client as kube

from harness.cleanup import CleanupStack
from harness.cluster import kubeconfig
from harness.cluster.containers import node_containers
from harness.cluster.existing import ExistingProvider
from harness.cluster.kind import KindProvider
from harness.cluster.namespace import NamespaceFactory
from harness.cluster.provider import ClusterHandle, ClusterSpec, NodeSpec, PortMapping
from harness.commands import kubectl
from harness.engine.engine import Engine
from harness.errors import ClusterError, ClusterNotReadyError
from harness.naming import LABEL_ARTIFACT, LABEL_CLUSTER, Run
from harness.process.command import Command
from harness.process.runner import SubprocessRunner
from harness.progress import SilentProgress
from harness.settings.model import ClusterSettings
from harness.wait import wait_until
from tests.integration.volumes import NotedVolumes, noted_volumes

if TYPE_CHECKING:
    from docker import DockerClient

    from harness.assembly import Assembly

SPEC = ClusterSpec("1.34")
# A kept cluster is named after its declaration: another run of these tests has to have another.
_LABELS = {"tier": "scoring", "only": uuid4().hex[:8]}
_WORKER = NodeSpec("worker", port_mappings=(PortMapping(30080),), labels=_LABELS)
TWO_NODES = ClusterSpec("1.34", (NodeSpec(), _WORKER))
# Preloaded in the node image, with busybox in it: nothing has to be fetched.
WEB_IMAGE = "seatrial/local-path-provisioner:v0.0.30"
WEB = f"""
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: web
      image: {WEB_IMAGE}
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "mkdir -p /tmp/w && echo ahoy > /tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w"]
      readinessProbe: {{httpGet: {{path: /index.html, port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{type: LoadBalancer, selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}
"""

# Of kind's own ranges, 10.244.0.0/16 for pods, the first /24 of it the first node's, and 10.96.0.0/16 for Services.
UNUSED = {
    "a pod of this node": "10.244.0.250",
    "a pod of no node": "10.244.77.7",
    "a Service": "10.96.200.200",
}


def _must_be_there(reference: str) -> None:
    """Stand for the pull of a node image: supply has got it before."""
    raise AssertionError(f"the engine lacks {reference}")


# What programs say of a packet that was refused; one that got lost "timed out", or got an answer of somebody's.
REFUSED = re.compile("No route to host|Host is unreachable|Network (is )?unreachable|Connection refused")


def ask_from_node(client: DockerClient, node: str, address: str, *, inside: str = "") -> str:
    """Return what a node says when it is to connect to port 80 of an address within five seconds.

    Args:
        client: of the engine.
        node: the node's container.
        address: an IPv4 address.
        inside: a program of a pod on that node, in whose network it is done; the node's own by default.
    """
    where = f'nsenter --net --target "$(pgrep -o -x {inside})"' if inside else ""
    argv = ["bash", "-c", f"{where} timeout 5 bash -c '</dev/tcp/{address}/80' || echo exit code $?"]
    return str(client.containers.get(node).exec_run(argv).output)


@dataclass(frozen=True)
class Workshop:
    """What providers are made of, without the plugin's own cluster."""

    engine: Engine
    kind: Path
    kubectl: Path
    node_image: str

    def provider(
        self, state_dir: Path, *, run: Run | None = None, cleanup: CleanupStack | None = None, **changes: Any
    ) -> KindProvider:
        """Return a provider with a state directory, and by default a run and a cleanup stack, of its own."""
        settings = ClusterSettings("kind", None, False, None, None, False, ("1.34",), None, 300.0, 60.0)
        return KindProvider(
            engine=self.engine,
            runner=SubprocessRunner(),
            kind_path=self.kind,
            kubectl=lambda _: self.kubectl,
            node_image=lambda _: self.node_image,
            pull=_must_be_there,
            registry=None,
            cleanup=cleanup or CleanupStack(),
            run=run or Run.begin(),
            settings=replace(settings, **changes),
            state_dir=state_dir,
            progress=SilentProgress(),
        )


@pytest.fixture(scope="module")
def workshop(seatrial: Assembly) -> Workshop:
    """The engine, programs and node image of this run."""
    return Workshop(
        seatrial.engine,
        seatrial.supply.program("kind").path,
        seatrial.supply.program("kubectl").path,
        seatrial.supply.image("node-1.34").reference,
    )


@pytest.fixture(scope="module")
def docker_client(workshop: Workshop) -> Iterator[DockerClient]:
    """A client of the engine."""
    with closing(workshop.engine.client()) as client:
        yield client


@pytest.fixture(scope="module")
def volumes(workshop: Workshop) -> Iterator[NotedVolumes]:
    """Which container of the engine has, or had, which volume."""
    with noted_volumes(workshop.engine) as volumes:
        yield volumes


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this module's clusters are recorded."""
    return tmp_path_factory.mktemp("clusters")


@pytest.fixture(scope="module")
def cleanup() -> Iterator[CleanupStack]:
    """Removes this module's cluster at its end."""
    with CleanupStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def provider(workshop: Workshop, state_dir: Path, cleanup: CleanupStack) -> KindProvider:
    """The provider of this module's cluster."""
    return workshop.provider(state_dir, cleanup=cleanup)


@pytest.fixture(scope="module")
def handle(provider: KindProvider) -> ClusterHandle:
    """One cluster that the tests share."""
    return provider.create(provider.name_for(SPEC), SPEC)


@pytest.fixture
def run_kubectl(handle: ClusterHandle) -> Callable[..., str]:
    """Run kubectl against the shared cluster and return its output."""

    def run(*args: str, stdin: str | None = None) -> str:
        return SubprocessRunner().run(handle.kubectl_command(*args, stdin=stdin)).check().stdout

    return run


@pytest.fixture
def left_behind(docker_client: DockerClient, volumes: NotedVolumes) -> Callable[[str], list[str]]:
    """Name everything in the engine that belongs to a cluster, the volumes that its containers had included."""

    def named(name: str) -> list[str]:
        only = {"label": f"{LABEL_CLUSTER}={name}"}
        mine = [item["Names"][0] for item in docker_client.api.containers(all=True, filters=only)]
        networks = [item["Name"] for item in docker_client.api.networks(filters=only)]
        nodes = [node.name for node in node_containers(docker_client, name)]
        return [*nodes, *mine, *networks, *volumes.left(docker_client, lambda one: one.startswith(f"{name}-"))]

    return named


def test_a_cluster_is_usable_when_it_is_returned(handle: ClusterHandle) -> None:
    """Nodes are Ready, the version is known, and the kubeconfig is private."""
    assert handle.nodes == (f"{handle.name}-control-plane",)
    assert handle.kubernetes.startswith("v1.34.")
    assert not handle.reused
    assert stat.S_IMODE(handle.kubeconfig.stat().st_mode) == 0o600
    with closing(handle.api_client()) as api:
        assert kube.CoreV1Api(api).list_namespaced_pod("kube-system").items


def test_the_same_run_gets_the_same_cluster(provider: KindProvider, handle: ClusterHandle) -> None:
    """Asking again finds it, healthy and of the same recipe; it is still this run's own."""
    assert provider.create(handle.name, SPEC) == handle


def test_another_recipe_is_refused_while_the_cluster_is_in_use(
    workshop: Workshop, state_dir: Path, handle: ClusterHandle
) -> None:
    """Replacing it would take it from under the run that uses it."""
    other = replace(Run.begin(), owner_pid=os.getppid(), owner_started=_ticks(os.getppid()))
    with pytest.raises(ClusterError, match=rf"in use by process {os.getpid()}"):
        workshop.provider(state_dir, run=other).create(handle.name, ClusterSpec.of_size("1.34", workers=1))


def test_a_second_run_shares_it_and_leaves_it(workshop: Workshop, state_dir: Path, handle: ClusterHandle) -> None:
    """Who leaves while others stay removes nothing."""
    other = replace(Run.begin(), owner_pid=os.getppid(), owner_started=_ticks(os.getppid()))
    second = workshop.provider(state_dir, run=other)
    assert second.create(handle.name, SPEC).reused
    second.release(handle.name)
    with closing(handle.api_client()) as api:
        assert kube.CoreV1Api(api).list_node().items


def test_a_cluster_of_another_cache_is_refused(workshop: Workshop, tmp_path: Path, handle: ClusterHandle) -> None:
    """Its record is somewhere else: it is not ours to use or remove, and a sweep from here leaves it alone."""
    stranger = workshop.provider(tmp_path)
    with pytest.raises(ClusterError, match="belongs to another cache"):
        stranger.create(handle.name, SPEC)
    assert handle.name not in stranger.sweep()


def test_a_service_gets_an_address_that_the_host_reaches(
    seatrial: Assembly, handle: ClusterHandle, run_kubectl: Callable[..., str]
) -> None:
    """MetalLB hands out an address of the cluster's own network; installing it again changes nothing."""
    seatrial.load_balancer.ensure(handle)
    seatrial.load_balancer.ensure(handle)
    run_kubectl(*kubectl.apply(), stdin=WEB)
    run_kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    address = "{.status.loadBalancer.ingress[0].ip}"
    run_kubectl("wait", f"--for=jsonpath={address}", "service/web", "--timeout=60s")
    ip = run_kubectl("get", "service", "web", f"--output=jsonpath={address}")

    def ask() -> str:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"http://{ip}/", timeout=2).text
        return ""

    assert wait_until(f"get an answer from {ip}", ask, timeout_s=60).strip() == "ahoy"


@pytest.mark.parametrize("asker", ["a node", "a pod"])
@pytest.mark.parametrize("address", UNUSED.values(), ids=UNUSED.keys())
def test_no_packet_for_an_unknown_pod_or_service_leaves_the_node(
    asker: str, address: str, handle: ClusterHandle, run_kubectl: Callable[..., str], docker_client: DockerClient
) -> None:
    """It is refused at once, by the node: outside, a stranger might answer, or nobody ever."""
    if asker == "a pod":
        run_kubectl(*kubectl.apply(), stdin=WEB)
        run_kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    inside = "httpd" if asker == "a pod" else ""
    said = ask_from_node(docker_client, handle.nodes[0], address, inside=inside)
    assert REFUSED.search(said), said


@pytest.fixture
def unfenced_image(workshop: Workshop, docker_client: DockerClient) -> Iterator[str]:
    """A node image that lets packets for unknown pods and Services out, as kind's own does."""
    if not docker_client.images.get(workshop.node_image).labels.get(LABEL_ARTIFACT):
        pytest.skip("the node image is such a one, and the test before has shown it")
    tag = f"seatrial-test/unfenced:{uuid4().hex[:8]}"
    script = f"""
        FROM {workshop.node_image}
        RUN sed -i 's/ip route replace .* dev .*/:/; s/rule filter .*/:/' /usr/local/bin/pod-network
        LABEL {LABEL_ARTIFACT}=
    """
    docker_client.images.build(fileobj=io.BytesIO(textwrap.dedent(script).encode()), tag=tag, rm=True, forcerm=True)
    yield tag
    docker_client.images.remove(tag, force=True)


def test_nodes_of_others_images_keep_those_packets_too(
    workshop: Workshop, unfenced_image: str, docker_client: DockerClient, tmp_path: Path
) -> None:
    """They are told when the cluster is made."""
    with CleanupStack() as stack:
        provider = replace(workshop, node_image=unfenced_image).provider(tmp_path, cleanup=stack)
        made = provider.create(provider.name_for(SPEC), SPEC)
        said = {what: ask_from_node(docker_client, made.nodes[0], address) for what, address in UNUSED.items()}
    assert [what for what, text in said.items() if not REFUSED.search(text)] == [], said


def test_namespaces_are_fresh_and_go(handle: ClusterHandle, tmp_path: Path) -> None:
    """Two of one test differ, bear the run's id, and are gone once deletion returns."""
    run = Run.begin()
    with CleanupStack() as stack:
        factory = NamespaceFactory(handle, run=run, cleanup=stack, lock_dir=tmp_path)
        names = {factory.create("test_Score[api]"), factory.create("test_Score[api]")}
        assert len(names) == 2
        assert all(name.startswith("test-score-api") and run.run_id in name for name in names)
    with closing(handle.api_client()) as api:
        listed: Any = kube.CoreV1Api(api).list_namespace()
        there = {item.metadata.name for item in listed.items}
    assert not names & there


def test_a_fixed_namespace_is_made_anew_each_time(handle: ClusterHandle, tmp_path: Path) -> None:
    """The second taker finds nothing of the first."""
    with CleanupStack() as stack:
        factory = NamespaceFactory(handle, run=Run.begin(), cleanup=stack, lock_dir=tmp_path)
        with closing(handle.api_client()) as api:
            core = kube.CoreV1Api(api)
            with factory.fixed("test-ml-app") as name:
                body = kube.V1ConfigMap(metadata=kube.V1ObjectMeta(name="leftover"))
                core.create_namespaced_config_map(name, body)
            with factory.fixed("test-ml-app") as name:
                listed: Any = core.list_namespaced_config_map(name)
                found = {item.metadata.name for item in listed.items}
        assert "leftover" not in found


def test_a_fixed_namespace_of_somebody_else_is_refused(handle: ClusterHandle, tmp_path: Path) -> None:
    """What Seatrial did not make it does not remove, be the cluster its own: a kept one is used by people too."""
    factory = NamespaceFactory(handle, run=Run.begin(), cleanup=CleanupStack(), lock_dir=tmp_path)
    with pytest.raises(ClusterError, match="did not make it"), factory.fixed("kube-public"):
        pass


def test_a_namespace_that_a_deployment_made_is_known_again(handle: ClusterHandle, tmp_path: Path) -> None:
    """It bears no label, but a run that was killed has left word that it took the name."""
    locks, as_left = tmp_path / "locks", tmp_path / "as-left"
    with CleanupStack() as stack:
        factory = NamespaceFactory(handle, run=Run.begin(), cleanup=stack, lock_dir=locks)
        with closing(handle.api_client()) as api, factory.turn("made-by-a-chart") as name:
            kube.CoreV1Api(api).create_namespace(kube.V1Namespace(metadata=kube.V1ObjectMeta(name=name)))
            shutil.copytree(locks, as_left)
            stranger = NamespaceFactory(handle, run=Run.begin(), cleanup=stack, lock_dir=tmp_path / "elsewhere")
            with pytest.raises(ClusterError, match="did not make it"), stranger.turn(name):
                pass
            after_kill = NamespaceFactory(handle, run=Run.begin(), cleanup=stack, lock_dir=as_left)
            with after_kill.fixed(name):
                pass


def test_it_is_an_existing_cluster_to_others(workshop: Workshop, handle: ClusterHandle, tmp_path: Path) -> None:
    """The other provider reaches it by kubeconfig and context, and removing its handle leaves the cluster."""
    settings = ClusterSettings(
        "existing", None, False, handle.kubeconfig, handle.context, False, ("1.34",), None, 60.0, 60.0
    )
    with CleanupStack() as stack:
        existing = ExistingProvider(
            kubectl=lambda _: workshop.kubectl, cleanup=stack, run=Run.begin(), settings=settings, state_dir=tmp_path
        )
        there = existing.create("", SPEC)
        assert (there.provider, there.nodes, there.kubernetes) == ("existing", handle.nodes, handle.kubernetes)
        assert there.kubeconfig != handle.kubeconfig
        assert existing.diagnose(there) == ""
        existing.delete(there)
    assert list(tmp_path.iterdir()) == []
    assert handle.kubeconfig.exists()


def test_a_foreign_name_is_refused(workshop: Workshop, docker_client: DockerClient, tmp_path: Path) -> None:
    """A cluster that kind made for somebody else is neither used nor removed."""
    labels = {"io.x-k8s.kind.cluster": "foreign", "io.x-k8s.kind.role": "control-plane"}
    container = docker_client.containers.create(workshop.node_image, name="foreign-control-plane", labels=labels)
    try:
        with pytest.raises(ClusterError, match="Seatrial did not make it"):
            workshop.provider(tmp_path).create("foreign", SPEC)
        container.reload()
    finally:
        container.remove(force=True, v=True)


def test_a_port_in_use_fails_fast_and_leaves_nothing(
    workshop: Workshop, left_behind: Callable[[str], list[str]], tmp_path: Path
) -> None:
    """The reason is the port, the node logs are kept, and all else is gone."""
    provider = workshop.provider(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = (PortMapping(30080, taken.getsockname()[1]),)
        spec = ClusterSpec("1.34", (NodeSpec(port_mappings=ports),))
        name = provider.name_for(spec)
        with pytest.raises(ClusterError, match=r"address already in use(?s:.*)another host port") as caught:
            provider.create(name, spec)
    logs = Path(str(caught.value.facts["node_logs"]))
    assert "Creating cluster" in (logs / "kind.log").read_text(encoding="utf-8")
    assert (logs / f"{name}-control-plane.log").is_file()
    assert left_behind(name) == []
    assert not (tmp_path / name).exists()


def test_ctrl_c_leaves_nothing(
    workshop: Workshop, docker_client: DockerClient, left_behind: Callable[[str], list[str]], tmp_path: Path
) -> None:
    """An interrupt while kind is at work removes what there is by then."""
    name, process = _start_creating(workshop, tmp_path, docker_client)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    assert left_behind(name) == []
    assert not (tmp_path / name).exists()


def test_the_next_run_sweeps_what_a_killed_one_left(
    workshop: Workshop, docker_client: DockerClient, left_behind: Callable[[str], list[str]], tmp_path: Path
) -> None:
    """SIGKILL leaves a cluster behind; a sweep with another cache, knowing only the labels, removes it as well."""
    name, process = _start_creating(workshop, tmp_path, docker_client)
    _wait_for_running_node(docker_client, name)
    process.kill()
    process.wait(timeout=10)
    assert any(one.startswith("volume ") for one in left_behind(name))
    # Another worker's run may have begun and swept before.
    workshop.provider(tmp_path / "another-cache").sweep()
    wait_until("see it gone", lambda: left_behind(name), done=lambda left: left == [], timeout_s=60)
    assert not (tmp_path / name).exists()


def test_a_dead_node_is_named_and_the_cluster_replaced(
    workshop: Workshop, provider: KindProvider, handle: ClusterHandle, docker_client: DockerClient
) -> None:
    """A cluster that died mid-run says so, and asking for it again makes it anew."""
    docker_client.containers.get(handle.nodes[0]).kill()
    assert f"node container '{handle.nodes[0]}' is exited" in provider.diagnose(handle)
    made = provider.create(handle.name, SPEC)
    assert not made.reused
    assert provider.diagnose(made) == ""


@dataclass
class Kept:
    """A cluster that a run kept, its kubeconfig written to a file of the user's.

    Args:
        handle: as that run had it.
        state_dir: where it is recorded.
        kubeconfig: the user's file.
        workshop: makes providers.
    """

    handle: ClusterHandle
    state_dir: Path
    kubeconfig: Path
    workshop: Workshop

    def provider(self, run: Run, *, keep: bool = True) -> KindProvider:
        """Return the provider of a run with the same settings."""
        return self.workshop.provider(self.state_dir, run=run, keep=keep, kubeconfig=self.kubeconfig)


@pytest.fixture(scope="module")
def kept(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A cluster of two nodes, left by the run that made it."""
    directory = tmp_path_factory.mktemp("kept")
    state_dir, config, maker = directory / "clusters", directory / "config", Run.begin()
    provider = workshop.provider(state_dir, run=maker, keep=True, kubeconfig=config)
    made = provider.create(provider.name_for(TWO_NODES), TWO_NODES)
    provider.release(made.name)
    yield Kept(made, state_dir, config, workshop)
    provider.delete(made)


def test_nodes_are_what_was_declared(kept: Kept, docker_client: DockerClient) -> None:
    """A worker with a label and a published port."""
    name = kept.handle.name
    with closing(kept.handle.api_client()) as api:
        listed: Any = kube.CoreV1Api(api).list_node()
        nodes = {item.metadata.name: item.metadata.labels for item in listed.items}
    assert nodes[f"{name}-worker"]["tier"] == "scoring"
    assert docker_client.containers.get(f"{name}-worker").ports["30080/tcp"]


def test_the_users_kubeconfig_leads_to_the_cluster(kept: Kept, workshop: Workshop) -> None:
    """The file holds its context alone, is nobody else's to read, and is what kubectl needs."""
    assert kept.handle.kubeconfig == kept.kubeconfig
    assert stat.S_IMODE(kept.kubeconfig.stat().st_mode) == 0o600
    assert kubeconfig.context_names(kubeconfig.read(kept.kubeconfig)) == (f"kind-{kept.handle.name}",)
    argv = (str(workshop.kubectl), "--kubeconfig", str(kept.kubeconfig), "get", "nodes", "--output=name")
    assert SubprocessRunner().run(Command(argv)).check().stdout.split() == [f"node/{one}" for one in kept.handle.nodes]


def test_the_next_run_finds_a_kept_cluster(kept: Kept, docker_client: DockerClient) -> None:
    """The same declaration has the same name; the nodes are the same ones, and stay when that run leaves."""
    before = [node.container_id for node in node_containers(docker_client, kept.handle.name)]
    other = replace(Run.begin(), owner_pid=os.getppid(), owner_started=_ticks(os.getppid()))
    provider = kept.provider(other)
    assert provider.name_for(TWO_NODES) == kept.handle.name
    found = provider.create(kept.handle.name, TWO_NODES)
    assert found == replace(kept.handle, reused=True)
    provider.release(found.name)
    assert [node.container_id for node in node_containers(docker_client, kept.handle.name)] == before


def test_a_run_that_does_not_keep_takes_a_kept_cluster_with_it(
    kept: Kept, left_behind: Callable[[str], list[str]]
) -> None:
    """It is alone in it: everything goes, volumes included."""
    provider = kept.provider(Run.begin(), keep=False)
    assert provider.create(kept.handle.name, TWO_NODES).reused
    assert any(one.startswith("volume ") for one in left_behind(kept.handle.name))
    provider.release(kept.handle.name)
    assert left_behind(kept.handle.name) == []


def test_a_cluster_that_never_becomes_ready_says_why(
    workshop: Workshop, tmp_path: Path, left_behind: Callable[[str], list[str]]
) -> None:
    """Without a pod network no node gets Ready: the error carries the node's own words."""
    provider = workshop.provider(tmp_path, create_timeout_s=75.0)
    spec = ClusterSpec("1.34", extra_config={"networking": {"disableDefaultCNI": True}})
    name = provider.name_for(spec)
    with pytest.raises(ClusterNotReadyError, match=r"is not Ready(?s:.*)the node logs are in"):
        provider.create(name, spec)
    assert left_behind(name) == []


_CREATE = """
import sys
from pathlib import Path
from harness.engine.engine import Engine
from test_cluster_kind import SPEC, Workshop
from harness.cleanup import CleanupStack
host, version, kind, kubectl, image, state = sys.argv[1:]
with CleanupStack() as cleanup:
    provider = Workshop(Engine(host, version, False), Path(kind), Path(kubectl), image).provider(
        Path(state), cleanup=cleanup
    )
    name = provider.name_for(SPEC)
    print(name, flush=True)
    provider.create(name, SPEC)
"""


def _start_creating(workshop: Workshop, state: Path, client: DockerClient) -> tuple[str, subprocess.Popen[str]]:
    """Start another process that creates a cluster; return once there is a node of it."""
    engine = workshop.engine
    argv = [engine.docker_host, engine.version, str(workshop.kind), str(workshop.kubectl), workshop.node_image]
    process = subprocess.Popen(
        [sys.executable, "-c", _CREATE, *argv, str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    with process.stdout or contextlib.nullcontext() as stdout:
        name = str(stdout.readline() if stdout else "").strip()
    wait_until(f"see a node of '{name}'", lambda: node_containers(client, name), timeout_s=60)
    return name, process


def _wait_for_running_node(client: DockerClient, name: str) -> None:
    def states() -> set[str]:
        return {node.state for node in node_containers(client, name)}

    wait_until(f"see a node of '{name}' run", states, done=lambda found: "running" in found, timeout_s=60)


def _ticks(pid: int) -> int:
    from harness.naming import process_start_ticks

    return process_start_ticks(pid) or 0
