"""Directories of files: the user's own, cached, downloaded and built."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from harness.errors import DownloadError, SupplyError
from harness.progress import SilentProgress
from harness.supply.artifact import Files, Provenance
from harness.supply.builders.protocol import Build
from harness.supply.cache import Cache
from harness.supply.pins import Pins, PublishedFile
from harness.supply.provenance import content_digest
from harness.supply.recipe import Recipe, Recipes
from harness.supply.sources.build import FilesBuildSource, ProgramBuildSource
from harness.supply.sources.cache import CacheSource
from harness.supply.sources.files import FilesDownloadSource, GivenFilesSource

CHART = 'kind = "chart"\nversion = "tool"\nneeds = ["crds", "node"]\n'
PUBLISHED = {
    "version": "1.16.0",
    "url": "https://example.org/gateway-{version}.tgz",
    "member": "gateway",
    "sha256": "c" * 64,
}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Return an empty cache."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def published_pins() -> Pins:
    """Return pins under which the gateway's chart is published, the same file for every processor."""
    return Pins({"download": {"gateway": PUBLISHED}})


@pytest.fixture
def gateway(write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]) -> Recipe:
    """Return the recipe of a chart."""
    write_recipe("crds", 'kind = "crds"\nversion = "tool"\n')
    write_recipe("node", 'kind = "image"\nversion = "base"\n')
    write_recipe("gateway", CHART)
    return recipes().get("gateway")


@pytest.fixture
def put(cache: Cache, provenance: Callable[..., Provenance]) -> Callable[..., Files]:
    """Return a function that stores a directory."""

    def store(name: str, key: str, files: Mapping[str, str]) -> Files:
        with cache.workdir(name) as workdir:
            made = workdir / "made"
            for path, text in files.items():
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text, encoding="utf-8")
            return cache.put_files(key, made, provenance(name, digest=content_digest(made)))

    return store


class TestGiven:
    """A directory the user gave."""

    def test_is_used(self, tmp_path: Path, gateway: Recipe) -> None:
        """The user's choice is taken as it is."""
        (tmp_path / "mine").mkdir()
        files = GivenFilesSource({"gateway": str(tmp_path / "mine")}).get(gateway)
        assert files is not None
        assert files.path == tmp_path / "mine"
        assert files.provenance.source == "given"

    def test_that_is_not_there_is_an_error(self, tmp_path: Path, gateway: Recipe) -> None:
        """A wrong path is said at once."""
        with pytest.raises(SupplyError, match="no such directory"):
            GivenFilesSource({"gateway": str(tmp_path / "mine")}).get(gateway)

    def test_answers_only_for_what_was_given(self, gateway: Recipe) -> None:
        """Nothing given means that the next source is asked."""
        assert GivenFilesSource({"helm": "/usr/bin/helm"}).get(gateway) is None


class TestCache:
    """A directory in the cache."""

    def test_published_one_comes_first(
        self, cache: Cache, published_pins: Pins, gateway: Recipe, put: Callable[..., Files]
    ) -> None:
        """Whoever has upstream's own chart uses that; the built one answers where it is all there is."""
        source = CacheSource(cache.find_files, published_pins)
        assert source.get(gateway) is None
        built = put("gateway", gateway.key, {"Chart.yaml": "name: ours\n"})
        found = source.get(gateway)
        assert found is not None
        assert (found.path, found.provenance.source) == (built.path, "cache")
        theirs = put("gateway", f"1.16.0-{'c' * 12}", {"Chart.yaml": "name: theirs\n"})
        found = source.get(gateway)
        assert found is not None
        assert found.path == theirs.path

    @pytest.mark.parametrize("damage", ["changed", "added", "removed"])
    def test_damaged_one_is_dropped(
        self, damage: str, cache: Cache, pins: Pins, gateway: Recipe, put: Callable[..., Files]
    ) -> None:
        """A directory in which anything changed is not handed out again."""
        path = put("gateway", gateway.key, {"Chart.yaml": "name: ours\n", "templates/pod.yaml": "kind: Pod\n"}).path
        if damage == "changed":
            (path / "Chart.yaml").write_text("name: evil\n", encoding="utf-8")
        elif damage == "added":
            (path / "templates" / "more.yaml").write_text("kind: Role\n", encoding="utf-8")
        else:
            (path / "templates" / "pod.yaml").unlink()
        assert CacheSource(cache.find_files, pins).get(gateway) is None
        assert not path.exists()


class ArchiveDownloader:
    """Delivers an archive made of `files`."""

    def __init__(self, files: Mapping[str, str], link: str = "") -> None:
        self.files = files
        self.link = link

    def fetch(self, published: PublishedFile, target: Path) -> None:
        """Write the archive."""
        with tarfile.open(target, "w:gz") as tar:
            for name, text in self.files.items():
                info = tarfile.TarInfo(name)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
            if self.link:
                info = tarfile.TarInfo(self.link)
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)


class TestDownload:
    """A published archive."""

    @pytest.fixture
    def source(self, cache: Cache, published_pins: Pins) -> Callable[..., FilesDownloadSource]:
        """Return a function that makes the source over what its publisher delivers."""
        return lambda *delivered, **more: FilesDownloadSource(
            published_pins, cache, cast("Any", ArchiveDownloader(*delivered, **more)), SilentProgress()
        )

    def test_the_folder_is_unpacked(
        self, source: Callable[..., FilesDownloadSource], gateway: Recipe, cache: Cache
    ) -> None:
        """The chart's folder becomes the artifact, under the publisher's version; links are left out."""
        delivered = {
            "gateway/Chart.yaml": "name: gateway\n",
            "gateway/templates/a.yaml": "kind: Pod\n",
            "other/Chart.yaml": "name: other\n",
        }
        files = source(delivered, link="gateway/passwd").get(gateway)
        assert files is not None
        found = sorted(path.relative_to(files.path).as_posix() for path in files.path.rglob("*") if path.is_file())
        assert found == ["Chart.yaml", "templates/a.yaml"]
        assert files.provenance.version == "1.16.0"
        assert files.provenance.recipe == ""
        assert cache.find_files("gateway", f"1.16.0-{'c' * 12}") is not None

    @pytest.mark.parametrize(
        ("name", "seen"),
        [("gateway/../../evil", "gateway/../../evil"), ("other/Chart.yaml", "not there")],
        ids=["outside", "nothing-of-it"],
    )
    def test_archive_that_holds_something_else_is_refused(
        self, name: str, seen: str, source: Callable[..., FilesDownloadSource], gateway: Recipe, cache: Cache
    ) -> None:
        """Nothing is written outside of the work directory, and an archive without the folder is no artifact."""
        with pytest.raises(DownloadError, match=seen):
            source({name: "x"}).get(gateway)
        assert cache.entries() == []
        assert not (cache.root / "tmp" / "evil").exists()

    def test_what_is_no_archive_is_refused(
        self, cache: Cache, published_pins: Pins, gateway: Recipe, tmp_path: Path
    ) -> None:
        """A page saying "not found" that somebody pinned is not unpacked."""
        (tmp_path / "page").write_text("<html>", encoding="utf-8")

        class PageDownloader:
            def fetch(self, published: PublishedFile, target: Path) -> None:
                shutil.copyfile(tmp_path / "page", target)

        source = FilesDownloadSource(published_pins, cache, cast("Any", PageDownloader()), SilentProgress())
        with pytest.raises(DownloadError, match="unpack gateway"):
            source.get(gateway)

    def test_what_is_not_published_is_not_offered(self, cache: Cache, pins: Pins, gateway: Recipe) -> None:
        """Without a pinned digest there is no download."""
        source = FilesDownloadSource(pins, cache, cast("Any", ArchiveDownloader({})), SilentProgress())
        assert source.get(gateway) is None
        assert source.offer(gateway) == ""

    def test_offer_names_the_address(self, source: Callable[..., FilesDownloadSource], gateway: Recipe) -> None:
        """Who lacks it learns what would be downloaded."""
        assert source({}).offer(gateway) == "let Seatrial download 1.16.0 from https://example.org/gateway-1.16.0.tgz"


class RecordingFilesBuilder:
    """Makes a directory of one file and notes what it was given."""

    def __init__(self) -> None:
        self.builds: list[Build] = []

    def build(self, build: Build) -> Path:
        """Note the build and make the directory."""
        self.builds.append(build)
        made = build.workdir / build.recipe.name
        made.mkdir()
        (made / "file.yaml").write_text(f"from: {build.recipe.name}\n", encoding="utf-8")
        return made

    def describe(self, recipe: Recipe) -> str:
        """Return how."""
        return f"{recipe.name} by a test"


class TestBuild:
    """A directory made by a recipe."""

    @pytest.fixture
    def builder(self) -> RecordingFilesBuilder:
        """Return the builder."""
        return RecordingFilesBuilder()

    @pytest.fixture
    def source(self, cache: Cache, gateway: Recipe, recipes: Callable[[], Recipes], builder: Any) -> FilesBuildSource:
        """Return the source of built directories."""
        programs = ProgramBuildSource(recipes(), {}, cache, SilentProgress())
        return FilesBuildSource(recipes(), {"chart": builder, "crds": builder}, programs, cache, SilentProgress())

    def test_what_it_needs_is_made_first_except_images(
        self, source: FilesBuildSource, gateway: Recipe, builder: RecordingFilesBuilder, cache: Cache
    ) -> None:
        """A chart is laid together of its CRDs without an engine: the images it names are got by who installs it."""
        files = source.get(gateway)
        assert files is not None
        assert (files.path / "file.yaml").read_text(encoding="utf-8") == "from: gateway\n"
        assert (files.provenance.recipe, files.provenance.how) == (gateway.digest, "gateway by a test")
        crds, chart = builder.builds
        assert crds.recipe.name == "crds"
        assert chart.files["crds"].path.is_dir()
        assert chart.images == {}
        assert cache.find_files("gateway", gateway.key) is not None

    def test_what_is_in_the_cache_is_not_built_again(
        self, source: FilesBuildSource, gateway: Recipe, builder: RecordingFilesBuilder
    ) -> None:
        """A second request finds the first one's directories."""
        source.get(gateway)
        source.get(gateway)
        assert len(builder.builds) == 2

    def test_kind_nobody_builds_is_not_offered(
        self, cache: Cache, gateway: Recipe, recipes: Callable[[], Recipes]
    ) -> None:
        """Without a builder for its kind the next source is asked; as something needed it is an error."""
        programs = ProgramBuildSource(recipes(), {}, cache, SilentProgress())
        nobody = FilesBuildSource(recipes(), {}, programs, cache, SilentProgress())
        assert nobody.get(gateway) is None
        assert nobody.offer(gateway) == ""
        charts_only = FilesBuildSource(recipes(), {"chart": RecordingFilesBuilder()}, programs, cache, SilentProgress())
        with pytest.raises(SupplyError, match="kind 'crds'"):
            charts_only.get(gateway)
