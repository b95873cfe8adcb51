"""Fields an upgrade cannot change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harness.charts.chart import Chart
from harness.charts.checks import immutable
from harness.charts.checks.context import Before, Context
from harness.charts.render import Render, RenderedObject

HOOK = {"name": "x", "annotations": {"helm.sh/hook": "test"}}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    """Any chart."""
    path = tmp_path_factory.mktemp("chart")
    (path / "Chart.yaml").write_text("apiVersion: v2\nname: app\nversion: 1.0.0\n", encoding="utf-8")
    return Chart.load(path)


def _object(kind: str, **fields: Any) -> RenderedObject:
    return RenderedObject({"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "x"}} | fields, "templates/x.yaml")


def _found(chart: Chart, old: RenderedObject, new: RenderedObject) -> list[str]:
    before = Before("main", chart, [Render("default", (), (old,))], ())
    found = immutable.check(chart, [Render("default", (), (new,))], Context(before=before))
    return [one.message.split(": ", 1)[1].split(" cannot")[0] for one in found]


@pytest.mark.parametrize(
    ("kind", "old", "new", "field"),
    [
        ("DaemonSet", {"spec": {"selector": {"a": "b"}}}, {"spec": {"selector": {"a": "c"}}}, "spec.selector"),
        ("StatefulSet", {"spec": {"serviceName": "a"}}, {"spec": {"serviceName": "b"}}, "spec.serviceName"),
        ("StatefulSet", {"spec": {}}, {"spec": {"podManagementPolicy": "Parallel"}}, "spec.podManagementPolicy"),
        ("Service", {"spec": {"clusterIP": "None"}}, {"spec": {"clusterIP": "10.0.0.1"}}, "spec.clusterIP"),
        ("RoleBinding", {"roleRef": {"name": "a"}}, {"roleRef": {"name": "b"}}, "roleRef"),
        ("StorageClass", {"provisioner": "a"}, {"provisioner": "b"}, "provisioner"),
        ("Secret", {"type": "Opaque"}, {"type": "kubernetes.io/tls"}, "type"),
        ("ConfigMap", {"immutable": True, "data": {"a": "b"}}, {"immutable": True, "data": {"a": "c"}}, "data"),
        (
            "PersistentVolumeClaim",
            {"spec": {"resources": {"requests": {"storage": "2Gi"}}}},
            {"spec": {"resources": {"requests": {"storage": "1500Mi"}}}},
            "spec.resources.requests.storage",
        ),
        (
            "PersistentVolumeClaim",
            {"spec": {"storageClassName": "a"}},
            {"spec": {"storageClassName": "b"}},
            "spec.storageClassName",
        ),
    ],
)
def test_what_may_not_change_is_reported(
    kind: str, old: Mapping[str, Any], new: Mapping[str, Any], field: str, chart: Chart
) -> None:
    """One finding, naming the field."""
    assert _found(chart, _object(kind, **old), _object(kind, **new)) == [field]


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("Deployment", {"spec": {"replicas": 1, "template": {}}}, {"spec": {"replicas": 2, "template": {"a": 1}}}),
        ("StatefulSet", {"spec": {}}, {"spec": {"podManagementPolicy": "OrderedReady"}}),
        ("Service", {"spec": {"clusterIP": "None"}}, {"spec": {}}),
        ("Secret", {}, {"type": "Opaque"}),
        ("ConfigMap", {"data": {"a": "b"}}, {"data": {"a": "c"}, "immutable": True}),
        (
            "PersistentVolumeClaim",
            {"spec": {"resources": {"requests": {"storage": "1Gi"}}}},
            {"spec": {"resources": {"requests": {"storage": "2Gi"}}, "volumeMode": "Filesystem"}},
        ),
        ("Job", {"metadata": HOOK, "spec": {"template": 1}}, {"metadata": HOOK, "spec": {"template": 2}}),
    ],
    ids=[
        "a new image",
        "the default spelt out",
        "an address left out",
        "the default type",
        "made immutable",
        "grown",
        "a hook",
    ],
)
def test_what_may_change_is_not(kind: str, old: Mapping[str, Any], new: Mapping[str, Any], chart: Chart) -> None:
    """No finding."""
    assert _found(chart, _object(kind, **old), _object(kind, **new)) == []


def test_another_object_is_no_change(chart: Chart) -> None:
    """A new name is a new object."""
    old = _object("Deployment", spec={"selector": 1})
    new = RenderedObject({**old.body, "metadata": {"name": "y"}, "spec": {"selector": 2}}, "templates/x.yaml")
    assert _found(chart, old, new) == []
