"""Programs and images built from package registries, by their recipes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

from harness.errors import SupplyError
from harness.naming import LABEL_ARTIFACT, LABEL_RECIPE
from harness.progress import Progress
from harness.supply.artifact import Image, Program, Provenance, SourceName
from harness.supply.builders.protocol import Build, BuildLog, ImageBuilder, ProgramBuilder
from harness.supply.cache import Cache, cache_errors
from harness.supply.image_store import ImageStore
from harness.supply.provenance import file_digest
from harness.supply.recipe import Recipe, RecipeKind, Recipes

_MINUTE_S = 60


def _offer(recipe: Recipe) -> str:
    usual = f" (about {max(1, round(recipe.usual_s / _MINUTE_S))} min)" if recipe.usual_s else ""
    return f"let Seatrial build {recipe.version} from package registries{usual}"


@contextlib.contextmanager
def _opened(
    cache: Cache, recipe: Recipe, programs: Mapping[str, Program], images: Mapping[str, Image]
) -> Iterator[Build]:
    """Give a build its work directory and its log; the log of an earlier attempt is kept until then."""
    path = cache.log_path(recipe.name, recipe.key)
    with cache_errors(f"write the log '{path}'", cache.root):
        path.unlink(missing_ok=True)
        log = BuildLog(path)
    with contextlib.closing(log), cache.workdir(recipe.name) as workdir:
        yield Build(recipe, programs, images, workdir, log)


class ProgramBuildSource:
    """Builds programs.

    Args:
        recipes: where needed recipes are looked up.
        builders: the builder for each kind of recipe.
        cache: where programs go.
        progress: told while it takes.
    """

    name: SourceName = "build"
    is_local = False

    def __init__(
        self, recipes: Recipes, builders: Mapping[RecipeKind, ProgramBuilder], cache: Cache, progress: Progress
    ) -> None:
        self._recipes = recipes
        self._builders = builders
        self._cache = cache
        self._progress = progress

    def offer(self, recipe: Recipe) -> str:
        """See :meth:`Source.offer`."""
        return _offer(recipe) if recipe.kind in self._builders else ""

    def get(self, recipe: Recipe) -> Program | None:
        """See :meth:`Source.get`; what the recipe needs is built first."""
        if recipe.kind not in self._builders:
            return None
        programs = {need: self.made(need) for need in recipe.needs}
        with self._cache.lock(recipe.name, recipe.key):
            # Another run may have finished it while this one waited for the lock.
            return self._cache.find(recipe.name, recipe.key) or self._build(recipe, programs)

    def made(self, name: str) -> Program:
        """Return the program made by recipe `name`, from the cache or by building it.

        What goes into other artifacts is always this: a program from elsewhere is not covered by their digests.
        """
        recipe = self._recipes.get(name)
        program = self._cache.find(recipe.name, recipe.key) or self.get(recipe)
        if program is None:
            raise SupplyError(f"build {name}", seen=f"nothing here builds recipes of kind '{recipe.kind}'")
        return program

    def _build(self, recipe: Recipe, programs: Mapping[str, Program]) -> Program:
        builder = self._builders[recipe.kind]
        with (
            self._progress.step(f"build {recipe.name} {recipe.version}", usual_s=recipe.usual_s),
            _opened(self._cache, recipe, programs, {}) as build,
        ):
            file = builder.build(build)
            provenance = Provenance(
                name=recipe.name,
                version=recipe.version,
                source="build",
                origin=f"recipe {recipe.name}",
                digest=file_digest(file),
                recipe=recipe.digest,
                made_at=time.time(),
                how=builder.describe(recipe),
            )
            return self._cache.put_program(recipe.key, file, provenance)


class ImageBuildSource:
    """Builds images in the engine.

    Args:
        recipes: where needed recipes are looked up.
        builders: the builder for each kind of recipe.
        programs: builds the programs that go into images.
        store: the engine's images.
        cache: where logs and provenance go.
        progress: told while it takes.
    """

    name: SourceName = "build"
    is_local = False

    def __init__(
        self,
        recipes: Recipes,
        builders: Mapping[RecipeKind, ImageBuilder],
        programs: ProgramBuildSource,
        store: ImageStore,
        cache: Cache,
        progress: Progress,
    ) -> None:
        self._recipes = recipes
        self._builders = builders
        self._programs = programs
        self._store = store
        self._cache = cache
        self._progress = progress

    def offer(self, recipe: Recipe) -> str:
        """See :meth:`Source.offer`."""
        return _offer(recipe) if recipe.kind in self._builders else ""

    def get(self, recipe: Recipe) -> Image | None:
        """See :meth:`Source.get`; what the recipe needs is built first."""
        if recipe.kind not in self._builders:
            return None
        needed = [self._recipes.get(name) for name in recipe.needs]
        programs = {need.name: self._programs.made(need.name) for need in needed if need.is_program}
        images = {need.name: self._made(need) for need in needed if not need.is_program}
        with self._cache.lock(recipe.name, recipe.key):
            return self._store.built(recipe) or self._build(recipe, programs, images)

    def _made(self, recipe: Recipe) -> Image:
        image = self._store.built(recipe) or self.get(recipe)
        if image is None:
            raise SupplyError(f"build {recipe.name}", seen=f"nothing here builds recipes of kind '{recipe.kind}'")
        return image

    def _build(self, recipe: Recipe, programs: Mapping[str, Program], images: Mapping[str, Image]) -> Image:
        builder = self._builders[recipe.kind]
        labels = {LABEL_RECIPE: recipe.digest, LABEL_ARTIFACT: recipe.name}
        with (
            self._progress.step(f"build image {recipe.name} {recipe.version}", usual_s=recipe.usual_s),
            _opened(self._cache, recipe, programs, images) as build,
        ):
            builder.build(build, tag=recipe.reference, labels=labels)
            stored = self._store.find(recipe.reference)
            if stored is None or stored.labels.get(LABEL_RECIPE) != recipe.digest:
                raise build.error(f"the engine does not know {recipe.reference} with this recipe's label afterwards")
            provenance = Provenance(
                name=recipe.name,
                version=recipe.version,
                source="build",
                origin=f"recipe {recipe.name}",
                digest=stored.image_id,
                recipe=recipe.digest,
                made_at=time.time(),
                how=builder.describe(recipe),
            )
            self._cache.put_record(recipe.key, provenance, size_bytes=stored.size_bytes)
        return Image(recipe.reference, provenance)
