"""What every way of deploying returns: a release, and the objects it consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ResourceRef:
    """One Kubernetes object.

    Args:
        kind: e.g. ``Deployment``.
        name: the object's name.
        namespace: its namespace; empty for cluster-scoped objects.
        api_version: e.g. ``apps/v1``.
    """

    kind: str
    name: str
    namespace: str = ""
    api_version: str = "v1"

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}" + (f" in namespace '{self.namespace}'" if self.namespace else "")


@dataclass(frozen=True)
class Release:
    """What one deployment made.

    Args:
        name: the release's name (Helm's word; for manifests and kubectl the main object's name).
        namespace: the namespace it lives in.
        method: ``kubectl``, ``manifests`` or ``helm``.
        resources: the objects it made, in the order they were made.
        manifest: the documents as applied, parsed.
        notes: text meant for the user (Helm's NOTES.txt).
        revision: Helm's revision, 1 elsewhere.
    """

    name: str
    namespace: str
    method: str
    resources: tuple[ResourceRef, ...] = ()
    manifest: tuple[Mapping[str, Any], ...] = ()
    notes: str = ""
    revision: int = 1
    details: Mapping[str, Any] = field(default_factory=dict)
