"""Which images a node has, read from what ctr prints there."""

from __future__ import annotations

import pytest

from harness.engine.engine import Engine
from harness.images.load import digests_listed, load_image, present_digest
from harness.images.reference import ImageRef

HEADER = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n"
NAME = "docker.io/example/api:latest"
IMAGE = ImageRef("example/api", "sha256:id", "example/api:src-1")


def row(name: str, digest: str) -> str:
    """A row of the table."""
    return f"{name} application/vnd.docker.distribution.manifest.v2+json {digest} 95.2 MiB linux/amd64 a=b \n"


@pytest.mark.parametrize(
    ("table", "digest"),
    [
        pytest.param(HEADER + row(NAME, "sha256:m") + row("sha256:id", "sha256:m"), "sha256:m", id="by name and id"),
        pytest.param(HEADER + row(NAME, "sha256:id"), "sha256:id", id="where the engine's id is the manifest's digest"),
        pytest.param(HEADER + row(NAME, "sha256:old") + row("sha256:id", "sha256:m"), None, id="name of another image"),
        pytest.param(HEADER + row(NAME, "sha256:old"), None, id="only an older image of the name"),
        pytest.param(HEADER + row("sha256:id", "sha256:m"), None, id="there, without the name"),
        pytest.param(HEADER, None, id="nothing"),
        pytest.param("", None, id="not even a header"),
    ],
)
def test_an_image_is_present_when_name_and_content_are(table: str, digest: str | None) -> None:
    """The name alone does not count: it may mean an older image."""
    assert present_digest(table, IMAGE) == digest


def test_a_damaged_row_is_passed_over() -> None:
    """An image whose content is gone has a shorter row."""
    assert digests_listed(HEADER + "broken -\n" + row("a", "sha256:1")) == {"a": "sha256:1"}


def test_no_nodes_need_no_engine() -> None:
    """Loading into none of the nodes does nothing."""
    assert load_image(Engine("unix:///nonexistent", "", managed=False), IMAGE, [], registry=None) == ()
