"""Programs, files and images built from package registries, by their recipes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

from harness.errors import SupplyError
from harness.naming import LABEL_ARTIFACT, LABEL_RECIPE
from harness.progress import Progress
from harness.supply.artifact import Files, Image, Program, Provenance, SourceName
from harness.supply.builders.protocol import Build, BuildLog, FilesBuilder, ImageBuilder, ProgramBuilder
from harness.supply.cache import Cache, cache_errors
from harness.supply.image_store import ImageStore
from harness.supply.provenance import content_digest
from harness.supply.recipe import Recipe, RecipeKind, Recipes

_MINUTE_S = 60


def _offer(recipe: Recipe) -> str:
    usual = f" (about {max(1, round(recipe.usual_s / _MINUTE_S))} min)" if recipe.usual_s else ""
    return f"let Seatrial build {recipe.version} from package registries{usual}"


def _provenance(recipe: Recipe, *, digest: str, how: str) -> Provenance:
    return Provenance(
        name=recipe.name,
        version=recipe.version,
        source="build",
        origin=f"recipe {recipe.name}",
        digest=digest,
        recipe=recipe.digest,
        made_at=time.time(),
        how=how,
    )


def _no_builder(recipe: Recipe) -> SupplyError:
    return SupplyError(
        f"build {recipe.name}",
        seen=f"nothing here builds recipes of kind '{recipe.kind}'",
        hint=f"give one of your own: --supply={recipe.name}=...",
    )


@contextlib.contextmanager
def _opened(
    cache: Cache,
    recipe: Recipe,
    *,
    programs: Mapping[str, Program] | None = None,
    images: Mapping[str, Image] | None = None,
    files: Mapping[str, Files] | None = None,
) -> Iterator[Build]:
    """Give a build its work directory and its log; the log of an earlier attempt is kept until then."""
    path = cache.log_path(recipe.name, recipe.key)
    with cache_errors(f"write the log '{path}'", cache.root):
        path.unlink(missing_ok=True)
        log = BuildLog(path)
    with contextlib.closing(log), cache.workdir(recipe.name) as workdir:
        yield Build(recipe, programs or {}, images or {}, workdir, log, files or {})


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
            raise _no_builder(recipe)
        return program

    def _build(self, recipe: Recipe, programs: Mapping[str, Program]) -> Program:
        builder = self._builders[recipe.kind]
        with (
            self._progress.step(f"build {recipe.name} {recipe.version}", usual_s=recipe.usual_s),
            _opened(self._cache, recipe, programs=programs) as build,
        ):
            file = builder.build(build)
            provenance = _provenance(recipe, digest=content_digest(file), how=builder.describe(recipe))
            return self._cache.put_program(recipe.key, file, provenance)


class FilesBuildSource:
    """Builds directories of files; no engine is needed.

    Args:
        recipes: where needed recipes are looked up.
        builders: the builder for each kind of recipe.
        programs: builds the programs that make files.
        cache: where the directories go.
        progress: told while it takes.
    """

    name: SourceName = "build"
    is_local = False

    def __init__(
        self,
        recipes: Recipes,
        builders: Mapping[RecipeKind, FilesBuilder],
        programs: ProgramBuildSource,
        cache: Cache,
        progress: Progress,
    ) -> None:
        self._recipes = recipes
        self._builders = builders
        self._programs = programs
        self._cache = cache
        self._progress = progress

    def offer(self, recipe: Recipe) -> str:
        """See :meth:`Source.offer`."""
        return _offer(recipe) if recipe.kind in self._builders else ""

    def get(self, recipe: Recipe) -> Files | None:
        """See :meth:`Source.get`; what is needed is built first, except images: a chart only names them."""
        if recipe.kind not in self._builders:
            return None
        needed = [self._recipes.get(name) for name in recipe.needs]
        programs = {need.name: self._programs.made(need.name) for need in needed if need.makes == "program"}
        files = {need.name: self._made(need) for need in needed if need.makes == "files"}
        with self._cache.lock(recipe.name, recipe.key):
            return self._cache.find_files(recipe.name, recipe.key) or self._build(recipe, programs, files)

    def _made(self, recipe: Recipe) -> Files:
        files = self._cache.find_files(recipe.name, recipe.key) or self.get(recipe)
        if files is None:
            raise _no_builder(recipe)
        return files

    def _build(self, recipe: Recipe, programs: Mapping[str, Program], files: Mapping[str, Files]) -> Files:
        builder = self._builders[recipe.kind]
        with (
            self._progress.step(f"build {recipe.name} {recipe.version}", usual_s=recipe.usual_s),
            _opened(self._cache, recipe, programs=programs, files=files) as build,
            cache_errors(f"build {recipe.name}", self._cache.root),
        ):
            directory = builder.build(build)
            provenance = _provenance(recipe, digest=content_digest(directory), how=builder.describe(recipe))
            return self._cache.put_files(recipe.key, directory, provenance)


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
        programs = {need.name: self._programs.made(need.name) for need in needed if need.makes == "program"}
        images = {need.name: self._made(need) for need in needed if need.makes != "program"}
        with self._cache.lock(recipe.name, recipe.key):
            return self._store.built(recipe) or self._build(recipe, programs, images)

    def _made(self, recipe: Recipe) -> Image:
        image = self._store.built(recipe) or self.get(recipe)
        if image is None:
            raise _no_builder(recipe)
        return image

    def _build(self, recipe: Recipe, programs: Mapping[str, Program], images: Mapping[str, Image]) -> Image:
        builder = self._builders[recipe.kind]
        labels = {LABEL_RECIPE: recipe.digest, LABEL_ARTIFACT: recipe.name}
        with (
            self._progress.step(f"build image {recipe.name} {recipe.version}", usual_s=recipe.usual_s),
            _opened(self._cache, recipe, programs=programs, images=images) as build,
        ):
            builder.build(build, tag=recipe.reference, labels=labels)
            stored = self._store.find(recipe.reference)
            if stored is None or stored.labels.get(LABEL_RECIPE) != recipe.digest:
                raise build.error(f"the engine does not know {recipe.reference} with this recipe's label afterwards")
            provenance = _provenance(recipe, digest=stored.image_id, how=builder.describe(recipe))
            self._cache.put_record(recipe.key, provenance, size_bytes=stored.size_bytes)
        return Image(recipe.reference, provenance)
