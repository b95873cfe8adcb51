"""The layers that a build of the engine's classic builder makes, so that one which is interrupted leaves none.

They are known by what the builder says: a step, and then the layer it has made, unless that was there before.
"""

from __future__ import annotations

import re
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import docker.errors

from harness.errors import WaitTimeoutError
from harness.wait import wait_until

if TYPE_CHECKING:
    from harness.engine.engine import Engine

# How the classic builder names the layer that a step has made.
_LAYER = re.compile(r" ---> (?P<id>[0-9a-f]{12})")

# Seconds for the engine to remove the container of a step that was stopped; a layer that is in use then is left.
_REMOVAL_TIMEOUT_S = 30


class BuildLayers:
    """Collects the layers of one build from its output."""

    def __init__(self) -> None:
        self._layers: list[str] = []
        self._is_new = False

    def see(self, line: str) -> None:
        """Take in the next line of the build's output, without blanks at its end."""
        if line.startswith("Step "):
            self._is_new = not line.partition(" : ")[2].upper().startswith("FROM ")
        elif line.endswith("Using cache"):
            self._is_new = False
        elif self._is_new and (layer := _LAYER.fullmatch(line)):
            self._layers.append(layer["id"])

    def remove(self, engine: Engine) -> None:
        """Remove the layers that this build has made and nobody else uses; its connection must have been closed."""
        with closing(engine.client()) as client, suppress(WaitTimeoutError, docker.errors.DockerException):
            # The container of the step that was stopped uses them until the engine has removed it.
            wait_until(
                "remove the layers of a build that was stopped",
                lambda: [layer for layer in reversed(self._layers) if not _is_removed(client, layer)],
                done=lambda left: not left,
                timeout_s=_REMOVAL_TIMEOUT_S,
                poll_interval_s=0.1,
            )


def _is_removed(client: docker.DockerClient, layer: str) -> bool:
    try:
        client.images.remove(layer, noprune=True)
    except docker.errors.ImageNotFound:
        return True
    except docker.errors.APIError:
        return False
    return True
