"""The wheel in an environment of its own: what travels in it, and a foreign suite that runs on it unchanged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from email.parser import Parser
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import harness
from harness.cluster.containers import node_containers, remove_cluster
from harness.engine.engine import Engine
from harness.images.reference import ImageRef
from harness.supply.resolver import Supply

ROOT = Path(harness.__file__).parents[1]
SUITE = ROOT / "tests" / "examples" / "pytest-kind-suite"

# Names of all recipes with the key that their files and pins give them.
RECIPE_KEYS = """
import json
from harness.supply.pins import Pins
from harness.supply.recipe import Recipes
recipes = Recipes(Pins.load(), "amd64")
print(json.dumps({name: recipes.get(name).key for name in recipes.names()}))
"""


def run(*argv: str | Path, cwd: Path, env: dict[str, str] | None = None, timeout_s: float = 300) -> str:
    """Run a program outside the checkout and return its output, which also is what a failure shows."""
    ended = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=env,
        timeout=timeout_s,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    directory = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, ROOT, cwd=directory)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, and only what it asks for beside it; returns its programs' directory."""
    directory = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", directory, cwd=directory)
    programs = directory / "bin"
    pip = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(programs / "python", *pip, wheel, cwd=directory, timeout_s=600)
    return programs


@pytest.fixture(scope="module")
def clean() -> dict[str, str]:
    """The process's environment without what would lead back to the checkout or this run's settings."""
    ours = ("SEATRIAL_", "PYTEST_", "PYTHON", "DOCKER_", "KUBECONFIG", "XDG_", "VIRTUAL_ENV", "TOX_", "COV_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def test_everything_in_the_package_travels(wheel: Path) -> None:
    """Each file of the package in git's keeping is in the wheel, with its permission to be run; nothing else is."""
    listed = run("git", "ls-files", "--stage", "--", "harness", cwd=ROOT).splitlines()
    tracked = {line.partition("\t")[2]: line.startswith("100755") for line in listed}
    with zipfile.ZipFile(wheel) as archive:
        packed = {
            one.filename: bool((one.external_attr >> 16) & 0o100)
            for one in archive.infolist()
            if not one.filename.partition("/")[0].endswith(".dist-info")
        }
    present = {name: may_run for name, may_run in tracked.items() if (ROOT / name).exists()}
    assert {name: packed.get(name) for name in present} == present
    assert "harness/py.typed" in packed
    assert "harness/supply/pins.toml" in packed


def test_metadata(wheel: Path) -> None:
    """Name, Pythons, requirements and entry points are those of the project."""
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
        entry_points = archive.read(f"{folder}/entry_points.txt").decode()
    assert (metadata["Name"], metadata["Requires-Python"]) == ("seatrial", ">=3.10")
    requirements = {
        line.split(";")[0].rstrip("0123456789.<>=~!, ").lower() for line in metadata.get_all("Requires-Dist", [])
    }
    assert {"pytest", "pytest-kind", "kubernetes", "docker"} <= requirements
    assert not requirements & {"ruff", "mypy", "pytest-xdist", "tox", "build"}
    assert "[pytest11]\nseatrial = harness.plugin" in entry_points
    assert "[console_scripts]\nseatrial = harness.cli:main" in entry_points


def test_recipes_are_the_same_wherever_they_lie(environment: Path, clean: dict[str, str], tmp_path: Path) -> None:
    """What was built from the checkout is found again from the wheel: permissions count, directories do not."""
    installed = run(environment / "python", "-I", "-c", RECIPE_KEYS, cwd=tmp_path, env=clean)
    here = run(sys.executable, "-c", RECIPE_KEYS, cwd=ROOT)
    assert json.loads(installed) == json.loads(here)


def test_command_line(environment: Path, clean: dict[str, str], tmp_path: Path) -> None:
    """`seatrial` is there and knows what it could supply."""
    env = {**clean, "XDG_CACHE_HOME": str(tmp_path), "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    assert run(environment / "seatrial", "--version", cwd=tmp_path).startswith("seatrial ")
    listed = run(environment / "seatrial", "supply", "list", cwd=tmp_path, env=env)
    assert "node-1.34" in listed
    assert not (tmp_path / "seatrial").exists()


@pytest.fixture
def cluster_name(engine: Engine) -> Iterator[str]:
    """A cluster name of this test's own; what bears it afterwards goes."""
    name = f"wheel-{uuid4().hex[:8]}"
    yield name
    with closing(engine.client()) as client:
        remove_cluster(client, name)


def test_a_suite_written_for_pytest_kind_runs_unchanged(
    environment: Path,
    clean: dict[str, str],
    engine: Engine,
    supply: Supply,
    built_image: ImageRef,
    cluster_name: str,
    tmp_path: Path,
) -> None:
    """Its fixture and its options do what they did: keep the cluster, find it again, remove it; nothing is fetched."""
    project = shutil.copytree(SUITE, tmp_path / "project")
    arguments = (
        *("--cluster-name", cluster_name),
        *("--kind-image", supply.image("node-1.34").reference),
        *("--kind-bin", supply.program("kind").path),
        *("--kind-kubectl-bin", supply.program("kubectl").path),
    )
    env = {
        **clean,
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "DOCKER_HOST": engine.docker_host,
        "SEATRIAL_SUPPLY": f"registry={supply.image('registry').reference}",
        "SEATRIAL_OFFLINE": "yes",
    }
    kept = run(environment / "pytest", "-rA", *arguments, "--keep-cluster", cwd=project, env=env, timeout_s=600)
    assert " 7 passed" in kept
    with closing(engine.client()) as client:
        (node,) = node_containers(client, cluster_name)

    again = run(environment / "pytest", "-rA", *arguments, cwd=project, env=env, timeout_s=600)
    assert " 7 passed" in again
    with closing(engine.client()) as client:
        assert not node_containers(client, cluster_name)
        assert client.networks.list(names=[cluster_name]) == []

    runs = [record_of(path) for path in sorted(project.glob("seatrial-evidence/*Z-*/run.json"))]
    assert len(runs) == 2
    assert {one["source"] for record in runs for one in record["artifacts"]} == {"given"}
    created = [any("create cluster" in step["argv"] for step in record["steps"]) for record in runs]
    assert created == [True, False], f"node '{node.name}' was used again"
    assert not (project / ".pytest-kind").exists()
    assert not list((tmp_path / "cache" / "seatrial").glob("artifacts/*"))
    assert not (tmp_path / "home" / ".kube" / "config").exists()


def record_of(path: Path) -> dict[str, Any]:
    """Return the account of one run."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record
