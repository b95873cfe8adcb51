"""The resolver: one ordered list of sources for programs, one for files, one for images; the first answer wins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from harness.errors import (
    DigestMismatchError,
    DownloadError,
    EngineError,
    MissingArtifactsError,
    SeatrialError,
    SupplyError,
)
from harness.settings.model import SupplySettings
from harness.supply.artifact import Chart, Files, Image, Program
from harness.supply.inventory import Inventory, Item, Pruned
from harness.supply.recipe import Recipe, Recipes
from harness.supply.sources.images import OtherImages
from harness.supply.sources.protocol import Source

T = TypeVar("T", Program, Files, Image)


class Supply:
    """Hands out programs, directories of files (charts among them) and images.

    Each is resolved once; later calls return the same value. Safe to call from several threads.

    Args:
        settings: what is allowed.
        recipes: every artifact there is.
        programs: sources of programs, in the order they are asked.
        files: sources of directories of files, in the order they are asked.
        images: sources of images, in the order they are asked.
        others: images that are no artifacts.
        inventory: what is there already.
        say: told, in one sentence, when a source failed and the next is asked.
    """

    def __init__(
        self,
        settings: SupplySettings,
        recipes: Recipes,
        programs: Sequence[Source[Program]],
        files: Sequence[Source[Files]],
        images: Sequence[Source[Image]],
        others: OtherImages,
        inventory: Inventory,
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._recipes = recipes
        self._programs = programs
        self._files = files
        self._images = images
        self._others = others
        self._inventory = inventory
        self._say = say
        self._known_programs: dict[str, Program] = {}
        self._known_files: dict[str, Files] = {}
        self._known_images: dict[str, Image] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return the names of everything that can be asked for."""
        return self._recipes.names()

    def key(self) -> str:
        """Return what is the same as long as the same things would be supplied: for keeping them elsewhere."""
        return self._recipes.key()

    def get(self, name: str) -> Program | Files | Image:
        """Return artifact `name`, whatever it is.

        Raises:
            SupplyError: as :meth:`program`, :meth:`files` and :meth:`image` do.
            EngineError: it is an image, and there is no engine.
        """
        makes = self._recipes.get(name).makes
        return self.program(name) if makes == "program" else self.files(name) if makes == "files" else self.image(name)

    def program(self, name: str) -> Program:
        """Return program `name`; no engine is needed.

        Raises:
            MissingArtifactsError: no source that may be used has it.
            DigestMismatchError: a source delivered something else than what is pinned; no other source is asked.
            SupplyError: the last source that may be used failed.
        """
        return self._remembered(name, self._programs, self._known_programs)

    def files(self, name: str) -> Files:
        """Return the directory of files `name`; no engine is needed.

        Raises:
            MissingArtifactsError: no source that may be used has it.
            DigestMismatchError: a source delivered something else than what is pinned; no other source is asked.
            SupplyError: the last source that may be used failed.
        """
        return self._remembered(name, self._files, self._known_files)

    def chart(self, name: str) -> Chart:
        """Return Helm chart `name` with the images its pods ask for; the images themselves are got by :meth:`image`.

        Raises:
            SupplyError: it is no chart, or as :meth:`files`.
        """
        recipe = self._recipes.get(name)
        if recipe.kind != "chart":
            charts = ", ".join(one for one in self._recipes.names() if self._recipes.get(one).kind == "chart")
            seen = f"its recipe is of kind '{recipe.kind}'"
            raise SupplyError(f"use {name} as a chart", seen=seen, hint=f"charts are: {charts}")
        files = self.files(name)
        # Only what was made by a recipe is known to ask for the recipe's images.
        published = not files.provenance.recipe
        images = {} if published else recipe.options.get("images", {})
        return Chart(
            path=files.path,
            images={recipe.fill(reference): image for reference, image in images.items()},
            published=published,
            provenance=files.provenance,
        )

    def image(self, name: str) -> Image:
        """Return image `name`, present in the engine.

        Raises:
            EngineError: there is no engine.
            MissingArtifactsError: no source that may be used has it.
            SupplyError: the last source that may be used failed.
        """
        return self._remembered(name, self._images, self._known_images)

    def pull(self, reference: str) -> None:
        """Pull an image that is no artifact and that the engine does not have; a prune removes it.

        Raises:
            EngineError: there is no engine.
            SupplyError: pulling is switched off, or the registry did not deliver.
        """
        self._others.pull(reference)

    def require(self, names: Iterable[str]) -> None:
        """Check that everything in `names` is there or may be fetched or built; nothing is fetched or built.

        Raises:
            MissingArtifactsError: some are neither; it lists all of them with how to get each.
            EngineError: there is no engine, and nothing but images may be missing.
        """
        missing: list[tuple[str, str]] = []
        unseen: SeatrialError | None = None
        for name in names:
            recipe = self._recipes.get(name)
            how = ""
            if recipe.makes == "program":
                how = self._missing(recipe, self._programs)
            elif recipe.makes == "files":
                how = self._missing(recipe, self._files)
            elif unseen is None:
                try:
                    how = self._missing(recipe, self._images)
                except (EngineError, SupplyError) as error:
                    unseen = error
            if how:
                missing.append((name, how))
        if missing:
            raise MissingArtifactsError(missing, because=self._because(), unseen=unseen) from unseen
        if unseen is not None:
            raise unseen

    def used(self) -> list[Program | Files | Image]:
        """Return everything handed out so far, for the evidence."""
        with self._lock:
            return [*self._known_programs.values(), *self._known_files.values(), *self._known_images.values()]

    def items(self) -> list[Item]:
        """Return every artifact there is or could be; see :meth:`Inventory.items`."""
        return self._inventory.items()

    def verify(self) -> list[tuple[Item, str]]:
        """Return every artifact that is there with what is wrong with it; see :meth:`Inventory.verify`."""
        return self._inventory.verify()

    def prune(self, *, stale_only: bool = False) -> Pruned:
        """Remove artifacts; see :meth:`Inventory.prune`."""
        with self._lock:
            self._known_programs.clear()
            self._known_files.clear()
            self._known_images.clear()
        return self._inventory.prune(stale_only=stale_only)

    def _remembered(self, name: str, sources: Sequence[Source[T]], known: dict[str, T]) -> T:
        with self._lock:
            if name in known:
                return known[name]
        found = self._resolve(self._recipes.get(name), sources)
        with self._lock:
            return known.setdefault(name, found)

    def _resolve(self, recipe: Recipe, sources: Sequence[Source[T]]) -> T:
        failed: DownloadError | None = None
        for source in sources:
            if not self._may_use(source):
                continue
            try:
                found = source.get(recipe)
            except DigestMismatchError:
                # Not a network that is down but a file that was changed: the user must know, not be helped past it.
                raise
            except DownloadError as error:
                failed = error
                self._say(f"{recipe.name}: could not {error.attempted}: {error.seen.splitlines()[0]}")
                continue
            if found is not None:
                return found
        if failed is not None:
            raise failed
        raise MissingArtifactsError([(recipe.name, self._offers(recipe, sources))], because=self._because())

    def _missing(self, recipe: Recipe, sources: Sequence[Source[T]]) -> str:
        """Return how to get an artifact that cannot be had as things are, or an empty string when it can."""
        for source in sources:
            if source.is_local:
                if source.get(recipe) is not None:
                    return ""
            elif self._may_use(source) and source.offer(recipe):
                return ""
        return self._offers(recipe, sources)

    def _may_use(self, source: Source[T]) -> bool:
        if source.is_local:
            return True
        if self._settings.offline:
            return False
        return self._settings.build if source.name == "build" else self._settings.download

    @staticmethod
    def _offers(recipe: Recipe, sources: Sequence[Source[T]]) -> str:
        return "; or ".join(offer for source in sources if (offer := source.offer(recipe)))

    def _because(self) -> str:
        if self._settings.offline:
            return "offline: neither downloads nor builds"
        off = [
            word for word, on in (("downloads", self._settings.download), ("builds", self._settings.build)) if not on
        ]
        return f"{' and '.join(off)} switched off" if off else "no source has it"
