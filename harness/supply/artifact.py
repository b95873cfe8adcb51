"""What supply hands out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SourceName = Literal["given", "path", "cache", "download", "build"]


@dataclass(frozen=True)
class Provenance:
    """Where an artifact came from, kept beside it and shown in the evidence.

    Args:
        name: the artifact's name in the pin file, e.g. ``kind`` or ``node-1.34``.
        version: upstream's version, e.g. ``v0.32.0``.
        source: the source that answered.
        origin: the address, path or recipe it came from.
        digest: ``sha256:...`` of the file or of a directory's files with their names, or the image id.
        recipe: digest of the recipe when built, else empty.
        made_at: seconds since the epoch.
        how: one sentence for people: how it was made, stand-ins named as such.
    """

    name: str
    version: str
    source: SourceName
    origin: str
    digest: str
    recipe: str
    made_at: float
    how: str


@dataclass(frozen=True)
class Program:
    """An executable file."""

    path: Path
    provenance: Provenance


@dataclass(frozen=True)
class Image:
    """A container image present in the engine.

    Args:
        reference: name the engine knows it by, e.g. ``seatrial/node:v1.34.4-1f2e3d4c5b6a`` or a digest reference.
    """

    reference: str
    provenance: Provenance


@dataclass(frozen=True)
class Files:
    """A directory of files that are read, not run: manifests, schemas, a chart.

    Args:
        path: the directory; it belongs to the cache, so whoever changes files copies it first.
    """

    path: Path
    provenance: Provenance


@dataclass(frozen=True)
class Chart:
    """A Helm chart.

    Args:
        path: its directory, which holds ``Chart.yaml``.
        images: the reference its pods ask for -> the name of supply's image that has to be there under it; empty for
            a published chart, whose images come from their publishers.
        published: whether it is upstream's own chart (or one the user gave) instead of Seatrial's.
        provenance: where it came from.
    """

    path: Path
    images: Mapping[str, str]
    published: bool
    provenance: Provenance
