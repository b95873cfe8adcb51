"""Running one container of an image beside the tests, and seeing whether it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

import docker
import docker.errors
import requests
from docker.models.containers import Container

from harness.engine.engine import Engine
from harness.errors import ImageError
from harness.wait import wait_until

# Loopback only: a test's container is nobody else's business.
HOST_ADDRESS = "127.0.0.1"

# Seconds for one look at whether the container answers yet.
_PROBE_TIMEOUT_S = 1.0
_POLL_INTERVAL_S = 0.05

# Log lines quoted when a container does not do what it should: about one screen.
_QUOTED_LINES = 50

_RUNNING_STATES = frozenset({"created", "running", "restarting"})


@dataclass(frozen=True)
class ContainerSpec:
    """A container to run.

    Args:
        image: name or id of the image.
        name: the container's name.
        container_port: TCP port the image serves HTTP on.
        host_port: port on the host's loopback address, 0 for a free one.
        environment: environment variables.
        command: arguments in place of the image's own; empty keeps them.
        network: name of a Docker network to join; ``None`` for the default one.
        probe_path: path asked until it answers; any HTTP status counts as an answer.
        timeout_s: limit in seconds until it answers.
        stop_timeout_s: seconds between SIGTERM and SIGKILL when it is stopped.
    """

    image: str
    name: str
    container_port: int
    host_port: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    network: str | None = None
    probe_path: str = "/"
    timeout_s: float = 60.0
    stop_timeout_s: float = 10.0


@dataclass(frozen=True)
class ContainerStatus:
    """One line of ``docker ps``.

    Args:
        name: the container's name.
        container_id: its id.
        image: the image's name as the container was started with.
        state: ``created``, ``running``, ``exited``, ...
        ports: host address by container port, e.g. ``{"5000/tcp": "127.0.0.1:40123"}``.
        exit_code: of its first process; ``None`` while it runs.
    """

    name: str
    container_id: str
    image: str
    state: str
    ports: Mapping[str, str]
    exit_code: int | None = None

    @classmethod
    def from_container(cls, container: Container) -> ContainerStatus:
        """Read what the engine says of `container`."""
        state = container.attrs["State"]
        published = container.attrs["NetworkSettings"].get("Ports") or {}
        return cls(
            name=str(container.name),
            container_id=str(container.id),
            image=container.attrs["Config"]["Image"],
            state=state["Status"],
            ports={port: f"{at[0]['HostIp']}:{at[0]['HostPort']}" for port, at in published.items() if at},
            exit_code=None if state["Status"] in _RUNNING_STATES else state["ExitCode"],
        )


class RunningContainer:
    """A container that answers.

    Args:
        container: the docker SDK's handle.
        spec: what it was started from.
        address: ``HOST:PORT`` where the host reaches its port.
    """

    def __init__(self, container: Container, spec: ContainerSpec, address: str) -> None:
        self._container = container
        self.spec = spec
        self.address = address

    @property
    def url(self) -> str:
        """Base address of the service, e.g. ``http://127.0.0.1:40123``."""
        return f"http://{self.address}"

    def status(self) -> ContainerStatus:
        """Return its present state."""
        self._container.reload()
        return ContainerStatus.from_container(self._container)

    def logs(self, lines: int = _QUOTED_LINES) -> str:
        """Return the last `lines` lines it wrote."""
        return _logs(self._container, lines)

    def stop(self) -> ContainerStatus:
        """Ask it to end, make it end after its time, and return how it ended; nothing happens when it has ended."""
        self._container.stop(timeout=round(self.spec.stop_timeout_s))
        return self.status()


def list_containers(
    engine: Engine, *, labels: Mapping[str, str], everything: bool = False
) -> Sequence[ContainerStatus]:
    """Return the containers that carry all of `labels`, as ``docker ps`` would (``-a`` with `everything`)."""
    wanted = [f"{name}={value}" for name, value in labels.items()]
    with closing(engine.client()) as client:
        found = client.containers.list(all=everything, filters={"label": wanted}, ignore_removed=True)
        return tuple(ContainerStatus.from_container(each) for each in found)


@contextmanager
def running_container(engine: Engine, spec: ContainerSpec, *, labels: Mapping[str, str]) -> Iterator[RunningContainer]:
    """Run a container while the block runs; give it once it answers HTTP, and remove it whatever happens.

    Args:
        engine: the engine to run it in.
        spec: what to run.
        labels: labels of the run.

    Raises:
        ImageError: the image is not there, the port or the name is taken, it ended before it answered (with its
            log), or it did not answer in time (likewise).
    """
    attempted = f"run a container '{spec.name}' of image '{spec.image}'"
    with closing(engine.client()) as client:
        container = _create(client, spec, labels, attempted)
        try:
            _start(container, spec, attempted)
            address = _published(container, spec, attempted)
            _await_answer(container, spec, f"http://{address}", attempted)
            yield RunningContainer(container, spec, address)
        finally:
            with suppress(docker.errors.NotFound):
                container.remove(force=True, v=True)


def _create(client: docker.DockerClient, spec: ContainerSpec, labels: Mapping[str, str], attempted: str) -> Container:
    try:
        return client.containers.create(
            spec.image,
            command=list(spec.command) or None,
            name=spec.name,
            environment=dict(spec.environment),
            labels=dict(labels),
            network=spec.network,
            ports={f"{spec.container_port}/tcp": (HOST_ADDRESS, spec.host_port)},
        )
    except docker.errors.ImageNotFound as error:
        hint = "build or pull it first"
        raise ImageError(attempted, seen=f"the engine has no image '{spec.image}'", hint=hint) from error
    except docker.errors.APIError as error:
        taken = error.status_code == requests.codes.conflict
        hint = (
            f"`docker rm -f {spec.name}` if nobody needs it, or choose another name"
            if taken
            else "correct what the engine says of it: its name, its command or its network (`docker network ls`)"
        )
        raise ImageError(attempted, seen=str(error.explanation or error), hint=hint) from error


def _start(container: Container, spec: ContainerSpec, attempted: str) -> None:
    try:
        container.start()
    except docker.errors.APIError as error:
        seen = str(error.explanation or error)
        # dockerd's own word first, then the kernel's when another program holds the port.
        in_use = "port is already allocated" in seen or "address already in use" in seen
        if in_use:
            seen = f"port {spec.host_port} on {HOST_ADDRESS} is in use"
        hint = (
            f"stop what listens there (`ss -ltnp sport = :{spec.host_port}`) or let Seatrial choose a port"
            if in_use
            else "has the image the program that it is to run, on its PATH and executable?"
        )
        raise ImageError(attempted, seen=seen, hint=hint) from error


def _published(container: Container, spec: ContainerSpec, attempted: str) -> str:
    """Return ``HOST:PORT`` of the published port."""
    container.reload()
    status = ContainerStatus.from_container(container)
    address = status.ports.get(f"{spec.container_port}/tcp")
    # A container that has ended already has no ports any more.
    return address if address is not None else _raise_ended(container, status, attempted)


def _await_answer(container: Container, spec: ContainerSpec, url: str, attempted: str) -> None:
    def probe() -> str:
        with suppress(requests.RequestException):
            answer = requests.get(f"{url}/{spec.probe_path.lstrip('/')}", timeout=_PROBE_TIMEOUT_S)
            return f"answered {answer.status_code}"
        container.reload()
        return str(container.status)

    def is_hopeless(seen: str) -> ImageError | None:
        if seen.startswith("answered") or seen in _RUNNING_STATES:
            return None
        return _ended(container, ContainerStatus.from_container(container), attempted)

    wait_until(
        f"get an answer from {url} (container '{spec.name}' of image '{spec.image}')",
        probe,
        done=lambda seen: seen.startswith("answered"),
        failed=is_hopeless,
        timeout_s=spec.timeout_s,
        poll_interval_s=_POLL_INTERVAL_S,
        describe=lambda seen: f"{seen}, silent on port {spec.container_port}; its log ends:\n{_logs(container)}",
        hint="does the service listen on 0.0.0.0 and on this port?",
    )


def _raise_ended(container: Container, status: ContainerStatus, attempted: str) -> str:
    raise _ended(container, status, attempted)


def _ended(container: Container, status: ContainerStatus, attempted: str) -> ImageError:
    return ImageError(
        attempted,
        seen=f"it ended with exit code {status.exit_code} before it answered; its log ends:\n{_logs(container)}",
        hint="the log says why; see its command and environment, and what it looks for in the image",
        exit_code=status.exit_code,
    )


def _logs(container: Container, lines: int = _QUOTED_LINES) -> str:
    return container.logs(tail=lines).decode("utf-8", errors="replace").strip()
