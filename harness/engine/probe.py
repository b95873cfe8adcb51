"""Asking an address whether a Docker engine answers there."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.engine.engine import open_client

# A local engine answers within milliseconds; one on a loaded machine, or behind a network, within a few seconds. An
# address where nobody listens is told at once.
PROBE_TIMEOUT_S = 15

Verdict = Literal["answers", "absent", "refused", "denied", "fails"]


@dataclass(frozen=True)
class Answer:
    """What an address said.

    Args:
        docker_host: the address.
        verdict: ``answers``; ``absent`` (no socket there); ``refused`` (a socket nobody listens on); ``denied`` (this
            user may not connect); ``fails`` (anything else).
        version: the engine's version when it answers.
        detail: the error's own words otherwise.
        tls_dir: the TLS files it was asked with.
    """

    docker_host: str
    verdict: Verdict
    version: str = ""
    detail: str = ""
    tls_dir: Path | None = None

    @property
    def answers(self) -> bool:
        """Whether an engine answered."""
        return self.verdict == "answers"

    def __str__(self) -> str:
        words = {
            "answers": f"answers, version {self.version}",
            "absent": "nothing there",
            "refused": "a socket, but nobody listens on it",
            "denied": "permission denied",
            "fails": f"does not answer: {self.detail}",
        }
        return words[self.verdict]


Probe = Callable[[str, "Path | None"], Answer]


def probe(docker_host: str, tls_dir: Path | None = None) -> Answer:
    """Ask the engine at `docker_host` for its version; never raises for an engine that is not there.

    Args:
        docker_host: ``unix://``, ``tcp://`` or ``ssh://`` address.
        tls_dir: directory with the three PEM files of a TLS client, ``None`` for none.
    """
    if docker_host.startswith("unix://"):
        problem = _connect(docker_host)
        if problem is not None:
            return problem
    return _ask(docker_host, tls_dir)


def _connect(docker_host: str) -> Answer | None:
    """Connect to a unix socket; the SDK would hide which of the three ways it failed."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PROBE_TIMEOUT_S)
        try:
            connection.connect(docker_host.removeprefix("unix://"))
        except (FileNotFoundError, NotADirectoryError):
            return Answer(docker_host, "absent")
        except ConnectionRefusedError:
            return Answer(docker_host, "refused")
        except PermissionError:
            return Answer(docker_host, "denied")
        except OSError as error:
            return Answer(docker_host, "fails", detail=str(error))
    return None


def _ask(docker_host: str, tls_dir: Path | None) -> Answer:
    import docker.errors  # noqa: PLC0415 - heavy: an absent socket is told without it

    try:
        client = open_client(docker_host, tls_dir, timeout_s=PROBE_TIMEOUT_S)
        try:
            version = str(client.version()["Version"])
        finally:
            client.close()
    except (docker.errors.DockerException, OSError, ValueError, KeyError) as error:
        return Answer(docker_host, "fails", detail=str(error), tls_dir=tls_dir)
    return Answer(docker_host, "answers", version=version, tls_dir=tls_dir)
