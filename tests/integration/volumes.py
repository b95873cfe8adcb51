"""The volumes of containers, noted while there are any: an anonymous one says nothing of whose it was afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from docker import DockerClient
from docker.errors import DockerException

from harness.engine.engine import Engine


class NotedVolumes:
    """Which container had which volume, of all that the engine has made since it is listened to."""

    def __init__(self) -> None:
        self._containers: dict[str, str] = {}

    def note(self, container: dict[str, Any]) -> None:
        """Take down the volumes of an inspected container."""
        for mount in container["Mounts"]:
            if mount["Type"] == "volume":
                self._containers[mount["Name"]] = container["Name"].lstrip("/")

    def of(self, is_meant: Callable[[str], bool]) -> dict[str, str]:
        """Return volume -> container for every container whose name is meant, there or not."""
        return {volume: name for volume, name in list(self._containers.items()) if is_meant(name)}

    def left(self, client: DockerClient, is_meant: Callable[[str], bool]) -> list[str]:
        """Name those of them that are still there."""
        there = {volume["Name"] for volume in client.api.volumes()["Volumes"] or ()}
        return [f"volume {volume} of {name}" for volume, name in self.of(is_meant).items() if volume in there]


@contextmanager
def noted_volumes(engine: Engine) -> Iterator[NotedVolumes]:
    """Listen to the engine while the block runs."""
    noted = NotedVolumes()
    with closing(engine.client()) as client:
        events = client.events(decode=True, filters={"type": "container", "event": ["create", "start"]})

        def listen() -> None:
            for event in events:
                with suppress(DockerException):  # gone already, or not to be inspected just now
                    noted.note(client.api.inspect_container(event["id"]))

        def listen_until_closed() -> None:
            with suppress(DockerException, OSError, ValueError):
                listen()

        listening = threading.Thread(target=listen_until_closed, daemon=True)
        listening.start()
        try:
            yield noted
        finally:
            events.close()
            listening.join(timeout=5)
