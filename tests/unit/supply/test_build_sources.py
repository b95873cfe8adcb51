"""Building programs and images by their recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BuildError
from harness.naming import LABEL_ARTIFACT, LABEL_RECIPE
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.progress import SilentProgress
from harness.supply.builders.go import GoBuilder
from harness.supply.builders.link import LinkBuilder
from harness.supply.builders.protocol import Build
from harness.supply.builders.toolchain import GoToolchain
from harness.supply.cache import Cache
from harness.supply.image_store import ImageStore
from harness.supply.pins import Pins
from harness.supply.recipe import Recipe, Recipes
from harness.supply.sources.build import ImageBuildSource, ProgramBuildSource
from harness.testing import RecordingRunner

GO = 'kind = "go"\nversion = "tool"\nusual_s = 90\n\n[go]\npackage = "example.org/tool"\nldflags = ["-X v={version}"]\n'
LINK = 'kind = "link"\nversion = "tool"\nneeds = ["tool"]\n\n[link]\nprogram = "tool"\n'


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Return an empty cache."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def runner() -> RecordingRunner:
    """Return a runner whose go builds by writing the file asked for."""
    runner = RecordingRunner()
    runner.on("go", "env", "GOVERSION", stdout="go1.26.8\n")

    def compile_it(command: Command) -> Outcome:
        Path(command.argv[command.argv.index("-o") + 1]).write_text("#!/bin/sh\n", encoding="utf-8")
        assert command.cwd is not None
        assert (command.cwd / "go.mod").is_file()
        return Outcome(command, 0, stderr="go: downloading example.org/tool v1.0.0\n")

    runner.on("go", "build", "example.org/tool", answer=compile_it)
    return runner


@pytest.fixture
def go_on_path(tmp_path: Path) -> str:
    """Return a search path that holds a go."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").touch(0o755)
    return str(tmp_path / "bin")


@pytest.fixture
def programs(
    runner: RecordingRunner, cache: Cache, pins: Pins, go_on_path: str, recipes: Callable[[], Recipes]
) -> Callable[[], ProgramBuildSource]:
    """Return a function that makes the source of built programs."""
    toolchain = GoToolchain(runner, cache, pins, SilentProgress(), go_on_path)
    builders = {"go": GoBuilder(runner, toolchain, cache), "link": LinkBuilder()}
    return lambda: ProgramBuildSource(recipes(), builders, cache, SilentProgress())  # type: ignore[arg-type]  # a dict of both


@pytest.fixture
def tool(write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]) -> Recipe:
    """Return the recipe of a Go program."""
    write_recipe("tool", GO, {"go.mod": "module tool\n", "go.sum": ""})
    return recipes().get("tool")


def test_built_program_is_stored_with_how_it_was_made(
    programs: Callable[[], ProgramBuildSource], tool: Recipe, cache: Cache
) -> None:
    """A build ends in the cache, under the recipe's key, with recipe and toolchain on record."""
    program = programs().get(tool)
    assert program is not None
    assert program.path.parent == cache.directory("tool", tool.key)
    assert program.provenance.recipe == tool.digest
    assert "Go v1.26.8 on PATH" in program.provenance.how
    assert cache.find("tool", tool.key) is not None


def test_go_builds_in_isolation(
    programs: Callable[[], ProgramBuildSource], tool: Recipe, cache: Cache, runner: RecordingRunner
) -> None:
    """Static, path-free and stripped; Go's caches are Seatrial's own, deletable, and no other toolchain is fetched."""
    programs().get(tool)
    (build,) = [command for command in runner.commands if "build" in command.argv]
    assert {"-trimpath", "-mod=readonly", "-buildvcs=false", "-ldflags=-s -w -X v=v1.0.0"} <= set(build.argv)
    expected = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw", "GOARCH": "amd64"}
    assert expected.items() <= build.env.items()
    for variable in ("GOPATH", "GOMODCACHE", "GOCACHE"):
        assert str(build.env[variable]).startswith(str(cache.go_dir))
    assert "GOPROXY" not in build.env  # the user's own is inherited


def test_what_is_in_the_cache_is_not_built_again(
    programs: Callable[[], ProgramBuildSource], tool: Recipe, runner: RecordingRunner
) -> None:
    """Whoever waited for the lock while another run built finds the artifact and builds nothing."""
    programs().get(tool)
    before = len(runner.commands)
    programs().get(tool)
    assert len(runner.commands) == before


def test_link_is_the_other_program_under_its_own_name(
    programs: Callable[[], ProgramBuildSource],
    tool: Recipe,
    write_recipe: Callable[..., Path],
    recipes: Callable[[], Recipes],
) -> None:
    """What a link needs is built first; the result has the link's name and costs no disk."""
    write_recipe("alias", LINK)
    program = programs().get(recipes().get("alias"))
    assert program is not None
    assert program.path.name == "alias"
    assert program.path.samefile(programs().made("tool").path)


def test_failed_build_names_its_log_and_leaves_nothing(
    cache: Cache,
    pins: Pins,
    go_on_path: str,
    write_recipe: Callable[..., Path],
    recipes: Callable[[], Recipes],
) -> None:
    """A build that fails says why and where the log is; no artifact and no work directory remain."""
    write_recipe("tool", GO, {"go.mod": "module tool\n"})
    runner = RecordingRunner()
    runner.on("go", "env", stdout="go1.26.8\n")
    runner.on("go", "build", exit_code=1, stderr="main.go:3: undefined: kubelet\n")
    toolchain = GoToolchain(runner, cache, pins, SilentProgress(), go_on_path)
    source = ProgramBuildSource(recipes(), {"go": GoBuilder(runner, toolchain, cache)}, cache, SilentProgress())
    with pytest.raises(BuildError, match="undefined: kubelet") as caught:
        source.get(recipes().get("tool"))
    log = Path(str(caught.value.facts["log"]))
    assert str(log) in str(caught.value)
    assert "undefined: kubelet" in log.read_text(encoding="utf-8")
    assert cache.entries() == []
    assert list((cache.root / "tmp").iterdir()) == []


class RecordingImageBuilder:
    """Has the engine know the image asked for, and notes what it was given."""

    def __init__(self, images: Any, *, labelled: bool = True) -> None:
        self.images = images
        self.labelled = labelled
        self.builds: list[Build] = []

    def build(self, build: Build, *, tag: str, labels: Mapping[str, str]) -> None:
        """Note the build and add the image."""
        self.builds.append(build)
        self.images.add(tag, labels if self.labelled else {})

    def describe(self, recipe: Recipe) -> str:
        """Return how."""
        return f"{recipe.name} by a test"


@pytest.fixture
def image_source(
    engine: Callable[[], Any],
    cache: Cache,
    recipes: Callable[[], Recipes],
    programs: Callable[[], ProgramBuildSource],
) -> Callable[[Any], ImageBuildSource]:
    """Return a function that makes the source of built images over a builder."""

    def make(builder: Any) -> ImageBuildSource:
        store = ImageStore(engine, cache)
        return ImageBuildSource(
            recipes(), {"image": builder, "rootfs": builder}, programs(), store, cache, SilentProgress()
        )

    return make


IMAGE = 'kind = "image"\nversion = "tool"\nneeds = ["tool", "base"]\n'
BASE = 'kind = "rootfs"\nversion = "base"\n'


def test_image_is_built_of_built_programs_and_images(
    image_source: Callable[[Any], ImageBuildSource],
    tool: Recipe,
    write_recipe: Callable[..., Path],
    recipes: Callable[[], Recipes],
    docker_images: Any,
) -> None:
    """What an image needs is built first and handed over by name; the image carries the recipe's digest."""
    write_recipe("base", BASE)
    write_recipe("server", IMAGE)
    builder = RecordingImageBuilder(docker_images)
    recipe = recipes().get("server")
    image = image_source(builder).get(recipe)
    assert image is not None
    assert image.reference == recipe.reference
    base_build, server_build = builder.builds
    assert base_build.recipe.name == "base"
    assert server_build.programs["tool"].provenance.recipe == tool.digest
    assert server_build.images["base"].reference == recipes().get("base").reference
    labels = docker_images.known[recipe.reference]["Config"]["Labels"]
    assert labels == {LABEL_RECIPE: recipe.digest, LABEL_ARTIFACT: "server"}


def test_image_the_engine_has_is_not_built_again(
    image_source: Callable[[Any], ImageBuildSource],
    write_recipe: Callable[..., Path],
    recipes: Callable[[], Recipes],
    docker_images: Any,
) -> None:
    """A second request finds the first one's image."""
    write_recipe("base", BASE)
    builder = RecordingImageBuilder(docker_images)
    source = image_source(builder)
    source.get(recipes().get("base"))
    source.get(recipes().get("base"))
    assert len(builder.builds) == 1


def test_image_without_its_label_is_a_failed_build(
    image_source: Callable[[Any], ImageBuildSource],
    write_recipe: Callable[..., Path],
    recipes: Callable[[], Recipes],
    docker_images: Any,
) -> None:
    """A builder that forgets the label would build for ever; it is caught at the first time."""
    write_recipe("base", BASE)
    with pytest.raises(BuildError, match="label"):
        image_source(RecordingImageBuilder(docker_images, labelled=False)).get(recipes().get("base"))
