"""What the composed parts of a run do beside each other."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import assembly as module
from harness.assembly import Assembly
from harness.images.reference import ImageRef
from harness.settings.resolve import Sources, resolve

IMAGE = ImageRef("example/app:latest", "sha256:1", "src-1")
REGISTRY = "127.0.0.1:40123"


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was pushed where, and an engine, a builder and a registry that do nothing."""
    pushed: list[tuple[str, str]] = []
    monkeypatch.setattr(module, "push", lambda _, image, registry: pushed.append((image.name, registry)))
    monkeypatch.setattr(module, "ImageBuilder", lambda *_, **__: SimpleNamespace(build=lambda _: IMAGE))
    started = SimpleNamespace(host_address=REGISTRY)
    monkeypatch.setattr(module, "LocalRegistry", SimpleNamespace(start=lambda *_, **__: started))
    return pushed


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Assembly]:
    """The parts of a run that has its engine and its supply already."""
    sources = Sources({"supply-cache": str(tmp_path)}, {"HOME": str(tmp_path)})
    parts = Assembly(resolve(sources, kubernetes_versions=("1.34",)), environ={}, stream=io.StringIO())
    parts._parts["engine"] = SimpleNamespace()
    parts._parts["supply"] = SimpleNamespace(image=lambda _: SimpleNamespace(reference="registry:2"), pull=None)
    yield parts
    parts.close()


@pytest.mark.parametrize("image_first", [True, False], ids=["the image is there first", "the registry is there first"])
def test_an_image_goes_to_a_clusters_registry_while_nodes_boot(
    parts: Assembly, pushed: list[tuple[str, str]], tmp_path: Path, image_first: bool
) -> None:
    """Whichever is there first, the image is pushed once, before anybody asks to load it."""
    steps = [
        lambda: parts.build_image(tmp_path, name=IMAGE.name),
        lambda: parts._start_cluster_registry(name="one-registry", network="one", labels={}),
    ]
    for step in steps if image_first else reversed(steps):
        step()
    wait(parts._pushes)
    assert pushed == [(IMAGE.name, REGISTRY)]


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param("quay.io/metallb/controller@sha256:1", id="pulled by digest"),
        pytest.param("seatrial/metallb-controller-image:v0.14.9-1", id="built"),
    ],
)
def test_the_load_balancer_runs_whichever_image_came(
    parts: Assembly, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    """Nodes get it under the one name that Seatrial's node image has it by, wherever it is from."""
    loaded: list[ImageRef] = []
    provenance = SimpleNamespace(version="v0.14.9")
    parts._parts["supply"] = SimpleNamespace(
        image=lambda _: SimpleNamespace(reference=reference, provenance=provenance)
    )
    monkeypatch.setattr(module, "image_in_engine", lambda _, name: ImageRef(name, f"id of {name}", name))
    monkeypatch.setattr(parts, "load_image", lambda _, image: loaded.append(image))
    balancer = parts.load_balancer
    name = balancer._controller_image()
    balancer._load_image(None, name)  # type: ignore[arg-type] # no cluster is touched
    assert name == "seatrial/metallb-controller:v0.14.9"
    assert loaded == [ImageRef(name, f"id of {reference}", reference)]
