"""Images that need no building: the user's own, what the engine has, and public ones by digest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping

from harness.errors import SupplyError
from harness.progress import Progress
from harness.supply.artifact import Image, Provenance, SourceName
from harness.supply.cache import Cache
from harness.supply.image_store import PULLED, ImageStore, StoredImage, image_provenance
from harness.supply.pins import Pins
from harness.supply.recipe import Recipe


class OtherImages:
    """Images that are no artifacts: what a Dockerfile starts from, what the user gave in an artifact's place.

    Args:
        store: the engine's images.
        cache: where it is recorded that a pull was Seatrial's, so that a prune may undo it.
        may_pull: whether anything may be pulled.
    """

    def __init__(self, store: ImageStore, cache: Cache, *, may_pull: bool) -> None:
        self._store = store
        self._cache = cache
        self._may_pull = may_pull

    def pull(self, reference: str) -> StoredImage:
        """Pull an image that the engine does not have.

        Raises:
            SupplyError: pulling is switched off, or the registry did not deliver.
        """
        if not self._may_pull:
            raise SupplyError(
                f"use image {reference}",
                seen="the engine does not have it, and pulling is switched off (--offline or --no-download)",
                hint=f"docker pull {reference}, or allow downloads",
            )
        stored = self._store.pull(reference)
        provenance = Provenance(
            name=PULLED,
            version="unknown",
            source="download",
            origin=reference,
            digest=stored.image_id,
            recipe="",
            made_at=time.time(),
            how="pulled because the engine did not have it",
        )
        key = f"unknown-{hashlib.sha256(reference.encode()).hexdigest()[:12]}"
        with self._cache.lock(PULLED, key):
            self._cache.put_record(key, provenance, size_bytes=stored.size_bytes)
        return stored


class GivenImageSource:
    """Answers with the reference the user gave.

    Args:
        given: artifact name -> reference.
        store: the engine's images.
        others: pulls a reference that the engine does not know.
        progress: told while a pull takes.
    """

    name: SourceName = "given"
    is_local = True

    def __init__(self, given: Mapping[str, str], store: ImageStore, others: OtherImages, progress: Progress) -> None:
        self._given = given
        self._store = store
        self._others = others
        self._progress = progress

    def offer(self, recipe: Recipe) -> str:
        """See :meth:`Source.offer`."""
        return f"give the reference of your own {recipe.name} image"

    def get(self, recipe: Recipe) -> Image | None:
        """See :meth:`Source.get`."""
        reference = self._given.get(recipe.name)
        if reference is None:
            return None
        stored = self._store.find(reference)
        if stored is None:
            with self._progress.step(f"pull {reference} as {recipe.name}"):
                stored = self._others.pull(reference)
        how = "the reference was given by the user"
        provenance = image_provenance(recipe, stored, source="given", origin=reference, how=how, version="unknown")
        return Image(reference, provenance)


class EngineStoreSource:
    """Answers with what an earlier pull or build left in the engine.

    Args:
        store: the engine's images.
        pins: what would be pulled.
    """

    name: SourceName = "cache"
    is_local = True

    def __init__(self, store: ImageStore, pins: Pins) -> None:
        self._store = store
        self._pins = pins

    def offer(self, recipe: Recipe) -> str:  # noqa: ARG002 - nobody can ask a store to have something
        """See :meth:`Source.offer`."""
        return ""

    def get(self, recipe: Recipe) -> Image | None:
        """See :meth:`Source.get`."""
        published = self._pins.published_image(recipe.name)
        if published is not None:
            stored = self._store.find(published.reference)
            if stored is not None:
                how = "public image, pulled before, named by digest"
                return Image(
                    published.reference,
                    image_provenance(
                        recipe, stored, source="cache", origin=published.reference, how=how, version=published.version
                    ),
                )
        return self._store.built(recipe)


class PullSource:
    """Answers with the pinned public image.

    Args:
        store: the engine's images.
        pins: what is published under which digest.
        cache: where it is recorded that the pull was Seatrial's, so that a prune may undo it.
        progress: told while it takes.
    """

    name: SourceName = "download"
    is_local = False

    def __init__(self, store: ImageStore, pins: Pins, cache: Cache, progress: Progress) -> None:
        self._store = store
        self._pins = pins
        self._cache = cache
        self._progress = progress

    def offer(self, recipe: Recipe) -> str:
        """See :meth:`Source.offer`."""
        published = self._pins.published_image(recipe.name)
        return f"let Seatrial pull {published.reference}" if published else ""

    def get(self, recipe: Recipe) -> Image | None:
        """See :meth:`Source.get`."""
        published = self._pins.published_image(recipe.name)
        if published is None:
            return None
        with self._progress.step(f"pull {recipe.name} {published.version}"):
            stored = self._store.pull(published.reference)
        how = "public image, named by digest"
        provenance = image_provenance(
            recipe, stored, source="download", origin=published.reference, how=how, version=published.version
        )
        with self._cache.lock(recipe.name, published.key):
            self._cache.put_record(published.key, provenance, size_bytes=stored.size_bytes)
        return Image(published.reference, provenance)
