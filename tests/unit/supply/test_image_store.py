"""Images in the engine: which are supply's, pulling, and the sources over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DownloadError, SupplyError
from harness.naming import LABEL_ARTIFACT, LABEL_RECIPE
from harness.progress import SilentProgress
from harness.supply.artifact import Provenance
from harness.supply.cache import Cache
from harness.supply.image_store import ImageStore
from harness.supply.pins import Pins
from harness.supply.recipe import Recipe, Recipes
from harness.supply.sources.images import EngineStoreSource, GivenImageSource, OtherImages, PullSource

PUBLIC = f"kindest/node@sha256:{'a' * 64}"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Return an empty cache."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def store(engine: Callable[[], Any], cache: Cache) -> ImageStore:
    """Return the store over the engine of these tests."""
    return ImageStore(engine, cache)


@pytest.fixture
def node(write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]) -> Recipe:
    """Return the recipe of a node image, which is also published."""
    write_recipe("node", 'kind = "image"\nversion = "kubernetes"\n')
    return recipes().get("node")


def _labels(recipe: Recipe) -> dict[str, str]:
    return {LABEL_RECIPE: recipe.digest, LABEL_ARTIFACT: recipe.name}


def test_built_image_is_known_by_name_and_label(store: ImageStore, node: Recipe, docker_images: Any) -> None:
    """An image with the recipe's name and digest answers, even when another cache recorded its making."""
    docker_images.add(node.reference, _labels(node))
    image = store.built(node)
    assert image is not None
    assert image.reference == node.reference
    assert image.provenance.recipe == node.digest
    assert image.provenance.made_at == 1_767_323_045.0


def test_recorded_provenance_is_shown_for_the_recorded_image(
    store: ImageStore, node: Recipe, cache: Cache, docker_images: Any, provenance: Callable[..., Provenance]
) -> None:
    """Where the making is on record, that is what is shown."""
    docker_images.add(node.reference, _labels(node), image_id="sha256:7")
    cache.put_record(node.key, provenance("node", digest="sha256:7", how="the recorded way"), size_bytes=5)
    image = store.built(node)
    assert image is not None
    assert image.provenance.how == "the recorded way"


def test_name_without_the_label_does_not_answer(store: ImageStore, node: Recipe, docker_images: Any) -> None:
    """An image somebody tagged with our name is not taken for ours."""
    docker_images.add(node.reference, {LABEL_RECIPE: "another"})
    assert store.built(node) is None


def test_images_built_on_ours_are_not_ours(store: ImageStore, node: Recipe, docker_images: Any) -> None:
    """An application built on a base image inherits its labels; it must never be listed or pruned as supply's."""
    docker_images.add(node.reference, _labels(node))
    docker_images.add("example/app:latest", _labels(node))
    assert [(name, reference) for name, reference, _ in store.supplied()] == [("node", node.reference)]


def test_registry_that_cannot_be_reached_is_a_download_error(store: ImageStore) -> None:
    """A failed pull is the kind of error after which the next source is asked."""
    with pytest.raises(DownloadError, match="no such host"):
        store.pull(PUBLIC)


def test_pulled_image_is_recorded_as_ours_to_remove(
    store: ImageStore, node: Recipe, pins: Pins, cache: Cache, docker_images: Any
) -> None:
    """A pull by digest answers with the public image and records that Seatrial pulled it."""
    docker_images.add(PUBLIC, {}, image_id="sha256:9")
    docker_images.published[PUBLIC] = docker_images.known.pop(PUBLIC)
    image = PullSource(store, pins, cache, SilentProgress()).get(node)
    assert image is not None
    assert docker_images.pulled == [PUBLIC]
    assert (image.reference, image.provenance.version, image.provenance.source) == (PUBLIC, "v1.34.8", "download")
    assert [entry.key for entry in cache.entries()] == [f"v1.34.8-{'a' * 12}"]


def test_public_image_in_the_engine_is_used_without_a_pull(
    store: ImageStore, node: Recipe, pins: Pins, docker_images: Any
) -> None:
    """What was pulled before, by whomever, is found by its digest."""
    docker_images.add(PUBLIC, {})
    image = EngineStoreSource(store, pins).get(node)
    assert image is not None
    assert image.reference == PUBLIC
    assert docker_images.pulled == []


def test_engine_without_the_image_has_none(store: ImageStore, node: Recipe, pins: Pins) -> None:
    """An empty engine answers nothing."""
    assert EngineStoreSource(store, pins).get(node) is None


class TestOthers:
    """Images that are no artifacts: bases, node images of the user's choice."""

    def test_are_pulled_and_recorded_as_ours_to_remove(
        self, store: ImageStore, cache: Cache, docker_images: Any
    ) -> None:
        """A prune removes what Seatrial pulled, and another one of what is not asked for any more keeps it."""
        docker_images.add("example/base:1", {}, image_id="sha256:5")
        docker_images.published["example/base:1"] = docker_images.known.pop("example/base:1")
        OtherImages(store, cache, may_pull=True).pull("example/base:1")
        assert docker_images.pulled == ["example/base:1"]
        ((name, digest, origin),) = [
            (entry.name, entry.record.provenance.digest, entry.record.provenance.origin)
            for entry in cache.entries()
            if entry.record is not None
        ]
        assert (name, digest, origin) == ("pulled-image", "sha256:5", "example/base:1")

    def test_are_not_pulled_where_that_is_switched_off(
        self, store: ImageStore, cache: Cache, docker_images: Any
    ) -> None:
        """No registry is asked, and the error says what forbids it and how to get the image."""
        with pytest.raises(SupplyError) as caught:
            OtherImages(store, cache, may_pull=False).pull("example/base:1")
        for words in ("use image example/base:1", "--offline or --no-download", "docker pull example/base:1"):
            assert words in str(caught.value)
        assert docker_images.pulled == []

    def test_that_no_registry_delivers_are_not_recorded(self, store: ImageStore, cache: Cache) -> None:
        """Nothing is there to be removed."""
        with pytest.raises(DownloadError, match="no such host"):
            OtherImages(store, cache, may_pull=True).pull("example/base:1")
        assert cache.entries() == []


class TestGiven:
    """A reference the user gave."""

    @pytest.fixture
    def source(self, store: ImageStore, cache: Cache) -> Callable[..., GivenImageSource]:
        """Return a function that makes the source, which may pull or not."""

        def make(given: dict[str, str], *, may_pull: bool = True) -> GivenImageSource:
            return GivenImageSource(given, store, OtherImages(store, cache, may_pull=may_pull), SilentProgress())

        return make

    def test_in_the_engine_is_used(
        self, source: Callable[..., GivenImageSource], node: Recipe, docker_images: Any
    ) -> None:
        """An image the engine has is used as it is."""
        docker_images.add("mine:1", {}, image_id="sha256:5")
        image = source({"node": "mine:1"}, may_pull=False).get(node)
        assert image is not None
        assert (image.reference, image.provenance.source, image.provenance.digest) == ("mine:1", "given", "sha256:5")

    def test_elsewhere_is_pulled(
        self, source: Callable[..., GivenImageSource], node: Recipe, docker_images: Any
    ) -> None:
        """An image the engine lacks is pulled when that is allowed."""
        docker_images.add("mine:1", {})
        docker_images.published["mine:1"] = docker_images.known.pop("mine:1")
        image = source({"node": "mine:1"}).get(node)
        assert image is not None
        assert docker_images.pulled == ["mine:1"]

    def test_elsewhere_is_an_error_when_pulling_is_off(
        self, source: Callable[..., GivenImageSource], node: Recipe
    ) -> None:
        """A reference that cannot be had is said, not passed over."""
        with pytest.raises(SupplyError, match="docker pull mine:1"):
            source({"node": "mine:1"}, may_pull=False).get(node)

    def test_answers_only_for_what_was_given(self, source: Callable[..., GivenImageSource], node: Recipe) -> None:
        """Nothing given means that the next source is asked."""
        assert source({}).get(node) is None


def test_client_is_closed_whatever_happens(cache: Cache, node: Recipe) -> None:
    """Connections to the engine do not pile up."""
    closed: list[bool] = []

    class Images:
        def get(self, reference: str) -> None:
            raise ConnectionError(reference)

    class Client:
        images = Images()

        def close(self) -> None:
            closed.append(True)

    class Engine:
        def client(self) -> Client:
            return Client()

    with pytest.raises(ConnectionError):
        ImageStore(Engine, cache).find(node.reference)  # type: ignore[arg-type]  # only client() is used
    assert closed == [True]
