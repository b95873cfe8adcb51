"""Sending images to a registry and getting them back, by digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import docker
import docker.errors
import requests
from urllib3.exceptions import HTTPError

from harness.engine.engine import Engine
from harness.errors import ImageError, RegistryAuthError, RegistryError, RegistryTLSError, RegistryUnreachableError
from harness.images.reference import ImageName, ImageRef

LineSink = Callable[[str], None]

# Words of dockerd 20.10 to 28, its registry client and Go's network and TLS packages, in the order in which they are
# looked for: a TLS failure is also a failed connection.
_CAUSES: tuple[tuple[type[RegistryError], tuple[str, ...], str], ...] = (
    (
        RegistryTLSError,
        ("x509:", "tls:", "certificate", "server gave http response to https client"),
        "let the engine trust the registry's CA (/etc/docker/certs.d/HOST/ca.crt) or list it under insecure-registries",
    ),
    (
        RegistryAuthError,
        ("unauthorized", "authentication required", "no basic auth credentials", "denied", "forbidden"),
        "`docker login` to it with an account that may push and pull there",
    ),
    (
        RegistryUnreachableError,
        (
            "connection refused",
            "no such host",
            "i/o timeout",
            "no route to host",
            "network is unreachable",
            "client.timeout",
            "connection reset",
            "deadline exceeded",
            "eof",
        ),
        "is the registry's address right, and does it run?",
    ),
)


def _ignore(_: str) -> None:
    return


@dataclass(frozen=True)
class PushedImage:
    """An image in a registry.

    Args:
        reference: its name there, e.g. ``127.0.0.1:40123/example/test-ml-score-api:latest``.
        digest: of its manifest, ``sha256:...``.
        image_id: the engine's id of what was pushed, ``sha256:...``.
    """

    reference: str
    digest: str
    image_id: str

    @property
    def pinned(self) -> str:
        """The name by digest: whatever the tag becomes, this is what was pushed."""
        repository = self.reference[: self.reference.rindex(":")]
        return f"{repository}@{self.digest}"


def push(
    engine: Engine,
    image: ImageRef,
    registry: str,
    *,
    credentials: dict[str, str] | None = None,
    on_line: LineSink = _ignore,
) -> PushedImage:
    """Send `image` to a registry under its human name; only layers that it lacks travel.

    The image pushed is the one of this content, whatever the human name means in the engine by now. The name under
    which Docker pushes is made for it and removed again.

    Args:
        engine: the engine that holds the image.
        image: what to send.
        registry: ``HOST[:PORT][/PREFIX]``.
        credentials: ``username`` and ``password``; ``None`` uses those of the user's Docker configuration.
        on_line: gets a line for each thing done.

    Raises:
        RegistryUnreachableError, RegistryAuthError, RegistryTLSError: as they say.
        RegistryError: it refused for another reason.
        ImageError: the engine does not have the image.
    """
    reference = ImageName.parse(image.name).inside(registry)
    attempted = f"push image '{image.name}' as '{reference}'"
    repository, _, tag = reference.rpartition(":")
    with closing(engine.client()) as client:
        try:
            was = _id_of(client, reference)
            client.api.tag(image.image_id, repository, tag, force=True)
        except docker.errors.ImageNotFound as error:
            seen = f"the engine has no image {image.image_id}"
            raise ImageError(attempted, seen=seen, hint="build it again") from error
        try:
            stream = client.api.push(repository, tag, stream=True, decode=True, auth_config=credentials)
            digest = _follow(stream, attempted, on_line)
        except (docker.errors.DockerException, requests.RequestException, HTTPError) as error:
            raise _explained(attempted, str(error)) from error
        finally:
            if was is None:
                with suppress(docker.errors.APIError):
                    client.images.remove(reference, noprune=True)
    return PushedImage(reference, digest, image.image_id)


def pull(
    engine: Engine, reference: str, *, credentials: dict[str, str] | None = None, on_line: LineSink = _ignore
) -> ImageRef:
    """Get an image from a registry.

    A reference by digest (:attr:`PushedImage.pinned`) is checked against the digest by the engine.

    Raises:
        RegistryUnreachableError, RegistryAuthError, RegistryTLSError: as they say.
        RegistryError: it has no such image, or failed for another reason.
    """
    name = ImageName.parse(reference)
    attempted = f"pull image '{reference}'"
    repository = f"{name.domain}/{name.path}"
    with closing(engine.client()) as client:
        try:
            stream = client.api.pull(
                repository, name.digest or name.tag, stream=True, decode=True, auth_config=credentials
            )
            _follow(stream, attempted, on_line)
            return ImageRef(reference, str(client.images.get(reference).id), content_tag=reference)
        except (docker.errors.DockerException, requests.RequestException, HTTPError) as error:
            raise _explained(attempted, str(error)) from error


def image_in_engine(engine: Engine, name: str) -> ImageRef:
    """Return the image the engine has under `name`, however it came there.

    Raises:
        ImageError: it has none.
    """
    with closing(engine.client()) as client:
        image_id = _id_of(client, name)
    if image_id is None:
        raise ImageError(f"find image '{name}'", seen="the engine has none of that name", hint="build or pull it first")
    return ImageRef(name, image_id, content_tag=name)


def _id_of(client: docker.DockerClient, reference: str) -> str | None:
    try:
        return str(client.images.get(reference).id)
    except docker.errors.ImageNotFound:
        return None


def _follow(messages: Iterable[Mapping[str, Any]], attempted: str, on_line: LineSink) -> str:
    """Read a push or a pull to its end and return the manifest's digest (of a push; empty for a pull)."""
    digest = ""
    for message in messages:
        if "error" in message:
            raise _explained(attempted, str(message["error"]))
        digest = (message.get("aux") or {}).get("Digest", digest)
        # Messages with details of progress come many times a second; what is done comes once.
        if message.get("status") and not message.get("progressDetail"):
            on_line(": ".join(filter(None, (message.get("id"), message["status"]))))
    return digest


def _explained(attempted: str, seen: str) -> RegistryError:
    """The error whose type says what the caller can do about `seen`."""
    lowered = seen.lower()
    for error, words, hint in _CAUSES:
        if any(word in lowered for word in words):
            return error(attempted, seen=seen, hint=hint)
    return RegistryError(attempted, seen=seen, hint="is the image's name right, and what does the registry's log say?")
