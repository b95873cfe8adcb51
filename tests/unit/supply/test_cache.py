"""The cache: whole or absent, one maker at a time, changed files noticed."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import SupplyError
from harness.naming import owner_host, process_start_ticks
from harness.supply import cache as cache_module
from harness.supply.artifact import Program, Provenance
from harness.supply.cache import Cache, cache_errors
from harness.supply.provenance import content_digest, file_digest

KEY = "v1.0.0-0123456789ab"


@pytest.fixture
def said() -> list[str]:
    """Return what the cache says to people."""
    return []


@pytest.fixture
def cache(tmp_path: Path, said: list[str]) -> Cache:
    """Return an empty cache."""
    return Cache(tmp_path / "cache", said.append)


@pytest.fixture
def put(cache: Cache, provenance: Callable[..., Provenance]) -> Callable[..., Program]:
    """Return a function that stores a program."""

    def store(name: str = "tool", content: bytes = b"#!/bin/sh\n", key: str = KEY) -> Program:
        with cache.workdir(name) as workdir:
            file = workdir / "made"
            file.write_bytes(content)
            return cache.put_program(key, file, provenance(name, digest=file_digest(file)))

    return store


def test_stored_program_is_found_and_runs(cache: Cache, put: Callable[..., Program]) -> None:
    """A stored program is found under its key, executable, with its provenance, and answered by the cache."""
    stored = put()
    found = cache.find("tool", KEY)
    assert found is not None
    assert found.path == stored.path == cache.root / "artifacts" / "tool" / KEY / "tool"
    assert os.access(found.path, os.X_OK)
    assert found.provenance.source == "cache"
    assert found.provenance.how == "by hand"


def test_a_version_in_an_artifacts_name_is_not_in_its_files(cache: Cache, put: Callable[..., Program]) -> None:
    """A program that looks at the name it is called by finds the one it knows; its folder tells the versions apart."""
    stored = put("kubectl-1.21")
    found = cache.find("kubectl-1.21", KEY)
    assert found is not None
    assert found.path == stored.path == cache.root / "artifacts" / "kubectl-1.21" / KEY / "kubectl"


def test_nothing_is_found_under_another_key(cache: Cache, put: Callable[..., Program]) -> None:
    """Another recipe's artifact does not answer."""
    put()
    assert cache.find("tool", "v1.0.0-ffffffffffff") is None


def test_nothing_is_left_in_the_work_directories(cache: Cache, put: Callable[..., Program]) -> None:
    """What was prepared in a work directory is either stored or gone."""
    put()
    assert list((cache.root / "tmp").iterdir()) == []


def test_unchanged_file_is_not_read(cache: Cache, put: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolve from the cache costs no reading of 150 MB: size and modification time vouch for the file."""
    put()
    monkeypatch.setattr(cache_module, "content_digest", lambda _: pytest.fail("the file was read"))
    assert cache.find("tool", KEY) is not None


def test_touched_file_with_the_same_content_is_kept(cache: Cache, put: Callable[..., Program], said: list[str]) -> None:
    """A file whose time changed but whose content did not (a restored backup) is good, and remembered as such."""
    program = put()
    os.utime(program.path, (1, 1))
    assert cache.find("tool", KEY) is not None
    assert said == []
    entry = cache.entry("tool", KEY)
    assert entry is not None
    assert entry.record is not None
    assert entry.record.mtime_ns == 1_000_000_000


def _change_content(directory: Path) -> None:
    (directory / "tool").write_bytes(b"#!/bin/false\n")


def _delete_file(directory: Path) -> None:
    (directory / "tool").unlink()


def _delete_record(directory: Path) -> None:
    (directory / "provenance.json").unlink()


def _cut_record(directory: Path) -> None:
    (directory / "provenance.json").write_text('{"proven', encoding="utf-8")


@pytest.mark.parametrize("damage", [_change_content, _delete_file, _delete_record, _cut_record])
def test_damaged_artifact_is_removed_and_said_so(
    damage: Callable[[Path], None], cache: Cache, put: Callable[..., Program], said: list[str]
) -> None:
    """A damaged artifact does not answer: it is taken away so that it can be got again, and people are told."""
    program = put()
    damage(program.path.parent)
    assert cache.find("tool", KEY) is None
    assert not program.path.parent.exists()
    assert len(said) == 1
    assert "tool" in said[0]
    assert "damaged" in said[0]


def test_storing_again_replaces(cache: Cache, put: Callable[..., Program]) -> None:
    """Storing under a taken key replaces what is there as a whole."""
    put(content=b"old")
    put(content=b"new")
    found = cache.find("tool", KEY)
    assert found is not None
    assert found.path.read_bytes() == b"new"


def test_work_directory_goes_when_the_work_fails(cache: Cache) -> None:
    """A failed build leaves no files."""
    seen: list[Path] = []

    def fail() -> None:
        with cache.workdir("tool") as workdir:
            (workdir / "half").write_text("half", encoding="utf-8")
            seen.append(workdir)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not seen[0].exists()


@pytest.mark.parametrize(
    ("owner", "survives"),
    [
        (f"999999999.1.{owner_host()}", False),
        (f"{os.getpid()}.1.{owner_host()}", False),
        (f"{os.getpid()}.{process_start_ticks(os.getpid())}.{owner_host()}", True),
        ("1.1.anotherhost0", True),
        ("nonsense", True),
    ],
    ids=["killed-process", "recycled-pid", "living-process", "another-machine", "unknown-but-fresh"],
)
def test_work_directories_left_behind_are_removed(owner: str, survives: bool, cache: Cache) -> None:
    """What a killed build left goes with the next build; what a living one uses stays."""
    left = cache.root / "tmp" / f"{owner}.tool-abc"
    left.mkdir(parents=True)
    with cache.workdir("tool"):
        assert left.exists() is survives


def test_other_machines_work_directories_go_after_a_day(cache: Cache) -> None:
    """Where process ids mean nothing, age decides."""
    left = cache.root / "tmp" / "1.1.anotherhost0.tool-abc"
    left.mkdir(parents=True)
    os.utime(left, (1, 1))
    with cache.workdir("tool"):
        assert not left.exists()


def test_second_maker_waits_for_the_first(cache: Cache, said: list[str]) -> None:
    """While one holds the right to make an artifact another waits, says so, and goes on afterwards."""
    order: list[str] = []
    waiting = threading.Event()

    def hear(text: str) -> None:
        said.append(text)
        waiting.set()

    second_cache = Cache(cache.root, hear)

    def second() -> None:
        with second_cache.lock("tool", KEY):
            order.append("second")

    with cache.lock("tool", KEY):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert "waiting" in said[0]


def test_waiting_for_another_maker_has_an_end(cache: Cache) -> None:
    """Past its time limit a wait for another run fails with the lock's name."""
    with (
        cache.lock("tool", KEY),
        pytest.raises(SupplyError, match=r"tool-.*\.lock"),
        cache.lock("tool", KEY, timeout_s=0),
    ):
        pytest.fail("two held the same lock")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EACCES, "XDG_CACHE_HOME"),
        (errno.EROFS, "XDG_CACHE_HOME"),
    ],
    ids=["disk-full", "quota", "no-permission", "read-only"],
)
def test_refusals_of_the_operating_system_come_with_advice(number: int, advice: str, tmp_path: Path) -> None:
    """A full disk and an unwritable cache are typed errors that say what to do."""
    with pytest.raises(SupplyError, match=advice) as caught, cache_errors("store a program", tmp_path):
        raise OSError(number, os.strerror(number))
    assert os.strerror(number) in str(caught.value)


def test_unwritable_cache_is_a_typed_error(tmp_path: Path) -> None:
    """A cache that cannot be made (here: a file is in its place) fails with a sentence, not a traceback."""
    (tmp_path / "cache").write_text("not a directory", encoding="utf-8")
    cache = Cache(tmp_path / "cache")
    with pytest.raises(SupplyError, match="XDG_CACHE_HOME"), cache.workdir("tool"):
        pytest.fail("a work directory inside a file")
    with pytest.raises(SupplyError, match="XDG_CACHE_HOME"), cache.lock("tool", KEY):
        pytest.fail("a lock inside a file")


def test_removing_everything_leaves_nothing_of_ours(cache: Cache, put: Callable[..., Program]) -> None:
    """After all artifacts and everything else are removed, the cache's directory itself is gone."""
    put()
    cache.log_path("tool", KEY).write_text("built", encoding="utf-8")
    (cache.go_dir / "mod").mkdir(parents=True)
    for entry in cache.entries():
        cache.remove(entry)
    cache.remove_everything_else()
    assert not cache.root.exists()


def test_removing_everything_leaves_what_is_not_ours(cache: Cache, put: Callable[..., Program]) -> None:
    """The managed engine keeps its data below the same root; that is not supply's to remove."""
    put()
    (cache.root / "engine" / "image").mkdir(parents=True)
    for entry in cache.entries():
        cache.remove(entry)
    cache.remove_everything_else()
    assert [path.name for path in cache.root.iterdir()] == ["engine"]


def test_artifact_in_the_making_is_not_removed(cache: Cache, put: Callable[..., Program]) -> None:
    """An artifact another run is making again cannot be removed under its hands."""
    put()
    (entry,) = cache.entries()
    with cache.lock("tool", KEY), pytest.raises(SupplyError):
        cache.remove(entry)
    assert cache.find("tool", KEY) is not None


def test_what_others_left_among_the_artifacts_is_not_one(cache: Cache, put: Callable[..., Program]) -> None:
    """A stray file, or a tool's own hidden directory, neither breaks the listing nor shows up in it."""
    program = put()
    (program.path.parent.parent / "stray").touch()
    hidden = cache.root / "artifacts" / ".pytest_cache"
    (hidden / "v").mkdir(parents=True)
    (hidden / "README.md").touch()
    assert [entry.directory for entry in cache.entries()] == [program.path.parent]


def test_untouched_directory_is_not_read(
    cache: Cache, provenance: Callable[..., Provenance], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory is vouched for by the sizes and times of its files, as a program is by its own."""
    with cache.workdir("crds") as workdir:
        (workdir / "made" / "v1").mkdir(parents=True)
        (workdir / "made" / "v1" / "a.yaml").write_text("a", encoding="utf-8")
        stored = cache.put_files(KEY, workdir / "made", provenance("crds", digest=content_digest(workdir / "made")))
    assert (stored.path / "v1" / "a.yaml").read_text(encoding="utf-8") == "a"
    monkeypatch.setattr(cache_module, "content_digest", lambda _: pytest.fail("the directory was read"))
    found = cache.find_files("crds", KEY)
    assert found is not None
    assert found.path == stored.path == cache.root / "artifacts" / "crds" / KEY / "crds"


def test_touched_directory_is_read_once(cache: Cache, provenance: Callable[..., Provenance]) -> None:
    """Files whose times alone changed are the same files; that is found out once and written down."""
    with cache.workdir("crds") as workdir:
        (workdir / "made").mkdir()
        (workdir / "made" / "a.yaml").write_text("a", encoding="utf-8")
        stored = cache.put_files(KEY, workdir / "made", provenance("crds", digest=content_digest(workdir / "made")))
    os.utime(stored.path / "a.yaml", (2_000_000_000, 2_000_000_000))
    assert cache.find_files("crds", KEY) is not None
    entry = cache.entry("crds", KEY)
    assert entry is not None
    assert entry.record is not None
    assert entry.record.mtime_ns == 2_000_000_000 * 10**9
