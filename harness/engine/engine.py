"""The value that names a Docker engine to use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import docker

# Seconds for one call of the engine's API; image builds stream and are limited by their own deadline.
API_TIMEOUT_S = 120


@dataclass(frozen=True)
class Engine:
    """A Docker engine that answers.

    Args:
        docker_host: its address, e.g. ``unix:///run/seatrial/docker.sock``.
        version: the engine's version, e.g. ``20.10.24``.
        managed: whether Seatrial started it (and may stop it).
    """

    docker_host: str
    version: str
    managed: bool

    def environment(self) -> dict[str, str | None]:
        """Variables that point docker, kind and helm at this engine and at nothing else."""
        return {"DOCKER_HOST": self.docker_host, "DOCKER_CONTEXT": None, "KIND_EXPERIMENTAL_PROVIDER": "docker"}

    def client(self) -> docker.DockerClient:
        """Return a new client of the docker SDK for this engine; the caller closes it."""
        import docker  # noqa: PLC0415 - heavy: only runs that use an engine pay for it

        return docker.DockerClient(base_url=self.docker_host, timeout=API_TIMEOUT_S)
