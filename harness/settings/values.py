"""The types of settings: what a user may write, and the value it stands for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.naming import DNS_LABEL_MAX, dns_label

# kind names nodes after the cluster, and a node's name is a host name: one DNS label.
CLUSTER_NAME_MAX = DNS_LABEL_MAX - len("-control-plane")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")
# The shape of names in the distribution project's reference grammar, without its finer rules on separators.
_IMAGE = re.compile(
    r"[a-zA-Z0-9][\w.\-]*(?::\d+)?(?:/[a-z0-9][a-z0-9._\-]*)*(?::[\w][\w.\-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_REGISTRY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.\-]*(?::\d{1,5})?(?:/[a-z0-9][a-z0-9._\-]*)*")
_ENGINE_SCHEMES = ("unix://", "tcp://", "http://", "https://", "ssh://")


# A Kubernetes version can be had when there is a recipe for its nodes: the folders' names say which, and reading them
# costs less than reading the recipes.
_RECIPES = Path(__file__).parents[1] / "supply" / "recipes"
_NODE_RECIPE = re.compile(r"node-(\d+)\.(\d+)")


def known_kubernetes_versions(recipes: Path = _RECIPES) -> tuple[str, ...]:
    """Return the minor versions there are recipes for, oldest first, e.g. ``("1.21", "1.34")``."""
    names = (_NODE_RECIPE.fullmatch(path.name) for path in recipes.iterdir())
    return tuple(f"{major}.{minor}" for major, minor in sorted((int(name[1]), int(name[2])) for name in names if name))


@dataclass(frozen=True)
class Surroundings:
    """What a value may depend on besides itself.

    Args:
        base: directory that relative paths start from.
        home: the user's home directory, for ``~``.
        kubernetes_versions: minor versions there are recipes for, oldest first.
    """

    base: Path
    home: Path
    kubernetes_versions: Sequence[str]

    def path(self, text: str) -> Path:
        """Return `text` as an absolute path."""
        expanded = self.home / text[2:] if text.startswith("~/") else Path(text)
        return Path(os.path.abspath(self.base / expanded))  # noqa: PTH100 - resolve() would follow the user's links


class ValueType(Protocol):
    """Reads what a user wrote."""

    @property
    def metavar(self) -> str:
        """What stands for the value in help texts."""

    def parse(self, raw: object, around: Surroundings) -> object:
        """Return the value; raise ``ValueError`` that says what is wrong and what would be right."""


@dataclass(frozen=True)
class Text:
    """Any text but an empty one."""

    metavar: str = "TEXT"

    def parse(self, raw: object, around: Surroundings) -> str:  # noqa: ARG002 - the protocol's signature
        """See :meth:`ValueType.parse`."""
        return _text(raw)


@dataclass(frozen=True)
class Switch:
    """On or off."""

    metavar: str = ""

    def parse(self, raw: object, around: Surroundings) -> bool:  # noqa: ARG002 - the protocol's signature
        """See :meth:`ValueType.parse`."""
        if isinstance(raw, bool):
            return raw
        word = _text(raw).lower()
        if word in _TRUE | _FALSE:
            return word in _TRUE
        raise ValueError("neither on nor off; write 1, true, yes, on or 0, false, no, off")


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    choices: tuple[str, ...]

    @property
    def metavar(self) -> str:
        """See :attr:`ValueType.metavar`."""
        return "{" + ",".join(self.choices) + "}"

    def parse(self, raw: object, around: Surroundings) -> str:  # noqa: ARG002 - the protocol's signature
        """See :meth:`ValueType.parse`."""
        word = _text(raw)
        if word in self.choices:
            return word
        raise ValueError(f"unknown; choose {' or '.join(self.choices)}")


@dataclass(frozen=True)
class Duration:
    """A length of time, kept as seconds."""

    metavar: str = "TIME"

    def parse(self, raw: object, around: Surroundings) -> float:  # noqa: ARG002 - the protocol's signature
        """See :meth:`ValueType.parse`."""
        match = _DURATION.fullmatch(_text(raw))
        if match is None:
            raise ValueError('not a length of time; write seconds ("90", "1.5s") or "5m", "1h30m"')
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        total = hours * 3600 + minutes * 60 + seconds
        if total <= 0:
            raise ValueError("a time limit must be longer than nothing")
        return total


@dataclass(frozen=True)
class Count:
    """A whole number above zero."""

    metavar: str = "N"

    def parse(self, raw: object, around: Surroundings) -> int:  # noqa: ARG002 - the protocol's signature
        """See :meth:`ValueType.parse`."""
        text = _text(raw)
        if text.isascii() and text.isdigit() and int(text) > 0:
            return int(text)
        raise ValueError("not a whole number above zero")


@dataclass(frozen=True)
class FilePath:
    """A file.

    Args:
        must_exist: whether it has to be there already.
        executable: whether it has to be a program.
    """

    must_exist: bool = True
    executable: bool = False
    metavar: str = "FILE"

    def parse(self, raw: object, around: Surroundings) -> Path:
        """See :meth:`ValueType.parse`."""
        path = around.path(_text(raw))
        if path.is_dir():
            raise ValueError(f"'{path}' is a directory, not a file")
        if self.must_exist and not path.exists():
            raise ValueError(f"there is no file '{path}'")
        if self.executable and not os.access(path, os.X_OK):
            raise ValueError(f"'{path}' is not executable; chmod +x makes it so")
        return path


@dataclass(frozen=True)
class DirectoryPath:
    """A directory.

    Args:
        must_exist: whether it has to be there already; otherwise it is made when needed.
    """

    must_exist: bool = False
    metavar: str = "DIR"

    def parse(self, raw: object, around: Surroundings) -> Path:  # noqa: D102 - see ValueType.parse
        path = around.path(_text(raw))
        for part in (path, *path.parents):
            if part.is_dir():
                break
            if part.exists():
                raise ValueError(f"'{part}' is a file, not a directory")
        if self.must_exist and not path.exists():
            raise ValueError(f"there is no directory '{path}'")
        return path


@dataclass(frozen=True)
class Address:
    """The address of a Docker engine."""

    metavar: str = "ADDRESS"

    def parse(self, raw: object, around: Surroundings) -> str:  # noqa: ARG002 - the protocol's signature
        """See :meth:`ValueType.parse`."""
        text = _text(raw)
        if text.startswith(_ENGINE_SCHEMES) and text.partition("://")[2]:
            return text
        raise ValueError(f"not an engine's address; it starts with one of {', '.join(_ENGINE_SCHEMES)}")


@dataclass(frozen=True)
class ClusterName:
    """A name that kind and DNS accept."""

    metavar: str = "NAME"

    def parse(self, raw: object, around: Surroundings) -> str:  # noqa: ARG002 - the protocol's signature
        """See :meth:`ValueType.parse`."""
        text = _text(raw)
        if len(text) > CLUSTER_NAME_MAX:
            raise ValueError(
                f"{len(text)} characters long; nodes are named after it, so {CLUSTER_NAME_MAX} is the limit"
            )
        if dns_label(text) != text:
            raise ValueError(
                f"not a DNS label (a-z, 0-9 and single dashes between them); '{dns_label(text)}' would be one"
            )
        return text


@dataclass(frozen=True)
class KubernetesVersions:
    """Minor versions there are recipes for, separated by commas; one named twice counts once."""

    metavar: str = "VERSION[,VERSION...]"

    def parse(self, raw: object, around: Surroundings) -> tuple[str, ...]:
        """See :meth:`ValueType.parse`."""
        known = around.kubernetes_versions
        versions = []
        for part in _text(raw).split(","):
            version = known[-1] if part.strip() == "newest" and known else part.strip()
            if version not in known:
                raise ValueError(f"unknown Kubernetes version; known: {', '.join(known) or 'none'}")
            versions.append(version)
        return tuple(dict.fromkeys(versions))


@dataclass(frozen=True)
class ImageName:
    """A reference to a container image."""

    metavar: str = "IMAGE"

    def parse(self, raw: object, around: Surroundings) -> str:  # noqa: ARG002 - the protocol's signature
        """See :meth:`ValueType.parse`."""
        text = _text(raw)
        if _IMAGE.fullmatch(text) or re.fullmatch(r"sha256:[0-9a-f]{64}", text):
            return text
        raise ValueError("not an image reference; write [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST]")


@dataclass(frozen=True)
class RegistryName:
    """Where images are pushed to."""

    metavar: str = "REGISTRY"

    def parse(self, raw: object, around: Surroundings) -> str:  # noqa: ARG002 - the protocol's signature
        """See :meth:`ValueType.parse`."""
        text = _text(raw).rstrip("/")
        if _REGISTRY.fullmatch(text):
            return text
        raise ValueError("not a registry; write HOST[:PORT][/PREFIX] without a scheme")


@dataclass(frozen=True)
class Pairs:
    """Several ``NAME=VALUE``, one per flag, line or white-space separated word."""

    metavar: str = "NAME=VALUE"

    def parse(self, raw: object, around: Surroundings) -> Mapping[str, str]:
        """See :meth:`ValueType.parse`."""
        words = raw.split() if isinstance(raw, str) else [_text(word) for word in _sequence(raw)]
        given: dict[str, str] = {}
        for word in words:
            name, equals, value = word.partition("=")
            if not (name and equals and value):
                raise ValueError(f"'{word}' is not NAME=VALUE")
            if "://" in value:
                raise ValueError(f"'{name}' must be a file or an image, not an address")
            value = self._value(name, value, around)
            if given.get(name, value) != value:
                raise ValueError(f"'{name}' is given twice: '{given[name]}' and '{value}'")
            given[name] = value
        return given

    @staticmethod
    def _value(name: str, value: str, around: Surroundings) -> str:
        """Make a path absolute and check it; what does not look like a path is an image reference."""
        if not value.startswith(("/", "./", "../", "~/")):
            return value
        path = around.path(value)
        if not path.is_file():
            raise ValueError(f"'{name}': there is no file '{path}'")
        return str(path)


def _text(raw: object) -> str:
    text = str(raw).strip()
    if not text:
        raise ValueError("empty; leave it out to get the default")
    return text


def _sequence(raw: object) -> Sequence[object]:
    return raw if isinstance(raw, (list, tuple)) else [raw]
