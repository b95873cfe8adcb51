"""Directories of files that need no building: the user's own, and published archives."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from harness.errors import DownloadError, SupplyError
from harness.supply.artifact import Files, SourceName
from harness.supply.pins import PublishedFile
from harness.supply.provenance import content_digest, users_own
from harness.supply.recipe import Recipe
from harness.supply.sources.download import NOT_AS_PINNED, PublishedSource, provenance_of


class GivenFilesSource:
    """Answers with the user's own directory.

    Args:
        given: artifact name -> path.
    """

    name: SourceName = "given"
    is_local = True

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def offer(self, recipe: Recipe) -> str:
        """See :meth:`Source.offer`."""
        return f"give the path of your own {recipe.name}"

    def get(self, recipe: Recipe) -> Files | None:
        """See :meth:`Source.get`."""
        if recipe.name not in self._given:
            return None
        path = Path(self._given[recipe.name]).expanduser().absolute()
        if not path.is_dir():
            raise SupplyError(
                f"use '{path}' as {recipe.name}",
                seen="there is no such directory",
                hint=f"correct the path given for {recipe.name}, or leave it out",
            )
        provenance = users_own(
            recipe.name, path, version="unknown", source="given", how="the path was given by the user"
        )
        return Files(path, provenance)


class FilesDownloadSource(PublishedSource[Files]):
    """Answers with the pinned archive of its publisher, unpacked: a packaged chart."""

    def _find(self, name: str, key: str) -> Files | None:
        return self._cache.find_files(name, key)

    def _keep(self, recipe: Recipe, published: PublishedFile, delivered: Path, workdir: Path) -> Files:
        target = workdir / "unpacked"
        _unpack(delivered, published, target)
        how = f"as published, checked against SHA-256 {published.sha256}"
        provenance = provenance_of(recipe, published, digest=content_digest(target), how=how)
        return self._cache.put_files(published.key, target, provenance)


def _unpack(archive: Path, published: PublishedFile, target: Path) -> None:
    """Write the files below one folder of a ``.tar.gz`` to `target`; links and devices are left out, as Helm does."""
    attempted = f"unpack {published.member} of {published.url}"
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if not member.isfile() or not name.is_relative_to(published.member):
                    continue
                if ".." in name.parts or name.is_absolute():
                    seen = f"it holds a file called '{member.name}'"
                    raise DownloadError(attempted, seen=seen, hint=NOT_AS_PINNED)
                content = tar.extractfile(member)
                path = target / name.relative_to(published.member)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    shutil.copyfileobj(content, file)  # type: ignore[arg-type] # a file has content
    except (tarfile.TarError, EOFError) as error:
        raise DownloadError(attempted, seen=str(error), hint=NOT_AS_PINNED) from error
    if not target.is_dir():
        raise DownloadError(attempted, seen="it is not there", hint=NOT_AS_PINNED)
