"""What its publisher delivers, pinned by version and SHA-256."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import requests
import tenacity
import urllib3

from harness.errors import DigestMismatchError, DownloadError
from harness.progress import Progress
from harness.supply.artifact import Files, Program, Provenance, SourceName
from harness.supply.cache import Cache, cache_errors
from harness.supply.pins import Pins, PublishedFile
from harness.supply.provenance import file_digest
from harness.supply.recipe import Recipe
from harness.wait import SYSTEM_CLOCK, Clock, Deadline

A = TypeVar("A", bound=Program | Files)

_CHUNK_BYTES = 1 << 18
_SERVER_ERROR = 500
_PROXY_HINT = "check the network and HTTPS_PROXY; or give the path of your own, or let Seatrial build it"

# Said of an archive whose digest was right: the publisher is not to blame, and another download gives the same.
NOT_AS_PINNED = "correct the pin, or do without: --no-download has it built, --supply takes one of your own"


@dataclass(frozen=True)
class DownloadLimits:
    """How long and how often a download is tried.

    Args:
        connect_s: limit for reaching the publisher; short, because hosts without the Internet often just drop packets.
        stall_s: limit for a silence in the middle.
        total_s: limit for one whole attempt.
        attempts: how often it is tried when the connection fails, breaks off, or the server says 5xx.
        pause_s: pause before the second attempt; doubled before each further one.
    """

    connect_s: float = 5.0
    stall_s: float = 30.0
    total_s: float = 600.0
    attempts: int = 3
    pause_s: float = 1.0


DEFAULT_LIMITS = DownloadLimits()


class _TransientError(Exception):
    """What may go better the next time."""


class Downloader:
    """Fetches published files and checks them before anybody uses them.

    Args:
        limits: how long and how often to try.
        clock: measures the limits, and sleeps between attempts.
    """

    def __init__(self, limits: DownloadLimits = DEFAULT_LIMITS, clock: Clock = SYSTEM_CLOCK) -> None:
        self._limits = limits
        self._clock = clock

    def fetch(self, published: PublishedFile, target: Path) -> None:
        """Write the file at ``published.url`` to `target`.

        Raises:
            DigestMismatchError: the file arrived whole and is not the pinned one.
            DownloadError: it did not arrive.
        """
        attempted = f"download {published.url}"
        attempt = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TransientError),
            stop=tenacity.stop_after_attempt(self._limits.attempts),
            wait=tenacity.wait_exponential(multiplier=self._limits.pause_s),
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            digest = attempt(self._attempt, published.url, target)
        except _TransientError as error:
            seen = f"{error}\n{self._limits.attempts} attempts"
            raise DownloadError(attempted, seen=seen, hint=_PROXY_HINT, url=published.url) from error
        if digest != published.sha256:
            raise DigestMismatchError(
                attempted,
                seen=f"the file's SHA-256 is {digest}, pinned is {published.sha256}",
                hint="something between you and the publisher changes files: do not use this one; "
                "give the path of a program you trust",
                url=published.url,
            )

    def _attempt(self, url: str, target: Path) -> str:
        """Try once; return the SHA-256 of what arrived."""
        deadline = Deadline(self._limits.total_s, self._clock)
        try:
            # The bytes are wanted as published: a server must not unpack or pack them on the way.
            with requests.get(
                url,
                stream=True,
                timeout=(self._limits.connect_s, self._limits.stall_s),
                headers={"Accept-Encoding": "identity"},
            ) as response:
                self._check_status(response)
                return self._receive(response, target, deadline)
        except requests.RequestException as error:
            raise _TransientError(f"{type(error).__name__}: {error}") from error

    @staticmethod
    def _check_status(response: requests.Response) -> None:
        seen = f"HTTP {response.status_code} {response.reason}"
        if response.status_code >= _SERVER_ERROR:
            raise _TransientError(seen)
        if not response.ok:
            raise DownloadError(f"download {response.url}", seen=seen, hint=_PROXY_HINT, url=response.url)

    def _receive(self, response: requests.Response, target: Path, deadline: Deadline) -> str:
        sha = hashlib.sha256()
        received = 0
        with target.open("wb") as file:
            # read1 returns what is there instead of waiting for a whole chunk, so that a trickle meets the deadline.
            while chunk := _read(response):
                file.write(chunk)
                sha.update(chunk)
                received += len(chunk)
                if deadline.has_passed():
                    raise DownloadError(
                        f"download {response.url} within {deadline.timeout_s:g} s",
                        seen=f"{received} bytes arrived",
                        hint=_PROXY_HINT,
                        url=response.url,
                    )
        expected = response.headers.get("Content-Length", "")
        if expected.isdigit() and int(expected) != received:
            raise _TransientError(f"the connection ended after {received} of {expected} bytes")
        return sha.hexdigest()


def _read(response: requests.Response) -> bytes:
    try:
        chunk: bytes = response.raw.read1(_CHUNK_BYTES, decode_content=False)
    except urllib3.exceptions.HTTPError as error:
        raise _TransientError(f"{type(error).__name__}: {error}") from error
    return chunk


class PublishedSource(ABC, Generic[A]):
    """Answers with what its publisher delivers under the pinned digest; what becomes of it is a subclass's.

    Args:
        pins: what is published where.
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

    def get(self, recipe: Recipe) -> A | None:
        """See :meth:`Source.get`."""
        published = self._pins.published_file(recipe.name, recipe.arch)
        if published is None:
            return None
        with self._cache.lock(recipe.name, published.key):
            # Another run may have finished it while this one waited for the lock.
            return self._find(recipe.name, published.key) or self._fetch(recipe, published)

    def _fetch(self, recipe: Recipe, published: PublishedFile) -> A:
        with (
            self._cache.workdir(recipe.name) as workdir,
            self._progress.step(f"download {recipe.name} {published.version}"),
            cache_errors(f"store the download of {recipe.name}", self._cache.root),
        ):
            delivered = workdir / "delivered"
            self._downloader.fetch(published, delivered)
            return self._keep(recipe, published, delivered, workdir)

    @abstractmethod
    def _find(self, name: str, key: str) -> A | None:
        """Return what is in the cache already."""

    @abstractmethod
    def _keep(self, recipe: Recipe, published: PublishedFile, delivered: Path, workdir: Path) -> A:
        """Put what was delivered, and checked, into the cache."""


class DownloadSource(PublishedSource[Program]):
    """Answers with the pinned official release of a program."""

    def _find(self, name: str, key: str) -> Program | None:
        return self._cache.find(name, key)

    def _keep(self, recipe: Recipe, published: PublishedFile, delivered: Path, workdir: Path) -> Program:
        file = _extract(delivered, published, workdir / "member") if published.member else delivered
        how = f"official release, checked against SHA-256 {published.sha256}"
        return self._cache.put_program(
            published.key, file, provenance_of(recipe, published, digest=file_digest(file), how=how)
        )


def provenance_of(recipe: Recipe, published: PublishedFile, *, digest: str, how: str) -> Provenance:
    """Return where a download came from."""
    return Provenance(
        name=recipe.name,
        version=published.version,
        source="download",
        origin=published.url,
        digest=digest,
        recipe="",
        made_at=time.time(),
        how=how,
    )


def _extract(archive: Path, published: PublishedFile, target: Path) -> Path:
    """Write one member of a ``.tar.gz`` to `target`; nothing else of the archive touches the disk."""
    attempted = f"unpack {published.member} of {published.url}"
    try:
        with tarfile.open(archive, "r:gz") as tar:
            member = tar.extractfile(published.member)
            if member is None:
                raise DownloadError(attempted, seen="it is not a file", hint=NOT_AS_PINNED)
            with target.open("wb") as file:
                shutil.copyfileobj(member, file)
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise DownloadError(attempted, seen=str(error), hint=NOT_AS_PINNED) from error
    return target
