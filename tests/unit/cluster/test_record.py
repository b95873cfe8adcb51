"""Who owns and who uses a cluster, as written down."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster.record import ClusterRecord, RecordStore, host_identity, owner_has_ended
from harness.cluster.sweep import is_abandoned, is_outdated
from harness.errors import ClusterError
from harness.naming import LABEL_OWNER, Run

HERE = "box/boot/1"
# The largest process id Linux gives out is 4,194,304.
DEAD = "4194399.1"


def record(**changes: object) -> ClusterRecord:
    """A record of this machine's, with changes."""
    base = ClusterRecord("demo", "1f2e3d4c", host_identity(), "unix:///d.sock", "r", False, (), "ready", "/k")
    return replace(base, **changes)  # type: ignore[arg-type]


def alive() -> str:
    """The owner label of this very process."""
    return Run.begin().labels()[LABEL_OWNER]


@pytest.mark.parametrize(
    ("host", "ended"),
    [
        pytest.param("box/boot/1", True, id="same machine, process gone"),
        pytest.param("box/earlier/1", True, id="same machine, booted since"),
        pytest.param("box/boot/2", False, id="another container's processes cannot be seen"),
        pytest.param("elsewhere/boot/1", False, id="another machine's processes cannot be seen"),
        pytest.param("", False, id="no host written down"),
    ],
)
def test_an_owner_has_ended_only_where_that_can_be_told(host: str, ended: bool) -> None:
    """An engine may be shared by machines and containers: the living must not be taken for dead."""
    assert owner_has_ended(DEAD, host, here=HERE) is ended


def test_a_living_owner_has_not_ended() -> None:
    """This very process is alive."""
    assert not owner_has_ended(alive(), HERE, here=HERE)


def test_a_reused_pid_is_not_the_owner() -> None:
    """The same pid with another start time is another process."""
    assert owner_has_ended(f"{alive().partition('.')[0]}.1", HERE, here=HERE)


def test_users_that_ended_are_forgotten_when_one_joins() -> None:
    """A killed run does not stay among the users for ever."""
    joined = record(users=(DEAD,)).with_user(Run.begin(), keep=False)
    assert joined.users == (alive(),)


def test_joining_twice_counts_once() -> None:
    """A run that asks for its cluster again is still one user."""
    run = Run.begin()
    assert record().with_user(run, keep=False).with_user(run, keep=False).users == (run.labels()[LABEL_OWNER],)


@pytest.mark.parametrize(
    ("users", "was_kept", "keep", "kept"),
    [
        pytest.param((), True, False, False, id="alone, a run that does not keep takes a kept cluster with it"),
        pytest.param((), False, True, True, id="alone, a run that keeps makes it stay"),
        pytest.param(("other",), True, False, True, id="together, one that keeps is enough"),
        pytest.param(("other",), False, True, True, id="together, the newcomer may be that one"),
        pytest.param(("other",), False, False, False, id="together, nobody keeps"),
    ],
)
def test_who_decides_that_a_cluster_is_kept(
    users: tuple[str, ...], was_kept: bool, keep: bool, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lone user decides anew; among several, keeping wins."""
    monkeypatch.setattr("harness.cluster.record.owner_is_alive", lambda label: True)
    assert record(users=users, kept=was_kept).with_user(Run.begin(), keep=keep).kept is kept


def test_leaving_keeps_the_other_users() -> None:
    """The others go on."""
    run = Run.begin()
    other = replace(run, owner_pid=1, owner_started=0)
    both = record(users=(run.labels()[LABEL_OWNER], f"{DEAD}"))
    assert both.without_user(run).users == ()
    assert both.without_user(other).users == (run.labels()[LABEL_OWNER],)


def test_a_record_survives_the_disk(tmp_path: Path) -> None:
    """What was saved is what is loaded, tuples and all."""
    store, saved = RecordStore(tmp_path), record(nodes=("a", "b"), users=(DEAD,), kept=True)
    store.save(saved)
    assert store.load("demo") == saved
    assert store.names() == ("demo",)
    assert RecordStore.holding(store.path_of("demo")) == store


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "demo"}', '{"users": [], "nodes": [], "unknown": 1}'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, text: str) -> None:
    """A full disk may have cut it short: the cluster is then made anew."""
    store = RecordStore(tmp_path)
    store.path_of("demo").parent.mkdir()
    store.path_of("demo").write_text(text, encoding="utf-8")
    assert store.load("demo") is None


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file is in the way of the directory: the error says where and what else can be given."""
    (tmp_path / "clusters").write_text("", encoding="utf-8")
    store = RecordStore(tmp_path / "clusters")
    with pytest.raises(ClusterError, match="write down who uses cluster 'demo'") as saving:
        store.save(record())
    with pytest.raises(ClusterError, match="lock cluster 'demo'") as locking:
        store.lock("demo")
    for error in (saving.value, locking.value):
        assert str(tmp_path / "clusters") in error.seen
        assert "XDG_CACHE_HOME" in error.hint


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """What helps is room, not permissions."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / f"record.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(ClusterError, match=r"No space left on device(?s:.*)free some space below"):
        RecordStore(tmp_path).save(record())


def test_removing_leaves_nothing(tmp_path: Path) -> None:
    """The directory goes with the record, and a second removal is no error."""
    store = RecordStore(tmp_path)
    store.save(record())
    store.remove("demo")
    store.remove("demo")
    assert list(tmp_path.iterdir()) == []


def test_locks_are_no_clusters(tmp_path: Path) -> None:
    """A lock is not listed as a cluster."""
    store = RecordStore(tmp_path)
    with store.lock("demo"):
        assert store.names() == ()


@pytest.mark.parametrize(
    ("written", "abandoned"),
    [
        pytest.param(record(users=(DEAD,)), True, id="its users have ended"),
        pytest.param(record(users=(DEAD,), kept=True), False, id="it is kept"),
        pytest.param(record(users=(DEAD, alive())), False, id="one user lives"),
        pytest.param(record(users=(DEAD,), state="creating"), True, id="its maker was killed at work"),
        pytest.param(record(users=(DEAD,), host="elsewhere/b/1"), False, id="it belongs to another machine"),
    ],
)
def test_what_a_record_says_about_being_abandoned(written: ClusterRecord, abandoned: bool) -> None:
    """Nobody's cluster is removed; somebody's, or a kept one, is not."""
    assert is_abandoned({}, written, here=host_identity()) is abandoned


def test_without_a_record_the_labels_decide() -> None:
    """A network whose record is gone is judged by its owner; one without labels is left alone."""
    labels = {LABEL_OWNER: DEAD, "seatrial.dev/host": HERE}
    assert is_abandoned(labels, None, here=HERE)
    assert not is_abandoned({**labels, LABEL_OWNER: alive()}, None, here=HERE)
    assert not is_abandoned({}, None, here=HERE)


OLD, NEW = "0" * 64, "1" * 64


def kept(**changes: object) -> ClusterRecord:
    """A cluster kept under the name of its recipe, which is the old one."""
    return record(**{"name": "seatrial-00000000", "kept": True, "recipe": OLD, "declaration": "one node", **changes})


def test_a_kept_cluster_goes_when_its_declaration_is_made_from_something_else() -> None:
    """Its name is its recipe's: no run would ever find it again."""
    assert is_outdated(kept(), kept(name="seatrial-11111111", recipe=NEW))
    assert is_outdated(kept(name="seatrial-00000000-b", users=(DEAD,)), kept(name="seatrial-11111111", recipe=NEW))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"declaration": "three nodes"}, id="declared otherwise"),
        pytest.param({"declaration": ""}, id="kept before declarations were written down"),
        pytest.param({"recipe": NEW}, id="made from the same"),
        pytest.param({"name": "mine"}, id="named by the user"),
        pytest.param({"docker_host": "unix:///other.sock"}, id="in another engine"),
        pytest.param({"kept": False}, id="not kept: the sweep judges it"),
        pytest.param({"users": (alive(),)}, id="in use"),
    ],
)
def test_what_is_kept_for_somebody_stays(changes: dict[str, object]) -> None:
    """Only what nobody can use any more goes."""
    assert not is_outdated(kept(**changes), kept(name="seatrial-11111111", recipe=NEW))


def test_no_record_is_not_outdated() -> None:
    """Another run may have removed it in the meantime."""
    assert not is_outdated(None, kept(recipe=NEW))
