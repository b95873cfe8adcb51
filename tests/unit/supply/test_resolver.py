"""The resolver: the order of sources, what is allowed, and what is said when nothing answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from harness.errors import (
    BuildError,
    DigestMismatchError,
    DownloadError,
    EngineError,
    MissingArtifactsError,
    SupplyError,
)
from harness.settings.model import SupplySettings
from harness.supply.artifact import Chart, Files, Image, Program, Provenance
from harness.supply.inventory import Inventory
from harness.supply.recipe import Recipes
from harness.supply.resolver import Supply
from harness.supply.sources.images import OtherImages

CHART = """
kind = "chart"
version = "tool"
needs = ["crds", "node"]

[chart]
crds = ["crds"]
images = { "docker.io/seatrial/node:{tool}" = "node" }
"""


@pytest.fixture
def said() -> list[str]:
    """Return what the resolver says to people."""
    return []


@pytest.fixture
def supply(
    write_recipe: Callable[..., Path],
    recipes: Callable[[], Recipes],
    settings: Callable[..., SupplySettings],
    said: list[str],
) -> Callable[..., Supply]:
    """Return a function that makes a resolver over scripted sources."""
    write_recipe("tool")
    write_recipe("other")
    write_recipe("node", 'kind = "image"\nversion = "base"\n')
    write_recipe("crds", 'kind = "crds"\nversion = "tool"\n')
    write_recipe("gateway", CHART)

    def make(*programs: Any, files: tuple[Any, ...] = (), images: tuple[Any, ...] = (), **changes: Any) -> Supply:
        # Other images and the inventory are another subject.
        others, nobody = cast("OtherImages", None), cast("Inventory", None)
        return Supply(settings(**changes), recipes(), programs, files, images, others, nobody, said.append)

    return make


@pytest.fixture
def program(provenance: Callable[..., Provenance]) -> Program:
    """Return a program to answer with."""
    return Program(Path("/bin/tool"), provenance("tool"))


def test_first_answer_wins(supply: Callable[..., Supply], scripted: Any, program: Program) -> None:
    """Sources are asked in order until one answers; those after it are not asked."""
    silent, answering, never = (
        scripted("given", is_local=True),
        scripted("cache", program, is_local=True),
        scripted("build"),
    )
    assert supply(silent, answering, never).program("tool") is program
    assert silent.asked == ["tool"]
    assert never.asked == []


def test_answers_are_remembered(supply: Callable[..., Supply], scripted: Any, program: Program) -> None:
    """A program asked for twice is resolved once, and is listed among what was used."""
    source = scripted("cache", program, is_local=True)
    resolver = supply(source)
    assert resolver.program("tool") is resolver.program("tool")
    assert source.asked == ["tool"]
    assert resolver.used() == [program]


def test_failed_download_falls_through_to_the_build(
    supply: Callable[..., Supply], scripted: Any, program: Program, said: list[str]
) -> None:
    """Where the publisher cannot be reached the next source is asked, and people are told why it takes longer."""
    download = scripted("download", DownloadError("download https://example.org/tool", seen="connection refused"))
    assert supply(download, scripted("build", program)).program("tool") is program
    assert said == ["tool: could not download https://example.org/tool: connection refused"]


def test_last_download_failure_is_the_answer(supply: Callable[..., Supply], scripted: Any) -> None:
    """When nothing is left to ask, the download's own error is raised, not a general one."""
    with pytest.raises(DownloadError, match="refused"):
        supply(scripted("download", DownloadError("download it", seen="refused"))).program("tool")


@pytest.mark.parametrize("error", [DigestMismatchError("download it", seen="other bytes"), BuildError("build it")])
def test_what_must_be_known_stops_the_search(
    error: SupplyError, supply: Callable[..., Supply], scripted: Any, program: Program
) -> None:
    """A changed file and a failed build are reported; no later source covers them up."""
    later = scripted("build", program)
    with pytest.raises(type(error)):
        supply(scripted("download", error), later).program("tool")
    assert later.asked == []


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"offline": True}, "offline: neither downloads nor builds"),
        ({"download": False, "build": False}, "downloads and builds switched off"),
    ],
    ids=["offline", "both-off"],
)
def test_remote_sources_are_not_asked_when_not_allowed(
    changes: dict[str, bool], because: str, supply: Callable[..., Supply], scripted: Any, program: Program
) -> None:
    """Offline means that neither a publisher nor a package registry is asked; the error tells how to get it."""
    download = scripted("download", program, offered="download it")
    build = scripted("build", program, offered="build it")
    with pytest.raises(MissingArtifactsError) as caught:
        supply(scripted("path", is_local=True, offered="put it on PATH"), download, build, **changes).program("tool")
    assert download.asked == build.asked == []
    assert because in str(caught.value)
    assert caught.value.missing == (("tool", "put it on PATH; or download it; or build it"),)


@pytest.mark.parametrize(("switched_off", "asked"), [("download", "build"), ("build", "download")])
def test_each_remote_way_has_its_own_switch(
    switched_off: str, asked: str, supply: Callable[..., Supply], scripted: Any, program: Program
) -> None:
    """Switching one way off leaves the other."""
    sources = {name: scripted(name, program) for name in ("download", "build")}
    assert supply(*sources.values(), **{switched_off: False}).program("tool") is program
    assert sources[switched_off].asked == []
    assert sources[asked].asked == ["tool"]


class TestRequire:
    """Checking beforehand that a run will have all it needs."""

    def test_lists_everything_missing_at_once(self, supply: Callable[..., Supply], scripted: Any) -> None:
        """Programs and images that are missing are named together, each with how to get it."""
        builds = scripted("build", offered="build the program")
        image_builds = scripted("build", offered="build the image")
        resolver = supply(builds, images=(image_builds,), build=False)
        with pytest.raises(MissingArtifactsError, match="builds switched off") as caught:
            resolver.require(["tool", "other", "node"])
        assert caught.value.missing == (
            ("tool", "build the program"),
            ("other", "build the program"),
            ("node", "build the image"),
        )

    def test_is_content_with_what_is_there(
        self, supply: Callable[..., Supply], scripted: Any, program: Program
    ) -> None:
        """What a local source has is not missing, even offline."""
        supply(scripted("cache", program, is_local=True), offline=True).require(["tool"])

    def test_fetches_and_builds_nothing(self, supply: Callable[..., Supply], scripted: Any, program: Program) -> None:
        """What may be fetched or built later is not missing, and is left for later."""
        build = scripted("build", program, offered="build it")
        supply(build).require(["tool"])
        assert build.asked == []

    def test_lists_what_it_can_see_where_no_engine_answers(self, supply: Callable[..., Supply], scripted: Any) -> None:
        """Programs are named all the same, with why images are not; the engine is asked for once."""
        programs, images = (
            scripted("build", offered="build it"),
            scripted(
                "cache", EngineError("find a Docker engine", seen="refused\nmore", hint="start it"), is_local=True
            ),
        )
        with pytest.raises(MissingArtifactsError) as caught:
            supply(programs, images=(images,), build=False).require(["node", "tool", "node"])
        assert caught.value.missing == (("tool", "build it"),)
        for words in ("images were not looked at: could not find a Docker engine: refused", "images: start it"):
            assert words in str(caught.value)
        assert images.asked == ["node"]

    def test_engine_that_does_not_answer_is_the_error_where_nothing_else_is_missing(
        self, supply: Callable[..., Supply], scripted: Any, program: Program
    ) -> None:
        """Its own message says more than a list that would be empty."""
        images = scripted("cache", EngineError("find a Docker engine"), is_local=True)
        resolver = supply(scripted("cache", program, is_local=True), images=(images,), offline=True)
        with pytest.raises(EngineError, match="find a Docker engine"):
            resolver.require(["tool", "node"])

    def test_does_not_count_on_a_way_that_has_none(self, supply: Callable[..., Supply], scripted: Any) -> None:
        """With builds off, an allowed download that is not pinned for a program does not make it available."""
        with pytest.raises(MissingArtifactsError):
            supply(scripted("download", offered=""), scripted("build", offered="build it"), build=False).require(
                ["tool"]
            )


def test_each_is_asked_of_its_own_sources(
    supply: Callable[..., Supply], scripted: Any, program: Program, provenance: Callable[..., Provenance]
) -> None:
    """Programs, directories of files and images are asked of their own sources, by name alone or by what they are."""
    image = Image("seatrial/node:1", provenance("node"))
    files = Files(Path("/crds"), provenance("crds"))
    resolver = supply(scripted("build", program), files=(scripted("build", files),), images=(scripted("build", image),))
    assert resolver.image("node") is resolver.get("node") is image
    assert resolver.files("crds") is resolver.get("crds") is files
    assert resolver.program("tool") is resolver.get("tool") is program
    assert resolver.used() == [program, files, image]


def test_missing_files_are_listed_with_the_rest(supply: Callable[..., Supply], scripted: Any) -> None:
    """Directories of files are checked beforehand as programs and images are."""
    resolver = supply(files=(scripted("build", offered="build the CRDs"),), build=False)
    with pytest.raises(MissingArtifactsError) as caught:
        resolver.require(["crds"])
    assert caught.value.missing == (("crds", "build the CRDs"),)


def test_chart_of_our_own_names_the_images_its_pods_ask_for(
    supply: Callable[..., Supply], scripted: Any, provenance: Callable[..., Provenance]
) -> None:
    """A chart made by its recipe comes with the reference and the name of every image it needs on the nodes."""
    files = Files(Path("/cache/gateway"), provenance("gateway", recipe="0123"))
    chart = supply(files=(scripted("cache", files),)).chart("gateway")
    assert chart == Chart(files.path, {"docker.io/seatrial/node:v1.0.0": "node"}, False, files.provenance)


@pytest.mark.parametrize("source", ["download", "given"])
def test_chart_of_others_brings_no_images_of_ours(
    source: Any, supply: Callable[..., Supply], scripted: Any, provenance: Callable[..., Provenance]
) -> None:
    """A published chart asks for its publisher's images, whatever our recipe would have used."""
    files = Files(Path("/cache/gateway"), provenance("gateway", source))
    chart = supply(files=(scripted(source, files),)).chart("gateway")
    assert chart.published
    assert chart.images == {}


def test_what_is_no_chart_is_refused_as_one(supply: Callable[..., Supply]) -> None:
    """Asking for CRDs as a chart is a mistake that is named."""
    with pytest.raises(SupplyError, match="kind 'crds'"):
        supply().chart("crds")


def test_unknown_name_is_refused(supply: Callable[..., Supply]) -> None:
    """A name no recipe has is answered with those there are."""
    with pytest.raises(SupplyError, match="crds, gateway, node, other, tool"):
        supply().program("tol")
