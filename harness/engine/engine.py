"""The value that names a Docker engine to use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
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
        tls_dir: directory with ``ca.pem``, ``cert.pem`` and ``key.pem`` for an engine behind TLS, else ``None``.
    """

    docker_host: str
    version: str
    managed: bool
    tls_dir: Path | None = None

    def environment(self) -> dict[str, str | None]:
        """Variables that point docker, kind and helm at this engine and at nothing else."""
        return {
            "DOCKER_HOST": self.docker_host,
            "DOCKER_CONTEXT": None,
            "DOCKER_TLS_VERIFY": "1" if self.tls_dir else None,
            "DOCKER_CERT_PATH": str(self.tls_dir) if self.tls_dir else None,
            "KIND_EXPERIMENTAL_PROVIDER": "docker",
        }

    def client(self) -> docker.DockerClient:
        """Return a new client of the docker SDK for this engine; the caller closes it."""
        return open_client(self.docker_host, self.tls_dir, timeout_s=API_TIMEOUT_S)


def open_client(docker_host: str, tls_dir: Path | None, *, timeout_s: int) -> docker.DockerClient:
    """Return a client of the docker SDK for an address; it asks the engine for its API version at once.

    Args:
        docker_host: the engine's address (``unix://``, ``tcp://`` or ``ssh://``).
        tls_dir: directory with the three PEM files of a TLS client, ``None`` for none.
        timeout_s: seconds for each call.

    Raises:
        docker.errors.DockerException: the engine does not answer, or the address or the files make no sense.
    """
    import docker  # noqa: PLC0415 - heavy: only runs that use an engine pay for it

    tls: docker.tls.TLSConfig | bool = False
    if tls_dir is not None:
        tls = docker.tls.TLSConfig(
            client_cert=(str(tls_dir / "cert.pem"), str(tls_dir / "key.pem")),
            ca_cert=str(tls_dir / "ca.pem"),
            verify=True,
        )
    # ssh:// goes through the ssh program, with the user's keys and configuration; the SDK's own way needs paramiko.
    use_ssh = docker_host.startswith("ssh://")
    return docker.DockerClient(base_url=docker_host, timeout=timeout_s, tls=tls, use_ssh_client=use_ssh)
