"""The command `seatrial cluster`: the clusters that runs kept."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, TextIO

from harness.cluster.record import ClusterRecord, RecordStore
from harness.cluster.state import state_errors
from harness.engine.engine import Engine
from harness.errors import ClusterError
from harness.progress import spoken_duration
from harness.settings.options import add_verb

if TYPE_CHECKING:
    import docker

_COLUMNS = "{:<28} {:<10} {:<11} {:>5} {:>14}  {}"


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], parents: Sequence[argparse.ArgumentParser] = ()
) -> None:
    """Add `cluster` with its verbs to the command line's `commands`; `parents` hold the options of all verbs."""
    parser = add_verb(commands, "cluster", "the clusters that runs keep: list, delete", parents)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add_verb(verbs, "list", "show each cluster with its kubeconfig, and who uses it", parents)
    delete = add_verb(verbs, "delete", "delete clusters that no living run uses", parents)
    delete.add_argument("names", nargs="*", metavar="NAME", help="the clusters; with --all, every one")
    delete.add_argument("--all", action="store_true", help="every cluster that Seatrial made")


def run(args: argparse.Namespace, store: RecordStore, engine: Callable[[], Engine], out: TextIO) -> int:
    """Do what the parsed `args` say and return the exit code.

    Args:
        args: parsed by the parser of :func:`register`.
        store: the records of clusters.
        engine: gives the engine the clusters are in; asked for only to delete.
        out: is printed to.

    Raises:
        ClusterError: a cluster is unknown or in use, or no name was given.
    """
    if args.verb == "list":
        print(_table([record for name in store.names() if (record := store.load(name))], time.time()), file=out)
        return 0
    names = store.names() if args.all else tuple(args.names)
    if not names and not args.all:
        raise ClusterError("delete a cluster", seen="none is named", hint="name one, or say --all")
    with closing(engine().client()) as client:
        for name in names:
            delete_cluster(client, store, name)
            print(f"deleted cluster '{name}'", file=out)
    return 0


def delete_cluster(client: docker.DockerClient, store: RecordStore, name: str) -> None:
    """Delete a cluster that no living run uses, kept or not.

    Raises:
        ClusterError: there is none of that name, or a living run uses it.
    """
    from harness.cluster.sweep import remove_recorded  # noqa: PLC0415 - heavy: `seatrial --help` stays quick

    lock = store.lock(name)
    with state_errors(f"lock cluster '{name}'", store.directory):
        held = lock.acquire()
    with held:
        record = store.load(name)
        if record is None:
            known = ", ".join(store.names()) or "none"
            raise ClusterError(
                f"delete cluster '{name}'", seen="Seatrial made none of that name", hint=f"known: {known}"
            )
        if users := record.living_users():
            pids = ", ".join(user.partition(".")[0] for user in users)
            raise ClusterError(f"delete cluster '{name}'", seen=f"it is in use by process {pids}", hint="wait for it")
        remove_recorded(client, store, name)


def _table(records: Sequence[ClusterRecord], now: float) -> str:
    if not records:
        return "no clusters"
    rows = [_COLUMNS.format("NAME", "STATE", "KUBERNETES", "NODES", "AGE", "KUBECONFIG")]
    for one in records:
        state = "in use" if one.living_users() else "kept" if one.kept else "left"
        age = spoken_duration(max(0.0, now - one.created_at))
        rows.append(_COLUMNS.format(one.name, state, one.kubernetes or "-", len(one.nodes), age, one.kubeconfig))
    return "\n".join(rows)
