"""Programs, files and images built from package registries, by their recipes."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from harness.errors import SupplyError
from harness.naming import LABEL_ARTIFACT, LABEL_RECIPE
from harness.progress import Progress
from harness.supply.artifact import Files, Image, Program, Provenance, SourceName
from harness.supply.builders.protocol import Build, BuildLog, FilesBuilder, ImageBuilder, ProgramBuilder
from harness.supply.cache import Cache, cache_errors
from harness.supply.image_store import ImageStore
from harness.supply.provenance import content_digest
from harness.supply.recipe import Recipe, RecipeKind, Recipes

A = TypeVar("A", bound=Program | Files | Image)
B = TypeVar("B", bound=ProgramBuilder | FilesBuilder | ImageBuilder)

_MINUTE_S = 60


@dataclass(frozen=True)
class Needs:
    """What goes into an artifact, by name."""

    programs: Mapping[str, Program] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    files: Mapping[str, Files] = field(default_factory=dict)


class BuildSource(ABC, Generic[A, B]):
    """Builds artifacts of one sort, what goes into them first; where they are kept is a subclass's.

    Args:
        recipes: where needed recipes are looked up.
        builders: the builder for each kind of recipe.
        cache: holds locks, work directories, logs and provenance.
        progress: told while it takes.
    """

    name: SourceName = "build"
    is_local = False
    # What is said to be done while a build runs.
    _doing = "build"

    def __init__(self, recipes: Recipes, builders: Mapping[RecipeKind, B], cache: Cache, progress: Progress) -> None:
        self._recipes = recipes
        self._builders = builders
        self._cache = cache
        self._progress = progress

    def offer(self, recipe: Recipe) -> str:
        """See :meth:`Source.offer`."""
        if recipe.kind not in self._builders:
            return ""
        usual = f" (about {max(1, round(recipe.usual_s / _MINUTE_S))} min)" if recipe.usual_s else ""
        return f"let Seatrial build {recipe.version} from package registries{usual}"

    def get(self, recipe: Recipe) -> A | None:
        """See :meth:`Source.get`; what the recipe needs is built first."""
        if recipe.kind not in self._builders:
            return None
        needs = self._make_needs(recipe)
        with self._cache.lock(recipe.name, recipe.key):
            # Another run may have finished it while this one waited for the lock.
            return self._find(recipe) or self._build(recipe, needs)

    def made(self, name: str) -> A:
        """Return the artifact made by recipe `name`, as it is kept or by building it.

        What goes into other artifacts is always this: a program from elsewhere is not covered by their digests.
        """
        recipe = self._recipes.get(name)
        artifact = self._find(recipe) or self.get(recipe)
        if artifact is None:
            raise SupplyError(
                f"build {recipe.name}",
                seen=f"nothing here builds recipes of kind '{recipe.kind}'",
                hint=f"give one of your own: --supply={recipe.name}=...",
            )
        return artifact

    def _build(self, recipe: Recipe, needs: Needs) -> A:
        with (
            self._progress.step(f"{self._doing} {recipe.name} {recipe.version}", usual_s=recipe.usual_s),
            self._opened(recipe, needs) as build,
        ):
            return self._make(build, self._builders[recipe.kind])

    @contextlib.contextmanager
    def _opened(self, recipe: Recipe, needs: Needs) -> Iterator[Build]:
        """Give a build its work directory and its log; the log of an earlier attempt is kept until then."""
        path = self._cache.log_path(recipe.name, recipe.key)
        with cache_errors(f"write the log '{path}'", self._cache.root):
            path.unlink(missing_ok=True)
            log = BuildLog(path)
        with contextlib.closing(log), self._cache.workdir(recipe.name) as workdir:
            yield Build(recipe, needs.programs, needs.images, workdir, log, needs.files)

    @abstractmethod
    def _make_needs(self, recipe: Recipe) -> Needs:
        """Return what goes into the artifact, built where it is not there yet."""

    @abstractmethod
    def _find(self, recipe: Recipe) -> A | None:
        """Return what was built before."""

    @abstractmethod
    def _make(self, build: Build, builder: B) -> A:
        """Have the artifact built, and keep it with its provenance."""


class ProgramBuildSource(BuildSource[Program, ProgramBuilder]):
    """Builds programs; they need other programs alone."""

    def _make_needs(self, recipe: Recipe) -> Needs:
        return Needs({need: self.made(need) for need in recipe.needs})

    def _find(self, recipe: Recipe) -> Program | None:
        return self._cache.find(recipe.name, recipe.key)

    def _make(self, build: Build, builder: ProgramBuilder) -> Program:
        recipe = build.recipe
        file = builder.build(build)
        provenance = _provenance(recipe, digest=content_digest(file), how=builder.describe(recipe))
        return self._cache.put_program(recipe.key, file, provenance)


class FilesBuildSource(BuildSource[Files, FilesBuilder]):
    """Builds directories of files; no engine is needed.

    Args:
        recipes: where needed recipes are looked up.
        builders: the builder for each kind of recipe.
        programs: builds the programs that make files.
        cache: where the directories go.
        progress: told while it takes.
    """

    def __init__(
        self,
        recipes: Recipes,
        builders: Mapping[RecipeKind, FilesBuilder],
        programs: ProgramBuildSource,
        cache: Cache,
        progress: Progress,
    ) -> None:
        super().__init__(recipes, builders, cache, progress)
        self._programs = programs

    def _make_needs(self, recipe: Recipe) -> Needs:
        """See :meth:`BuildSource._make_needs`; images are left out: a chart only names them."""
        needed = [self._recipes.get(name) for name in recipe.needs]
        return Needs(
            programs={need.name: self._programs.made(need.name) for need in needed if need.makes == "program"},
            files={need.name: self.made(need.name) for need in needed if need.makes == "files"},
        )

    def _find(self, recipe: Recipe) -> Files | None:
        return self._cache.find_files(recipe.name, recipe.key)

    def _make(self, build: Build, builder: FilesBuilder) -> Files:
        recipe = build.recipe
        with cache_errors(f"build {recipe.name}", self._cache.root):
            directory = builder.build(build)
            provenance = _provenance(recipe, digest=content_digest(directory), how=builder.describe(recipe))
            return self._cache.put_files(recipe.key, directory, provenance)


class ImageBuildSource(BuildSource[Image, ImageBuilder]):
    """Builds images in the engine.

    Args:
        recipes: where needed recipes are looked up.
        builders: the builder for each kind of recipe.
        programs: builds the programs that go into images.
        store: the engine's images.
        cache: where logs and provenance go.
        progress: told while it takes.
    """

    _doing = "build image"

    def __init__(
        self,
        recipes: Recipes,
        builders: Mapping[RecipeKind, ImageBuilder],
        programs: ProgramBuildSource,
        store: ImageStore,
        cache: Cache,
        progress: Progress,
    ) -> None:
        super().__init__(recipes, builders, cache, progress)
        self._programs = programs
        self._store = store

    def _make_needs(self, recipe: Recipe) -> Needs:
        needed = [self._recipes.get(name) for name in recipe.needs]
        return Needs(
            programs={need.name: self._programs.made(need.name) for need in needed if need.makes == "program"},
            images={need.name: self.made(need.name) for need in needed if need.makes != "program"},
        )

    def _find(self, recipe: Recipe) -> Image | None:
        return self._store.built(recipe)

    def _make(self, build: Build, builder: ImageBuilder) -> Image:
        recipe = build.recipe
        builder.build(build, tag=recipe.reference, labels={LABEL_RECIPE: recipe.digest, LABEL_ARTIFACT: recipe.name})
        stored = self._store.find(recipe.reference)
        if stored is None or stored.labels.get(LABEL_RECIPE) != recipe.digest:
            raise build.error(f"the engine does not know {recipe.reference} with this recipe's label afterwards")
        provenance = _provenance(recipe, digest=stored.image_id, how=builder.describe(recipe))
        self._cache.put_record(recipe.key, provenance, size_bytes=stored.size_bytes)
        return Image(recipe.reference, provenance)


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
