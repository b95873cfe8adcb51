"""The engine's own store of images, as far as supply put them there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import requests

from harness.engine.engine import Engine
from harness.errors import DownloadError, SupplyError
from harness.naming import LABEL_ARTIFACT, LABEL_RECIPE
from harness.supply.artifact import Image, Provenance, SourceName
from harness.supply.cache import Cache
from harness.supply.recipe import Recipe

if TYPE_CHECKING:
    import docker

# The name under which is recorded what was pulled and is no artifact: base images, node images of the user's choice.
PULLED = "pulled-image"

# Repository of every image supply builds. A label alone does not tell: what users build on top inherits labels.
_REPOSITORY = "seatrial/"


@dataclass(frozen=True)
class StoredImage:
    """An image the engine has.

    Args:
        image_id: the engine's content id, ``sha256:...``.
        tags: its names.
        labels: its labels, inherited ones included.
        size_bytes: its size, shared layers counted in.
        made_at: seconds since the epoch.
    """

    image_id: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    size_bytes: int
    made_at: float

    def supplied_as(self) -> list[tuple[str, str]]:
        """Return (artifact name, reference) for each name that supply gave to this image."""
        name = self.labels.get(LABEL_ARTIFACT, "")
        return [(name, tag) for tag in self.tags if name and tag.startswith(f"{_REPOSITORY}{name}:")]


class ImageStore:
    """Finds, pulls and removes images in the engine.

    Args:
        engine: gives the engine when it is first needed; raises EngineError when there is none.
        cache: where the provenance of built images is kept.
    """

    def __init__(self, engine: Callable[[], Engine], cache: Cache) -> None:
        self._engine = engine
        self._cache = cache

    def find(self, reference: str) -> StoredImage | None:
        """Return the image called `reference` (a tag, an id or ``NAME@sha256:...``), or ``None``."""
        from docker.errors import ImageNotFound  # noqa: PLC0415 - slow, and programs need no engine

        with self._client(f"look for image {reference}") as client:
            try:
                return _stored(client.images.get(reference).attrs)
            except ImageNotFound:
                return None

    def built(self, recipe: Recipe) -> Image | None:
        """Return the image that this very recipe made, or ``None``."""
        stored = self.find(recipe.reference)
        if stored is None or stored.labels.get(LABEL_RECIPE) != recipe.digest:
            return None
        recorded = self._cache.provenance(recipe.name, recipe.key)
        if recorded is not None and recorded.digest == stored.image_id:
            return Image(recipe.reference, replace(recorded, source="cache"))
        # Made with another cache directory: the label vouches for the recipe, the record of the making is not here.
        how = f"{recipe.what}; found in the engine, built there by another cache directory's owner"
        provenance = image_provenance(recipe, stored, source="cache", origin=f"recipe {recipe.name}", how=how)
        return Image(recipe.reference, replace(provenance, recipe=recipe.digest))

    def pull(self, reference: str) -> StoredImage:
        """Pull `reference` from its registry; a ``NAME@sha256:...`` is checked by the engine.

        Raises:
            DownloadError: the registry did not deliver.
        """
        from docker.errors import APIError  # noqa: PLC0415 - as above

        attempted = f"pull image {reference}"
        with self._client(attempted) as client:
            repository, at, digest = reference.partition("@")
            try:
                client.images.pull(repository, tag=digest) if at else client.images.pull(reference)
            except APIError as error:
                hint = "check that the engine reaches the registry, or give an image it already has"
                raise DownloadError(attempted, seen=str(error.explanation or error), hint=hint) from error
        stored = self.find(reference)
        if stored is None:
            raise DownloadError(
                attempted,
                seen="the engine does not know it after the pull",
                hint="does something else remove images there, e.g. `docker image prune`? try again",
            )
        return stored

    def supplied(self) -> list[tuple[str, str, StoredImage]]:
        """Return (artifact name, reference, image) for everything that supply built and the engine still has."""
        with self._client("list images") as client:
            images = [_stored(image.attrs) for image in client.images.list(filters={"label": LABEL_ARTIFACT})]
        return sorted(
            ((name, reference, image) for image in images for name, reference in image.supplied_as()),
            key=lambda row: row[:2],
        )

    def remove(self, reference: str) -> None:
        """Remove the name `reference`, and the image with it unless it has other names or users.

        Raises:
            SupplyError: a container uses it.
        """
        from docker.errors import ImageNotFound  # noqa: PLC0415 - as above

        with self._client(f"remove image {reference}") as client, contextlib.suppress(ImageNotFound):
            client.images.remove(reference)

    @contextlib.contextmanager
    def _client(self, attempted: str) -> Iterator[docker.DockerClient]:
        from docker.errors import DockerException  # noqa: PLC0415 - as above

        client = self._engine().client()
        try:
            yield client
        except DockerException as error:
            raise SupplyError(
                attempted,
                seen=str(error),
                hint="does the engine answer (`docker info`), and does a container use the image (`docker ps -a`)?",
            ) from error
        except requests.RequestException as error:  # the SDK lets these through when the engine goes away
            raise SupplyError(attempted, seen=str(error), hint="check that the Docker engine still runs") from error
        finally:
            client.close()


def image_provenance(
    recipe: Recipe, stored: StoredImage, *, source: SourceName, origin: str, how: str, version: str | None = None
) -> Provenance:
    """Describe an image the engine has."""
    return Provenance(
        name=recipe.name,
        version=version or recipe.version,
        source=source,
        origin=origin,
        digest=stored.image_id,
        recipe="",
        made_at=stored.made_at,
        how=how,
    )


def _stored(inspected: Mapping[str, Any]) -> StoredImage:
    # Docker prints nanoseconds; Python reads microseconds.
    created = inspected.get("Created") or ""
    return StoredImage(
        image_id=inspected["Id"],
        tags=tuple(inspected.get("RepoTags") or ()),
        labels=(inspected.get("Config") or {}).get("Labels") or {},
        size_bytes=inspected.get("Size", 0),
        made_at=datetime.fromisoformat(f"{created[:19]}+00:00").timestamp() if created else 0.0,
    )
