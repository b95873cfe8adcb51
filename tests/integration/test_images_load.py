"""Bringing images to the nodes of a real kind cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import docker
import pytest
import requests

from harness.access.endpoint import Endpoint
from harness.cluster.provider import ClusterHandle
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.manifests import ManifestDeployer
from harness.engine.engine import Engine
from harness.errors import ImageError
from harness.images.build import BuildRequest, ImageBuilder
from harness.images.load import load_image
from harness.images.push import push
from harness.images.reference import ImageName, ImageRef
from harness.naming import LABEL_RECIPE, Run
from harness.supply.resolver import Supply

# Serves the file that is its content. One pod at a time, so that there is no doubt which one answers.
ALWAYS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: always}
spec:
  strategy: {type: Recreate}
  selector: {matchLabels: {app: always}}
  template:
    metadata: {labels: {app: always}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: main
          image: IMAGE
          imagePullPolicy: Always
          command: [python3, -m, http.server, --directory, /, "5000"]
          readinessProbe: {httpGet: {path: /hello, port: 5000}, periodSeconds: 1}
"""


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    """A client to look at the nodes with."""
    with closing(engine.client()) as client:
        yield client


class App:
    """A tiny image whose content, one file, changes when asked."""

    def __init__(self, builder: ImageBuilder, directory: Path, name: str) -> None:
        self._builder = builder
        self._directory = directory
        self.name = name
        self.content = ""

    def build(self, base: str = "scratch") -> ImageRef:
        """Change the content, the one layer above `base`, and build it."""
        (self._directory / "Dockerfile").write_text(f"FROM {base}\nCOPY hello /\n", encoding="utf-8")
        self.content = uuid4().hex
        (self._directory / "hello").write_text(self.content, encoding="utf-8")
        return self._builder.build(BuildRequest(self._directory, self.name))


@pytest.fixture(params=["docker.io", "another registry"])
def app(
    request: pytest.FixtureRequest, engine: Engine, client: docker.DockerClient, cluster: ClusterHandle, tmp_path: Path
) -> Iterator[App]:
    """An application named as one of Docker Hub's, or as another registry's; gone afterwards."""
    prefix = "" if request.param == "docker.io" else "registry.example.com/"
    repository = f"{prefix}seatrial-test/load-{uuid4().hex[:8]}"
    builder = ImageBuilder(engine, run=Run.begin(), log_dir=tmp_path / "logs", timeout_s=60)
    yield App(builder, tmp_path, f"{repository}:latest")
    for image in client.images.list(name=repository):
        client.images.remove(str(image.id), force=True)
    for node in cluster.nodes:
        names = [name for name in images_on(client, node) if repository.removeprefix(prefix) in name]
        ctr(client, node, "rm", *names)


def ctr(client: docker.DockerClient, node: str, *args: str) -> str:
    """Ask the node's containerd."""
    exit_code, output = client.containers.get(node).exec_run(["ctr", "--namespace", "k8s.io", "images", *args])
    assert isinstance(output, bytes)
    assert exit_code == 0, output
    return output.decode()


def snapshots_on(client: docker.DockerClient, node: str) -> set[str]:
    """What a node has unpacked, each layer with those below it."""
    argv = ["ctr", "--namespace", "k8s.io", "snapshots", "ls"]
    exit_code, output = client.containers.get(node).exec_run(argv)
    assert isinstance(output, bytes)
    assert exit_code == 0, output
    return {row.split()[0] for row in output.decode().splitlines()[1:] if "Committed" in row.split()}


def images_on(client: docker.DockerClient, node: str) -> list[str]:
    """The names a node has."""
    return ctr(client, node, "ls", "-q").split()


@pytest.mark.parametrize("way", ["registry", "archive"])
def test_an_image_is_sent_once(
    engine: Engine, client: docker.DockerClient, cluster: ClusterHandle, app: App, way: str
) -> None:
    """It is there under its complete name after the first load, and the second sends nothing."""
    registry = cluster.registry if way == "registry" else None
    image = app.build()
    first = load_image(engine, image, cluster.nodes, registry=registry)
    assert [each.sent for each in first] == [True] * len(cluster.nodes)
    for node in cluster.nodes:
        assert str(ImageName.parse(app.name)) in images_on(client, node)
    second = load_image(engine, image, cluster.nodes, registry=registry)
    assert [each.sent for each in second] == [False] * len(cluster.nodes)
    assert [each.digest for each in second] == [each.digest for each in first]


@pytest.mark.parametrize("way", ["registry", "archive"])
def test_a_changed_image_replaces_the_one_of_its_name(
    engine: Engine, cluster: ClusterHandle, app: App, way: str
) -> None:
    """The name means the new content, and going back to the old one is noticed too."""
    registry = cluster.registry if way == "registry" else None
    old, new = app.build(), app.build()
    nodes = cluster.nodes[:1]
    (before,) = load_image(engine, old, nodes, registry=registry)
    (after,) = load_image(engine, new, nodes, registry=registry)
    assert after.sent
    assert after.digest != before.digest
    (back,) = load_image(engine, old, nodes, registry=registry)
    assert back.sent
    assert back.digest == before.digest


def test_an_image_goes_to_the_chosen_nodes_only(
    engine: Engine, client: docker.DockerClient, cluster: ClusterHandle, app: App
) -> None:
    """The others do not get it."""
    chosen, others = cluster.nodes[:1], cluster.nodes[1:]
    load_image(engine, app.build(), chosen, registry=cluster.registry)
    name = str(ImageName.parse(app.name))
    assert [name in images_on(client, node) for node in cluster.nodes] == [True, *[False] * len(others)]


def test_layers_the_node_image_holds_are_not_unpacked_again(
    engine: Engine, client: docker.DockerClient, supply: Supply, cluster: ClusterHandle, app: App
) -> None:
    """A scoring image brings its own layers only: those of its Python base are on every new node."""
    node, base = cluster.nodes[0], client.images.get(supply.image("python-3.11").reference)
    node_image = client.containers.get(node).image
    if node_image is None or not {LABEL_RECIPE} <= node_image.labels.keys() & base.labels.keys():
        pytest.skip("the base or the node image is a published one, which does not hold the other's layers")
    before = snapshots_on(client, node)
    image = app.build(base=base.tags[0])
    load_image(engine, image, [node], registry=cluster.registry)
    assert set(base.attrs["RootFS"]["Layers"]) <= before
    # A layer is unpacked under the digest of itself upon those below it.
    *below, own = client.images.get(image.image_id).attrs["RootFS"]["Layers"]
    assert below == base.attrs["RootFS"]["Layers"]
    (under,) = below
    chain = f"sha256:{hashlib.sha256(f'{under} {own}'.encode()).hexdigest()}"
    assert chain in snapshots_on(client, node) - before


def test_a_node_pulls_through_the_mirror(
    engine: Engine, client: docker.DockerClient, cluster: ClusterHandle, app: App
) -> None:
    """What was pushed to the cluster's registry is found under the names of Docker Hub and of the host's registry."""
    assert cluster.registry is not None
    pushed = push(engine, app.build(), cluster.registry)
    names = [pushed.reference, pushed.reference.replace("127.0.0.1", "localhost")]
    name = ImageName.parse(app.name)
    names += [str(name)] if name.domain == "docker.io" else []
    for each in names:
        ctr(client, cluster.nodes[0], "pull", "--hosts-dir", "/etc/containerd/certs.d", each)
        assert each in images_on(client, cluster.nodes[0])


@pytest.mark.parametrize("app", ["docker.io"], indirect=True)
def test_always_pulling_pods_run_what_was_pushed_last(
    engine: Engine,
    cluster: ClusterHandle,
    app: App,
    supply: Supply,
    manifests: ManifestDeployer,
    kubectl: KubectlDeployer,
    namespace: str,
    port_forward: Callable[..., Endpoint],
) -> None:
    """Under the same name, which the node has already, from the cluster's own registry and from nowhere else."""
    assert cluster.registry is not None
    base = supply.image("python-3.11").reference

    def answer() -> str:
        endpoint = port_forward("deployment/always", namespace=namespace, remote_port=5000)
        return requests.get(f"{endpoint.url}/hello", timeout=30).text

    push(engine, app.build(base), cluster.registry)
    manifests.apply(ALWAYS.replace("IMAGE", app.name), namespace=namespace)
    assert answer() == app.content
    push(engine, app.build(base), cluster.registry)
    kubectl.run("rollout", "restart", "deployment/always", f"--namespace={namespace}").check()
    kubectl.rollout_status("always", namespace=namespace)
    assert answer() == app.content


def test_a_node_that_is_gone_is_named(engine: Engine, cluster: ClusterHandle, app: App) -> None:
    """The error names the node."""
    with pytest.raises(ImageError, match="seatrial-test-no-such-node"):
        load_image(engine, app.build(), ["seatrial-test-no-such-node"], registry=cluster.registry)
