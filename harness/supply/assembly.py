"""Puts supply's parts together: the only place that names the sources and their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.engine.engine import Engine
from harness.errors import EngineError
from harness.process.runner import Runner
from harness.progress import Progress
from harness.settings.model import SupplySettings
from harness.supply.artifact import Files, Image, Program
from harness.supply.builders.chart import ChartBuilder
from harness.supply.builders.crds import CrdsBuilder
from harness.supply.builders.go import GoBuilder
from harness.supply.builders.link import LinkBuilder
from harness.supply.builders.module_files import ModuleFilesBuilder
from harness.supply.builders.protocol import FilesBuilder, ImageBuilder, ProgramBuilder
from harness.supply.builders.toolchain import GoToolchain
from harness.supply.builders.wheel import WheelBuilder
from harness.supply.cache import Cache
from harness.supply.image_store import ImageStore
from harness.supply.inventory import Inventory
from harness.supply.pins import Pins, host_arch
from harness.supply.recipe import RecipeKind, Recipes
from harness.supply.resolver import Supply
from harness.supply.sources.build import FilesBuildSource, ImageBuildSource, ProgramBuildSource
from harness.supply.sources.cache import CacheSource
from harness.supply.sources.download import Downloader, DownloadSource
from harness.supply.sources.files import FilesDownloadSource, GivenFilesSource
from harness.supply.sources.given import GivenSource
from harness.supply.sources.images import EngineStoreSource, GivenImageSource, OtherImages, PullSource
from harness.supply.sources.path import PathSource, VersionProbe
from harness.supply.sources.protocol import Source


def make_engineless_supply(
    settings: SupplySettings,
    *,
    runner: Runner,
    progress: Progress,
    pins: Pins | None = None,
    recipes: Recipes | None = None,
) -> Supply:
    """Return a :class:`Supply` of programs and files alone: asked for an image, it says that there is no engine.

    Args:
        settings: the cache, what is allowed, what the user gave.
        runner: runs go, pip and the programs that are asked for their version.
        progress: told about what takes long.
        pins: another pin file than Seatrial's.
        recipes: other recipes than Seatrial's.
    """

    def no_engine() -> Engine:
        raise EngineError("use an engine", seen="this command has none", hint="seatrial supply get NAME")

    return make_supply(
        settings, runner=runner, engine=no_engine, image_builders={}, progress=progress, pins=pins, recipes=recipes
    )


def make_supply(
    settings: SupplySettings,
    *,
    runner: Runner,
    engine: Callable[[], Engine],
    image_builders: Mapping[RecipeKind, ImageBuilder],
    progress: Progress,
    pins: Pins | None = None,
    recipes: Recipes | None = None,
) -> Supply:
    """Return a :class:`Supply` with the real sources.

    Args:
        settings: the cache, what is allowed, what the user gave.
        runner: runs go, pip and the programs that are asked for their version.
        engine: gives the engine when an image is first asked for; programs and files need none.
        image_builders: the builder for each kind of image recipe.
        progress: told about what takes long.
        pins: another pin file than Seatrial's.
        recipes: other recipes than Seatrial's.
    """
    pins = pins or Pins.load()
    recipes = recipes or Recipes(pins, host_arch())
    cache = Cache(settings.cache_dir, progress.say)
    store = ImageStore(engine, cache)
    probe = VersionProbe(runner)
    toolchain = GoToolchain(runner, cache, pins, progress)
    program_builders: Mapping[RecipeKind, ProgramBuilder] = {
        "go": GoBuilder(runner, toolchain, cache),
        "link": LinkBuilder(),
        "wheel": WheelBuilder(runner),
    }
    files_builders: Mapping[RecipeKind, FilesBuilder] = {
        "crds": CrdsBuilder(runner, toolchain),
        "module-files": ModuleFilesBuilder(runner, toolchain),
        "chart": ChartBuilder(),
    }
    downloader = Downloader()
    program_builds = ProgramBuildSource(recipes, program_builders, cache, progress)
    programs: tuple[Source[Program], ...] = (
        GivenSource(settings.given, probe),
        PathSource(probe, progress.say),
        CacheSource(cache.find, pins),
        DownloadSource(pins, cache, downloader, progress),
        program_builds,
    )
    files: tuple[Source[Files], ...] = (
        GivenFilesSource(settings.given),
        CacheSource(cache.find_files, pins),
        FilesDownloadSource(pins, cache, downloader, progress),
        FilesBuildSource(recipes, files_builders, program_builds, cache, progress),
    )
    others = OtherImages(store, cache, may_pull=settings.may_download)
    images: tuple[Source[Image], ...] = (
        GivenImageSource(settings.given, store, others, progress),
        EngineStoreSource(store, pins),
        PullSource(store, pins, cache, progress),
        ImageBuildSource(recipes, image_builders, program_builds, store, cache, progress),
    )
    inventory = Inventory(recipes, pins, cache, store)
    return Supply(settings, recipes, programs, files, images, others, inventory, progress.say)
