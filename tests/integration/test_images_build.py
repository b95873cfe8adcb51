"""Building images and running containers of them, on a real engine."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import docker
import docker.errors
import pytest
import requests

from harness.engine.engine import Engine
from harness.errors import ImageBuildError, ImageError, WaitTimeoutError
from harness.images.build import LABEL_SOURCE, BuildRequest, ImageBuilder, prune_built
from harness.images.container import ContainerSpec, list_containers, running_container
from harness.naming import LABEL_RUN, Run
from harness.supply.resolver import Supply
from harness.wait import wait_until

RUN = Run.begin()
SERVE = ("python3", "-m", "http.server", "5000")


@pytest.fixture(scope="session")
def base(supply: Supply) -> str:
    """The Python base image."""
    return supply.image("python-3.11").reference


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    """A client to look at the engine with."""
    with closing(engine.client()) as client:
        yield client


@pytest.fixture
def name(client: docker.DockerClient) -> Iterator[str]:
    """An image name of this test's own; what was built under it is removed."""
    repository = f"seatrial-test/build-{uuid4().hex[:8]}"
    yield f"{repository}:latest"
    for image in client.images.list(name=repository):
        client.images.remove(str(image.id), force=True)


@pytest.fixture
def builder(engine: Engine, supply: Supply, tmp_path: Path) -> ImageBuilder:
    """A builder with a log directory of this test's own."""
    return ImageBuilder(engine, run=RUN, log_dir=tmp_path / "logs", timeout_s=120, pull=supply.pull)


def app(directory: Path, *steps: str) -> Path:
    """Write a Dockerfile of these steps, and a program."""
    directory.mkdir(exist_ok=True)
    (directory / "Dockerfile").write_text("\n".join(["ARG BASE_IMAGE", "FROM $BASE_IMAGE", *steps]), encoding="utf-8")
    (directory / "api.py").write_text("print(1)\n", encoding="utf-8")
    return directory


def request(directory: Path, name: str, base: str) -> BuildRequest:
    """Ask for a build on the base image."""
    return BuildRequest(directory, name, build_args={"BASE_IMAGE": base})


def assert_gone(client: docker.DockerClient, container_id: str) -> None:
    """Wait until a container is gone: the builder removes it after the caller has been told."""

    def is_gone() -> bool:
        try:
            client.containers.get(container_id)
        except docker.errors.NotFound:
            return True
        return False

    wait_until(f"see container {container_id} removed", is_gone, timeout_s=30)


def test_an_image_is_built_once(
    builder: ImageBuilder, client: docker.DockerClient, name: str, base: str, tmp_path: Path
) -> None:
    """The second build of the same content gives the same image without building; a change gives another."""
    directory = app(tmp_path / "app", "COPY api.py /")
    first = builder.build(request(directory, name, base))
    lines: list[str] = []
    assert builder.build(request(directory, name, base), on_line=lines.append) == first
    assert [line.partition(":")[0] for line in lines] == ["unchanged"]

    (directory / "api.py").write_text("print(2)\n", encoding="utf-8")
    second = builder.build(request(directory, name, base))
    assert second.image_id != first.image_id
    assert second.content_tag != first.content_tag
    assert client.images.get(name).id == second.image_id
    assert client.images.get(first.content_tag).id == first.image_id
    labels = client.images.get(name).labels
    assert labels[LABEL_RUN] == RUN.run_id
    assert labels[LABEL_SOURCE].startswith(second.content_tag.rpartition("src-")[2])


def test_the_human_name_comes_back_to_older_content(
    builder: ImageBuilder, client: docker.DockerClient, name: str, base: str, tmp_path: Path
) -> None:
    """An undone change finds the image built before it, and the name means that one again."""
    directory = app(tmp_path / "app", "COPY api.py /")
    first = builder.build(request(directory, name, base))
    (directory / "api.py").write_text("print(2)\n", encoding="utf-8")
    builder.build(request(directory, name, base))
    (directory / "api.py").write_text("print(1)\n", encoding="utf-8")
    assert builder.build(request(directory, name, base)) == first
    assert client.images.get(name).id == first.image_id


def test_old_builds_are_pruned(engine: Engine, builder: ImageBuilder, name: str, base: str, tmp_path: Path) -> None:
    """Of one repository, the newest builds stay."""
    directory = app(tmp_path / "app", "COPY api.py /")
    tags = []
    for number in range(3):
        (directory / "api.py").write_text(f"print({number})\n", encoding="utf-8")
        tags.append(builder.build(request(directory, name, base)).content_tag)
    repository = name.removesuffix(":latest")
    pruned = prune_built(engine, keep=1, repository=repository)
    assert set(pruned) == set(tags[:2])


def test_a_full_prune_leaves_no_name(
    engine: Engine, client: docker.DockerClient, builder: ImageBuilder, name: str, base: str, tmp_path: Path
) -> None:
    """The name people call it by goes too, unless a container uses the image."""
    built = builder.build(request(app(tmp_path / "app", "COPY api.py /"), name, base))
    repository = name.removesuffix(":latest")
    container = client.containers.create(name)
    try:
        assert prune_built(engine, keep=0, repository=repository) == ()
    finally:
        container.remove()
    assert prune_built(engine, keep=0, repository=repository) == (built.content_tag,)
    assert client.images.list(name=repository) == []


def test_a_failing_step_is_named_with_its_output(
    builder: ImageBuilder, client: docker.DockerClient, name: str, base: str, tmp_path: Path
) -> None:
    """The error holds the step and the end of its output, the log all of it, and no container stays."""
    directory = app(tmp_path / "app", "RUN echo all is well", "RUN echo oh dear && exit 3")
    with pytest.raises(ImageBuildError) as caught:
        builder.build(request(directory, name, base))
    assert str(caught.value.facts["step"]).endswith("RUN echo oh dear && exit 3")
    assert "oh dear" in str(caught.value)
    assert "returned a non-zero code: 3" in str(caught.value)
    log = Path(str(caught.value.facts["log"])).read_text(encoding="utf-8")
    assert "all is well" in log
    assert_gone(client, log.rpartition("Running in ")[2].split()[0])


def test_a_build_ends_at_its_time_limit(
    engine: Engine, client: docker.DockerClient, name: str, base: str, tmp_path: Path
) -> None:
    """A step that goes on is ended, and its container removed."""
    builder = ImageBuilder(engine, run=RUN, log_dir=tmp_path / "logs", timeout_s=10)
    lines: list[str] = []
    with pytest.raises(ImageBuildError, match="time limit of 10 s"):
        builder.build(request(app(tmp_path / "app", "RUN sleep 600"), name, base), on_line=lines.append)
    assert_gone(client, next(line for line in lines if "Running in" in line).rpartition(" ")[2])


def test_an_interrupted_build_leaves_nothing(
    builder: ImageBuilder, client: docker.DockerClient, name: str, base: str, tmp_path: Path
) -> None:
    """Ctrl-C during a step ends the step, too."""
    containers: list[str] = []

    def interrupt(line: str) -> None:
        if "Running in" in line:
            containers.append(line.rpartition(" ")[2])
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        builder.build(request(app(tmp_path / "app", "RUN sleep 600"), name, base), on_line=interrupt)
    assert_gone(client, containers[0])


def test_a_base_image_that_cannot_be_had_is_an_error(builder: ImageBuilder, name: str, tmp_path: Path) -> None:
    """The base image is named, and what to pass instead."""
    with pytest.raises(ImageBuildError) as caught:
        builder.build(request(app(tmp_path / "app"), name, "127.0.0.1:1/nobody/nothing:1"))
    assert "127.0.0.1:1/nobody/nothing:1" in str(caught.value)
    assert "BASE_IMAGE" in caught.value.hint


def test_two_builds_at_once_both_succeed(
    builder: ImageBuilder, client: docker.DockerClient, name: str, base: str, tmp_path: Path
) -> None:
    """Two runs that build the same at once get an image each, under one content tag."""
    directory = app(tmp_path / "app", "RUN echo once", "COPY api.py /")
    with ThreadPoolExecutor(2) as pool:
        images = list(pool.map(lambda _: builder.build(request(directory, name, base)), range(2)))
    assert images[0].content_tag == images[1].content_tag
    assert all(client.images.get(image.image_id) for image in images)


def spec(base: str, **changes: object) -> ContainerSpec:
    """Describe a container that serves files on port 5000."""
    settings: dict[str, object] = {
        "image": base,
        "name": f"seatrial-test-{uuid4().hex[:8]}",
        "container_port": 5000,
        "command": SERVE,
        "stop_timeout_s": 1.0,
    }
    return ContainerSpec(**{**settings, **changes})  # type: ignore[arg-type] # a mapping of mixed values


def test_a_container_answers_is_listed_and_goes(engine: Engine, base: str) -> None:
    """It is there while the block runs, as `docker ps` would list it, and gone afterwards."""
    labels = {LABEL_RUN: f"{RUN.run_id}-{uuid4().hex}"}
    wanted = spec(base)
    with running_container(engine, wanted, labels=labels) as running:
        assert requests.get(running.url, timeout=10).ok
        (listed,) = list_containers(engine, labels=labels)
        assert (listed.name, listed.image, listed.state) == (wanted.name, base, "running")
        assert listed.ports == {"5000/tcp": running.address}
        stopped = running.stop()
        assert stopped.state == "exited"
        assert list_containers(engine, labels=labels) == ()
        assert len(list_containers(engine, labels=labels, everything=True)) == 1
    assert list_containers(engine, labels=labels, everything=True) == ()


def test_a_container_goes_when_the_block_fails(engine: Engine, base: str) -> None:
    """The failure is the block's, and nothing stays."""
    labels = {LABEL_RUN: f"{RUN.run_id}-{uuid4().hex}"}

    def fail() -> None:
        with running_container(engine, spec(base), labels=labels):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list_containers(engine, labels=labels, everything=True) == ()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        pytest.param(
            {"command": ("python3", "-c", "print('oh dear'); raise SystemExit(3)")},
            ImageError,
            ("exit code 3", "oh dear"),
            id="ends early",
        ),
        pytest.param(
            {"container_port": 5001, "timeout_s": 2.0}, WaitTimeoutError, ("silent on port 5001",), id="wrong port"
        ),
        pytest.param({"image": "seatrial-test/nothing:1"}, ImageError, ("no image",), id="no such image"),
        pytest.param({"command": ("/nothing",)}, ImageError, ("no such file",), id="no such program"),
    ],
)
def test_a_container_that_cannot_answer_is_told_with_its_reason(
    engine: Engine, base: str, changes: dict[str, object], error: type[Exception], words: tuple[str, ...]
) -> None:
    """The reason is in the message, and no container stays."""
    labels = {LABEL_RUN: f"{RUN.run_id}-{uuid4().hex}"}
    with pytest.raises(error) as caught, running_container(engine, spec(base, **changes), labels=labels):
        pytest.fail("it answered")
    for word in words:
        assert word in str(caught.value)
    assert list_containers(engine, labels=labels, everything=True) == ()


def test_a_port_in_use_is_told(engine: Engine, base: str) -> None:
    """The port is named, and how to find who holds it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        wanted = spec(base, host_port=port)
        with (
            pytest.raises(ImageError, match=f"port {port} on 127.0.0.1 is in use"),
            running_container(engine, wanted, labels={}),
        ):
            pytest.fail("it answered")


def test_a_name_in_use_is_told(engine: Engine, base: str) -> None:
    """Somebody else's container stays."""
    with running_container(engine, spec(base), labels={}) as first:
        with (
            pytest.raises(ImageError, match="already in use"),
            running_container(engine, spec(base, name=first.spec.name), labels={}),
        ):
            pytest.fail("it answered")
        assert first.status().state == "running"
