"""Recipes: how an artifact is made from package registries, kept as data.

A recipe is a folder of :data:`RECIPES` that holds ``recipe.toml`` and whatever files the build needs::

    kind = "image"                     # which builder makes it: see RecipeKind
    version = "debian"                 # a name of pins.toml; its value becomes the artifact's version
    pins = ["etcd", "coredns"]         # further pins the build uses
    needs = ["node-rootfs", "kubernetes"]   # artifacts that go into it
    usual_s = 60                       # what a cold build takes on two cores, for the progress line
    what = "one sentence for people: what it is, stand-ins named as such"

    [image]                            # the builder's own table, named after the kind
    ...

The folder's name is the artifact's name. Its digest covers everything that can change the result: the files, the
recipe's tables, the pinned values, the processor and the digests of what it needs. It does not cover file modes
(a wheel does not keep them), `what` and `usual_s`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from harness.errors import SupplyError
from harness.supply.pins import Arch, Pins, minor

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).with_name("recipes")

# go: a program from Go modules; link: a program that is another one under its own name; rootfs: a base image from
# Debian packages; image: a Dockerfile with programs copied in; node: an image with other images preloaded.
RecipeKind = Literal["go", "link", "rootfs", "image", "node"]
PROGRAM_KINDS: frozenset[RecipeKind] = frozenset({"go", "link"})

# Twelve of 64 hex digits tell recipes apart in names that people read.
SHORT_DIGEST = 12

_KNOWN_KEYS = {"kind", "version", "pins", "needs", "usual_s", "what"}


@dataclass(frozen=True)
class Recipe:
    """How one artifact is made.

    Args:
        name: the artifact's name.
        kind: which builder makes it.
        version: upstream's version, from the pin file.
        directory: the folder with its files.
        pins: pin name -> version, everything the build may use; includes the recipe's own version under its pin name.
        needs: names of artifacts that go into it, programs and images.
        options: the builder's own table.
        what: one sentence for people.
        usual_s: seconds a cold build usually takes, without what it needs.
        arch: the processor it is made for.
        digest: 64 hex digits over everything that can change the result.
    """

    name: str
    kind: RecipeKind
    version: str
    directory: Path
    pins: Mapping[str, str]
    needs: tuple[str, ...]
    options: Mapping[str, Any]
    what: str
    usual_s: float
    arch: Arch
    digest: str

    @property
    def is_program(self) -> bool:
        """Whether it makes an executable file; otherwise it makes an image."""
        return self.kind in PROGRAM_KINDS

    @property
    def key(self) -> str:
        """``VERSION-DIGEST12``: the artifact's folder in the cache, and its tag as an image."""
        return f"{self.version}-{self.digest[:SHORT_DIGEST]}"

    @property
    def reference(self) -> str:
        """The name the engine knows the built image by, e.g. ``seatrial/node-1.34:v1.34.4-1f2e3d4c5b6a``."""
        return f"seatrial/{self.name}:{self.key}"

    def fill(self, text: str) -> str:
        """Replace ``{version}``, ``{major}``, ``{minor}``, ``{arch}`` and ``{PIN}`` in `text`; other braces stay."""
        values = {**self.pins, "version": self.version, "arch": self.arch}
        with contextlib.suppress(ValueError):  # a version such as "bookworm" has neither
            values["major"], values["minor"] = map(str, minor(self.version))
        return re.sub(r"\{([a-z0-9][a-z0-9.-]*)\}", lambda match: values.get(match[1], match[0]), text)


class Recipes:
    """Every recipe of a folder, read on demand.

    Args:
        pins: where versions come from.
        arch: the processor to make things for.
        directory: the folder of recipe folders.
    """

    def __init__(self, pins: Pins, arch: Arch, directory: Path = RECIPES) -> None:
        self._pins = pins
        self._arch = arch
        self._directory = directory
        self._read: dict[str, Recipe] = {}

    def names(self) -> list[str]:
        """Return the names of all artifacts, sorted."""
        return sorted(path.parent.name for path in self._directory.glob("*/recipe.toml"))

    def get(self, name: str) -> Recipe:
        """Return the recipe of artifact `name`.

        Raises:
            SupplyError: there is none, or it is malformed, or it needs itself.
        """
        return self._get(name, ())

    def closure(self, name: str) -> list[Recipe]:
        """Return `name`'s recipe and every recipe it needs, what is needed first, each once."""
        found: dict[str, Recipe] = {}

        def visit(recipe: Recipe) -> None:
            for needed in recipe.needs:
                visit(self.get(needed))
            found.setdefault(recipe.name, recipe)

        visit(self.get(name))
        return list(found.values())

    def _get(self, name: str, asked_by: tuple[str, ...]) -> Recipe:
        if name in asked_by:
            raise SupplyError(f"read recipe '{name}'", seen=f"it needs itself: {' -> '.join([*asked_by, name])}")
        if name not in self._read:
            self._read[name] = self._parse(name, asked_by)
        return self._read[name]

    def _parse(self, name: str, asked_by: tuple[str, ...]) -> Recipe:
        directory = self._directory / name
        try:
            table = tomllib.loads((directory / "recipe.toml").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SupplyError(
                f"find an artifact called '{name}'", seen=f"there are: {', '.join(self.names())}"
            ) from None
        except tomllib.TOMLDecodeError as error:
            raise SupplyError(f"read recipe '{name}'", seen=str(error)) from error
        kind = cast("RecipeKind", table.get("kind"))
        if kind not in get_args(RecipeKind):
            raise SupplyError(f"read recipe '{name}'", seen=f"kind = {kind!r}, known: {get_args(RecipeKind)}")
        unknown = sorted(set(table) - _KNOWN_KEYS - {kind})
        if unknown or "version" not in table:
            raise SupplyError(f"read recipe '{name}'", seen=f"unknown keys {unknown}" if unknown else "no version")
        pins = {pin: self._pins.version(pin) for pin in [table["version"], *table.get("pins", [])]}
        needs = tuple(table.get("needs", ()))
        needed = {need: self._get(need, (*asked_by, name)).digest for need in needs}
        meaning = {key: value for key, value in table.items() if key not in {"what", "usual_s"}}
        return Recipe(
            name=name,
            kind=kind,
            version=pins[table["version"]],
            directory=directory,
            pins=pins,
            needs=needs,
            options=table.get(kind, {}),
            what=table.get("what", ""),
            usual_s=float(table.get("usual_s", 0)),
            arch=self._arch,
            digest=_digest(directory, [meaning, pins, needed, self._arch]),
        )


def _digest(directory: Path, facts: list[object]) -> str:
    sha = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for path in recipe_files(directory):
        content = path.read_bytes()
        sha.update(f"\n{path.relative_to(directory).as_posix()} {len(content)}\n".encode())
        sha.update(content)
    return sha.hexdigest()


def recipe_files(directory: Path) -> Iterator[Path]:
    """Yield the files of a recipe's folder that take part in its build, in a stable order."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != "recipe.toml" and "__pycache__" not in path.parts:
            yield path
