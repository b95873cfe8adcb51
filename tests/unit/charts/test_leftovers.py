"""Whose an object is that was not there before."""

from __future__ import annotations

import pytest

from harness.charts.leftovers import Belongings, Found
from harness.deploy.release import ResourceRef

BELONGINGS = Belongings("app", {"app-models"}, {"ClusterRole/app-reader"}, ("PersistentVolumeClaim/data-*",))


@pytest.mark.parametrize(
    ("found", "is_ours"),
    [
        (Found(ResourceRef("ConfigMap", "x", "app-models"), "1"), True),
        (Found(ResourceRef("ConfigMap", "x", "default"), "1"), False),
        (Found(ResourceRef("ConfigMap", "x", "default"), "1", release="app"), True),
        (Found(ResourceRef("ConfigMap", "x", "default"), "1", release="other"), False),
        (Found(ResourceRef("ClusterRole", "app-reader"), "1"), True),
        (Found(ResourceRef("ClusterRole", "other-reader"), "1"), False),
        (Found(ResourceRef("PersistentVolumeClaim", "data-0", "default"), "1"), True),
    ],
    ids=[
        "anything in a namespace of its own",
        "somebody's in a shared namespace",
        "what bears the release's name",
        "what bears another's",
        "what its documents named",
        "a stranger's that is in no namespace",
        "what it said it leaves",
    ],
)
def test_what_belongs_to_a_case(found: Found, *, is_ours: bool) -> None:
    """Others may deploy to the same cluster meanwhile: only a case's own objects are complained of and removed."""
    assert BELONGINGS.among({}, {found.uid: found}) == ((found,) if is_ours else ())


def test_what_was_there_before_is_nobodys_business() -> None:
    """Whatever it is called."""
    found = Found(ResourceRef("ConfigMap", "x", "app-models"), "1")
    assert BELONGINGS.among({"1": found}, {"1": found}) == ()


def test_only_what_has_no_owner_is_removed() -> None:
    """The rest goes with its owner."""
    assert not Found(ResourceRef("Pod", "x", "n"), "1", is_owned=True).is_removable
    assert Found(ResourceRef("ClusterRole", "x", "", "rbac.authorization.k8s.io/v1"), "1").reference() == {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "x"},
    }
