"""A registry of a cluster's own: the host pushes to it, the nodes pull from it and take it for Docker Hub.

Sources: the registry's configuration by ``REGISTRY_*`` variables (distribution 2.8.2 and 3.0), containerd's
``hosts.toml`` (docs/hosts.md, containerd 1.6).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass

import docker
import docker.errors
import requests
from docker.models.containers import Container

from harness.engine.engine import Engine
from harness.errors import RegistryError
from harness.naming import LABEL_ROLE
from harness.wait import wait_until

# What the registry listens on inside its container; also its well-known port.
CONTAINER_PORT = 5000
HOST_ADDRESS = "127.0.0.1"

# Where containerd looks for one directory per registry (`config_path` of the nodes' configuration).
CERTS_DIR = "/etc/containerd/certs.d"

# Docker Hub answers elsewhere than under its name.
_DOCKER_HUB = "https://registry-1.docker.io"

# Seconds until /v2/ answers: about 0.3 on an idle machine.
_READY_TIMEOUT_S = 30.0
_PROBE_TIMEOUT_S = 1.0
_POLL_INTERVAL_S = 0.05
_QUOTED_LINES = 30

_ENVIRONMENT = {
    "REGISTRY_HTTP_ADDR": f"0.0.0.0:{CONTAINER_PORT}",
    "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/var/lib/registry",
    # Debian's package asks for a password file by default; loopback and the cluster's network need none.
    "REGISTRY_AUTH": "none",
    # 3.x otherwise looks for a collector of traces.
    "OTEL_TRACES_EXPORTER": "none",
}


def mirror_config(host_address: str, inside_address: str) -> dict[str, str]:
    """Return the files below :data:`CERTS_DIR` that make containerd pull through the registry, by relative path.

    Docker Hub's images are asked of the registry first and of Docker Hub when it has none; names that begin with the
    registry's address on the host mean the same registry from inside a node, where that address is another machine's.

    Args:
        host_address: ``HOST:PORT`` the host pushes to.
        inside_address: ``HOST:PORT`` the nodes reach it at.
    """
    mirror = f'[host."http://{inside_address}"]\n  capabilities = ["pull", "resolve"]\n'
    port = host_address.rpartition(":")[2]
    own = (f"{HOST_ADDRESS}:{port}", f"localhost:{port}", inside_address)
    files = {"docker.io/hosts.toml": f'server = "{_DOCKER_HUB}"\n\n{mirror}'}
    files.update({f"{name}/hosts.toml": f'server = "http://{inside_address}"\n\n{mirror}' for name in own})
    return files


@dataclass(frozen=True)
class LocalRegistry:
    """A registry that answers.

    Args:
        engine: the engine it runs in.
        name: the container's name.
        host_address: ``127.0.0.1:PORT``, for the host.
    """

    engine: Engine
    name: str
    host_address: str

    @property
    def inside_address(self) -> str:
        """``NAME:5000``, for containers on the same network."""
        return f"{self.name}:{CONTAINER_PORT}"

    @classmethod
    def start(
        cls,
        engine: Engine,
        *,
        image: str,
        name: str,
        network: str | None = None,
        labels: Mapping[str, str],
        environment: Mapping[str, str] = _ENVIRONMENT,
        timeout_s: float = _READY_TIMEOUT_S,
    ) -> LocalRegistry:
        """Start a registry and return it once it answers; one that does not is removed.

        Args:
            engine: the engine to run it in.
            image: an image whose own command serves a registry configured by ``REGISTRY_*`` variables.
            name: name for the container, and for the nodes to find it by.
            network: the Docker network to join, the cluster's; ``None`` for the default one, which has no names.
            labels: labels of the run.
            environment: the registry's configuration.
            timeout_s: limit in seconds until it answers.

        Raises:
            RegistryError: it cannot be started, ends at once or does not answer.
        """
        attempted = f"start registry '{name}' from image '{image}'"
        with closing(engine.client()) as client:
            try:
                container = client.containers.create(
                    image,
                    name=name,
                    environment=dict(environment),
                    labels={**labels, LABEL_ROLE: "registry"},
                    network=network,
                    ports={f"{CONTAINER_PORT}/tcp": (HOST_ADDRESS, 0)},
                )
            except docker.errors.APIError as error:
                raise RegistryError(
                    attempted,
                    seen=str(error.explanation or error),
                    hint=f"has the engine image '{image}', and is no other container called so (`docker ps -a`)?",
                ) from error
            try:
                return cls._serving(engine, container, attempted, timeout_s)
            except BaseException:
                with suppress(docker.errors.NotFound):
                    container.remove(force=True, v=True)
                raise

    @classmethod
    def _serving(cls, engine: Engine, container: Container, attempted: str, timeout_s: float) -> LocalRegistry:
        """Start `container` and wait until it answers."""
        try:
            container.start()
        except docker.errors.APIError as error:
            raise RegistryError(
                attempted,
                seen=str(error.explanation or error),
                hint="is its network there (`docker network ls`), and has the engine's disk room (`docker system df`)?",
            ) from error
        container.reload()
        published = (container.attrs["NetworkSettings"]["Ports"] or {}).get(f"{CONTAINER_PORT}/tcp")
        address = f"{HOST_ADDRESS}:{published[0]['HostPort']}" if published else ""
        wait_until(
            f"{attempted}: get an answer from its /v2/",
            lambda: _look(container, address),
            done=lambda seen: seen == "answers",
            failed=lambda seen: (
                RegistryError(
                    attempted,
                    seen=f"{seen}; its log ends:\n{_logs(container)}",
                    hint="the log says why; another image may stand in: --supply=registry=IMAGE",
                )
                if seen not in {"answers", "created", "running"}
                else None
            ),
            timeout_s=timeout_s,
            poll_interval_s=_POLL_INTERVAL_S,
            describe=lambda seen: f"{seen}; its log ends:\n{_logs(container)}",
        )
        return cls(engine, str(container.name), address)

    def attach_to_nodes(self, nodes: Iterable[str]) -> None:
        """Make the containerd of each node pull through this registry; nothing needs a restart.

        Args:
            nodes: container names of the nodes, on the registry's network.
        """
        archive = _archive(mirror_config(self.host_address, self.inside_address))
        with closing(self.engine.client()) as client:
            for node in nodes:
                _unpack(client, node, archive, f"make node '{node}' pull through registry '{self.name}'")

    def remove(self) -> None:
        """Stop and remove it with what it stores; nothing happens when it is gone."""
        with closing(self.engine.client()) as client, suppress(docker.errors.NotFound):
            client.containers.get(self.name).remove(force=True, v=True)


def _unpack(client: docker.DockerClient, node: str, archive: bytes, attempted: str) -> None:
    try:
        client.containers.get(node).put_archive("/", archive)
    except docker.errors.APIError as error:
        hint = "is the node running (`docker ps -a`), and has its disk room?"
        raise RegistryError(attempted, seen=str(error.explanation or error), hint=hint) from error


def _look(container: Container, address: str) -> str:
    """Return ``answers``, or else the container's state."""
    with suppress(requests.RequestException):
        # 401 is an answer too: a registry that wants a password is ready to hear it.
        if requests.get(f"http://{address}/v2/", timeout=_PROBE_TIMEOUT_S).status_code in {200, 401}:
            return "answers"
    container.reload()
    return str(container.status)


def _logs(container: Container) -> str:
    return container.logs(tail=_QUOTED_LINES).decode("utf-8", errors="replace").strip()


def _archive(files: Mapping[str, str]) -> bytes:
    """Return a tar archive, to be unpacked at the root, of `files` below :data:`CERTS_DIR`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, text in files.items():
            content = text.encode()
            member = tarfile.TarInfo(f"{CERTS_DIR.lstrip('/')}/{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
