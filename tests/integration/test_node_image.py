"""The node image as supply makes it: what kind and the cluster room find in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import docker
import pytest

from harness.engine.engine import Engine
from harness.naming import LABEL_ARTIFACT, LABEL_OWNER, LABEL_RECIPE
from harness.supply.pins import Pins, host_arch
from harness.supply.recipe import Recipe, Recipes
from harness.supply.resolver import Supply


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """The node image's recipe."""
    return Recipes(Pins.load(), host_arch()).get("node-1.34")


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    """A client of the run's engine."""
    with closing(engine.client()) as client:
        yield client


@pytest.fixture(scope="module")
def image(supply: Supply, recipe: Recipe) -> str:
    """The built image; a pulled kindest/node is another thing."""
    reference = supply.image("node-1.34").reference
    if reference != recipe.reference:
        pytest.skip(f"supply did not build the node image, it uses {reference}")
    return reference


# Without Kubernetes' side of containerd, which names images itself some time after its start.
_START_CONTAINERD = (
    "containerd --config /etc/containerd/preload.toml >/dev/null 2>&1 & "
    "until ctr version >/dev/null 2>&1; do sleep 0.2; done; "
)


def _shell(client: docker.DockerClient, image: str, script: str) -> str:
    container = client.containers.run(
        image, entrypoint=["sh", "-ec"], command=[script], detach=True, privileged=True, volumes=["/var"]
    )
    try:
        assert container.wait()["StatusCode"] == 0, container.logs().decode()
        return bytes(container.logs(stderr=False)).decode()
    finally:
        container.remove(force=True, v=True)  # what `run` removes with `remove=True` leaves its volume behind


def test_labels_name_the_recipe_and_no_owner(client: docker.DockerClient, image: str, recipe: Recipe) -> None:
    """Supply recognises the image; a sweep of dead runs does not take it for theirs."""
    labels = client.images.get(image).labels
    assert labels[LABEL_RECIPE] == recipe.digest
    assert labels[LABEL_ARTIFACT] == recipe.name
    assert LABEL_OWNER not in labels


def test_it_says_its_kubernetes_version(client: docker.DockerClient, image: str, recipe: Recipe) -> None:
    """What kind reads and what the kubelet answers are the pinned version."""
    said = _shell(client, image, "cat /kind/version; echo; kubelet --version")
    assert said.split() == [recipe.version, "Kubernetes", recipe.version]


def test_every_image_kubeadm_wants_is_there_unpacked(client: docker.DockerClient, image: str) -> None:
    """A node finds them without a registry, and has snapshots instead of packed layers."""
    listed = _shell(
        client,
        image,
        f"{_START_CONTAINERD} ctr -n k8s.io images ls -q; echo --; "
        "kubeadm config images list --kubernetes-version $(cat /kind/version); "
        "echo --; ctr -n k8s.io snapshots ls | wc -l",
    )
    present, wanted, snapshots = (part.split() for part in listed.split("--"))
    assert set(wanted) <= set(present)
    assert int(snapshots[0]) > len(set(wanted)) / 2


def test_next_to_nothing_is_copied_into_a_nodes_volume(client: docker.DockerClient, image: str) -> None:
    """Docker copies what the image has in /var into each node it starts: no layer, no package database is there."""
    large, files = _shell(client, image, "find /var -type f -size +1M; echo --; find /var -type f | wc -l").split("--")
    assert large.split() == []
    assert int(files) < 200, "Debian's package database alone has 800"


def test_containers_run_on_the_images_own_files(client: docker.DockerClient, image: str, supply: Supply) -> None:
    """A preloaded layer is a lower directory like any other: it can be read and, in the container, changed."""
    (layer,) = client.images.get(supply.image("python-3.11").reference).attrs["RootFS"]["Layers"]
    said = _shell(
        client,
        image,
        f"{_START_CONTAINERD} ctr -n k8s.io snapshots prepare probe {layer} >/dev/null; mkdir /probe; "
        'eval "$(ctr -n k8s.io snapshots mounts /probe probe)"; rm -r /probe/etc/apt; echo hello >/probe/etc/issue; '
        "chroot /probe python3 -c \"import os; print(open('/etc/issue').read(), os.path.exists('/etc/apt'))\"; "
        "grep -c . /kind/layers/*/etc/issue; ls -d /kind/layers/*/etc/apt",
    )
    assert said.split()[:2] == ["hello", "False"]
    assert said.count("/etc/apt") >= 1, "what a container removes stays in the image"


def test_preloaded_images_can_be_removed(client: docker.DockerClient, image: str) -> None:
    """Removing them, as the kubelet does when a disk is full, leaves nothing of them in containerd's directory."""
    left = _shell(
        client,
        image,
        f"{_START_CONTAINERD} ctr -n k8s.io images ls -q | xargs ctr -n k8s.io images rm --sync >/dev/null; "
        "ctr -n k8s.io snapshots ls | tail -n +2; ctr -n k8s.io content ls -q; "
        "ls /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots",
    )
    assert left.split() == []


def test_no_placeholder_is_left(client: docker.DockerClient, image: str) -> None:
    """Every @NAME@ of the node's files has its value."""
    assert _shell(client, image, "grep -rE '@[A-Z_]+@' /etc/containerd /kind/manifests /kind/version || true") == ""
