"""Build, run, score, stop, push and pull back, with nothing but Docker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.access.endpoint import Endpoint
from harness.assembly import Assembly
from harness.engine.engine import Engine
from harness.errors import ImageBuildError, ImageError
from harness.images.container import ContainerSpec, RunningContainer, list_containers
from harness.images.push import push
from harness.images.reference import ImageRef
from harness.outside.registry import LocalRegistry
from scenarios.conftest import Ask, PullBack

RunContainer = Callable[[ContainerSpec], RunningContainer]


@pytest.fixture
def test_api(built_image: ImageRef, run_container: RunContainer, seatrial: Assembly) -> RunningContainer:
    """The tutorial's container ``test-api``, its name made unique so that two runs do not meet."""
    name = f"test-api-{seatrial.run.run_id}"
    return run_container(ContainerSpec(built_image.name, name=name, container_port=5000))


def test_a_container_scores_until_it_is_stopped(
    test_api: RunningContainer, seatrial: Assembly, engine: Engine, ask: Ask
) -> None:
    """`docker run` starts it, `docker ps` lists it, curl gets the score, `docker stop` ends it in good order."""
    listed = {one.name: one.state for one in list_containers(engine, labels=seatrial.run.labels())}
    assert listed[test_api.spec.name] == "running"

    ask(Endpoint.from_url(test_api.url))

    stopped = test_api.stop()
    assert (stopped.state, stopped.exit_code) == ("exited", 0)


def test_an_image_comes_back_from_a_registry_as_it_went_there(
    built_image: ImageRef,
    registry: LocalRegistry,
    engine: Engine,
    pull_back: PullBack,
    run_container: RunContainer,
    ask: Ask,
) -> None:
    """`docker push` and `docker pull` move the same image: equal ids, and what comes back scores."""
    pushed = push(engine, built_image, registry.host_address)
    pulled = pull_back(pushed.reference)
    assert pulled.image_id == built_image.image_id

    container = run_container(ContainerSpec(pulled.name, name=f"{registry.name}-pulled", container_port=5000))
    ask(Endpoint.from_url(container.url))


def test_a_broken_dockerfile_is_named_with_its_line(build_image: Callable[..., ImageRef], tmp_path: Path) -> None:
    """A mistake in the Dockerfile fails before anything is built, and the message says where it stands."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCPOY api.py ./\n")
    with pytest.raises(ImageBuildError, match=r"(?s)line 2.*CPOY"):
        build_image(tmp_path, name="example/broken:latest")


def test_a_container_that_ends_at_once_is_explained_by_its_log(
    built_image: ImageRef, run_container: RunContainer, seatrial: Assembly
) -> None:
    """A container whose program fails is not waited for: its exit code and its last words are in the error."""
    spec = ContainerSpec(
        built_image.name,
        name=f"test-api-broken-{seatrial.run.run_id}",
        container_port=5000,
        command=("python3", "-c", "raise SystemExit('no model to serve')"),
    )
    with pytest.raises(ImageError, match="no model to serve"):
        run_container(spec)
