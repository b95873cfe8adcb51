"""The pin file: every version and every published digest Seatrial relies on."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from harness.errors import SupplyError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PINS_FILE = Path(__file__).with_name("pins.toml")

Arch = Literal["amd64", "arm64"]

# Names the kernel gives to the processors that publishers build for.
_ARCHITECTURES: Mapping[str, Arch] = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def host_arch(machine: str | None = None) -> Arch:
    """Return this host's processor as publishers spell it.

    Raises:
        SupplyError: nothing is pinned for such a processor.
    """
    machine = machine or platform.machine()
    try:
        return _ARCHITECTURES[machine.lower()]
    except KeyError:
        raise SupplyError(
            f"supply programs for processor '{machine}'",
            seen=f"Seatrial knows {', '.join(sorted(set(_ARCHITECTURES.values())))}",
            hint="give the paths of the programs yourself",
        ) from None


@dataclass(frozen=True)
class PublishedFile:
    """A file at its publisher's address.

    Args:
        version: the publisher's version, which may differ from the one that is built.
        url: where it is.
        sha256: 64 hex digits of the file as delivered.
        member: path inside the archive when the file is a ``.tar.gz``, else empty; of a chart, its folder.
    """

    version: str
    url: str
    sha256: str
    member: str = ""

    @property
    def key(self) -> str:
        """``VERSION-DIGEST12``: its folder in the cache."""
        return f"{self.version}-{self.sha256[:12]}"


@dataclass(frozen=True)
class PublishedImage:
    """An image in a public registry, named by digest.

    Args:
        version: upstream's version of what is inside.
        reference: ``NAME@sha256:...``, without a tag (an engine ignores one beside a digest).
    """

    version: str
    reference: str

    @property
    def key(self) -> str:
        """``VERSION-DIGEST12``: where the cache keeps its provenance."""
        return f"{self.version}-{self.reference.partition('@sha256:')[2][:12]}"


class Pins:
    """The parsed pin file."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._table = table

    @classmethod
    def load(cls, path: Path = PINS_FILE) -> Pins:
        """Read the pin file at `path`."""
        return cls(tomllib.loads(path.read_text(encoding="utf-8")))

    def version(self, name: str) -> str:
        """Return the version pinned under `name`.

        Raises:
            SupplyError: there is no such pin.
        """
        versions = cast("Mapping[str, str]", self._table.get("versions", {}))
        if name not in versions:
            raise SupplyError(
                f"find the pin '{name}'",
                seen=f"pinned are: {', '.join(sorted(versions))}",
                hint="pin it in harness/supply/pins.toml, or correct what asks for it",
            )
        return versions[name]

    def published_file(self, name: str, arch: Arch) -> PublishedFile | None:
        """Return where artifact `name` is published for `arch`, or ``None`` when no digest is pinned.

        A file that is the same for every processor has one digest instead of a table of them.
        """
        entry = self._table.get("download", {}).get(name, {})
        pinned = entry.get("sha256", {})
        sha256 = pinned if isinstance(pinned, str) else pinned.get(arch)
        if not sha256:
            return None
        fill = {"version": entry["version"], "arch": arch}
        return PublishedFile(
            version=entry["version"],
            url=entry["url"].format(**fill),
            sha256=sha256,
            member=entry.get("member", "").format(**fill),
        )

    def published_image(self, name: str) -> PublishedImage | None:
        """Return the public image that stands for artifact `name`, or ``None`` when none is pinned."""
        entry = self._table.get("pull", {}).get(name)
        return PublishedImage(entry["version"], entry["reference"]) if entry else None


def minor(version: str) -> tuple[int, int]:
    """Return major and minor of a version such as ``v1.34.4``, ``1.34`` or ``v3.20.2+g1234``.

    Raises:
        ValueError: `version` does not start with two numbers.
    """
    match = re.match(r"v?(\d+)\.(\d+)", version)
    if not match:
        raise ValueError(f"not a version: '{version}'")
    return int(match[1]), int(match[2])
