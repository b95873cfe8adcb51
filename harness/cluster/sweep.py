"""Removing what runs that were killed left behind."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from harness.cluster.containers import labelled_clusters, node_containers, orphans, remove_cluster
from harness.cluster.record import (
    LABEL_HOST,
    LABEL_RECORD,
    ClusterRecord,
    RecordStore,
    host_identity,
    kept_name,
    owner_has_ended,
)
from harness.errors import ClusterError
from harness.naming import LABEL_OWNER

if TYPE_CHECKING:
    import docker

_log = logging.getLogger(__name__)


def sweep(client: docker.DockerClient, store: RecordStore, *, docker_host: str) -> tuple[str, ...]:
    """Remove clusters whose runs have ended without removing them, and records whose clusters are gone.

    Kept clusters, clusters in use, clusters of other machines and whatever bears no label of ours stay.

    Args:
        client: the engine.
        store: this user's records; clusters recorded elsewhere are judged by the record their labels name.
        docker_host: the engine's address; records of other engines are not touched.

    Returns:
        The names of the clusters removed.
    """
    here = host_identity()
    removed = []
    labelled = labelled_clusters(client)
    for name, labels in labelled.items():
        its_store = RecordStore.holding(Path(labels[LABEL_RECORD])) if LABEL_RECORD in labels else store
        if _remove_if(client, its_store, name, labels=labels, here=here):
            removed.append(name)
    for name in store.names():
        record = store.load(name)
        if name not in labelled and (record is None or record.docker_host == docker_host):
            _forget_if_gone(client, store, name, here=here)
    for name in orphans(client):
        remove_cluster(client, name)
        removed.append(name)
    return tuple(removed)


def remove_recorded(client: docker.DockerClient, store: RecordStore, name: str) -> None:
    """Remove cluster `name` from the engine, then its record, kubeconfig and whatever else its directory holds."""
    record = store.load(name)
    remove_cluster(client, name)
    if record is not None and Path(record.kubeconfig).parent != store.directory_of(name):
        Path(record.kubeconfig).unlink(missing_ok=True)
    store.remove(name)


def is_abandoned(labels: Mapping[str, str], record: ClusterRecord | None, *, here: str) -> bool:
    """Whether a cluster with these Docker labels and this record belongs to nobody any more."""
    if record is not None:
        return not record.kept and all(owner_has_ended(user, record.host, here=here) for user in record.users)
    return owner_has_ended(labels.get(LABEL_OWNER, ""), labels.get(LABEL_HOST, ""), here=here)


def is_outdated(record: ClusterRecord | None, made: ClusterRecord) -> bool:
    """Whether a cluster was kept under the name of its recipe and `made`, declared as it was, has another recipe now.

    Clusters that bear a name the user chose stay, and those that living runs use.
    """
    return (
        record is not None
        and record.kept
        and record.docker_host == made.docker_host
        and record.declaration == made.declaration
        and record.recipe != made.recipe
        and record.name.startswith(kept_name(record.recipe))
        and not record.living_users()
    )


def _remove_if(
    client: docker.DockerClient, store: RecordStore, name: str, *, labels: Mapping[str, str], here: str
) -> bool:
    if not is_abandoned(labels, store.load(name), here=here):
        return False
    try:
        with store.lock(name).acquire(timeout=0):
            # Somebody may have joined it between the look and the lock.
            if not is_abandoned(labels, store.load(name), here=here):
                return False
            remove_recorded(client, store, name)
    except (Timeout, OSError, ClusterError):
        return False  # a living run is at work on it, or its state directory belongs to somebody else
    _log.info("removed cluster '%s', left behind by a run that has ended", name)
    return True


def _forget_if_gone(client: docker.DockerClient, store: RecordStore, name: str, *, here: str) -> None:
    record = store.load(name)
    if record is not None and not all(owner_has_ended(user, record.host, here=here) for user in record.users):
        return
    if any(name in node.networks for node in node_containers(client, name)):
        return
    try:
        with store.lock(name).acquire(timeout=0):
            store.remove(name)
    except (Timeout, OSError, ClusterError):
        return  # likewise
