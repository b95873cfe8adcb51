"""What an API server serves: group versions and their resources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.deploy.watching import ApiReader, ApiStatusError, api_root


def preferred_versions(reader: ApiReader) -> Iterator[str]:
    """Yield one version of each group: the one that the server prefers."""
    yield "v1"
    for group in reader.get("/apis")["groups"]:
        yield group["preferredVersion"]["groupVersion"]


def resources(reader: ApiReader, version: str) -> Sequence[Mapping[str, Any]]:
    """Return the resources of a group version; none where its server is down or it went meanwhile."""
    try:
        found: Sequence[Mapping[str, Any]] = reader.get(api_root(version))["resources"]
    except ApiStatusError:
        return ()
    return found


def api_versions(reader: ApiReader) -> tuple[str, ...]:
    """Return what is served as Helm puts it into ``.Capabilities.APIVersions``: ``apps/v1``, ``apps/v1/Deployment``."""
    groups = reader.get("/apis")["groups"]
    versions = ["v1", *(one["groupVersion"] for group in groups for one in group["versions"])]
    kinds = [
        f"{version}/{resource['kind']}"
        for version in versions
        for resource in resources(reader, version)
        if "/" not in resource["name"]
    ]
    return (*versions, *dict.fromkeys(kinds))
