"""Images from a Dockerfile of the recipe, with programs from supply copied in.

``[image]`` in ``recipe.toml``::

    base = "node-rootfs"     # an image the recipe needs; the Dockerfile's ARG BASE_IMAGE
    package-files = ["gateway/routes.py"]   # optional: modules of Seatrial's own, below harness/

The build context holds the recipe's files, every needed program under its own name, and the package files below
``package/harness/``.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import docker.errors
import requests

from harness.engine.engine import Engine
from harness.engine.layers import BuildLayers
from harness.supply.builders.protocol import Build
from harness.supply.recipe import Recipe, files_by_name, package_files

# Seconds an engine may say nothing while it copies, unpacks or runs a step. The longest took 15 s on two shared cores.
SILENCE_S = 900


class DockerfileBuilder:
    """Builds recipes of kind ``image`` with the engine's classic builder, which every engine has.

    Args:
        engine: gives the engine to build in.
    """

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine

    def describe(self, recipe: Recipe) -> str:
        """See :meth:`ImageBuilder.describe`."""
        return recipe.what

    def build(self, build: Build, *, tag: str, labels: Mapping[str, str]) -> None:
        """See :meth:`ImageBuilder.build`."""
        programs = {program: artifact.path for program, artifact in build.programs.items()}
        files = {**programs, **package_files(build.recipe.options)}
        base = build.images[build.recipe.options["base"]].reference
        docker_build(self._engine, build, files=files, base=base, tag=tag, labels=labels)


def docker_build(
    engine: Callable[[], Engine],
    build: Build,
    *,
    files: Mapping[str, Path],
    base: str,
    tag: str,
    labels: Mapping[str, str],
) -> None:
    """Run the recipe's Dockerfile; the engine names the image when its last step is done.

    Interrupted, it stops, and what its steps have made is removed; a build that failed is taken up again by the next.

    Args:
        engine: gives the engine to build in.
        build: the build this is part of.
        files: further files of the context, by their name in it.
        base: reference of the image passed as ``BASE_IMAGE``.
        tag: name of the image.
        labels: labels of the image.

    Raises:
        BuildError: a step failed; the message holds its output.
    """
    context = build.workdir / "context.tar"
    write_context(context, build.recipe.directories, files)
    lines: list[str] = []
    layers = BuildLayers()
    used = engine()
    with closing(used.client()) as client, context.open("rb") as stream:
        try:
            client.api.timeout = SILENCE_S
            events = client.api.build(
                fileobj=stream,
                custom_context=True,
                tag=tag,
                buildargs={"BASE_IMAGE": base},
                labels=dict(labels),
                rm=True,
                forcerm=True,
                decode=True,
            )
            # Leaving the stream hangs up, and the builder stops when its client hangs up.
            with _undone_when_interrupted(layers, used), closing(events):
                for event in events:
                    for line in str(event.get("stream") or event.get("error") or "").splitlines():
                        build.log.write(line)
                        lines.append(line)
                        layers.see(line.rstrip())
                    if event.get("error"):
                        raise build.error("\n".join(lines[-20:]))
        except (docker.errors.APIError, requests.RequestException) as error:
            raise build.error(f"docker build: {error}") from error
        finally:
            context.unlink(missing_ok=True)


@contextmanager
def _undone_when_interrupted(layers: BuildLayers, engine: Engine) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        layers.remove(engine)
        raise


def write_context(target: Path, directories: Sequence[Path], files: Mapping[str, Path]) -> None:
    """Write a build context as a tar file.

    Owners, modes and times are fixed, so that the same content is the same to the builder's cache and a wheel that
    kept no modes makes the same image.

    Args:
        target: the tar file.
        directories: the recipe's folders.
        files: further files by their name in the context; they may be executed.
    """
    with tarfile.open(target, "w") as archive:
        for name, path in files_by_name(directories).items():
            _add(archive, path, name, 0o644)
        for name in sorted(files):
            _add(archive, files[name], name, 0o755)


def _add(archive: tarfile.TarFile, path: Path, name: str, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.mode = mode
    info.size = path.stat().st_size
    with path.open("rb") as content:
        archive.addfile(info, content)
