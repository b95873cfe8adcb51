"""Node images: which images are preloaded under which names, and what is written into the node's files."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from harness.naming import Run
from harness.settings.values import known_kubernetes_versions
from harness.supply.artifact import Image, Provenance
from harness.supply.builders.archive import ImageArchive
from harness.supply.builders.image import docker_build, write_context
from harness.supply.builders.node import NodeBuilder, Preload, node_values, preloads, sed_script
from harness.supply.builders.protocol import Build, BuildLog
from harness.supply.pins import Pins, minor
from harness.supply.recipe import Recipe, Recipes
from harness.testing import RecordingRunner

_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")


def _required(registry: str, version: str, *companions: str) -> tuple[str, ...]:
    components = (f"{registry}/{name}:{version}" for name in _COMPONENTS)
    return (*components, *(f"{registry}/{name}" for name in companions))


# `kubeadm config images list` by Kubernetes version: as printed by v1.21.14 and v1.34.4; those of v1.33.13 and v1.35.4
# follow cmd/kubeadm/app/constants/constants.go of those versions.
PRINTED = {
    "1.21": _required("k8s.gcr.io", "v1.21.14", "pause:3.4.1", "etcd:3.4.13-0", "coredns/coredns:v1.8.0"),
    "1.33": _required("registry.k8s.io", "v1.33.13", "coredns/coredns:v1.12.0", "pause:3.10", "etcd:3.5.24-0"),
    "1.34": _required("registry.k8s.io", "v1.34.4", "coredns/coredns:v1.12.1", "pause:3.10.1", "etcd:3.6.5-0"),
    "1.35": _required("registry.k8s.io", "v1.35.4", "coredns/coredns:v1.13.1", "pause:3.10.1", "etcd:3.6.6-0"),
}
REQUIRED = PRINTED["1.34"]


@pytest.fixture
def recipe() -> Recipe:
    """The node image's own recipe."""
    return Recipes(Pins.load(), "amd64").get("node-1.34")


def test_every_required_name_gets_an_image(recipe: Recipe) -> None:
    """Names that kubeadm prints are kept to the letter; companions get the entry point their manifests count on."""
    images = preloads(recipe, REQUIRED)
    assert [image.name for image in images[: len(REQUIRED)]] == list(REQUIRED)
    assert images[0] == Preload(REQUIRED[0], "kubernetes-image-1.34", None)
    assert images[4] == Preload(REQUIRED[4], "node-programs-image", ("/usr/local/bin/coredns",))


@pytest.mark.parametrize("version", known_kubernetes_versions())
def test_every_version_has_what_its_kubeadm_asks_for(version: str) -> None:
    """Each name kubeadm prints is there as printed; Kubernetes' own are of that version, pause is what it names."""
    recipe = Recipes(Pins.load(), "amd64").get(f"node-{version}")
    images = {image.name: image for image in preloads(recipe, PRINTED[version])}
    assert list(images)[: len(PRINTED[version])] == list(PRINTED[version])
    for name in PRINTED[version][: len(_COMPONENTS)]:
        assert images[name].image == f"kubernetes-image-{version}"
        assert name.endswith(f":{recipe.version}")
    values = node_values(recipe, PRINTED[version])
    assert values["PAUSE_IMAGE"] == next(name for name in PRINTED[version] if "/pause:" in name)
    assert values["SYSTEMD_CGROUP"] == ("false" if minor(version) < (1, 24) else "true")


def test_storage_and_balancer_are_preloaded_under_pinned_names(recipe: Recipe) -> None:
    """What default-storage.yaml and MetalLB's manifests run need not be sent to the nodes."""
    names = {image.name for image in preloads(recipe, REQUIRED)}
    metallb = recipe.pins["metallb"]
    assert {f"docker.io/seatrial/metallb-{part}:{metallb}" for part in ("controller", "speaker")} <= names
    assert node_values(recipe, REQUIRED)["LOCAL_PATH_IMAGE"] in names


def test_the_base_of_scoring_images_is_preloaded_as_it_is(recipe: Recipe) -> None:
    """Its layers are those of what is built on it, so nothing about it may be changed."""
    base = Preload(f"docker.io/seatrial/python-3.11:{recipe.pins['python']}", "python-3.11", None)
    assert base in preloads(recipe, REQUIRED)


@pytest.mark.parametrize(
    "required",
    [pytest.param((), id="nothing printed"), pytest.param((*REQUIRED, "registry.k8s.io/new:v1"), id="an unknown one")],
)
def test_an_unknown_required_image_stops_the_build(recipe: Recipe, required: tuple[str, ...]) -> None:
    """A node that lacks an image kubeadm wants would only fail when a cluster is made."""
    with pytest.raises(ValueError, match="does not know"):
        preloads(recipe, required)


def test_values_cover_every_placeholder_of_the_files(recipe: Recipe) -> None:
    """No @NAME@ is left in a file of a finished node."""
    values = node_values(recipe, REQUIRED)
    files = recipe.directory.parent / "node-base" / "files"
    used = {
        name
        for path in files.rglob("*")
        if path.is_file()
        for name in re.findall(r"@([A-Z_]+)@", path.read_text(encoding="utf-8"))
    }
    assert used == set(values)
    assert values["PAUSE_IMAGE"] == "registry.k8s.io/pause:3.10.1"
    assert values["VERSION"] == recipe.version


def test_sed_script_replaces_whole_words_and_refuses_its_own_signs() -> None:
    """One command per value; a value that sed would misread is refused."""
    assert sed_script({"B": "x/y:1", "A": "true"}) == "s|@A@|true|g\ns|@B@|x/y:1|g\n"
    with pytest.raises(ValueError, match="misread: BAD"):
        sed_script({"BAD": "a|b"})


def _saved(path: Path, config: dict[str, Any]) -> Path:
    with tarfile.open(path, "w") as archive:
        content = {
            "c.json": json.dumps(config).encode(),
            "l/layer.tar": b"layer",
            "manifest.json": json.dumps([{"Config": "c.json", "RepoTags": None, "Layers": ["l/layer.tar"]}]).encode(),
            "repositories": b"{}",
        }
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_archive_names_one_image_twice_with_its_layers_once(tmp_path: Path) -> None:
    """Names and entry points are written; layers are shared; the old indexes are gone."""
    saved = _saved(tmp_path / "saved.tar", {"config": {"Env": ["A=1"], "Cmd": ["x"]}, "os": "linux"})
    with ImageArchive(tmp_path / "joined.tar") as joined:
        joined.add(saved, {"example.org/a:1": None, "example.org/b:2": ["/b"]})
    with tarfile.open(tmp_path / "joined.tar") as archive:
        names = archive.getnames()
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        second = json.load(archive.extractfile(manifest[1]["Config"]))  # type: ignore[arg-type]
    assert sorted(names) == sorted({"c.json", "l/layer.tar", "manifest.json", manifest[1]["Config"]})
    assert [entry["RepoTags"] for entry in manifest] == [["example.org/a:1"], ["example.org/b:2"]]
    assert manifest[0]["Config"] == "c.json"
    assert second == {"config": {"Env": ["A=1"], "Cmd": None, "Entrypoint": ["/b"]}, "os": "linux"}


def test_context_is_the_same_whatever_modes_and_times_files_have(tmp_path: Path) -> None:
    """A wheel keeps no modes: the context, and so the image, must not depend on them."""
    recipe_dir, program = tmp_path / "recipe", tmp_path / "program"
    (recipe_dir / "files").mkdir(parents=True)
    (recipe_dir / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    (recipe_dir / "files" / "a").write_text("a", encoding="utf-8")
    program.write_bytes(b"x")
    write_context(tmp_path / "one.tar", [recipe_dir], {"kubernetes": program})
    (recipe_dir / "files" / "a").chmod(0o777)
    program.touch()
    write_context(tmp_path / "two.tar", [recipe_dir], {"kubernetes": program})
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        assert {member.name: oct(member.mode) for member in archive} == {
            "Dockerfile": "0o644",
            "files/a": "0o644",
            "kubernetes": "0o755",
        }


class InterruptedEngine:
    """An engine whose client is interrupted in the middle of what it does; it knows what was removed."""

    def __init__(self) -> None:
        self.containers: set[str] = set()
        self.removed: list[str] = []
        self.hung_up = False
        self.requests: dict[str, Any] = {}

    def client(self) -> Any:
        """Return a client with the calls that builders make."""
        return SimpleNamespace(
            api=SimpleNamespace(build=self._build, timeout=0),
            images=SimpleNamespace(remove=self._remove_image),
            containers=SimpleNamespace(create=self._create, get=self._container),
            close=lambda: None,
        )

    def _build(self, **_: object) -> Iterator[dict[str, str]]:
        try:
            yield from (
                {"stream": "Step 1/4 : FROM base\n"},
                {"stream": " ---> 000000000000\n"},
                {"stream": "Step 2/4 : COPY a /\n"},
                {"stream": " ---> Using cache\n"},
                {"stream": " ---> 111111111111\n"},
                {"stream": "Step 3/4 : COPY b /\n"},
                {"stream": " ---> 222222222222\n"},
                {"stream": "Step 4/4 : RUN sleep 600\n ---> Running in 333333333333\n"},
            )
            raise KeyboardInterrupt
        finally:
            self.hung_up = True

    def _remove_image(self, name: str, *, noprune: bool) -> None:
        assert noprune, "a layer below belongs to others"
        assert self.hung_up, "the builder still works on it"
        self.removed.append(name)

    def _create(self, image: str, *, name: str, **options: Any) -> None:
        """Make the container, and be interrupted before the answer is read."""
        self.containers.add(name)
        self.requests[name] = {"image": image, **options}
        raise KeyboardInterrupt

    def _container(self, name: str) -> Any:
        if name not in self.containers:
            raise docker.errors.NotFound(name)

        def remove(*, force: bool, v: bool) -> None:
            assert force
            assert v, "its volumes hold gigabytes"
            self.containers.remove(name)
            self.removed.append(name)

        return SimpleNamespace(remove=remove)


@pytest.fixture
def make_build(tmp_path: Path) -> Iterator[Callable[[Recipe], Build]]:
    """Return a function that makes a build with a work directory and a base image."""
    logs = []

    def make(recipe: Recipe) -> Build:
        logs.append(log := BuildLog(tmp_path / "log"))
        made = Provenance(recipe.options["base"], "1", "cache", "a test", "", "", 0.0, "by hand")
        return Build(recipe, {}, {recipe.options["base"]: Image("base:1", made)}, tmp_path, log)

    yield make
    for log in logs:
        log.close()


def test_an_interrupted_image_build_leaves_no_layer(
    recipe: Recipe, make_build: Callable[[Recipe], Build], tmp_path: Path
) -> None:
    """The engine is hung up on; what this build has made goes, what the cache had before and the base stay."""
    engine: Any = InterruptedEngine()
    build = make_build(recipe)
    with pytest.raises(KeyboardInterrupt):
        docker_build(lambda: engine, build, files={}, base="base:1", tag="seatrial/x:1", labels={})
    assert engine.removed == ["222222222222"]
    assert not (tmp_path / "context.tar").exists()


def test_an_interrupted_node_build_leaves_no_container(recipe: Recipe, make_build: Callable[[Recipe], Build]) -> None:
    """Its removal stands before the request: the answer, which holds the id, may never be read."""
    engine: Any = InterruptedEngine()
    run = Run("1f2e3d4c", 1, 1, 1)
    with pytest.raises(KeyboardInterrupt):
        NodeBuilder(RecordingRunner(), lambda: engine, run)._unpack(make_build(recipe), [], Path("unused"))
    ((name, request),) = engine.requests.items()
    assert engine.removed == [name]
    assert request["labels"].items() >= run.labels().items()
    assert name == f"seatrial-node-1.34-{run.own_id}"
