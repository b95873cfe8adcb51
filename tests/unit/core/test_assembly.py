"""What the composed parts of a run do beside each other."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from concurrent.futures import wait
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import assembly as module
from harness.assembly import Assembly
from harness.errors import MissingArtifactsError
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


def required(
    tmp_path: Path, *fixtures: str, engine: object = None, lacking: tuple[str, ...] = (), **options: object
) -> set[str]:
    """Return what a run with these options asks supply for, before it makes its first cluster."""
    asked: list[str] = []

    def require(names: Iterable[str]) -> None:
        asked.extend(names)
        raise MissingArtifactsError([("all", "by hand")], because="it is a test")

    given = {name.replace("_", "-"): value for name, value in options.items()}
    sources = Sources({"supply-cache": str(tmp_path), **given}, {"HOME": str(tmp_path)})
    settings = resolve(sources, kubernetes_versions=("1.33", "1.34"))
    parts = Assembly(settings, environ={}, stream=io.StringIO(), fixtures=fixtures)
    parts._parts["supply"] = SimpleNamespace(require=require, names=list)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "look_for_engine", lambda *_: (engine, ()))
        patch.setattr(module, "missing_capabilities", lambda: lacking)
        with suppress(MissingArtifactsError, AttributeError):  # where nothing is asked, it goes on to the parts
            assert parts.provider
    parts.close()
    return set(asked)


CLUSTER = {"kubectl", "kind", "registry", "node-1.34"}
METALLB = {"metallb-controller-image", "metallb-speaker-image"}


@pytest.mark.parametrize(
    ("fixtures", "options", "expected"),
    [
        pytest.param(("cluster",), {}, CLUSTER, id="a cluster"),
        pytest.param(("helm",), {}, CLUSTER | {"helm"}, id="Helm"),
        pytest.param(("load_balancer",), {}, CLUSTER | METALLB, id="a load balancer"),
        pytest.param(
            ("gateway", "seldon_core"),
            {},
            CLUSTER | METALLB | {"helm", "ambassador", "seldon-core-operator", "contour-image", "envoy-image"},
            id="Seldon Core and its gateway",
        ),
        pytest.param((), {"kind_image": "mine:1"}, CLUSTER - {"node-1.34"}, id="a node image of the user's"),
        pytest.param((), {"kubernetes": "1.34,1.33"}, CLUSTER | {"node-1.33"}, id="several versions"),
        pytest.param(
            ("helm", "load_balancer"),
            {"cluster_provider": "existing", "kubeconfig": __file__, "kube_context": "x"},
            {"kubectl", "helm"},
            id="a cluster that exists",
        ),
    ],
)
def test_all_that_a_run_needs_is_asked_for_at_once(
    tmp_path: Path, fixtures: tuple[str, ...], options: dict[str, Any], expected: set[str]
) -> None:
    """Where nothing may be fetched, what selected tests will use is looked for before the first cluster."""
    assert required(tmp_path, *fixtures, engine="one", offline=True, **options) == expected


def test_nothing_is_asked_for_beforehand_where_all_can_be_had(tmp_path: Path) -> None:
    """A run that may fetch and build does so when something is needed."""
    assert required(tmp_path, "helm", engine="one") == set()


@pytest.mark.parametrize(
    ("engine", "lacking", "options", "needed"),
    [
        pytest.param(None, ("CAP_SYS_ADMIN",), {}, True, id="an engine of ours on a host that lacks capabilities"),
        pytest.param(None, (), {}, False, id="an engine of ours elsewhere"),
        pytest.param("one", ("CAP_SYS_ADMIN",), {}, False, id="an engine that answers"),
        pytest.param(None, ("CAP_SYS_ADMIN",), {"no_managed_engine": True}, False, id="none of ours wanted"),
        pytest.param(None, ("CAP_SYS_ADMIN",), {"docker_host": "unix:///x"}, False, id="another one named"),
    ],
)
def test_the_runtime_of_an_engine_of_ours_is_asked_for(
    tmp_path: Path, engine: object, lacking: tuple[str, ...], options: dict[str, Any], needed: bool
) -> None:
    """Only where such an engine would be started, and would need it."""
    asked = required(tmp_path, engine=engine, lacking=lacking, offline=True, **options)
    assert ("oci-runtime" in asked) == needed
