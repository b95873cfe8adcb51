"""Names of images: what people write, what Docker and containerd make of it."""

from __future__ import annotations

import pytest

from harness.errors import ImageError
from harness.images.reference import ImageName, ImageRef

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("written", "complete"),
    [
        pytest.param("example/api", "docker.io/example/api:latest", id="no registry and no tag"),
        pytest.param("busybox", "docker.io/library/busybox:latest", id="one word is an official image"),
        pytest.param("docker.io/busybox:1.36", "docker.io/library/busybox:1.36", id="docker.io said, library not"),
        pytest.param("localhost/api:1", "localhost/api:1", id="localhost is a registry"),
        pytest.param("127.0.0.1:5000/api", "127.0.0.1:5000/api:latest", id="a port is not a tag"),
        pytest.param("[::1]:5000/a/b:c", "[::1]:5000/a/b:c", id="an IPv6 registry"),
        pytest.param("registry.example.com/a/b_c:v1.0-rc", "registry.example.com/a/b_c:v1.0-rc", id="all parts"),
        pytest.param(f"example/api@{DIGEST}", f"docker.io/example/api@{DIGEST}", id="a digest makes no tag"),
        pytest.param(f"example/api:1@{DIGEST}", f"docker.io/example/api:1@{DIGEST}", id="tag and digest"),
    ],
)
def test_a_name_is_completed_as_docker_completes_it(written: str, complete: str) -> None:
    """The complete name is the one under which containerd lists the image."""
    assert str(ImageName.parse(written)) == complete


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("", id="empty"),
        pytest.param("example/Api", id="capitals in the repository"),
        pytest.param("example/api:", id="colon without a tag"),
        pytest.param("example/api:a b", id="space"),
        pytest.param("example//api", id="empty component"),
        pytest.param("example/api@sha256:12", id="short digest"),
        pytest.param("example/api@", id="at sign without a digest"),
        pytest.param("-example/api", id="leading dash, which a program would take for an option"),
        pytest.param("example/api:" + "t" * 129, id="tag too long"),
    ],
)
def test_what_is_no_name_is_refused(written: str) -> None:
    """A wrong name is refused with what was written."""
    with pytest.raises(ImageError) as caught:
        ImageName.parse(written)
    assert f"'{written}'" in str(caught.value)


@pytest.mark.parametrize(
    ("written", "registry", "inside"),
    [
        pytest.param("example/api:1", "127.0.0.1:40000", "127.0.0.1:40000/example/api:1", id="docker.io is mirrored"),
        pytest.param("busybox", "127.0.0.1:40000", "127.0.0.1:40000/library/busybox:latest", id="official image"),
        pytest.param(
            "ghcr.io/a/b:1", "127.0.0.1:4", "127.0.0.1:4/ghcr.io/a/b:1", id="another registry's keeps its name"
        ),
        pytest.param("localhost:5000/b:1", "127.0.0.1:4", "127.0.0.1:4/localhost-5000/b:1", id="no colon in a path"),
        pytest.param("example/api", "r.example.com/team/", "r.example.com/team/example/api:latest", id="with a prefix"),
    ],
)
def test_the_name_inside_another_registry(written: str, registry: str, inside: str) -> None:
    """Paths of docker.io stay as they are, so that a mirror finds them; it is a name that parses again."""
    assert ImageName.parse(written).inside(registry) == inside
    assert str(ImageName.parse(inside)) == inside


def test_a_pinned_image_gets_a_tag_inside_another_registry() -> None:
    """A registry takes images by tag, so the digest becomes one."""
    assert ImageName.parse(f"example/api@{DIGEST}").inside("r:5") == f"r:5/example/api:{DIGEST.removeprefix('sha256:')}"


@pytest.mark.parametrize(
    ("name", "repository"),
    [("example/api:1", "example/api"), ("localhost:5000/api", "localhost:5000/api"), ("api", "api")],
    ids=["tagged", "port but no tag", "bare"],
)
def test_the_repository_is_the_name_without_its_tag(name: str, repository: str) -> None:
    """The port of a registry is no tag."""
    assert ImageRef(name, "sha256:1", name).repository == repository
