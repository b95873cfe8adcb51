"""`seatrial cluster`: what it shows and what it refuses."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import cli
from harness.cluster.record import ClusterRecord, RecordStore, host_identity
from harness.errors import ClusterError
from harness.naming import LABEL_OWNER, Run


def record(name: str, **changes: Any) -> ClusterRecord:
    """Return the record of a kept cluster that nobody uses."""
    facts: dict[str, Any] = {
        "run_id": "1f2e3d4c",
        "host": host_identity(),
        "docker_host": "unix:///run/x.sock",
        "recipe": "r",
        "kept": True,
        "users": (),
        "state": "ready",
        "kubeconfig": f"/cache/{name}/kubeconfig",
        "nodes": ("n",),
        "kubernetes": "v1.34.4",
    }
    return ClusterRecord(name=name, **{**facts, **changes})


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    """Return a store with a kept cluster and one in use by this very process."""
    store = RecordStore(tmp_path)
    store.save(record("idle"))
    store.save(record("busy", users=(Run.begin().labels()[LABEL_OWNER],)))
    return store


def run(store: RecordStore, *argv: str) -> str:
    """Return what the command prints; the engine is not to be asked for."""
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers())
    out = io.StringIO()

    def engine() -> Any:
        raise AssertionError("asked for the engine")

    cli.run(parser.parse_args(["cluster", *argv]), store, engine, out)
    return out.getvalue()


def test_the_list_says_who_is_kept_and_who_is_in_use(store: RecordStore) -> None:
    """Each cluster has a row with its state and the kubeconfig to reach it by."""
    _, busy, idle = run(store, "list").splitlines()
    assert busy.split()[:3] == ["busy", "in", "use"]
    assert idle.split()[:3] == ["idle", "kept", "v1.34.4"]
    assert idle.endswith("/cache/idle/kubeconfig")


def test_an_empty_list_says_so(tmp_path: Path) -> None:
    """Nothing there is said in words, without an engine."""
    assert run(RecordStore(tmp_path / "none"), "list") == "no clusters\n"


def test_deleting_nothing_is_refused(store: RecordStore) -> None:
    """Without a name nothing is deleted by accident."""
    with pytest.raises(ClusterError, match="name one, or say --all"):
        run(store, "delete")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        pytest.param("busy", "in use by process", id="in use"),
        pytest.param("other", "Seatrial made none of that name", id="unknown"),
    ],
)
def test_a_cluster_that_must_stay_is_not_deleted(store: RecordStore, name: str, why: str) -> None:
    """A cluster of a living run, and one that is not Seatrial's, are refused before the engine is asked anything."""
    with pytest.raises(ClusterError, match=why):
        cli.delete_cluster(object(), store, name)  # type: ignore[arg-type] # never used
    assert set(store.names()) == {"busy", "idle"}
