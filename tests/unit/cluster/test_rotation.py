"""Clusters of several versions, one after the other."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from harness.cluster.provider import ClusterHandle, ClusterSpec
from harness.cluster.rotation import ClusterRotation
from harness.errors import ClusterError


class Yard:
    """Begins clusters at once and knows which are there.

    Args:
        broken: the version that cannot be had.
    """

    def __init__(self, broken: str = "") -> None:
        self.there: list[str] = []
        self.most = 0
        self.begun: list[str] = []
        self._broken = broken

    def begin(self, spec: ClusterSpec, suffix: str) -> Future[ClusterHandle]:
        """Begin one."""
        future: Future[ClusterHandle] = Future()
        self.begun.append(f"{spec.kubernetes}{suffix}")
        if spec.kubernetes == self._broken:
            future.set_exception(ClusterError("make it"))
            return future
        self.there.append(spec.kubernetes)
        self.most = max(self.most, len(self.there))
        future.set_result(ClusterHandle(spec.kubernetes, "kind", Path("k"), "c", Path("kubectl")))
        return future

    def leave(self, handle: ClusterHandle) -> None:
        """Remove one."""
        self.there.remove(handle.name)


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (2, 2), (9, 3)], ids=["one", "two", "all"])
def test_never_more_than_so_many_are_there(at_once: int, most: int) -> None:
    """Each version's cluster is begun once, in order, whatever is begun ahead; at the end none is left."""
    yard = Yard()
    versions = ("1.34", "1.33", "1.21")
    rotation = ClusterRotation(versions, at_once, begin=yard.begin, leave=yard.leave)
    for version in versions:
        assert rotation.start(ClusterSpec(version)).result().name == version
        rotation.end(version)
    assert yard.begun == ["1.34-1-34", "1.33-1-33", "1.21-1-21"]
    assert yard.most == most
    assert yard.there == []


def test_a_cluster_that_cannot_be_had_is_not_left() -> None:
    """Its tests get its error; the next version is gone on with."""
    yard = Yard(broken="1.33")
    rotation = ClusterRotation(("1.33", "1.21"), 1, begin=yard.begin, leave=yard.leave)
    with pytest.raises(ClusterError):
        rotation.start(ClusterSpec("1.33")).result()
    rotation.end("1.33")
    assert rotation.start(ClusterSpec("1.21")).result().name == "1.21"


def test_the_next_cluster_has_the_form_of_the_present_one() -> None:
    """A project's three nodes are three nodes in every version, also in a cluster begun ahead."""
    seen = []
    yard = Yard()

    def begin(spec: ClusterSpec, suffix: str) -> Future[ClusterHandle]:
        seen.append((spec.kubernetes, len(spec.nodes)))
        return yard.begin(spec, suffix)

    ClusterRotation(("1.34", "1.21"), 2, begin=begin, leave=yard.leave).start(ClusterSpec.of_size("1.34", workers=2))
    assert seen == [("1.34", 3), ("1.21", 3)]
