"""The outside world of one cluster: public names that its pods, and programs beside it, find answered locally.

One container on the cluster's Docker network serves them all, and the names are aliases of that container there. Pods
find them because CoreDNS asks its node, and nodes ask Docker, whose DNS knows the aliases of that one network; so do
containers that join the network. Nothing has to be changed in the cluster or on the host, and nothing restored: when
the container is gone, or its run was killed and the next one removed it, the names mean again what they mean to
everybody. Clusters have networks of their own, so that one's github.com is not another's.

A container, and not processes of the run, because nodes reach it on any engine, also one in a virtual machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

import docker.errors
import requests
from docker.models.containers import Container

from harness.engine.engine import Engine
from harness.errors import OutsideError
from harness.naming import LABEL_ROLE
from harness.outside.ca import PrivateCA, trust_environment
from harness.outside.front import CHAIN_PATH, CONFIG_PATH, HTTP_PORT, HTTPS_PORT, KEY_PATH, nginx_config
from harness.outside.inside import ContainerFiles, tar_of
from harness.outside.service import OutsideService
from harness.wait import wait_until

ROLE = "outside"
HOST_ADDRESS = "127.0.0.1"
_CA_PATH = "/etc/seatrial/ca.pem"

# Seconds until every name answers: moto takes 2 of them to import.
_READY_TIMEOUT_S = 60.0
_PROBE_TIMEOUT_S = 2.0
_POLL_INTERVAL_S = 0.1
_QUOTED_LINES = 40

# nginx's own answers while what it passes requests to has not started.
_STARTING = frozenset({502, 503, 504})


@dataclass(frozen=True)
class StandIn:
    """One line of the report.

    Args:
        names: the names it answers to.
        stands_for: what it stands in for, and what really serves it.
    """

    names: tuple[str, ...]
    stands_for: str


@dataclass(frozen=True)
class OutsideWorld:
    """A world that answers.

    Args:
        engine: the engine it runs in.
        name: the container's name.
        services: what it serves.
        ca: who signed its certificate.
        http_address: ``127.0.0.1:PORT`` where the host reaches all names in plain HTTP.
        https_address: likewise with TLS.
    """

    engine: Engine
    name: str
    services: tuple[OutsideService, ...]
    ca: PrivateCA
    http_address: str
    https_address: str

    @classmethod
    def start(
        cls,
        engine: Engine,
        *,
        image: str,
        name: str,
        services: Sequence[OutsideService],
        ca: PrivateCA,
        labels: Mapping[str, str],
        network: str | None = None,
        timeout_s: float = _READY_TIMEOUT_S,
    ) -> OutsideWorld:
        """Start a world and return it once every name answers; one that does not is removed.

        Args:
            engine: the engine to run it in.
            image: the image of supply called ``outside``, or one made from it.
            name: name for the container.
            services: what to serve.
            ca: signs the certificate for all names.
            labels: labels of the run.
            network: the Docker network to join, the cluster's; ``None`` for the default one, which has no names.
            timeout_s: limit in seconds until every name answers.

        Raises:
            OutsideError: it cannot be started, ends at once, or a name does not answer.
        """
        attempted = f"start outside world '{name}' from image '{image}'"
        names = [each for service in services for each in service.names]
        certificate = ca.issue([*names, "localhost"])
        files = {
            CONFIG_PATH: nginx_config(services).encode(),
            CHAIN_PATH: certificate.chain_pem,
            KEY_PATH: certificate.key_pem,
            _CA_PATH: ca.certificate_pem,
        }
        with closing(engine.client()) as client:
            aliases = {network: client.api.create_endpoint_config(aliases=names)} if network else None
            try:
                container = client.containers.create(
                    image,
                    name=name,
                    labels={**labels, LABEL_ROLE: ROLE},
                    network=network,
                    networking_config=aliases,
                    ports={f"{port}/tcp": (HOST_ADDRESS, 0) for port in (HTTP_PORT, HTTPS_PORT)},
                    # Its own git pushes to its own names, on networks without DNS as well.
                    extra_hosts=dict.fromkeys(names, HOST_ADDRESS),
                    init=True,
                )
            except docker.errors.APIError as error:
                raise OutsideError(
                    attempted,
                    seen=str(error.explanation or error),
                    hint=f"has the engine image '{image}', and is no other container called so (`docker ps -a`)?",
                ) from error
            try:
                container.put_archive("/", tar_of(files, private=[KEY_PATH]))
                container.start()
                world = cls(engine, name, tuple(services), ca, *_addresses(container))
                world._await_answers(container, attempted, timeout_s)
            except BaseException as error:
                with suppress(docker.errors.NotFound):
                    container.remove(force=True, v=True)
                if isinstance(error, docker.errors.APIError):
                    raise OutsideError(
                        attempted,
                        seen=str(error.explanation or error),
                        hint=f"is image '{image}' built for what is outside, and is the network there "
                        "(`docker network ls`)?",
                    ) from error
                raise
        return world

    @property
    def inside(self) -> ContainerFiles:
        """Files and programs of the container."""
        return ContainerFiles(self.engine, self.name)

    def stand_ins(self) -> tuple[StandIn, ...]:
        """Return what stands in for what, for the report."""
        return tuple(StandIn(service.names, service.stands_for) for service in self.services)

    def environment(self) -> dict[str, str]:
        """Return the variables that containers need to trust and use it; see :mod:`harness.outside.trusting_image`."""
        variables = trust_environment()
        for service in self.services:
            variables.update(service.environment())
        return variables

    def log(self, lines: int = _QUOTED_LINES) -> str:
        """Return the last lines it wrote: one for each request, and what went wrong."""
        with closing(self.engine.client()) as client, suppress(docker.errors.NotFound):
            return _log(client.containers.get(self.name), lines)
        return ""

    def remove(self) -> None:
        """Stop and remove it with all it holds; nothing happens when it is gone."""
        with closing(self.engine.client()) as client, suppress(docker.errors.NotFound):
            client.containers.get(self.name).remove(force=True, v=True)

    def _await_answers(self, container: Container, attempted: str, timeout_s: float) -> None:
        def look() -> str:
            """Return what is amiss, empty when nothing is."""
            silent = [service.names[0] for service in self.services if not _answers(self.http_address, service)]
            if not silent:
                return ""
            container.reload()
            return f"{container.status}; no answer yet for {', '.join(silent)}"

        wait_until(
            f"{attempted}: get an answer for every name",
            look,
            done=lambda seen: not seen,
            failed=lambda seen: (
                None
                if seen.startswith(("created", "running"))
                else OutsideError(
                    attempted,
                    seen=f"{seen}; its log ends:\n{_log(container, _QUOTED_LINES)}",
                    hint="the log says why; has the image all that the services are made of?",
                )
            ),
            timeout_s=timeout_s,
            poll_interval_s=_POLL_INTERVAL_S,
            describe=lambda seen: f"{seen}; its log ends:\n{_log(container, _QUOTED_LINES)}",
        )


def _answers(address: str, service: OutsideService) -> bool:
    with suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False  # a proxy would look for this host's loopback interface on its own
        url, headers = f"http://{address}{service.probe_path}", {"Host": service.names[0]}
        answer = session.get(url, headers=headers, timeout=_PROBE_TIMEOUT_S)
        return answer.status_code not in _STARTING
    return False


def _addresses(container: Container) -> tuple[str, str]:
    """Return where the host reaches its plain port and its TLS port."""
    container.reload()
    published = container.attrs["NetworkSettings"]["Ports"] or {}
    http, https = (
        f"{HOST_ADDRESS}:{bound[0]['HostPort']}" if (bound := published.get(f"{port}/tcp")) else ""
        for port in (HTTP_PORT, HTTPS_PORT)
    )
    return http, https


def _log(container: Container, lines: int) -> str:
    return container.logs(tail=lines).decode("utf-8", errors="replace").strip()
