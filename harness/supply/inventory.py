"""What supply has: listing it, checking it, removing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

from harness.errors import EngineError, SeatrialError, SupplyError
from harness.supply.cache import Cache, Entry
from harness.supply.image_store import PULLED, ImageStore, StoredImage
from harness.supply.pins import Pins
from harness.supply.provenance import Record
from harness.supply.recipe import Makes, Recipes

State = Literal["current", "stale", "damaged", "missing", "unknown"]


@dataclass(frozen=True)
class Item:
    """One artifact that is there, or that could be.

    Args:
        name: the artifact's name.
        kind: what it is.
        state: ``current`` is what the recipes and pins of today ask for, ``stale`` is left over from others,
            ``damaged`` has no readable record, ``missing`` is not there, ``unknown`` could not be looked at.
        version: upstream's version.
        source: where it came from; empty when it is not there.
        digest: ``sha256:...`` of the file or the image id.
        size_bytes: its size.
        made_at: seconds since the epoch.
        location: path or image reference.
        usual_s: seconds a build usually takes, for what is missing.
    """

    name: str
    kind: Makes
    state: State
    version: str
    source: str = ""
    digest: str = ""
    size_bytes: int = 0
    made_at: float = 0.0
    location: str = ""
    usual_s: float = 0.0


@dataclass(frozen=True)
class Pruned:
    """What a prune did.

    Args:
        removed: locations that are gone.
        freed_bytes: their sizes together; images that share layers count each in full.
        kept: (location, reason) of what could not be removed.
        unseen: why images were not looked at; empty when they were.
    """

    removed: list[str] = field(default_factory=list)
    freed_bytes: int = 0
    kept: list[tuple[str, str]] = field(default_factory=list)
    unseen: str = ""


class Inventory:
    """Knows what is in the cache and in the engine.

    Args:
        recipes: what is asked for today.
        pins: what would be downloaded today.
        cache: programs and files, and provenance of images.
        store: the engine's images.
    """

    def __init__(self, recipes: Recipes, pins: Pins, cache: Cache, store: ImageStore) -> None:
        self._recipes = recipes
        self._pins = pins
        self._cache = cache
        self._store = store

    def items(self) -> list[Item]:
        """Return everything that is there or missing: programs, files, images, by name; works without an engine."""
        there = [self._kept_item(entry) for entry in self._kept_entries()]
        try:
            there += [self._image_item(*row) for row in self._store.supplied()]
            there += [item for _, item in self._pulled()]
            unseen: State = "missing"
        except (EngineError, SupplyError):
            unseen = "unknown"
        current = {item.name for item in there if item.state == "current"}
        absent = [
            Item(
                name=recipe.name,
                kind=recipe.makes,
                state=unseen if recipe.makes == "image" else "missing",
                version=recipe.version,
                usual_s=recipe.usual_s,
            )
            for recipe in map(self._recipes.get, self._recipes.names())
            if recipe.name not in current
        ]
        return sorted(
            [*there, *absent],
            key=lambda item: (get_args(Makes).index(item.kind), item.name, item.state, item.location),
        )

    def verify(self) -> list[tuple[Item, str]]:
        """Read every program and file in full and look at every image; return each with its problem, empty when sound.

        Raises:
            EngineError: images cannot be looked at without an engine.
        """
        checked = [(self._kept_item(entry), entry.problem()) for entry in self._kept_entries()]
        for name, reference, stored in self._store.supplied():
            recorded = self._cache.provenance(name, _key(reference))
            changed = recorded is not None and recorded.digest != stored.image_id
            problem = (
                f"the engine has {stored.image_id} under this name, recorded was {recorded.digest}"
                if (recorded and changed)
                else ""
            )
            checked.append((self._image_item(name, reference, stored), problem))
        return [*checked, *((item, "") for _, item in self._pulled())]

    def prune(self, *, stale_only: bool = False) -> Pruned:
        """Remove what supply made: programs, files, images it built or pulled, logs, Go's caches and work directories.

        Images and programs that were there before Seatrial are not touched.

        Args:
            stale_only: keep what today's recipes and pins ask for, and Go's caches.
        """
        removed: list[str] = []
        kept: list[tuple[str, str]] = []
        freed, unseen = 0, ""
        removals = [self._kept_removal(entry) for entry in self._kept_entries()]
        try:
            removals += self._image_removals()
        except EngineError as error:
            unseen = _reason(error)
        except SupplyError as error:
            kept.append(("images in the engine", _reason(error)))
        for item, remove in removals:
            if stale_only and item.state == "current":
                continue
            try:
                remove()
            except (EngineError, SupplyError) as error:
                kept.append((item.location, _reason(error)))
            else:
                removed.append(item.location)
                freed += item.size_bytes
        self._cache.remove_stale_workdirs()
        if not stale_only and self._cache.busy():
            kept.append((str(self._cache.root), "another run is building something"))
        elif not stale_only:
            self._prune_the_rest()
        return Pruned(removed, freed, kept, unseen)

    def _prune_the_rest(self) -> None:
        for entry in self._cache.entries():
            if entry.record is not None and not entry.record.file:
                self._cache.remove(entry)
        self._cache.remove_everything_else()

    def _kept_entries(self) -> list[Entry]:
        """Return what lies in the cache itself: programs and directories of files."""
        return [entry for entry in self._cache.entries() if entry.record is None or entry.record.file]

    def _pulled(self) -> list[tuple[Entry, Item]]:
        """Return the images that supply pulled and the engine still has."""
        found = []
        for entry in self._cache.entries():
            record = entry.record
            if record is None or record.file or record.provenance.source != "download":
                continue
            if self._store.find(record.provenance.origin) is not None:
                state: State = "current" if self._is_current(entry.name, entry.key) else "stale"
                found.append((entry, _item(record, "image", state, record.provenance.origin)))
        return found

    def _kept_removal(self, entry: Entry) -> tuple[Item, Callable[[], None]]:
        return self._kept_item(entry), lambda: self._cache.remove(entry)

    def _image_removals(self) -> list[tuple[Item, Callable[[], None]]]:
        removals = [
            (self._image_item(*row), self._image_removal(row[1], self._cache.entry(row[0], _key(row[1]))))
            for row in self._store.supplied()
        ]
        return removals + [(item, self._image_removal(item.location, entry)) for entry, item in self._pulled()]

    def _image_removal(self, reference: str, record: Entry | None) -> Callable[[], None]:
        def remove() -> None:
            self._store.remove(reference)
            if record is not None:
                self._cache.remove(record)

        return remove

    def _kept_item(self, entry: Entry) -> Item:
        if entry.record is None:
            kind = self._recipes.get(entry.name).makes if entry.name in self._recipes.names() else "program"
            version = entry.key.rpartition("-")[0]
            return Item(entry.name, kind, "damaged", version, location=str(entry.directory))
        path = entry.directory / entry.record.file
        state: State = "current" if self._is_current(entry.name, entry.key) else "stale"
        return _item(entry.record, "files" if path.is_dir() else "program", state, str(path))

    def _image_item(self, name: str, reference: str, stored: StoredImage) -> Item:
        return Item(
            name=name,
            kind="image",
            state="current" if self._is_current(name, _key(reference)) else "stale",
            version=_key(reference).rpartition("-")[0],
            source="build",
            digest=stored.image_id,
            size_bytes=stored.size_bytes,
            made_at=stored.made_at,
            location=reference,
        )

    def _is_current(self, name: str, key: str) -> bool:
        if name == PULLED:
            return True  # no pin says that it is not asked for any more
        if name not in self._recipes.names():
            return False
        recipe = self._recipes.get(name)
        file, image = self._pins.published_file(name, recipe.arch), self._pins.published_image(name)
        return key in {recipe.key, file.key if file else "", image.key if image else ""}


def _item(record: Record, kind: Makes, state: State, location: str) -> Item:
    provenance = record.provenance
    return Item(
        name=provenance.name,
        kind=kind,
        state=state,
        version=provenance.version,
        source=provenance.source,
        digest=provenance.digest,
        size_bytes=record.size_bytes,
        made_at=provenance.made_at,
        location=location,
    )


def _key(reference: str) -> str:
    return reference.rpartition(":")[2]


def _reason(error: SeatrialError) -> str:
    return (error.seen or error.attempted).splitlines()[0]
