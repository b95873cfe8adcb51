"""Directories of files that need no building: the user's own, cached ones, and published archives."""

from __future__ import annotations

import shutil
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from harness.errors import DownloadError, SupplyError
from harness.progress import Progress
from harness.supply.artifact import Files, Provenance, SourceName
from harness.supply.cache import Cache, cache_errors
from harness.supply.pins import Pins, PublishedFile
from harness.supply.provenance import content_digest
from harness.supply.recipe import Recipe
from harness.supply.sources.download import Downloader


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
        provenance = Provenance(
            name=recipe.name,
            version="unknown",
            source="given",
            origin=str(path),
            digest=content_digest(path),
            recipe="",
            made_at=path.stat().st_mtime,
            how="the path was given by the user",
        )
        return Files(path, provenance)


class FilesCacheSource:
    """Answers with what an earlier download or build left in the cache.

    Args:
        cache: where to look.
        pins: what would be downloaded.
    """

    name: SourceName = "cache"
    is_local = True

    def __init__(self, cache: Cache, pins: Pins) -> None:
        self._cache = cache
        self._pins = pins

    def offer(self, recipe: Recipe) -> str:  # noqa: ARG002 - nobody can ask a cache to have something
        """See :meth:`Source.offer`."""
        return ""

    def get(self, recipe: Recipe) -> Files | None:
        """See :meth:`Source.get`."""
        published = self._pins.published_file(recipe.name, recipe.arch)
        keys = [published.key] if published else []
        for key in [*keys, recipe.key]:
            files = self._cache.find_files(recipe.name, key)
            if files is not None:
                return files
        return None


class FilesDownloadSource:
    """Answers with the pinned archive of its publisher, unpacked: a packaged chart.

    Args:
        pins: what is published where, under which digest.
        cache: where it goes.
        downloader: fetches and checks it.
        progress: told while it takes.
    """

    name: SourceName = "download"
    is_local = False

    def __init__(self, pins: Pins, cache: Cache, downloader: Downloader, progress: Progress) -> None:
        self._pins = pins
        self._cache = cache
        self._downloader = downloader
        self._progress = progress

    def offer(self, recipe: Recipe) -> str:
        """See :meth:`Source.offer`."""
        published = self._pins.published_file(recipe.name, recipe.arch)
        return f"let Seatrial download {published.version} from {published.url}" if published else ""

    def get(self, recipe: Recipe) -> Files | None:
        """See :meth:`Source.get`."""
        published = self._pins.published_file(recipe.name, recipe.arch)
        if published is None:
            return None
        with self._cache.lock(recipe.name, published.key):
            return self._cache.find_files(recipe.name, published.key) or self._fetch(recipe, published)

    def _fetch(self, recipe: Recipe, published: PublishedFile) -> Files:
        with (
            self._cache.workdir(recipe.name) as workdir,
            self._progress.step(f"download {recipe.name} {published.version}"),
            cache_errors(f"store the download of {recipe.name}", self._cache.root),
        ):
            archive, target = workdir / "delivered", workdir / "unpacked"
            self._downloader.fetch(published, archive)
            _unpack(archive, published, target)
            provenance = Provenance(
                name=recipe.name,
                version=published.version,
                source="download",
                origin=published.url,
                digest=content_digest(target),
                recipe="",
                made_at=time.time(),
                how=f"as published, checked against SHA-256 {published.sha256}",
            )
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
                    raise DownloadError(attempted, seen=f"it holds a file called '{member.name}'")
                content = tar.extractfile(member)
                path = target / name.relative_to(published.member)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    shutil.copyfileobj(content, file)  # type: ignore[arg-type] # a file has content
    except (tarfile.TarError, EOFError) as error:
        raise DownloadError(attempted, seen=str(error)) from error
    if not target.is_dir():
        raise DownloadError(attempted, seen="it is not there")
