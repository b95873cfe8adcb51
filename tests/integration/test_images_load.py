"""Bringing images to the nodes of a real kind cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from harness.cluster.provider import ClusterHandle
from harness.engine.engine import Engine
from harness.errors import ImageError
from harness.images.build import BuildRequest, ImageBuilder
from harness.images.load import load_image
from harness.images.push import push
from harness.images.reference import ImageName, ImageRef
from harness.naming import Run


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    """A client to look at the nodes with."""
    with closing(engine.client()) as client:
        yield client


class App:
    """A tiny image whose content changes when asked."""

    def __init__(self, builder: ImageBuilder, directory: Path, name: str) -> None:
        self._builder = builder
        self._directory = directory
        self.name = name
        (directory / "Dockerfile").write_text("FROM scratch\nCOPY hello /\n", encoding="utf-8")

    def build(self) -> ImageRef:
        """Change the content and build it."""
        (self._directory / "hello").write_text(uuid4().hex, encoding="utf-8")
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


def test_a_node_that_is_gone_is_named(engine: Engine, cluster: ClusterHandle, app: App) -> None:
    """The error names the node."""
    with pytest.raises(ImageError, match="seatrial-test-no-such-node"):
        load_image(engine, app.build(), ["seatrial-test-no-such-node"], registry=cluster.registry)
