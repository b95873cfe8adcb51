"""The values that name an image, and how the parts of a name are told apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import ImageError

# What Docker and containerd put in front of a name that says no registry.
DEFAULT_DOMAIN = "docker.io"
_OFFICIAL = "library"

# The grammar of github.com/distribution/reference (checked against v0.6.0), without its length limits.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageName:
    """A name as people write it, taken apart and completed the way Docker completes it.

    >>> str(ImageName.parse("example/test-ml-score-api"))
    'docker.io/example/test-ml-score-api:latest'

    Args:
        domain: the registry, ``docker.io`` when the name says none.
        path: the repository inside it, ``library/`` added for one-word names on docker.io.
        tag: the tag, ``latest`` when the name says neither tag nor digest.
        digest: ``sha256:...`` when the name pins one, else empty.
    """

    domain: str
    path: str
    tag: str
    digest: str = ""

    @classmethod
    def parse(cls, name: str) -> ImageName:
        """Take `name` apart.

        Raises:
            ImageError: it is no image name.
        """
        rest, _, digest = name.partition("@")
        head, colon, tag = rest.rpartition(":")
        # A colon before the last slash belongs to the registry's port.
        if not colon or "/" in tag:
            head, tag = rest, ""
        domain, slash, path = head.partition("/")
        if not slash or not (domain == "localhost" or re.search(r"[.:\[A-Z]", domain)):
            domain, path = DEFAULT_DOMAIN, head
        if domain == DEFAULT_DOMAIN and "/" not in path:
            path = f"{_OFFICIAL}/{path}"
        fits = (
            _DOMAIN.fullmatch(domain)
            and _PATH.fullmatch(path)
            and (_TAG.fullmatch(tag) if tag else not rest.endswith(":"))
            and (_DIGEST.fullmatch(digest) if digest else "@" not in name)
        )
        if not fits:
            raise ImageError(
                f"read '{name}' as the name of an image",
                hint="[REGISTRY[:PORT]/]REPOSITORY[:TAG][@sha256:DIGEST], the repository in lower case",
            )
        return cls(domain, path, tag or ("" if digest else "latest"), digest)

    def __str__(self) -> str:
        """The complete name, as containerd lists it."""
        return (
            f"{self.domain}/{self.path}"
            + (f":{self.tag}" if self.tag else "")
            + (f"@{self.digest}" * bool(self.digest))
        )

    def inside(self, registry: str) -> str:
        """Return the name of this image in the registry at `registry` (``HOST[:PORT][/PREFIX]``).

        docker.io is what a mirror stands for, so its paths stay as they are; those of other registries keep their
        domain in front, so that equal paths of two registries do not collide. A pinned digest is left out: a registry
        takes images by tag.
        """
        # A port's colon may stand in a domain, not in a path.
        path = self.path if self.domain == DEFAULT_DOMAIN else f"{self.domain.replace(':', '-').lower()}/{self.path}"
        return f"{registry.rstrip('/')}/{path}:{self.tag or self.digest.removeprefix('sha256:')}"


@dataclass(frozen=True)
class ImageRef:
    """An image that exists in the engine.

    Args:
        name: the human name, e.g. ``example/test-ml-score-api:latest``; what manifests use.
        image_id: the engine's content id, ``sha256:...``.
        content_tag: the same image tagged by the digest of what it was built from,
            e.g. ``example/test-ml-score-api:src-1f2e3d4c5b6a``.
    """

    name: str
    image_id: str
    content_tag: str

    @property
    def repository(self) -> str:
        """The name without its tag, e.g. ``example/test-ml-score-api``."""
        head, _, tail = self.name.rpartition(":")
        return head if head and "/" not in tail else self.name
