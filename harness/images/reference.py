"""The value that names an image."""

from __future__ import annotations

from dataclasses import dataclass


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
