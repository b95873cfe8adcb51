"""Programs the user gave, programs on PATH, and programs in the cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import SupplyError
from harness.supply.artifact import Provenance
from harness.supply.cache import Cache
from harness.supply.pins import Pins
from harness.supply.recipe import Recipe, Recipes
from harness.supply.sources.cache import CacheSource
from harness.supply.sources.given import GivenSource
from harness.supply.sources.path import PathSource, VersionProbe
from harness.testing import RecordingRunner

KUBECTL_JSON = '{"clientVersion": {"major": "1", "gitVersion": "%s"}, "kustomizeVersion": "v5.7.1"}'


@pytest.fixture
def runner() -> RecordingRunner:
    """Return a runner to be scripted."""
    return RecordingRunner()


@pytest.fixture
def executable(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that makes an executable file on the search path `bin`."""

    def make(name: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def recipe(write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]) -> Callable[[str], Recipe]:
    """Return a function that gives the recipe of a tool."""

    def make(name: str) -> Recipe:
        version = "kubernetes" if name == "kubectl" else name if name in {"kind", "helm"} else "tool"
        write_recipe(name, f'kind = "go"\nversion = "{version}"\n')
        return recipes().get(name)

    return make


class TestGiven:
    """A path the user gave."""

    def test_is_used_whatever_its_version(
        self, runner: RecordingRunner, executable: Callable[[str], Path], recipe: Callable[[str], Recipe]
    ) -> None:
        """The user's choice is not judged; its version is shown."""
        path = executable("kind")
        runner.on("kind", stdout="0.11.1\n")
        program = GivenSource({"kind": str(path)}, VersionProbe(runner)).get(recipe("kind"))
        assert program is not None
        assert program.path == path
        assert (program.provenance.source, program.provenance.version) == ("given", "v0.11.1")
        assert program.provenance.digest.startswith("sha256:")

    def test_may_refuse_to_tell_its_version(
        self, runner: RecordingRunner, executable: Callable[[str], Path], recipe: Callable[[str], Recipe]
    ) -> None:
        """A wrapper that does not know `version` is used all the same."""
        path = executable("helm")
        runner.on("helm", exit_code=1, stderr="unknown command")
        program = GivenSource({"helm": str(path)}, VersionProbe(runner)).get(recipe("helm"))
        assert program is not None
        assert program.provenance.version == "unknown"

    def test_answers_only_for_what_was_given(self, runner: RecordingRunner, recipe: Callable[[str], Recipe]) -> None:
        """Nothing given for a program means that the next source is asked."""
        assert GivenSource({"helm": "/usr/bin/helm"}, VersionProbe(runner)).get(recipe("kind")) is None

    @pytest.mark.parametrize(("mode", "seen"), [(None, "no such file"), (0o644, "executed")])
    def test_that_cannot_be_run_is_an_error(
        self, mode: int | None, seen: str, tmp_path: Path, runner: RecordingRunner, recipe: Callable[[str], Recipe]
    ) -> None:
        """A wrong path is said at once: falling through to another source would hide the mistake."""
        path = tmp_path / "kind"
        if mode is not None:
            path.touch(mode)
        with pytest.raises(SupplyError, match=seen) as caught:
            GivenSource({"kind": str(path)}, VersionProbe(runner)).get(recipe("kind"))
        assert str(path) in str(caught.value)


class TestPath:
    """A program on PATH."""

    @pytest.mark.parametrize(
        ("name", "printed", "fits"),
        [
            ("kind", "0.32.0", True),
            ("kind", "0.32.7", True),
            ("kind", "0.31.0", False),
            ("kind", "0.33.0", False),
            ("kubectl", KUBECTL_JSON % "v1.33.1", True),
            ("kubectl", KUBECTL_JSON % "v1.34.0", True),
            ("kubectl", KUBECTL_JSON % "v1.35.2-gke.1", True),
            ("kubectl", KUBECTL_JSON % "v1.32.9", False),
            ("kubectl", KUBECTL_JSON % "v1.36.0", False),
            ("helm", "v3.20.2+g8fb76d6", True),
            ("helm", "v3.19.0+gabcdef0", True),
            ("helm", "v3.21.0", True),
            ("helm", "v3.18.6+gabcdef0", False),
            ("helm", "v4.0.1+gabcdef0", False),
        ],
        ids=lambda value: value if isinstance(value, str) and "{" not in value else "",
    )
    def test_answers_when_its_version_fits(
        self,
        name: str,
        printed: str,
        fits: bool,
        tmp_path: Path,
        runner: RecordingRunner,
        executable: Callable[[str], Path],
        recipe: Callable[[str], Recipe],
    ) -> None:
        """Each tool's rule decides; a version that does not fit is named with what is wanted."""
        path = executable(name)
        runner.on(name, stdout=printed)
        said: list[str] = []
        program = PathSource(VersionProbe(runner), said.append, str(tmp_path / "bin")).get(recipe(name))
        assert (program is not None) is fits
        assert bool(said) is not fits
        if program is not None:
            assert program.path == path
            assert program.provenance.source == "path"
        else:
            assert "wanted" in said[0]
            assert str(path) in said[0]

    def test_that_does_not_tell_its_version_is_passed_over(
        self,
        tmp_path: Path,
        runner: RecordingRunner,
        executable: Callable[[str], Path],
        recipe: Callable[[str], Recipe],
    ) -> None:
        """Something else called helm (a package manager of another trade) is not used."""
        executable("helm")
        runner.on("helm", stdout="HELM - editor\n")
        said: list[str] = []
        assert PathSource(VersionProbe(runner), said.append, str(tmp_path / "bin")).get(recipe("helm")) is None
        assert "does not tell" in said[0]

    def test_without_the_program_is_silent(
        self, tmp_path: Path, runner: RecordingRunner, recipe: Callable[[str], Recipe]
    ) -> None:
        """A program that is not on PATH is nothing to talk about."""
        assert PathSource(VersionProbe(runner), pytest.fail, str(tmp_path)).get(recipe("helm")) is None

    def test_never_answers_for_our_own_programs(
        self,
        tmp_path: Path,
        runner: RecordingRunner,
        executable: Callable[[str], Path],
        recipe: Callable[[str], Recipe],
    ) -> None:
        """A program without a rule is ours alone; a namesake on PATH is not even run."""
        executable("oci-runtime")
        source = PathSource(VersionProbe(runner), pytest.fail, str(tmp_path / "bin"))
        assert source.get(recipe("oci-runtime")) is None
        assert source.offer(recipe("oci-runtime")) == ""
        assert runner.commands == []

    def test_offer_names_the_wanted_versions(self, runner: RecordingRunner, recipe: Callable[[str], Recipe]) -> None:
        """What would fit is told with the pinned numbers filled in."""
        source = PathSource(VersionProbe(runner), pytest.fail)
        assert source.offer(recipe("kubectl")) == "put kubectl within one minor version of 1.34 on PATH"


class TestCached:
    """What an earlier download or build left."""

    @pytest.fixture
    def pins(self) -> Pins:
        """Return pins with a download."""
        download = {"version": "v1.0.0", "url": "https://example.org", "sha256": {"amd64": "c" * 64}}
        return Pins({"versions": {"tool": "v1.0.0"}, "download": {"tool": download}})

    @pytest.mark.parametrize("way", ["download", "build"])
    def test_answers_with_what_either_way_left(
        self,
        way: str,
        tmp_path: Path,
        pins: Pins,
        recipe: Callable[[str], Recipe],
        provenance: Callable[..., Provenance],
    ) -> None:
        """A download and a build are kept under different keys, and both are found."""
        cache = Cache(tmp_path / "cache")
        tool = recipe("tool")
        key = tool.key if way == "build" else f"v1.0.0-{'c' * 12}"
        with cache.workdir("tool") as workdir:
            (workdir / "made").write_text(way, encoding="utf-8")
            cache.put_program(key, workdir / "made", provenance("tool", way))
        program = CacheSource(cache.find, pins).get(tool)
        assert program is not None
        assert program.path.read_text(encoding="utf-8") == way
        assert os.access(program.path, os.X_OK)

    def test_empty_cache_has_none(self, tmp_path: Path, pins: Pins, recipe: Callable[[str], Recipe]) -> None:
        """An empty cache answers nothing and is not even made."""
        assert CacheSource(Cache(tmp_path / "cache").find, pins).get(recipe("tool")) is None
        assert not (tmp_path / "cache").exists()
