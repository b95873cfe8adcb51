"""Bodywork's command line in a container of its own image, beside the cluster that it is to work on.

So the host needs neither Bodywork nor a Python that it runs on, and the container finds and trusts what pods find and
trust: it is on the cluster's network, and its image is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import yaml

from harness.cluster.provider import ClusterHandle
from harness.commands import docker, kubectl
from harness.errors import BodyworkError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import LineSink, Runner

# The kubeconfig comes on standard input: a file of the host's could not be mounted where the engine is another machine,
# and an argument or variable could be read by everybody.
_WITH_KUBECONFIG = 'umask 077 && KUBECONFIG=$(mktemp) && export KUBECONFIG && cat > "$KUBECONFIG" && exec bodywork "$@"'
# kind's API servers listen there inside their network, and their certificates name the node.
_API_PORT = 6443
_EVERYBODYS_NETWORK = "host"


class Docker(Protocol):
    """Where containers run: :class:`~harness.engine.engine.Engine`."""

    def environment(self) -> Mapping[str, str | None]:
        """Variables that point the docker program at it."""


def _ignore(_: str) -> None:
    return


@dataclass(frozen=True)
class BodyworkContainer:
    """Runs ``bodywork`` against one cluster, one container per command.

    Args:
        handle: the cluster.
        image: an image with ``bodywork`` on its PATH, e.g. ``bodyworkml/bodywork-core:latest``; pulled when the engine
            lacks it.
        engine: where the container runs.
        runner: runs docker, and kubectl for the kubeconfig.
        labels: labels of the run, so that what a killed run leaves is found.
    """

    handle: ClusterHandle
    image: str
    engine: Docker
    runner: Runner
    labels: Mapping[str, str]

    def run(self, args: tuple[str, ...], *, timeout_s: float, on_line: LineSink = _ignore) -> Outcome:
        """Run one command to its end; what it means is the caller's to judge.

        Args:
            args: from :mod:`harness.commands.bodywork`.
            timeout_s: limit in seconds; then the container is stopped and removed.
            on_line: gets each line as it appears.

        Raises:
            BodyworkError: the kubeconfig is of no use in a container.
            CommandError: docker could not run the container; kubectl could not read the kubeconfig.
        """
        network = self.handle.name if self.handle.provider == "kind" else _EVERYBODYS_NETWORK
        argv = docker.run(
            self.image,
            *("-c", _WITH_KUBECONFIG, "bodywork", *args),
            network=network,
            labels=self.labels,
            entrypoint="sh",
        )
        command = Command(
            ("docker", *argv), env=self.engine.environment(), timeout_s=timeout_s, stdin=self._kubeconfig()
        )
        outcome = self.runner.run(command, on_line=on_line)
        # docker's own: "125 if the error is with Docker daemon itself" (docs.docker.com, docker run, "Exit status").
        if outcome.exit_code == 125 or outcome.not_found or outcome.timed_out:  # noqa: PLR2004 - said above
            outcome.check(hint=f"does the engine have image '{self.image}', and network '{network}'?")
        return outcome

    def _kubeconfig(self) -> str:
        """Return the cluster's kubeconfig with nothing in it that is a file of the host's."""
        read = self.runner.run(self.handle.kubectl_command(*kubectl.config_flatten(), "--minify")).check()
        document = yaml.safe_load(read.stdout)
        for entry in document["users"]:
            if "exec" in (entry.get("user") or {}) or "auth-provider" in (entry.get("user") or {}):
                raise BodyworkError(
                    f"run bodywork in a container against cluster '{self.handle.name}'",
                    reason="no kubeconfig",
                    seen=f"user '{entry['name']}' gets its credentials from a program of this host",
                    hint="use a kubeconfig with a token or a certificate in it",
                )
        if self.handle.provider == "kind":
            for entry in document["clusters"]:
                entry["cluster"]["server"] = f"https://{self.handle.name}-control-plane:{_API_PORT}"
        return str(yaml.safe_dump(document))
