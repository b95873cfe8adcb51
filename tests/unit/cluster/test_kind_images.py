"""Where the provider's node images come from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from harness.cleanup import CleanupStack
from harness.cluster.kind import KindProvider
from harness.engine.engine import Engine
from harness.errors import ClusterError, SupplyError
from harness.naming import Run
from harness.progress import SilentProgress
from harness.settings.model import ClusterSettings
from harness.testing import RecordingRunner

IMAGE = "example/node:1"


class Images:
    """The `images` of an engine's client."""

    def __init__(self, *known: str) -> None:
        self.known = set(known)

    def get(self, name: str) -> Any:
        """Return an image, as the SDK does."""
        if name not in self.known:
            raise docker.errors.ImageNotFound(name)
        return SimpleNamespace(id=f"id of {name}")


def provider(tmp_path: Path, pull: Any) -> KindProvider:
    """Return a provider that has no engine and no program."""
    return KindProvider(
        engine=Engine("unix:///nonexistent/docker.sock", "", managed=False),
        runner=RecordingRunner(),
        kind_path=tmp_path / "kind",
        kubectl=lambda _: tmp_path / "kubectl",
        node_image=lambda _: IMAGE,
        pull=pull,
        registry=None,
        cleanup=CleanupStack(),
        run=Run("1", 1, 1, 1),
        settings=ClusterSettings("kind", None, False, None, None, False, ("1.34",), None, 300.0, 60.0),
        state_dir=tmp_path,
        progress=SilentProgress(),
    )


@pytest.mark.parametrize("known", [[IMAGE], []], ids=["in the engine", "elsewhere"])
def test_a_node_image_is_pulled_once_it_is_missing(tmp_path: Path, known: list[str]) -> None:
    """The pull is supply's, which knows whether it may and records it."""
    images, pulled = Images(*known), []
    client: Any = SimpleNamespace(images=images)

    def pull(name: str) -> None:
        pulled.append(name)
        images.known.add(name)

    assert provider(tmp_path, pull)._image(client, IMAGE).id == f"id of {IMAGE}"
    assert pulled == ([] if known else [IMAGE])


def test_a_node_image_that_may_not_be_pulled_is_an_error(tmp_path: Path) -> None:
    """It is named, with why it is not there and what to try."""

    def switched_off(name: str) -> None:
        raise SupplyError(f"use image {name}", seen="pulling is switched off", hint="docker pull it")

    client: Any = SimpleNamespace(images=Images())
    with pytest.raises(ClusterError) as caught:
        provider(tmp_path, switched_off)._image(client, IMAGE)
    for expected in (f"node image '{IMAGE}'", "pulling is switched off", "docker pull it", "--kind-image"):
        assert expected in str(caught.value)
