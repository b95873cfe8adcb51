"""The files that make a node's containerd pull through a cluster's registry."""

from __future__ import annotations

import io
import sys
import tarfile
from typing import Any

import pytest

from harness.outside.registry import _archive, mirror_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture
def files() -> dict[str, Any]:
    """The parsed files, by relative path."""
    return {path: tomllib.loads(text) for path, text in mirror_config("127.0.0.1:40123", "demo-registry:5000").items()}


def test_docker_hub_is_asked_after_the_registry(files: dict[str, Any]) -> None:
    """The hosts are asked first, the server last."""
    hub = files["docker.io/hosts.toml"]
    assert list(hub["host"]) == ["http://demo-registry:5000"]
    assert hub["host"]["http://demo-registry:5000"]["capabilities"] == ["pull", "resolve"]
    assert hub["server"] == "https://registry-1.docker.io"


@pytest.mark.parametrize("name", ["127.0.0.1:40123", "localhost:40123", "demo-registry:5000"])
def test_every_name_of_the_registry_means_the_registry(files: dict[str, Any], name: str) -> None:
    """A node must not ask itself when an image is named by the host's loopback address."""
    assert files[f"{name}/hosts.toml"]["server"] == "http://demo-registry:5000"
    assert list(files[f"{name}/hosts.toml"]["host"]) == ["http://demo-registry:5000"]


def test_the_archive_unpacks_at_the_root() -> None:
    """Paths are those containerd is configured with, relative to /."""
    with tarfile.open(fileobj=io.BytesIO(_archive({"docker.io/hosts.toml": "x"}))) as archive:
        assert archive.getnames() == ["etc/containerd/certs.d/docker.io/hosts.toml"]
        content = archive.extractfile("etc/containerd/certs.d/docker.io/hosts.toml")
        assert content is not None
        assert content.read() == b"x"
