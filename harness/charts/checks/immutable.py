"""Fields that cannot be changed on an object that is there: an upgrade would fail at them.

Source: the update validation of Kubernetes 1.34 (pkg/apis/*/validation and the strategies in pkg/registry).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.charts.chart import Chart
from harness.charts.checks.context import Context
from harness.charts.finding import Finding
from harness.charts.render import Render, RenderedObject

IMMUTABLE = "immutable-field"

_ABSENT = object()

# What may not change, by kind; "spec" stands for all of it but what _EXCEPT allows.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("spec.selector",),
    "DaemonSet": ("spec.selector",),
    "ReplicaSet": ("spec.selector",),
    "StatefulSet": ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates", "spec.podManagementPolicy"),
    "Job": ("spec.selector", "spec.template", "spec.completionMode", "spec.completions", "spec.manualSelector"),
    "Service": ("spec.clusterIP",),
    "PersistentVolumeClaim": ("spec",),
    "PersistentVolume": ("spec.volumeMode",),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
    "StorageClass": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    "Secret": ("type",),
    "IngressClass": ("spec.controller",),
    "PriorityClass": ("value", "preemptionPolicy"),
    "RuntimeClass": ("handler",),
    "CustomResourceDefinition": ("spec.group", "spec.scope", "spec.names.plural", "spec.names.kind"),
}
# What an API server fills in, so that leaving it out is no change.
_DEFAULTS: Mapping[tuple[str, str], Any] = {
    ("StatefulSet", "spec.podManagementPolicy"): "OrderedReady",
    ("Job", "spec.completionMode"): "NonIndexed",
    ("Job", "spec.completions"): 1,
    ("Job", "spec.manualSelector"): False,
    ("StorageClass", "reclaimPolicy"): "Delete",
    ("StorageClass", "volumeBindingMode"): "Immediate",
    ("Secret", "type"): "Opaque",
    ("PriorityClass", "preemptionPolicy"): "PreemptLowerPriority",
}
_HINTS: Mapping[str, str] = {
    "Job": "give it a name of its own per version, or make it a hook",
    "StatefulSet": "keep it, or delete the StatefulSet with --cascade=orphan before the upgrade",
    "RoleBinding": "give the binding another name",
    "ClusterRoleBinding": "give the binding another name",
}


def check(chart: Chart, renders: Sequence[Render], context: Context) -> list[Finding]:
    """Compare with the chart as it was, values set by values set."""
    if context.before is None:
        return []
    found = []
    for old, new in _pairs(context.before.renders, renders):
        before = {_identity(one): one for one in old.objects if not one.is_hook}
        for one in new.objects:
            was = before.get(_identity(one))
            # Helm deletes hooks before it makes them anew, so theirs may change.
            if was is None or one.is_hook:
                continue
            for field, seen, hint in _changes(was.body, one.body):
                found.append(
                    Finding(
                        IMMUTABLE,
                        chart.name,
                        f"{one.name}: {field} cannot be changed on upgrade ({seen})",
                        chart.file(one.source),
                        object=one.name,
                        hint=hint
                        or _HINTS.get(str(one.body.get("kind")), "keep it as it was, or give the object another name"),
                        values=(new.values,),
                    )
                )
    return found


def _pairs(old: Sequence[Render], new: Sequence[Render]) -> Iterator[tuple[Render, Render]]:
    """Yield renders with the same values set, for the newest Kubernetes version that both have."""
    before = {render.values: render for render in old}
    after = {render.values: render for render in new}
    for name, render in after.items():
        if name in before:
            yield before[name], render


def _identity(one: RenderedObject) -> tuple[str, str, str, str]:
    metadata = one.body.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    group = str(one.body.get("apiVersion", "")).rpartition("/")[0]
    return group, str(one.body.get("kind")), str(metadata.get("namespace", "")), str(metadata.get("name", ""))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each field that changed and may not, with what changed and what to do when that is special."""
    kind = str(new.get("kind"))
    if kind in ("ConfigMap", "Secret") and old.get("immutable") is True:
        for field in ("data", "binaryData", "stringData", "immutable"):
            if old.get(field) != new.get(field):
                yield field, f"the {kind} is marked immutable", "give it a name that changes with its content"
    for field in _FIELDS.get(kind, ()):
        before, after = _at(old, kind, field), _at(new, kind, field)
        if kind == "Service":
            # Left out, the address that was allocated stays.
            if after not in (_ABSENT, "", before) and _at(new, kind, "spec.type") != "ExternalName":
                given = "allocated by the cluster" if before in (_ABSENT, "") else repr(before)
                yield field, f"{given} -> {after!r}", "make a second Service beside it"
        elif kind == "PersistentVolumeClaim":
            yield from _claim(before, after)
        elif before != after:
            yield field, _difference(before, after), ""


def _claim(before: Any, after: Any) -> Iterator[tuple[str, str, str]]:
    """Yield what changed of a claim besides what may: more storage, and the class of volume attributes."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return
    fixed = [
        {key: value for key, value in spec.items() if key not in ("resources", "volumeAttributesClassName")}
        for spec in (before, after)
    ]
    for one in fixed:
        one.setdefault("volumeMode", "Filesystem")
    for key in sorted({*fixed[0], *fixed[1]}):
        # What the cluster filled in stays when the chart does not say it.
        if fixed[0].get(key) != fixed[1].get(key) and fixed[1].get(key) is not None:
            seen = _difference(fixed[0].get(key, _ABSENT), fixed[1].get(key, _ABSENT))
            yield f"spec.{key}", seen, "make a new claim under another name and copy the data"
    sizes = [_bytes((spec.get("resources") or {}).get("requests", {}).get("storage", 0)) for spec in (before, after)]
    if sizes[1] < sizes[0]:
        yield "spec.resources.requests.storage", "claims can grow, not shrink", "keep the larger size"


def _bytes(quantity: object) -> float:
    text = str(quantity)
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    for unit, size in units.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * size
    try:
        return float(text)
    except ValueError:
        return 0.0


def _at(body: Mapping[str, Any], kind: str, field: str) -> Any:
    value: Any = body
    for key in field.split("."):
        value = value.get(key, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    if value is _ABSENT or value is None:
        return _DEFAULTS.get((kind, field), _ABSENT)
    return _claims(value) if field == "spec.volumeClaimTemplates" else value


def _claims(templates: Any) -> Any:
    """Return claim templates with what an API server fills in."""
    claims = copy.deepcopy(templates)
    for claim in claims if isinstance(claims, list) else ():
        if isinstance(claim, dict) and isinstance(claim.get("spec"), dict):
            claim["spec"].setdefault("volumeMode", "Filesystem")
            claim.pop("apiVersion", None)
            claim.pop("kind", None)
    return claims


# Enough to recognise a value by; the whole of a pod template is no help.
_SHOWN_CHARS = 80


def _difference(before: Any, after: Any) -> str:
    """Describe the first difference, going down as long as there is just one."""
    path = ""
    while isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = [key for key in {**before, **after} if before.get(key, _ABSENT) != after.get(key, _ABSENT)]
        if len(keys) != 1:
            break
        path = f"{path}.{keys[0]}" if path else str(keys[0])
        before, after = before.get(keys[0], _ABSENT), after.get(keys[0], _ABSENT)
    shown = f"{_shown(before)} -> {_shown(after)}"
    return f"{path}: {shown}" if path else shown


def _shown(value: Any) -> str:
    text = "absent" if value is _ABSENT else repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
