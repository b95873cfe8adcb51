"""Bringing images to the nodes of a kind cluster, and only what a node lacks.

With a registry of the cluster's own, an image is pushed there and each node pulls it: only new layers travel. Without
one, it is archived whole and imported, as ``kind load`` does. Nodes are Docker containers whose containerd keeps the
images of Kubernetes in the namespace ``k8s.io``; `ctr` is on every node image (`crictl` is not).
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker.models.containers import Container

from harness.cleanup import CleanupStack
from harness.engine.engine import Engine
from harness.errors import ImageError
from harness.images.push import PushedImage, push
from harness.images.reference import ImageName, ImageRef
from harness.temporary import own_temporary_directory

LineSink = Callable[[str], None]

_CTR = ("ctr", "--namespace", "k8s.io", "images")
_CERTS_DIR = "/etc/containerd/certs.d"

# /tmp of a kind node is a file system of its own that the engine cannot unpack into; /var is the node's volume.
_ARCHIVE_DIR = "/var"

# Blocks of a tar file, and what ends one.
_BLOCK_BYTES = 512
_END_BYTES = 2 * _BLOCK_BYTES


def _ignore(_: str) -> None:
    return


@dataclass(frozen=True)
class NodeImage:
    """An image on a node.

    Args:
        node: the node's name.
        name: the image's complete name there, e.g. ``docker.io/example/test-ml-score-api:latest``.
        digest: what the node's containerd has under that name, ``sha256:...``.
        sent: whether it had to be sent; otherwise it was there.
    """

    node: str
    name: str
    digest: str
    sent: bool


def load_image(
    engine: Engine,
    image: ImageRef,
    nodes: Sequence[str],
    *,
    registry: str | None,
    on_line: LineSink = _ignore,
) -> tuple[NodeImage, ...]:
    """Make `image` present on each of `nodes` under its human name, and verify that it is.

    Args:
        engine: the engine that holds the image and runs the nodes.
        image: what to load.
        nodes: container names of the nodes, all or some of a cluster's.
        registry: ``HOST:PORT`` of the cluster's registry (``ClusterHandle.registry``), ``None`` without one.
        on_line: gets a line for each thing done.

    Raises:
        ImageError: a node is gone, refuses the image, or does not have it afterwards.
        RegistryError: the push failed.
    """
    if not nodes:
        return ()
    with closing(engine.client()) as client, ThreadPoolExecutor(len(nodes)) as pool, CleanupStack() as cleanup:
        seen = dict(zip(nodes, pool.map(lambda node: _digest_on(client, node, image), nodes), strict=True))
        lacking = [node for node, digest in seen.items() if digest is None]
        if lacking and registry is not None:
            pushed = push(engine, image, registry, on_line=on_line)
            sent = pool.map(lambda node: _pull_on(client, node, image, pushed), lacking)
        elif lacking:
            archive = _archive(client, image, cleanup)
            sent = pool.map(lambda node: _import_on(client, node, image, archive), lacking)
        else:
            sent = iter(())
        seen.update(zip(lacking, sent, strict=True))
    name = str(ImageName.parse(image.name))
    for node in nodes:
        on_line(f"{node}: {name} {'sent' if node in lacking else 'was there'}")
    return tuple(NodeImage(node, name, str(seen[node]), sent=node in lacking) for node in nodes)


def _digest_on(client: docker.DockerClient, node: str, image: ImageRef) -> str | None:
    name = str(ImageName.parse(image.name))
    return present_digest(_ctr(client, node, "ls", f"name=={name}", f"name=={image.image_id}"), image)


def present_digest(table: str, image: ImageRef) -> str | None:
    """Return the digest of what a node has under the image's name, or ``None`` when that is not this image.

    Args:
        table: what ``ctr images ls`` printed on the node.
        image: the image looked for.
    """
    digests = digests_listed(table)
    here = digests.get(str(ImageName.parse(image.name)))
    # Kubernetes' side of containerd lists each image by its id too. An engine with containerd's image store takes the
    # manifest's digest for the id.
    return here if here is not None and here in {digests.get(image.image_id), image.image_id} else None


def digests_listed(table: str) -> dict[str, str]:
    """Return digest by name from what ``ctr images ls`` prints (columns REF TYPE DIGEST ..., containerd 1.6 to 2.1)."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {row[0]: row[2] for row in rows if len(row) > 2}  # noqa: PLR2004 - the third column is there


def _pull_on(client: docker.DockerClient, node: str, image: ImageRef, pushed: PushedImage) -> str:
    """Let `node` pull by digest, name it as Kubernetes asks for it, and return the digest it then has."""
    name = str(ImageName.parse(image.name))
    _ctr(client, node, "pull", "--hosts-dir", _CERTS_DIR, pushed.pinned)
    _ctr(client, node, "tag", "--force", pushed.pinned, name)
    return _verified(client, node, image, name, pushed.digest)


def _archive(client: docker.DockerClient, image: ImageRef, cleanup: CleanupStack) -> Path:
    """Write a tar file that holds one file: what ``docker save`` gives for the image; return its path.

    The engine takes files for a container only inside a tar file, whose header holds the size: it is written last.
    """
    attempted = f"archive image '{image.content_tag}'"
    try:
        handle, path = tempfile.mkstemp(suffix=".tar", dir=own_temporary_directory())
        cleanup.push(f"archive {path}", Path(path).unlink)
        with os.fdopen(handle, "wb") as file:
            file.seek(_BLOCK_BYTES)
            file.writelines(client.api.get_image(image.content_tag))
            member = tarfile.TarInfo(_archive_name(image))
            member.size = file.tell() - _BLOCK_BYTES
            file.write(bytes(-member.size % _BLOCK_BYTES + _END_BYTES))
            file.seek(0)
            file.write(member.tobuf(tarfile.GNU_FORMAT))
    except docker.errors.APIError as error:
        raise ImageError(attempted, seen=str(error.explanation or error), hint="build it again") from error
    except OSError as error:
        raise ImageError(attempted, seen=str(error), hint="make room where TMPDIR points") from error
    return Path(path)


def _archive_name(image: ImageRef) -> str:
    return f"seatrial-{image.image_id.removeprefix('sha256:')[:12]}.tar"


def _import_on(client: docker.DockerClient, node: str, image: ImageRef, archive: Path) -> str:
    """Copy `archive` to `node`, import it, name it as Kubernetes asks for it, and return the digest it then has."""
    name, archived = str(ImageName.parse(image.name)), str(ImageName.parse(image.content_tag))
    inside = f"{_ARCHIVE_DIR}/{_archive_name(image)}"
    container = _container(client, node)
    try:
        with archive.open("rb") as file:
            container.put_archive(_ARCHIVE_DIR, file)
        _ctr(client, node, "import", inside)
    except docker.errors.APIError as error:
        raise ImageError(
            f"copy image '{image.name}' to node '{node}'",
            seen=str(error.explanation or error),
            hint="is the node running, and has its disk room?",
        ) from error
    finally:
        container.exec_run(["rm", "-f", inside])
    if archived != name:
        _ctr(client, node, "tag", "--force", archived, name)
        _ctr(client, node, "rm", archived)
    return _verified(client, node, image, name, None)


def _verified(client: docker.DockerClient, node: str, image: ImageRef, name: str, digest: str | None) -> str:
    """Return the digest `node` has under `name`; with `digest`, only if it is that one."""
    here = digests_listed(_ctr(client, node, "ls", f"name=={name}")).get(name)
    if here is None or here != (digest or here):
        raise ImageError(
            f"load image '{image.name}' into node '{node}'",
            seen=f"afterwards the node has {here or 'nothing'} under '{name}', sent was {digest or image.image_id}",
            hint="does something else load an image of this name into this cluster at the same time?",
        )
    return here


def _ctr(client: docker.DockerClient, node: str, *args: str) -> str:
    """Run ``ctr images`` with `args` on `node` and return what it prints."""
    argv = [*_CTR, *args]
    attempted = f"run `{' '.join(argv)}` on node '{node}'"
    try:
        result: Any = _container(client, node).exec_run(argv, demux=True)
    except docker.errors.APIError as error:
        raise ImageError(attempted, seen=str(error.explanation or error), hint="is the node running?") from error
    stdout, stderr = ((stream or b"").decode("utf-8", errors="replace") for stream in result.output)
    if result.exit_code != 0:
        raise ImageError(
            attempted,
            seen=f"exit code {result.exit_code}\n{stderr or stdout}",
            hint=f"has the node's disk room, and does its containerd run? `docker exec {node} df -h` and "
            f"`docker exec {node} systemctl status containerd` tell",
        )
    return str(stdout)


def _container(client: docker.DockerClient, node: str) -> Container:
    try:
        return client.containers.get(node)
    except docker.errors.NotFound as error:
        raise ImageError(
            f"reach node '{node}'", seen="no such container", hint="is its cluster still there?"
        ) from error
