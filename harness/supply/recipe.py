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

Each kind's table is described in its module of :mod:`harness.supply.builders`. A chart's folder, as an example::

    ambassador/
      recipe.toml
      chart/                  # Chart.yaml, values.yaml, templates/**: the chart without its CRDs

    kind = "chart"
    version = "contour"
    pins = ["envoy"]
    needs = ["contour-crds", "contour-image", "envoy-image"]   # CRDs and images, of whatever kind
    usual_s = 1
    what = "..."

    [chart]
    crds = ["contour-crds"]                # their YAML files become templates, so that an uninstall removes them
    crds-when = ".Values.crd.create"       # optional: the template condition they are rendered under

    # The reference its pods ask for -> the image of supply that stands under it. The user of the chart makes each
    # present on the nodes under that reference; the chart is made without the images.
    [chart.images]
    "docker.io/seatrial/contour:{contour}" = "contour-image"
    "docker.io/seatrial/envoy:{envoy}" = "envoy-image"

``{version}`` and ``{PIN}`` are filled in in Chart.yaml, values.yaml and the references of ``images``, nowhere else
(templates keep every brace). Helm looks up every kind of a release before it creates anything, so objects of a
chart's own CRDs cannot be in its templates, except as post-install hooks.

The folder's name is the artifact's name. Recipes that differ in little share a folder without ``recipe.toml``, whose
``common.toml`` holds the tables they have in common and whose other files are files of each. ``kubernetes-1.34`` says::

    extends = "kubernetes"   # {variant} in kubernetes/common.toml is 1.34 for it

Its digest covers everything that can change the result: the files, the
recipe's tables, the pinned values, the processor and the digests of what it needs. It does not cover file modes
(a wheel does not keep them), `what` and `usual_s`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast, get_args

from harness.errors import SupplyError
from harness.merge import merge
from harness.supply.pins import Arch, Pins, minor

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).with_name("recipes")
# What an image's `package-files` are named from: Seatrial's own modules that run inside images.
_PACKAGE = Path(__file__).parents[1]

# Programs. go: compiled from Go modules; link: another one under its own name; wheel: a file of a wheel from PyPI.
# Directories of files. crds: custom resource definitions from Go types; module-files: files of a Go module as they
# are; chart: a Helm chart.
# Images. rootfs: a base from Debian packages; image: a Dockerfile with programs copied in; node: an image with other
# images preloaded.
RecipeKind = Literal["go", "link", "wheel", "crds", "module-files", "chart", "rootfs", "image", "node"]
# What a recipe makes.
Makes = Literal["program", "files", "image"]
_MAKES: Mapping[RecipeKind, Makes] = {
    "go": "program",
    "link": "program",
    "wheel": "program",
    "crds": "files",
    "module-files": "files",
    "chart": "files",
    "rootfs": "image",
    "image": "image",
    "node": "image",
}

# Twelve of 64 hex digits tell recipes apart in names that people read.
SHORT_DIGEST = 12

_KNOWN_KEYS = {"kind", "version", "pins", "needs", "usual_s", "what", "extends"}
# Files that say how to build; everything else in a recipe's folders takes part in the build.
_TABLE_FILE, _COMMON_FILE = "recipe.toml", "common.toml"

_REPAIR = f"recipes come with Seatrial: install it again, or correct what you changed in '{RECIPES}'"


@dataclass(frozen=True)
class Recipe:
    """How one artifact is made.

    Args:
        name: the artifact's name.
        kind: which builder makes it.
        version: upstream's version, from the pin file.
        directory: its own folder.
        pins: pin name -> version, everything the build may use; includes the recipe's own version under its pin name.
        needs: names of artifacts that go into it.
        options: the builder's own table.
        what: one sentence for people.
        usual_s: seconds a cold build usually takes, without what it needs.
        arch: the processor it is made for.
        digest: 64 hex digits over everything that can change the result.
        extends: the folder it shares with its siblings, if it has any.
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
    extends: Path | None = None

    @property
    def directories(self) -> tuple[Path, ...]:
        """The folders whose files take part in the build; of files of the same name the last one's is meant."""
        return (self.directory,) if self.extends is None else (self.extends, self.directory)

    @property
    def makes(self) -> Makes:
        """Whether it makes an executable file, a directory of files, or an image in the engine."""
        return _MAKES[self.kind]

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

    def key(self) -> str:
        """Return 12 hex digits that change when any recipe, or a pin that one uses, does."""
        digests = "".join(f"{name} {self.get(name).digest}\n" for name in self.names())
        return hashlib.sha256(digests.encode()).hexdigest()[:SHORT_DIGEST]

    def _get(self, name: str, asked_by: tuple[str, ...]) -> Recipe:
        if name in asked_by:
            raise _broken(name, f"it needs itself: {' -> '.join([*asked_by, name])}")
        if name not in self._read:
            self._read[name] = self._parse(name, asked_by)
        return self._read[name]

    def _parse(self, name: str, asked_by: tuple[str, ...]) -> Recipe:
        directory = self._directory / name
        if not (directory / _TABLE_FILE).is_file():
            raise SupplyError(
                f"find an artifact called '{name}'",
                seen=f"there are: {', '.join(self.names())}",
                hint="name one of these",
            )
        table = _read_table(name, directory / _TABLE_FILE)
        extends = self._directory / table["extends"] if "extends" in table else None
        if extends is not None:
            table = merge(self._common_table(name, extends), table)
        kind = cast("RecipeKind", table.get("kind"))
        if kind not in get_args(RecipeKind):
            raise _broken(name, f"kind = {kind!r}, known: {get_args(RecipeKind)}")
        unknown = sorted(set(table) - _KNOWN_KEYS - {kind})
        if unknown or "version" not in table:
            raise _broken(name, f"unknown keys {unknown}" if unknown else "no version")
        pins = {pin: self._pins.version(pin) for pin in [table["version"], *table.get("pins", [])]}
        needs = tuple(table.get("needs", ()))
        needed = {need: self._get(need, (*asked_by, name)).digest for need in needs}
        meaning = {key: value for key, value in table.items() if key not in {"what", "usual_s", "extends"}}
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
            digest=_digest(
                [directory] if extends is None else [extends, directory],
                package_files(table.get(kind, {})),
                [meaning, pins, needed, self._arch],
            ),
            extends=extends,
        )

    @staticmethod
    def _common_table(name: str, extends: Path) -> dict[str, Any]:
        """Read what a recipe's siblings have in common, ``{variant}`` being what makes up the rest of its name."""
        if not name.startswith(f"{extends.name}-"):
            raise _broken(name, f"it extends '{extends.name}', its name says otherwise")
        return _read_table(name, extends / _COMMON_FILE, variant=name.removeprefix(f"{extends.name}-"))


def _read_table(name: str, path: Path, *, variant: str = "") -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8").replace("{variant}", variant or "{variant}"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise _broken(name, f"{path.parent.name}/{path.name}: {error}") from error


def _broken(name: str, seen: str) -> SupplyError:
    return SupplyError(f"read recipe '{name}'", seen=seen, hint=_REPAIR)


def _digest(directories: Sequence[Path], others: Mapping[str, Path], facts: list[object]) -> str:
    sha = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, path in [*files_by_name(directories).items(), *others.items()]:
        content = path.read_bytes()
        sha.update(f"\n{name} {len(content)}\n".encode())
        sha.update(content)
    return sha.hexdigest()


def package_files(options: Mapping[str, Any]) -> dict[str, Path]:
    """Return the modules of Seatrial that a recipe's table asks for, by their name in the build context, sorted.

    Args:
        options: the builder's own table; its ``package-files`` are paths below ``harness/``.

    Raises:
        SupplyError: there is no such file.
    """
    found = {f"package/{_PACKAGE.name}/{name}": _PACKAGE / name for name in sorted(options.get("package-files", ()))}
    missing = sorted(str(path) for path in found.values() if not path.is_file())
    if missing:
        seen = f"not there: {', '.join(missing)}"
        raise SupplyError("find the package files that a recipe names", seen=seen, hint=_REPAIR)
    return found


def files_by_name(directories: Sequence[Path]) -> dict[str, Path]:
    """Return the files of a recipe's folders by their path below them, sorted; the last folder's win.

    Args:
        directories: see :attr:`Recipe.directories`.
    """
    found = {path.relative_to(folder): path for folder in directories for path in recipe_files(folder)}
    return {name.as_posix(): found[name] for name in sorted(found)}


def recipe_files(directory: Path) -> Iterator[Path]:
    """Yield the files of a recipe's folder that take part in its build, in a stable order."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name not in {_TABLE_FILE, _COMMON_FILE} and "__pycache__" not in path.parts:
            yield path


def copy_recipe_files(directories: Sequence[Path], target: Path, *, below: str = "") -> None:
    """Copy the files of a recipe's folders to `target`, where a build may add its own beside them.

    Args:
        directories: see :attr:`Recipe.directories`.
        target: made if it is not there.
        below: copy only what lies in this folder of them, as if it were the top.
    """
    for name, path in files_by_name(directories).items():
        if PurePosixPath(name).is_relative_to(below):
            copy = target / PurePosixPath(name).relative_to(below)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
