"""Removing what runs that are gone left in an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.naming import (
    LABEL_CLUSTER,
    LABEL_KEPT,
    LABEL_OWNER,
    LABEL_OWNER_HOST,
    LABEL_RUN,
    owner_host,
    owner_is_alive,
)

if TYPE_CHECKING:
    from docker import DockerClient

Labels = Mapping[str, str]


@dataclass
class Swept:
    """What was removed, and what would not go.

    Args:
        removed: ``kind name`` of each thing removed, e.g. ``container demo-control-plane``.
        failed: the same for what is still there, with the engine's reason.
    """

    removed: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def attempt(self, what: str, remove: Callable[..., object], *arguments: object, **options: object) -> None:
        """Call `remove` and note how that went; a thing that is gone already counts as neither."""
        import docker.errors  # noqa: PLC0415 - heavy: loaded only with a client at hand

        try:
            remove(*arguments, **options)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            self.failed.append((what, str(error.explanation or error)))
            return
        self.removed.append(what)


def is_abandoned(labels: Labels, *, host: str, is_alive: Callable[[str], bool]) -> bool:
    """Whether a thing with these labels belongs to a run of this host that has ended and did not keep it.

    What a run with another process table owns cannot be judged from here and is left. So are the parts of clusters:
    one run makes a cluster and another may use it, which only the cluster room knows.
    """
    if LABEL_RUN not in labels or LABEL_KEPT in labels or LABEL_CLUSTER in labels:
        return False
    return labels.get(LABEL_OWNER_HOST) == host and not is_alive(labels.get(LABEL_OWNER, ""))


def sweep(client: DockerClient, *, host: str | None = None, is_alive: Callable[[str], bool] = owner_is_alive) -> Swept:
    """Remove containers, networks, volumes and images of runs that are gone; nothing without Seatrial's labels.

    Args:
        client: the engine.
        host: which host's runs to judge, this one by default.
        is_alive: whether the owner with this label still runs.
    """
    here = host if host is not None else owner_host()
    api, ours, swept = client.api, {"label": LABEL_RUN}, Swept()

    def abandoned(things: Iterable[dict[str, Any]] | None) -> list[dict[str, Any]]:
        return [
            thing for thing in things or () if is_abandoned(thing.get("Labels") or {}, host=here, is_alive=is_alive)
        ]

    # Containers first: networks, volumes and images cannot go while one uses them.
    for container in abandoned(api.containers(all=True, filters=ours)):
        swept.attempt(f"container {_name(container)}", api.remove_container, container["Id"], v=True, force=True)
    for network in abandoned(api.networks(filters=ours)):
        swept.attempt(f"network {network['Name']}", api.remove_network, network["Id"])
    for volume in abandoned(api.volumes(filters=ours).get("Volumes")):
        swept.attempt(f"volume {volume['Name']}", api.remove_volume, volume["Name"], force=True)
    for image in abandoned(api.images(filters=ours)):
        # By its names: one that is the base of another image loses them and goes with that one.
        for name in image.get("RepoTags") or [image["Id"]]:
            swept.attempt(f"image {name}", api.remove_image, name)
    return swept


def _name(container: Mapping[str, Any]) -> str:
    names = container.get("Names") or [container["Id"][:12]]
    return str(names[0]).lstrip("/")
