"""Node images for kind: a base, Kubernetes' program, and the images a cluster starts with, already unpacked.

``[node]`` in ``recipe.toml`` is described there. A build runs in three steps: the names `kubeadm` asks for are matched
with images of ours, a labelled build container unpacks them (``kind/preload`` of ``node-base`` says where to), and the
recipe's Dockerfile puts what it made and the program on top of the base. That is taken out of the container instead of
committing it, so that its labels, which say whose it is, do not end up in the image.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import docker
import docker.errors
import requests
from docker.models.containers import Container

from harness.engine.engine import Engine
from harness.naming import LABEL_ROLE, Run
from harness.process.command import Command
from harness.process.runner import Runner
from harness.supply.builders.archive import ImageArchive
from harness.supply.builders.image import SILENCE_S, docker_build
from harness.supply.builders.protocol import Build
from harness.supply.recipe import Recipe

# Kubernetes' program answers within a second; a cold disk adds some.
_KUBEADM_TIMEOUT_S = 60.0
_CHUNK_BYTES = 1 << 20
# Volumes of the build container: the archive of images, and what is made of it.
_SCRATCH = "/scratch"
_PRELOADED = "/preloaded"


@dataclass(frozen=True)
class Preload:
    """One image a node starts with.

    Args:
        name: the name it has on the node.
        image: the artifact that provides it.
        entrypoint: its entry point under that name; ``None`` keeps the artifact's own.
    """

    name: str
    image: str
    entrypoint: tuple[str, ...] | None


class NodeBuilder:
    """Builds recipes of kind ``node``.

    Args:
        runner: runs kubeadm.
        engine: gives the engine to build in.
        run: whose the build container is, for the next run's sweep.
    """

    def __init__(self, runner: Runner, engine: Callable[[], Engine], run: Run) -> None:
        self._runner = runner
        self._engine = engine
        self._run = run

    def describe(self, recipe: Recipe) -> str:
        """See :meth:`ImageBuilder.describe`."""
        return recipe.what

    def build(self, build: Build, *, tag: str, labels: Mapping[str, str]) -> None:
        """See :meth:`ImageBuilder.build`."""
        recipe = build.recipe
        required = self._required_names(build)
        try:
            images = preloads(recipe, required)
        except ValueError as error:
            raise build.error(str(error)) from error
        preloaded = build.workdir / "preloaded.tar"
        try:
            self._unpack(build, images, preloaded)
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise build.error(f"preload images: {error}") from error
        values = build.workdir / "values.sed"
        values.write_text(sed_script(node_values(recipe, required)), encoding="utf-8")
        program = recipe.options["program"]
        docker_build(
            self._engine,
            build,
            files={program: build.programs[program].path, "preloaded.tar": preloaded, "values.sed": values},
            base=build.images[recipe.options["base"]].reference,
            tag=tag,
            labels=labels,
        )

    def _required_names(self, build: Build) -> tuple[str, ...]:
        """Ask the very kubeadm that goes into the image which images it will want."""
        kubeadm = build.workdir / "kubeadm"
        kubeadm.symlink_to(build.programs[build.recipe.options["program"]].path)
        argv = (str(kubeadm), "config", "images", "list", "--kubernetes-version", build.recipe.version)
        outcome = build.run(self._runner, Command(argv, timeout_s=_KUBEADM_TIMEOUT_S))
        return tuple(line.strip() for line in outcome.stdout.splitlines() if "/" in line)

    def _unpack(self, build: Build, images: Sequence[Preload], target: Path) -> None:
        with closing(self._engine().client()) as client, ExitStack() as stack:
            client.api.timeout = SILENCE_S
            archive = build.workdir / "images.tar"
            with ImageArchive(archive) as joined:
                for artifact in dict.fromkeys(image.image for image in images):
                    saved = build.workdir / "saved.tar"
                    build.log.write(f"save {artifact}")
                    _write(saved, client.images.get(build.images[artifact].reference).save(chunk_size=_CHUNK_BYTES))
                    joined.add(saved, {image.name: image.entrypoint for image in images if image.image == artifact})
                    saved.unlink()
            # By its name, and registered first: the answer to the request may never be read.
            name = f"seatrial-{build.recipe.name}-{self._run.own_id}"
            stack.callback(_remove, client, name)
            container = client.containers.create(
                build.images[build.recipe.options["base"]].reference,
                name=name,
                entrypoint=["sleep"],
                command=["infinity"],
                privileged=True,  # unpacking mounts
                volumes=[_PRELOADED, _SCRATCH],  # on the engine's disk: overlays cannot lie on overlays
                labels={**self._run.labels(), LABEL_ROLE: "build"},
                network_mode="none",
            )
            container.start()
            self._preload(build, container, archive)
            stream, _ = container.get_archive(f"{_PRELOADED}/.", chunk_size=_CHUNK_BYTES)
            _write(target, stream)

    @staticmethod
    def _preload(build: Build, container: Container, archive: Path) -> None:
        build.log.write("send the images into the build container")
        wrapped = archive.with_name("wrapped.tar")
        _wrap(archive, wrapped)
        with wrapped.open("rb") as stream:
            container.put_archive(_SCRATCH, stream)
        wrapped.unlink()
        code, output = container.exec_run(["sh", "/kind/preload", f"{_SCRATCH}/images.tar", _PRELOADED])
        text = cast("bytes", output).decode(errors="replace")
        for line in text.splitlines():
            build.log.write(line)
        if code:
            raise build.error(f"unpack images in the build container: exit code {code}\n{text}")


def preloads(recipe: Recipe, required: Sequence[str]) -> list[Preload]:
    """Return every image a node starts with.

    Args:
        recipe: a recipe of kind ``node``.
        required: what `kubeadm config images list` printed.

    Raises:
        ValueError: the recipe has no image for a required name.
    """
    known = recipe.options["required"]
    unknown = [name for name in required if _short(name) not in known]
    if unknown or not required:
        raise ValueError(f"kubeadm asks for images the recipe does not know: {unknown or 'it named none'}")
    named = {name: known[_short(name)] for name in required}
    named.update({recipe.fill(name): entry for name, entry in recipe.options.get("preload", {}).items()})
    return [
        Preload(name, entry["image"], tuple(entry["entrypoint"]) if "entrypoint" in entry else None)
        for name, entry in named.items()
    ]


def node_values(recipe: Recipe, required: Sequence[str]) -> dict[str, str]:
    """Return what the node's files say between @ signs, by name."""
    pause = next(name for name in required if _short(name) == "pause")
    values = {name: recipe.fill(value) for name, value in recipe.options.get("values", {}).items()}
    return {**values, "PAUSE_IMAGE": pause, "VERSION": recipe.version}


def sed_script(values: Mapping[str, str]) -> str:
    """Return a sed script that replaces ``@NAME@`` by its value.

    Raises:
        ValueError: a value would end the command it stands in.
    """
    bad = [name for name, value in values.items() if set(value) & set("|&\\\n")]
    if bad:
        raise ValueError(f"values that sed would misread: {', '.join(bad)}")
    return "".join(f"s|@{name}@|{values[name]}|g\n" for name in sorted(values))


def _remove(client: docker.DockerClient, container: str) -> None:
    with suppress(docker.errors.NotFound):
        client.containers.get(container).remove(force=True, v=True)


def _short(name: str) -> str:
    """``registry.k8s.io/coredns/coredns:v1.12.1`` -> ``coredns``."""
    return name.rpartition("/")[2].partition(":")[0]


def _write(target: Path, chunks: Iterable[bytes]) -> None:
    with target.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def _wrap(file: Path, target: Path) -> None:
    """Make the archive of one file that the engine wants in order to copy it into a container."""
    with tarfile.open(target, "w") as archive:
        archive.add(file, arcname=file.name)
