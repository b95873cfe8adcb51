"""Listing, checking and removing what supply has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EngineError
from harness.naming import LABEL_ARTIFACT, LABEL_RECIPE
from harness.supply.artifact import Provenance
from harness.supply.cache import Cache
from harness.supply.image_store import ImageStore
from harness.supply.inventory import Inventory
from harness.supply.pins import Pins
from harness.supply.provenance import content_digest, file_digest
from harness.supply.recipe import Recipe, Recipes

PUBLIC = f"kindest/node@sha256:{'a' * 64}"


def _no_engine() -> Any:
    raise EngineError("reach a Docker engine", seen="nothing answers")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Return an empty cache."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def world(write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]) -> Recipes:
    """Return recipes for one program and two images, one of which is also published."""
    write_recipe("tool", 'kind = "go"\nversion = "tool"\nusual_s = 90\n')
    write_recipe("base", 'kind = "rootfs"\nversion = "base"\n')
    write_recipe("node", 'kind = "image"\nversion = "kubernetes"\nneeds = ["base"]\n')
    return recipes()


@pytest.fixture
def inventory(world: Recipes, pins: Pins, cache: Cache, engine: Callable[[], Any]) -> Callable[..., Inventory]:
    """Return a function that makes the inventory, with or without an engine."""
    return lambda engine=engine: Inventory(world, pins, cache, ImageStore(engine, cache))


@pytest.fixture
def store_tool(cache: Cache, provenance: Callable[..., Provenance]) -> Callable[[str], Path]:
    """Return a function that stores the program under a key."""

    def store(key: str) -> Path:
        with cache.workdir("tool") as workdir:
            (workdir / "made").write_bytes(b"12345")
            made = provenance("tool", digest=file_digest(workdir / "made"))
            return cache.put_program(key, workdir / "made", made).path

    return store


def _add_image(docker_images: Any, recipe: Recipe, reference: str = "") -> str:
    reference = reference or recipe.reference
    docker_images.add(reference, {LABEL_RECIPE: recipe.digest, LABEL_ARTIFACT: recipe.name})
    return reference


def test_lists_what_is_there_and_what_is_not(
    inventory: Callable[..., Inventory], world: Recipes, store_tool: Callable[[str], Path], docker_images: Any
) -> None:
    """Today's artifacts, leftovers of yesterday's recipes and what is missing are told apart."""
    store_tool(world.get("tool").key)
    store_tool("v0.9.0-ffffffffffff")
    _add_image(docker_images, world.get("base"))
    states = [(item.name, item.state, item.version) for item in inventory().items()]
    assert states == [
        ("tool", "current", "v1.0.0"),
        ("tool", "stale", "v1.0.0"),
        ("base", "current", "bookworm"),
        ("node", "missing", "v1.34.4"),
    ]


def test_lists_programs_without_an_engine(inventory: Callable[..., Inventory], world: Recipes) -> None:
    """Without an engine images are unknown, not missing, and programs are listed all the same."""
    states = {item.name: item.state for item in inventory(_no_engine).items()}
    assert states == {"tool": "missing", "base": "unknown", "node": "unknown"}


def test_damaged_record_is_listed_as_such(
    inventory: Callable[..., Inventory], world: Recipes, store_tool: Callable[[str], Path]
) -> None:
    """An artifact nobody can vouch for is shown, so that it can be removed."""
    (store_tool(world.get("tool").key).parent / "provenance.json").write_text("{", encoding="utf-8")
    assert ("tool", "damaged") in {(item.name, item.state) for item in inventory().items()}


def test_verify_reads_every_program(
    inventory: Callable[..., Inventory], world: Recipes, store_tool: Callable[[str], Path]
) -> None:
    """A file changed behind the cache's back, same size and time included, is found."""
    good, bad = store_tool(world.get("tool").key), store_tool("v0.9.0-ffffffffffff")
    stat = bad.stat()
    bad.write_bytes(b"54321")
    import os

    os.utime(bad, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    problems = {item.location: problem for item, problem in inventory().verify()}
    assert problems[str(good)] == ""
    assert "recorded was" in problems[str(bad)]


def test_verify_finds_a_replaced_image(
    inventory: Callable[..., Inventory],
    world: Recipes,
    cache: Cache,
    docker_images: Any,
    provenance: Callable[..., Provenance],
) -> None:
    """An image that is no longer the one that was built is told."""
    base = world.get("base")
    _add_image(docker_images, base)
    cache.put_record(base.key, provenance("base", digest="sha256:other"), size_bytes=1)
    ((item, problem),) = inventory().verify()
    assert item.name == "base"
    assert "sha256:other" in problem


def test_prune_leaves_nothing(
    inventory: Callable[..., Inventory],
    world: Recipes,
    cache: Cache,
    store_tool: Callable[[str], Path],
    docker_images: Any,
    provenance: Callable[..., Provenance],
) -> None:
    """After a prune no program, no built or pulled image and no cache directory is left; the user's images are."""
    store_tool(world.get("tool").key)
    _add_image(docker_images, world.get("base"))
    docker_images.add("python:3.11", {})
    docker_images.add(PUBLIC, {})
    cache.put_record(f"v1.34.8-{'a' * 12}", provenance("node", "download", origin=PUBLIC), size_bytes=7)
    (cache.go_dir / "mod").mkdir(parents=True)
    pruned = inventory().prune()
    assert len(pruned.removed) == 3
    assert pruned.freed_bytes == 5 + 1_000 + 7
    assert pruned.kept == []
    assert list(docker_images.known) == ["python:3.11"]
    assert not cache.root.exists()


def test_prune_removes_a_base_image_that_seatrial_pulled(
    inventory: Callable[..., Inventory],
    cache: Cache,
    docker_images: Any,
    provenance: Callable[..., Provenance],
) -> None:
    """One of what is not asked for any more keeps it: no pin says that a Dockerfile changed."""
    docker_images.add("example/base:1", {})
    docker_images.add("example/other:1", {})
    cache.put_record("unknown-1", provenance("pulled-image", "download", origin="example/base:1"), size_bytes=7)
    assert inventory().prune(stale_only=True).removed == []
    assert inventory().prune().removed == ["example/base:1"]
    assert list(docker_images.known) == ["example/other:1"]


def test_pulled_images_that_were_there_before_stay(inventory: Callable[..., Inventory], docker_images: Any) -> None:
    """A public image that Seatrial only found is the user's."""
    docker_images.add(PUBLIC, {})
    inventory().prune()
    assert list(docker_images.known) == [PUBLIC]


def test_stale_prune_keeps_what_is_current(
    inventory: Callable[..., Inventory], world: Recipes, store_tool: Callable[[str], Path], docker_images: Any
) -> None:
    """Only what today's pins and recipes do not ask for goes."""
    current, stale = store_tool(world.get("tool").key), store_tool("v0.9.0-ffffffffffff")
    kept = _add_image(docker_images, world.get("base"))
    old = _add_image(docker_images, world.get("base"), "seatrial/base:bookworm-eeeeeeeeeeee")
    pruned = inventory().prune(stale_only=True)
    assert set(pruned.removed) == {str(stale), old}
    assert current.exists()
    assert list(docker_images.known) == [kept]


def test_prune_tells_what_it_had_to_leave(
    inventory: Callable[..., Inventory], world: Recipes, docker_images: Any
) -> None:
    """An image a container uses stays, with the engine's reason, and the rest is still removed."""
    used, free = _add_image(docker_images, world.get("base")), _add_image(docker_images, world.get("node"))
    docker_images.in_use.add(used)
    pruned = inventory().prune()
    assert pruned.removed == [free]
    assert [location for location, _ in pruned.kept] == [used]
    assert "used by a container" in pruned.kept[0][1]


def test_prune_without_an_engine_removes_programs(
    inventory: Callable[..., Inventory], world: Recipes, store_tool: Callable[[str], Path]
) -> None:
    """Programs go even when images cannot be looked at, and that is said."""
    path = store_tool(world.get("tool").key)
    pruned = inventory(_no_engine).prune()
    assert pruned.removed == [str(path)]
    assert (pruned.kept, pruned.unseen) == ([], "nothing answers")


def test_prune_spares_a_running_build(inventory: Callable[..., Inventory], cache: Cache) -> None:
    """While something is being built, Go's caches and the work directory stay."""
    (cache.go_dir / "mod").mkdir(parents=True)
    with cache.workdir("tool") as workdir:
        pruned = inventory().prune()
        assert workdir.exists()
        assert cache.go_dir.exists()
    assert "building" in pruned.kept[0][1]


class TestFiles:
    """Directories of files in the inventory."""

    @pytest.fixture
    def crds(self, world: Recipes, write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]) -> Recipe:
        """Return the recipe of a directory of files."""
        write_recipe("crds", 'kind = "crds"\nversion = "tool"\n')
        return recipes().get("crds")

    @pytest.fixture
    def stored(self, crds: Recipe, cache: Cache, provenance: Callable[..., Provenance]) -> Path:
        """Return the directory as the cache has it."""
        with cache.workdir("crds") as workdir:
            (workdir / "made").mkdir()
            (workdir / "made" / "a.yaml").write_bytes(b"12345")
            made = provenance("crds", digest=content_digest(workdir / "made"))
            return cache.put_files(crds.key, workdir / "made", made).path

    def test_are_listed_between_programs_and_images(
        self, inventory: Callable[..., Inventory], store_tool: Callable[[str], Path], world: Recipes, stored: Path
    ) -> None:
        """Each is listed as what it is, with the size of its files together."""
        store_tool(world.get("tool").key)
        items = [(item.name, item.kind, item.state, item.size_bytes) for item in inventory().items()]
        assert items[:2] == [("tool", "program", "current", 5), ("crds", "files", "current", 5)]
        assert {kind for _, kind, _, _ in items[2:]} == {"image"}

    def test_that_are_not_there_are_missing_with_or_without_an_engine(
        self, crds: Recipe, inventory: Callable[..., Inventory]
    ) -> None:
        """No engine is needed to know that."""
        assert {item.name: item.state for item in inventory(_no_engine).items()}["crds"] == "missing"

    def test_without_a_record_are_damaged_files(self, inventory: Callable[..., Inventory], stored: Path) -> None:
        """The recipe tells what a damaged artifact would have been."""
        (stored.parent / "provenance.json").unlink()
        assert ("crds", "files", "damaged") in {(item.name, item.kind, item.state) for item in inventory().items()}

    def test_are_read_by_verify(self, inventory: Callable[..., Inventory], stored: Path) -> None:
        """A file changed behind the cache's back is found."""
        assert [problem for _, problem in inventory().verify()] == [""]
        (stored / "a.yaml").write_bytes(b"54321")
        ((item, problem),) = inventory().verify()
        assert item.location == str(stored)
        assert "recorded was" in problem

    def test_are_pruned(self, inventory: Callable[..., Inventory], cache: Cache, stored: Path) -> None:
        """Nothing is left of them."""
        pruned = inventory().prune()
        assert (pruned.removed, pruned.freed_bytes) == ([str(stored)], 5)
        assert not cache.root.exists()
