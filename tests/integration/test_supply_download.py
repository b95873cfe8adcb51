"""The download way against a real HTTP server on loopback."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DigestMismatchError, DownloadError
from harness.progress import SilentProgress
from harness.supply.artifact import Program
from harness.supply.cache import Cache
from harness.supply.pins import Pins
from harness.supply.recipe import Recipe, Recipes
from harness.supply.sources.download import Downloader, DownloadLimits, DownloadSource
from harness.testing import ManualClock

CONTENT = b"#!/bin/sh\necho tool v1.0.0\n" * 1_000
Script = Callable[[BaseHTTPRequestHandler], None]


class Publisher:
    """A publisher's server: each request is answered by the next script, the last one again and again."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.requests: list[str] = []
        self.closing = threading.Event()
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.requests.append(self.path)
                script = publisher.scripts.pop(0) if len(publisher.scripts) > 1 else publisher.scripts[0]
                script(self)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that leave are expected
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """Yield a running publisher."""
    server = Publisher()
    yield server
    server.close()


def serve(content: bytes, *, promised: int | None = None) -> Script:
    """Answer with `content`, promising another length when asked to."""

    def script(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) if promised is None else promised))
        request.end_headers()
        request.wfile.write(content)

    return script


def refuse(status: int) -> Script:
    """Answer with a status and no file."""
    return lambda request: request.send_error(status)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Return an empty cache."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def fetch(tmp_path: Path, publisher: Publisher, cache: Cache) -> Callable[..., Program | None]:
    """Return a function that downloads a program through the real source."""
    recipe_dir = tmp_path / "recipes" / "tool"
    recipe_dir.mkdir(parents=True)
    (recipe_dir / "recipe.toml").write_text('kind = "go"\nversion = "tool"\n', encoding="utf-8")

    def get(
        content: bytes = CONTENT, *, url: str = "", member: str = "", clock: Any = None, **limits: float
    ) -> Program | None:
        download = {
            "version": "v1.0.0",
            "url": f"{url or publisher.url}/{{version}}/tool-{{arch}}",
            "member": member,
            "sha256": {"amd64": hashlib.sha256(content).hexdigest()},
        }
        pins = Pins({"versions": {"tool": "v1.0.0"}, "download": {"tool": download}})
        recipe: Recipe = Recipes(pins, "amd64", tmp_path / "recipes").get("tool")
        allowed: Any = {"pause_s": 0.01, **limits}
        downloader = Downloader(DownloadLimits(**allowed), **({"clock": clock} if clock else {}))
        return DownloadSource(pins, cache, downloader, SilentProgress()).get(recipe)

    return get


def nothing_is_left(cache: Cache) -> bool:
    """Whether the cache holds no artifact and no work directory."""
    return cache.entries() == [] and list((cache.root / "tmp").iterdir()) == []


def test_right_file_is_stored_executable_with_its_origin(
    publisher: Publisher, fetch: Callable[..., Program | None], cache: Cache
) -> None:
    """The pinned file arrives, is checked, made executable and remembered with its address."""
    publisher.scripts = [serve(CONTENT)]
    program = fetch()
    assert program is not None
    assert publisher.requests == ["/v1.0.0/tool-amd64"]
    assert program.path.read_bytes() == CONTENT
    assert os.access(program.path, os.X_OK)
    assert program.provenance.origin == f"{publisher.url}/v1.0.0/tool-amd64"
    assert program.provenance.digest == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert cache.find("tool", program.path.parent.name) is not None


def test_second_request_is_answered_by_the_cache(publisher: Publisher, fetch: Callable[..., Program | None]) -> None:
    """What another run fetched meanwhile is not fetched again."""
    publisher.scripts = [serve(CONTENT)]
    fetch()
    fetch()
    assert len(publisher.requests) == 1


def test_wrong_digest_is_refused_and_not_tried_again(
    publisher: Publisher, fetch: Callable[..., Program | None], cache: Cache
) -> None:
    """Other bytes than the pinned ones are never stored; both digests are shown."""
    publisher.scripts = [serve(b"something else")]
    with pytest.raises(DigestMismatchError) as caught:
        fetch()
    assert hashlib.sha256(b"something else").hexdigest() in str(caught.value)
    assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
    assert len(publisher.requests) == 1
    assert nothing_is_left(cache)


def test_truncated_file_is_tried_again(publisher: Publisher, fetch: Callable[..., Program | None]) -> None:
    """A connection that ends early is not mistaken for a wrong file; the next attempt gets it whole."""
    publisher.scripts = [serve(CONTENT[:500], promised=len(CONTENT)), serve(CONTENT)]
    program = fetch()
    assert program is not None
    assert program.path.read_bytes() == CONTENT


def test_always_truncated_file_is_an_error(
    publisher: Publisher, fetch: Callable[..., Program | None], cache: Cache
) -> None:
    """After the last attempt the error says how often it was tried; nothing is left."""
    publisher.scripts = [serve(CONTENT[:500], promised=len(CONTENT))]
    with pytest.raises(DownloadError, match="3 attempts") as caught:
        fetch()
    assert not isinstance(caught.value, DigestMismatchError)
    assert len(publisher.requests) == 3
    assert nothing_is_left(cache)


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (500, 3), (503, 3)])
def test_refusals_are_told_by_their_status(
    status: int, requests: int, publisher: Publisher, fetch: Callable[..., Program | None], cache: Cache
) -> None:
    """What will not change is asked for once; a server in trouble gets a second and a third chance."""
    publisher.scripts = [refuse(status)]
    with pytest.raises(DownloadError, match=str(status)):
        fetch()
    assert len(publisher.requests) == requests
    assert nothing_is_left(cache)


def test_server_that_recovers_is_forgiven(publisher: Publisher, fetch: Callable[..., Program | None]) -> None:
    """One 503 does not fail a run, and the pauses between attempts grow."""
    publisher.scripts = [refuse(503), refuse(503), serve(CONTENT)]
    clock = ManualClock()
    assert fetch(clock=clock, pause_s=1.0) is not None
    assert clock.slept == [1.0, 2.0]


def test_refused_connection_is_an_error(fetch: Callable[..., Program | None], cache: Cache) -> None:
    """A port nobody listens on is told as such, with the address."""
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:1/.*\n.*refused"):
        fetch(url="http://127.0.0.1:1")
    assert nothing_is_left(cache)


def test_trickle_meets_its_deadline(publisher: Publisher, fetch: Callable[..., Program | None], cache: Cache) -> None:
    """A server that keeps sending a byte now and then does not hold a run for ever."""

    def trickle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(CONTENT)))
        request.end_headers()
        for byte in CONTENT:
            if publisher.closing.wait(0.02):
                return
            request.wfile.write(bytes([byte]))

    publisher.scripts = [trickle]
    with pytest.raises(DownloadError, match=r"within 0\.2 s"):
        fetch(total_s=0.2)
    assert nothing_is_left(cache)


def test_silence_is_noticed(publisher: Publisher, fetch: Callable[..., Program | None], cache: Cache) -> None:
    """A server that stops in the middle is given up after the stall limit, and tried again."""

    def stall(request: BaseHTTPRequestHandler) -> None:
        serve(CONTENT[:500], promised=len(CONTENT))(request)
        publisher.closing.wait(30)

    publisher.scripts = [stall]
    with pytest.raises(DownloadError, match="2 attempts"):
        fetch(stall_s=0.5, attempts=2)
    assert len(publisher.requests) == 2
    assert nothing_is_left(cache)


def _archive(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, data in (("linux-amd64/README.md", b"read me"), (name, content)):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def test_program_is_taken_out_of_its_archive(publisher: Publisher, fetch: Callable[..., Program | None]) -> None:
    """Helm is published in an archive: the archive is checked, and only the program is stored."""
    archive = _archive("linux-amd64/helm", CONTENT)
    publisher.scripts = [serve(archive)]
    program = fetch(archive, member="linux-{arch}/helm")
    assert program is not None
    assert program.path.read_bytes() == CONTENT
    assert sorted(path.name for path in program.path.parent.iterdir()) == ["provenance.json", "tool"]


@pytest.mark.parametrize(
    "published",
    [_archive("linux-amd64/other", CONTENT), b"no archive at all", _archive("linux-amd64/helm", CONTENT * 50)[:300]],
    ids=["member-missing", "no-archive", "cut-archive"],
)
def test_archive_that_cannot_be_unpacked_is_an_error(
    published: bytes, publisher: Publisher, fetch: Callable[..., Program | None], cache: Cache
) -> None:
    """An archive that is as pinned but not as expected fails with the member's name."""
    publisher.scripts = [serve(published)]
    with pytest.raises(DownloadError, match="linux-amd64/helm"):
        fetch(published, member="linux-{arch}/helm")
    assert nothing_is_left(cache)
