"""A build of supply's own image that is interrupted, in a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from harness.engine.engine import Engine
from harness.supply.builders.image import docker_build
from harness.supply.builders.protocol import Build, BuildLog
from harness.supply.pins import Pins, host_arch
from harness.supply.recipe import Recipes
from harness.supply.resolver import Supply
from tests.integration.child_run import images_made_with


class InterruptingLog(BuildLog):
    """A log during whose writing Ctrl-C is pressed, when a step's container works."""

    def write(self, line: str) -> None:
        """Append the line, or be interrupted."""
        super().write(line)
        if line.strip() == "working":  # the container's own word: the step's text has it, too
            raise KeyboardInterrupt


@pytest.fixture
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    """A client of the run's engine."""
    with closing(engine.client()) as client:
        yield client


def test_nothing_is_left_of_it(engine: Engine, supply: Supply, client: docker.DockerClient, tmp_path: Path) -> None:
    """The builder stops, and neither the working container nor the layers made before it stay."""
    base, mark = supply.image("python-3.11").reference, uuid4().hex
    directory = tmp_path / "recipes" / "app"
    directory.mkdir(parents=True)
    (directory / "recipe.toml").write_text('kind = "image"\nversion = "tool"\n\n[image]\nbase = "base"\n')
    (directory / "Dockerfile").write_text(
        f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN echo made > /{mark}\nRUN echo working; sleep 600 # {mark}\n"
    )
    recipe = Recipes(Pins({"versions": {"tool": "v1.0.0"}}), host_arch(), tmp_path / "recipes").get("app")
    with closing(InterruptingLog(tmp_path / "log")) as log:
        build = Build(recipe, {}, {}, tmp_path, log)
        with pytest.raises(KeyboardInterrupt):
            docker_build(lambda: engine, build, files={}, base=base, tag=f"seatrial-test/{mark}:1", labels={})
    assert "---> " in (tmp_path / "log").read_text().partition("Step 3/4")[2], "no layer had been made"
    assert [one["Id"] for one in client.api.containers(all=True) if mark in one["Command"]] == []
    assert list(images_made_with(client, mark)) == []
