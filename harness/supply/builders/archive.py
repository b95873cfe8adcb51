"""Image archives with the names and entry points that a node expects.

What a node preloads is called ``registry.k8s.io/...``. Naming it so in the engine could overwrite an image of the
user's, so the engine only knows it by Seatrial's names, and the names a node uses are written into the archive.

Layout of the archives that `docker save` writes and `ctr images import` reads: a tar file whose ``manifest.json`` lists
for each image its configuration, its layers and its names (github.com/moby/moby, image/spec/v1.2.md; the OCI layout
that newer engines write beside it says the same and is left out here).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_INDEXES = frozenset({"manifest.json", "repositories", "index.json", "oci-layout"})


class ImageArchive:
    """Writes one archive out of several saved images.

    Args:
        target: the tar file to write; complete after the ``with`` block.
    """

    def __init__(self, target: Path) -> None:
        self._tar = tarfile.open(target, "w")  # noqa: SIM115 - closed by __exit__
        self._written: set[str] = set()
        self._manifest: list[dict[str, Any]] = []

    def __enter__(self) -> ImageArchive:  # noqa: PYI034 - typing.Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write("manifest.json", json.dumps(self._manifest).encode())
        self._tar.close()

    def add(self, saved: Path, names: Mapping[str, Sequence[str] | None]) -> None:
        """Add an image.

        Args:
            saved: a `docker save` archive of one image.
            names: each name the image gets -> the entry point it has under it; ``None`` keeps its own.

        Raises:
            ValueError: `saved` does not hold exactly one image.
        """
        with tarfile.open(saved) as source:
            manifest = _read_json(source, "manifest.json")
            if len(manifest) != 1:
                raise ValueError(f"{saved} holds {len(manifest)} images, not one")
            image = manifest[0]
            config = _read_json(source, image["Config"])
            for member in source:
                if member.name not in _INDEXES and not member.isdir() and member.name not in self._written:
                    self._tar.addfile(member, source.extractfile(member) if member.isfile() else None)
                    self._written.add(member.name)
        for name, entrypoint in names.items():
            path = image["Config"]
            if entrypoint is not None:
                path = self._write_config(config, entrypoint)
            self._manifest.append({"Config": path, "RepoTags": [name], "Layers": image["Layers"]})

    def _write_config(self, config: Mapping[str, Any], entrypoint: Sequence[str]) -> str:
        settings = {**(config.get("config") or {}), "Entrypoint": list(entrypoint), "Cmd": None}
        content = json.dumps({**config, "config": settings}).encode()
        path = f"{hashlib.sha256(content).hexdigest()}.json"
        if path not in self._written:
            self._write(path, content)
        return path

    def _write(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))
        self._written.add(name)


def _read_json(archive: tarfile.TarFile, name: str) -> Any:
    member = archive.extractfile(name)
    if member is None:
        raise ValueError(f"{name} is not a file")
    return json.load(member)
