"""What is in a cluster, and what of a release is left in it afterwards."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from harness.charts import discovery
from harness.deploy.release import ResourceRef
from harness.deploy.watching import ApiReader, ApiStatusError, api_root
from harness.errors import LeftoverError, WaitTimeoutError
from harness.wait import SYSTEM_CLOCK, Clock, wait_until

Body = Mapping[str, Any]

# Kinds that the cluster makes and removes in its own time, whoever deploys what.
_CLUSTERS_OWN = frozenset(
    {
        "APIService",
        "CSINode",
        "ComponentStatus",
        "Event",
        "FlowSchema",
        "IPAddress",
        "Lease",
        "Node",
        "NodeMetrics",
        "PodMetrics",
        "PriorityLevelConfiguration",
    }
)
# What every namespace gets; Kubernetes 1.21 makes a token too.
_NAMESPACES_OWN = ("ServiceAccount/default", "ConfigMap/kube-root-ca.crt", "Secret/default-token-*")
_RELEASE = "meta.helm.sh/release-name"
_INSTANCE = "app.kubernetes.io/instance"


@dataclass(frozen=True)
class Found:
    """One object that was found, and what it says of whose it is."""

    ref: ResourceRef
    uid: str
    release: str = ""
    is_owned: bool = False

    @property
    def name(self) -> str:
        """E.g. ``ConfigMap/settings``."""
        return f"{self.ref.kind}/{self.ref.name}"

    @property
    def is_removable(self) -> bool:
        """Whether deleting it is anybody's business: what has an owner goes with that one."""
        return not self.is_owned

    def reference(self) -> dict[str, Any]:
        """Return as much of a document as `kubectl delete` needs."""
        where = {"namespace": self.ref.namespace} if self.ref.namespace else {}
        return {
            "apiVersion": self.ref.api_version,
            "kind": self.ref.kind,
            "metadata": {"name": self.ref.name, **where},
        }


@dataclass
class Inventory:
    """Lists everything in some namespaces and everything that is in none.

    Args:
        reader: reads the API server.
        namespaces: the namespaces.
    """

    reader: ApiReader
    namespaces: Collection[str]

    def take(self) -> dict[str, Found]:
        """Return what is there, by uid."""
        return {one.uid: one for one in self._all()}

    def _all(self) -> Iterator[Found]:
        for version in discovery.preferred_versions(self.reader):
            root = api_root(version)
            for resource in discovery.resources(self.reader, version):
                if "/" in resource["name"] or "list" not in resource["verbs"] or resource["kind"] in _CLUSTERS_OWN:
                    continue
                paths = (
                    [f"{root}/namespaces/{name}/{resource['name']}" for name in self.namespaces]
                    if resource["namespaced"]
                    else [f"{root}/{resource['name']}"]
                )
                for path in paths:
                    yield from self._listed(path, resource["kind"], version)

    def _listed(self, path: str, kind: str, version: str) -> Iterator[Found]:
        try:
            items = self.reader.get(path)["items"]
        except ApiStatusError:
            return
        for item in items:
            if kind == "PersistentVolume" and item["spec"].get("claimRef"):
                continue  # goes with its claim, or stays, as its reclaim policy says
            metadata = item["metadata"]
            labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
            found = Found(
                ResourceRef(kind, metadata["name"], metadata.get("namespace", ""), version),
                metadata["uid"],
                annotations.get(_RELEASE) or labels.get(_INSTANCE, ""),
                bool(metadata.get("ownerReferences")),
            )
            if not any(fnmatchcase(found.name, pattern) for pattern in _NAMESPACES_OWN):
                yield found


@dataclass(frozen=True)
class Belongings:
    """Says what in a cluster belongs to a case: others may deploy there meanwhile.

    Args:
        release: the release's name.
        own: namespaces that nobody else uses: everything new there belongs to it.
        named: KIND/NAME of what its documents named.
        allowed: patterns of what may stay, as KIND/NAME.
    """

    release: str
    own: Collection[str]
    named: Collection[str]
    allowed: Sequence[str] = ()

    def among(self, before: Mapping[str, Found], after: Mapping[str, Found]) -> tuple[Found, ...]:
        """Return what of `after` is its own and was not there before."""
        new = (one for uid, one in after.items() if uid not in before)
        return tuple(sorted(filter(self._has, new), key=lambda one: (one.ref.namespace, one.name)))

    def may_stay(self, one: Found) -> bool:
        """Whether the case allows it to be left."""
        return any(fnmatchcase(one.name, pattern) for pattern in self.allowed)

    def _has(self, one: Found) -> bool:
        return (
            one.ref.namespace in self.own or one.release == self.release or one.name in self.named or self.may_stay(one)
        )


def wait_until_nothing_is_left(
    inventory: Inventory,
    before: Mapping[str, Found],
    belongings: Belongings,
    timeout_s: float,
    *,
    clock: Clock = SYSTEM_CLOCK,
) -> tuple[Found, ...]:
    """Return when only what is allowed is left of a release, and that.

    What Kubernetes collects itself (endpoints, pods of deleted owners, volumes) takes a moment.

    Args:
        inventory: lists what is there.
        before: what it listed before the release was installed.
        belongings: says what of it belongs to the release.
        timeout_s: seconds until it must be gone.
        clock: the clock to wait on.

    Raises:
        LeftoverError: something else is there.
    """

    def left() -> tuple[Found, ...]:
        return belongings.among(before, inventory.take())

    def unwanted(found: Iterable[Found]) -> list[Found]:
        return [one for one in found if not belongings.may_stay(one)]

    attempted = f"see nothing left of release '{belongings.release}'"
    try:
        # Some fifty lists, of all kinds: more watches than a moment's wait is worth.
        return wait_until(attempted, left, done=lambda found: not unwanted(found), timeout_s=timeout_s, clock=clock)
    except WaitTimeoutError as error:
        found = unwanted(error.last if isinstance(error.last, tuple) else ())
        raise LeftoverError(
            f"{attempted} within {timeout_s:g} s",
            left=[one.name for one in found],
            seen="\n".join(
                one.name + (f" in namespace '{one.ref.namespace}'" if one.ref.namespace else "") for one in found
            ),
            hint="Helm leaves the definitions in crds/, claims of StatefulSets, and hooks without a delete policy: "
            "name what is meant to stay under 'leaves' in seatrial.yaml",
        ) from None
