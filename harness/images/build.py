"""Building an image from a directory, skipped when an image of the same content is there already."""

from __future__ import annotations

import hashlib
import json
import math
import tarfile
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import docker
import docker.errors
import requests
from docker.utils.build import create_archive, exclude_paths
from urllib3.exceptions import HTTPError

from harness.engine.engine import Engine
from harness.engine.layers import BuildLayers
from harness.errors import ImageBuildError, SeatrialError
from harness.images.dockerfile import base_images, read_dockerfile
from harness.images.reference import ImageName, ImageRef
from harness.naming import LABEL_PREFIX, LABEL_RUN, Run, dns_label
from harness.wait import Deadline

if TYPE_CHECKING:
    from docker.models.images import Image

# Digest of all that an image was built from; marks the images that Seatrial built from a directory.
LABEL_SOURCE = f"{LABEL_PREFIX}/source"

# Characters of the digest in the content tag: as many as Docker shows of an image id.
_SHOWN_DIGEST = 12

_CHUNK_BYTES = 1 << 20

# Seconds after the time limit for the builder to say that the step it was in has been ended.
_HANG_UP_S = 30

# Images of earlier content kept per repository by `prune_built`: the present one and two to go back to.
KEPT_BUILDS = 3

LineSink = Callable[[str], None]
PullImage = Callable[[str], object]


def _ignore(_: str) -> None:
    return


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    Args:
        directory: the build context.
        name: the human name of the image, e.g. ``example/test-ml-score-api:latest``.
        dockerfile: the Dockerfile's path inside `directory`.
        build_args: values for the Dockerfile's ARGs.
        target: the stage to build; ``None`` builds the last.
    """

    directory: Path
    name: str
    dockerfile: str = "Dockerfile"
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None


class ImageBuilder:
    """Builds images with the engine's classic builder.

    Args:
        engine: the engine to build in.
        run: the run that builds; its id goes on the image, its owner does not, since images outlive their run.
        log_dir: directory for one log per build.
        timeout_s: limit in seconds for one build.
        pull: gets a base image that the engine lacks, or raises a SeatrialError; ``None`` lets none be pulled.
    """

    def __init__(
        self, engine: Engine, *, run: Run, log_dir: Path, timeout_s: float, pull: PullImage | None = None
    ) -> None:
        self._engine = engine
        self._pull = pull
        self._run = run
        self._log_dir = log_dir
        self._timeout_s = timeout_s

    def build(self, request: BuildRequest, *, on_line: LineSink = _ignore) -> ImageRef:
        """Return an image of what `request` names, built now or by an earlier run.

        Its content tag is a digest of the context's files (without those in .dockerignore), the Dockerfile, the build
        arguments, the target and the ids of the base images. The human name always ends up on the image returned.

        Args:
            request: what to build.
            on_line: gets each line of the build as it appears.

        Raises:
            ImageBuildError: nothing fit to build is there, a base image cannot be had, a step failed or the time
                limit passed; ``facts`` hold ``step`` and ``log``.
        """
        name = ImageName.parse(request.name)
        attempted = f"build image '{request.name}' from '{request.directory}'"
        if not request.directory.is_dir():
            raise ImageBuildError(
                attempted, seen="there is no such directory", hint="name the build context's directory"
            )
        if name.digest:
            raise ImageBuildError(attempted, seen="the name pins a digest", hint="a build gives a new one: name a tag")
        instructions = read_dockerfile(request.directory / request.dockerfile)
        repository = request.name.removesuffix(f":{name.tag}")
        with closing(self._engine.client()) as client, tempfile.TemporaryFile() as context:
            bases = [
                _base_id(client, base, attempted, self._pull, on_line)
                for base in base_images(instructions, request.build_args)
            ]
            _archive(request, context, attempted)
            digest = content_digest(context, request, bases)
            content_tag = f"{repository}:src-{digest[:_SHOWN_DIGEST]}"
            image_id = _present(client, content_tag, digest)
            if image_id is None:
                image_id = self._build(client, request, context, content_tag, digest, on_line)
            else:
                on_line(f"unchanged: {content_tag} is image {image_id}")
            client.api.tag(image_id, repository, name.tag, force=True)
        return ImageRef(request.name, image_id, content_tag)

    def _build(
        self,
        client: docker.DockerClient,
        request: BuildRequest,
        context: IO[bytes],
        content_tag: str,
        digest: str,
        on_line: LineSink,
    ) -> str:
        attempted = f"build image '{request.name}' from '{request.directory}'"
        log = self._log_dir / f"build-{dns_label(request.name)}-{digest[:_SHOWN_DIGEST]}.log"
        labels = {LABEL_RUN: self._run.run_id, LABEL_SOURCE: digest}
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            file = log.open("w", encoding="utf-8")
        except OSError as error:
            hint = "name a directory for the logs that can be written"
            raise ImageBuildError(attempted, seen=f"its log: {error}", hint=hint) from error
        with file:
            running = _RunningBuild(self._engine, attempted, log, _both(file, on_line), self._timeout_s)
            return running.follow(_start(client, request, context, content_tag, labels, self._timeout_s))


def _both(file: IO[str], on_line: LineSink) -> LineSink:
    def write(line: str) -> None:
        file.write(f"{line}\n")
        file.flush()
        on_line(line)

    return write


def _base_id(client: docker.DockerClient, base: str, attempted: str, pull: PullImage | None, on_line: LineSink) -> str:
    """Return the id of base image `base`, pulled when the engine lacks it."""
    hint = "pass a base image that is there as a build argument, e.g. BASE_IMAGE for the sample applications"
    try:
        return str(client.images.get(base).id)
    except docker.errors.ImageNotFound as error:
        if pull is None:
            seen = f"base image '{base}' is not in the engine"
            raise ImageBuildError(attempted, seen=seen, hint=hint, step="FROM", base=base) from error
    on_line(f"base image {base} is not in the engine, pulling it")
    try:
        pull(str(ImageName.parse(base)))
        return str(client.images.get(base).id)
    except (SeatrialError, docker.errors.DockerException, requests.RequestException) as error:
        seen = error.seen if isinstance(error, SeatrialError) and error.seen else str(error)
        hints = "\n".join(filter(None, [error.hint if isinstance(error, SeatrialError) else "", hint]))
        raise ImageBuildError(
            attempted, seen=f"base image '{base}': {seen}", hint=hints, step="FROM", base=base
        ) from error


def _archive(request: BuildRequest, into: IO[bytes], attempted: str) -> None:
    """Write the build context to `into` as an uncompressed tar file, leaving out what .dockerignore names."""
    ignore = request.directory / ".dockerignore"
    patterns: list[str] = []
    try:
        if ignore.is_file():
            lines = (line.strip() for line in ignore.read_text(encoding="utf-8").splitlines())
            patterns = [line for line in lines if line and not line.startswith("#")]
        files = sorted(exclude_paths(str(request.directory), patterns, dockerfile=request.dockerfile))
        create_archive(str(request.directory), files=files, fileobj=into)
    except (OSError, ValueError) as error:
        raise ImageBuildError(
            attempted,
            seen=f"reading the build context: {error}",
            hint="correct who may read it, or name it in .dockerignore when the image does not need it",
        ) from error


def content_digest(context: IO[bytes], request: BuildRequest, base_ids: Sequence[str]) -> str:
    """Return the SHA-256, in hex, of all that decides what the image will hold.

    Times and owners of files do not count: the builder's own cache ignores times and makes every file root's.

    Args:
        context: the build context as a tar file; read from its start, and left there.
        request: what is built.
        base_ids: ids of the base images.
    """
    facts = [request.dockerfile, sorted(request.build_args.items()), request.target, list(base_ids)]
    digest = hashlib.sha256(json.dumps(facts).encode())
    context.seek(0)
    with tarfile.open(fileobj=context, mode="r:") as archive:
        for member in archive:
            digest.update(
                json.dumps([member.name, member.type.decode(), member.mode, member.linkname, member.size]).encode()
            )
            content = archive.extractfile(member) if member.isfile() else None
            while content is not None and (chunk := content.read(_CHUNK_BYTES)):
                digest.update(chunk)
    context.seek(0)
    return digest.hexdigest()


def _present(client: docker.DockerClient, content_tag: str, digest: str) -> str | None:
    """Return the id of the image built from this content, if it is there."""
    try:
        image = client.images.get(content_tag)
    except docker.errors.ImageNotFound:
        return None
    return str(image.id) if image.labels.get(LABEL_SOURCE) == digest else None


def _start(
    client: docker.DockerClient,
    request: BuildRequest,
    context: IO[bytes],
    tag: str,
    labels: Mapping[str, str],
    timeout_s: float,
) -> Generator[Mapping[str, Any], None, None]:
    stream: Generator[Mapping[str, Any], None, None] = client.api.build(
        fileobj=context,
        custom_context=True,
        dockerfile=request.dockerfile,
        tag=tag,
        rm=True,
        forcerm=True,
        buildargs=dict(request.build_args),
        labels=dict(labels),
        target=request.target,
        # A step may be silent for long. The watchdog ends it at the limit; the connection is only the second to notice.
        timeout=math.ceil(timeout_s) + _HANG_UP_S,
        decode=True,
    )
    return stream


class _RunningBuild:
    """Follows the messages of one build to its end.

    Args:
        engine: the engine it runs in.
        attempted: completes "could not ...".
        log: the file `on_line` writes to, for the error.
        on_line: gets each line.
        timeout_s: limit in seconds.
    """

    def __init__(self, engine: Engine, attempted: str, log: Path, on_line: LineSink, timeout_s: float) -> None:
        self._engine = engine
        self._attempted = attempted
        self._log = log
        self._on_line = on_line
        self._deadline = Deadline(timeout_s)
        self._lines: list[str] = []
        self._step = "sending the build context"
        self._container = ""
        self._layers = BuildLayers()

    def follow(self, messages: Generator[Mapping[str, Any], None, None]) -> str:
        """Read `messages` to their end and return the id of the image built."""
        image_id = ""
        watchdog = threading.Timer(self._deadline.timeout_s, self._stop_step)
        watchdog.daemon = True
        watchdog.start()
        try:
            for message in messages:
                for line in str(message.get("stream", "") or _status(message)).splitlines():
                    self._see(line)
                image_id = (message.get("aux") or {}).get("ID", image_id)
                if "error" in message:
                    raise self._failure(str(message["error"]))
                if self._deadline.has_passed():
                    raise self._failure("it goes on")
        except (docker.errors.DockerException, requests.RequestException, HTTPError, OSError) as error:
            raise self._failure(str(error)) from error
        except KeyboardInterrupt:
            # A failed build's layers stay: the next attempt begins where this one ended.
            messages.close()
            self._layers.remove(self._engine)
            raise
        finally:
            watchdog.cancel()
            # Leaving the stream hangs up, and the builder stops when its client hangs up.
            messages.close()
        if not image_id:
            raise self._failure("the engine ended the build without naming an image")
        return str(image_id)

    def _see(self, line: str) -> None:
        line = line.rstrip()
        if not line:
            return
        if line.startswith("Step "):
            self._step, self._container = line, ""
        elif "Running in " in line:
            self._container = line.rpartition(" ")[2]
        self._layers.see(line)
        self._lines.append(line)
        self._on_line(line)

    def _stop_step(self) -> None:
        """End the container of the step that runs: the classic builder has no call to stop a build."""
        if self._container:
            with closing(self._engine.client()) as client, suppress(docker.errors.DockerException):
                client.api.kill(self._container)

    def _failure(self, seen: str) -> ImageBuildError:
        """The error for the step that failed."""
        if self._deadline.has_passed():
            seen = f"still going after its time limit of {self._deadline.timeout_s:g} s, stopped\n{seen}"
        return ImageBuildError(
            self._attempted,
            seen="\n".join([f"{self._step}", *self._lines[-30:], seen]),
            hint=f"the whole log is {self._log}",
            step=self._step,
            log=str(self._log),
        )


def _status(message: Mapping[str, Any]) -> str:
    """Return the line of a message about a pull, without its progress bars."""
    return "" if message.get("progressDetail") else " ".join(filter(None, (message.get("id"), message.get("status"))))


def prune_built(engine: Engine, *, keep: int = KEPT_BUILDS, repository: str | None = None) -> tuple[str, ...]:
    """Remove images built from directories, all but the newest `keep` of each repository, by all names they have.

    Images stay after their run, so that the next one need not build them; an image that a container uses stays too.

    Returns:
        The content tags of the images removed.

    Args:
        engine: the engine to look in.
        keep: how many stay of each repository.
        repository: look at the images of this one only, e.g. ``example/test-ml-score-api``.
    """
    removed: list[str] = []
    with closing(engine.client()) as client:
        built = client.images.list(name=repository, filters={"label": LABEL_SOURCE})
        in_use = {str(container["ImageID"]) for container in client.api.containers(all=True)}
        by_repository: dict[str, list[tuple[str, str, Image]]] = {}
        for image in built:
            for tag in image.tags:
                its_repository, _, version = tag.rpartition(":")
                if version.startswith("src-"):
                    by_repository.setdefault(its_repository, []).append((str(image.attrs["Created"]), tag, image))
        for builds in by_repository.values():
            for _, tag, image in sorted(builds, key=itemgetter(0, 1), reverse=True)[keep:]:
                if str(image.id) in in_use:
                    continue
                with suppress(docker.errors.APIError):
                    # The name people call it by goes as well; where a later build has that name, this one has not.
                    for name in image.tags:
                        client.images.remove(name)
                    removed.append(tag)
    return tuple(removed)
