"""A local registry, for real: images go there and come back the same, and refusals are told apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import docker
import docker.errors
import pytest

from harness.engine.engine import Engine
from harness.errors import ImageError, RegistryAuthError, RegistryError, RegistryTLSError, RegistryUnreachableError
from harness.images.build import BuildRequest, ImageBuilder
from harness.images.push import image_in_engine, pull, push
from harness.images.reference import ImageRef
from harness.naming import Run
from harness.outside.registry import CONTAINER_PORT, LocalRegistry
from harness.supply.resolver import Supply

RUN = Run.begin()


def start(engine: Engine, supply: Supply, **changes: object) -> LocalRegistry:
    """Start a registry of this test's own."""
    return LocalRegistry.start(
        engine,
        image=supply.image("registry").reference,
        name=f"seatrial-test-{uuid4().hex[:8]}-registry",
        labels=RUN.labels(),
        **changes,  # type: ignore[arg-type] # a mapping of mixed values
    )


@pytest.fixture(scope="module")
def registry(engine: Engine, supply: Supply) -> Iterator[LocalRegistry]:
    """A registry that takes everything."""
    registry = start(engine, supply)
    yield registry
    registry.remove()


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    """A client to look at the engine with."""
    with closing(engine.client()) as client:
        yield client


@pytest.fixture
def image(engine: Engine, client: docker.DockerClient, tmp_path: Path) -> Iterator[ImageRef]:
    """A small image of this test's own."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY hello /\n", encoding="utf-8")
    (tmp_path / "hello").write_text(uuid4().hex, encoding="utf-8")
    repository = f"seatrial-test/push-{uuid4().hex[:8]}"
    builder = ImageBuilder(engine, run=RUN, log_dir=tmp_path / "logs", timeout_s=60)
    yield builder.build(BuildRequest(tmp_path, f"{repository}:latest"))
    for left in client.images.list(name=repository):
        client.images.remove(str(left.id), force=True)


def test_an_image_comes_back_as_it_went(
    engine: Engine, client: docker.DockerClient, registry: LocalRegistry, image: ImageRef
) -> None:
    """What is pulled by the digest that the push gave is the image pushed."""
    pushed = push(engine, image, registry.host_address)
    client.images.remove(image.image_id, force=True)
    with pytest.raises(ImageError):
        image_in_engine(engine, image.name)
    back = pull(engine, pushed.pinned)
    try:
        assert back.image_id == image.image_id
        assert pull(engine, pushed.reference).image_id == image.image_id
    finally:
        client.images.remove(back.image_id, force=True)


def test_a_second_push_sends_no_layer(engine: Engine, registry: LocalRegistry, image: ImageRef) -> None:
    """What the registry has does not travel, and the digest is the same."""
    first = push(engine, image, registry.host_address)
    lines: list[str] = []
    assert push(engine, image, registry.host_address, on_line=lines.append) == first
    assert any("Layer already exists" in line for line in lines)
    assert not any(line.endswith("Pushed") for line in lines)


def test_a_push_leaves_no_name_behind(
    engine: Engine, client: docker.DockerClient, registry: LocalRegistry, image: ImageRef
) -> None:
    """The name made for the push is gone; one that was there before stays."""
    pushed = push(engine, image, registry.host_address)
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(pushed.reference)
    client.api.tag(image.image_id, pushed.reference.rpartition(":")[0], "latest")
    push(engine, image, registry.host_address)
    assert client.images.get(pushed.reference).id == image.image_id


def test_nothing_listening_is_unreachable(engine: Engine, image: ImageRef) -> None:
    """Port 1 answers nobody."""
    with pytest.raises(RegistryUnreachableError, match="connection refused"):
        push(engine, image, "127.0.0.1:1")


def test_an_image_nobody_pushed_cannot_be_pulled(engine: Engine, registry: LocalRegistry) -> None:
    """The registry answers, and has no such image."""
    with pytest.raises(RegistryError) as caught:
        pull(engine, f"{registry.host_address}/nobody/nothing:1")
    assert type(caught.value) is RegistryError


def test_a_registry_with_a_password_wants_it(engine: Engine, supply: Supply, image: ImageRef) -> None:
    """Without the password the push fails as a matter of credentials, and so it does with a wrong one."""
    password = {
        "REGISTRY_HTTP_ADDR": f"0.0.0.0:{CONTAINER_PORT}",
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/var/lib/registry",
        "REGISTRY_AUTH": "htpasswd",
        "REGISTRY_AUTH_HTPASSWD_REALM": "seatrial",
        # The registry makes this file, with a password that only its log tells.
        "REGISTRY_AUTH_HTPASSWD_PATH": "/tmp/htpasswd",
    }
    registry = start(engine, supply, environment=password)
    try:
        with pytest.raises(RegistryAuthError):
            push(engine, image, registry.host_address)
        with pytest.raises(RegistryAuthError):
            push(engine, image, registry.host_address, credentials={"username": "docker", "password": "wrong"})
    finally:
        registry.remove()


def test_a_registry_without_tls_is_told_from_one_that_is_down(
    engine: Engine, client: docker.DockerClient, registry: LocalRegistry, image: ImageRef
) -> None:
    """Only loopback addresses may do without TLS: by its address on Docker's network the engine refuses it."""
    networks = client.containers.get(registry.name).attrs["NetworkSettings"]["Networks"]
    address = next(iter(networks.values()))["IPAddress"]
    with pytest.raises(RegistryTLSError):
        push(engine, image, f"{address}:{CONTAINER_PORT}")


def test_a_registry_that_does_not_serve_is_removed(engine: Engine, client: docker.DockerClient, supply: Supply) -> None:
    """One that ends at once is told with its log, and no container stays."""
    name = f"seatrial-test-{uuid4().hex[:8]}-registry"
    with pytest.raises(RegistryError, match="its log ends"):
        LocalRegistry.start(
            engine,
            image=supply.image("registry").reference,
            name=name,
            labels=RUN.labels(),
            environment={"REGISTRY_STORAGE": "nonsense"},
        )
    with pytest.raises(docker.errors.NotFound):
        client.containers.get(name)
