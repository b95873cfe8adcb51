"""API versions that a Kubernetes version no longer serves, will stop serving, or serves only when asked to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from harness.charts.chart import Chart
from harness.charts.checks.context import Context
from harness.charts.finding import Finding
from harness.charts.kubernetes_schema import KubernetesSchema
from harness.charts.render import Render, RenderedObject

REMOVED = "removed-api"
DEPRECATED = "deprecated-api"


class Removal(NamedTuple):
    """When an API version went, and what took its place (empty: nothing)."""

    version: str
    instead: str


# Which versions of Kubernetes stopped serving what. Source:
# https://kubernetes.io/docs/reference/using-api/deprecation-guide/ (read for 1.34). The schemas say what a version
# serves; this table says since when not, and what to write instead.
_REMOVED: Mapping[tuple[str, str], Removal] = {
    **{("extensions/v1beta1", kind): Removal("1.16", "apps/v1") for kind in ("Deployment", "DaemonSet", "ReplicaSet")},
    **{("apps/v1beta1", kind): Removal("1.16", "apps/v1") for kind in ("Deployment", "StatefulSet")},
    **{
        ("apps/v1beta2", kind): Removal("1.16", "apps/v1")
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
    },
    ("extensions/v1beta1", "NetworkPolicy"): Removal("1.16", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "PodSecurityPolicy"): Removal("1.16", ""),
    ("extensions/v1beta1", "Ingress"): Removal("1.22", "networking.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", "Ingress"): Removal("1.22", "networking.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", "IngressClass"): Removal("1.22", "networking.k8s.io/v1"),
    ("admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration"): Removal(
        "1.22", "admissionregistration.k8s.io/v1"
    ),
    ("admissionregistration.k8s.io/v1beta1", "ValidatingWebhookConfiguration"): Removal(
        "1.22", "admissionregistration.k8s.io/v1"
    ),
    ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition"): Removal("1.22", "apiextensions.k8s.io/v1"),
    ("apiregistration.k8s.io/v1beta1", "APIService"): Removal("1.22", "apiregistration.k8s.io/v1"),
    ("certificates.k8s.io/v1beta1", "CertificateSigningRequest"): Removal("1.22", "certificates.k8s.io/v1"),
    ("coordination.k8s.io/v1beta1", "Lease"): Removal("1.22", "coordination.k8s.io/v1"),
    **{
        ("rbac.authorization.k8s.io/v1beta1", kind): Removal("1.22", "rbac.authorization.k8s.io/v1")
        for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    },
    ("scheduling.k8s.io/v1beta1", "PriorityClass"): Removal("1.22", "scheduling.k8s.io/v1"),
    **{
        ("storage.k8s.io/v1beta1", kind): Removal("1.22", "storage.k8s.io/v1")
        for kind in ("CSIDriver", "CSINode", "StorageClass", "VolumeAttachment")
    },
    ("batch/v1beta1", "CronJob"): Removal("1.25", "batch/v1"),
    ("discovery.k8s.io/v1beta1", "EndpointSlice"): Removal("1.25", "discovery.k8s.io/v1"),
    ("events.k8s.io/v1beta1", "Event"): Removal("1.25", "events.k8s.io/v1"),
    ("autoscaling/v2beta1", "HorizontalPodAutoscaler"): Removal("1.25", "autoscaling/v2"),
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"): Removal("1.26", "autoscaling/v2"),
    ("policy/v1beta1", "PodDisruptionBudget"): Removal("1.25", "policy/v1"),
    ("policy/v1beta1", "PodSecurityPolicy"): Removal("1.25", ""),
    ("node.k8s.io/v1beta1", "RuntimeClass"): Removal("1.25", "node.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSIStorageCapacity"): Removal("1.27", "storage.k8s.io/v1"),
    **{
        (f"flowcontrol.apiserver.k8s.io/{old}", kind): Removal(since, "flowcontrol.apiserver.k8s.io/v1")
        for old, since in (("v1beta1", "1.26"), ("v1beta2", "1.29"), ("v1beta3", "1.32"))
        for kind in ("FlowSchema", "PriorityLevelConfiguration")
    },
}

# Served and deprecated. Endpoints: https://kubernetes.io/blog/2025/04/24/endpoints-deprecation/. ComponentStatus: the
# field's own documentation in the core/v1 API since 1.19.
_DEPRECATED: Mapping[tuple[str, str], Removal] = {
    ("v1", "Endpoints"): Removal("1.33", "discovery.k8s.io/v1 EndpointSlice"),
    ("v1", "ComponentStatus"): Removal("1.19", ""),
}

_PREVIEW = re.compile(r"(?:^|/)v\d+(alpha|beta)\d+$")


def check(chart: Chart, renders: Sequence[Render], context: Context) -> list[Finding]:
    """Report what some version of the matrix does not serve, and what is on its way out."""
    return [
        replace(finding, values=(render.values,), kubernetes=(version,))
        for render in renders
        for one in render.objects
        for version in render.kubernetes
        if (finding := _judge(chart, one, context, version))
    ]


def _judge(chart: Chart, one: RenderedObject, context: Context, version: str) -> Finding | None:
    key = (str(one.body.get("apiVersion")), str(one.body.get("kind")))
    api_version, kind = key
    schema = context.schemas[version]
    named = f"{one.name}: {api_version}"
    if schema.serves(*key):
        return _judge_served(chart, one, schema, version)
    if gone := _REMOVED.get(key):
        message = f"{named} {kind} is not served since Kubernetes {gone.version}"
        return _finding(REMOVED, chart, one, message, _what_to_write(gone))
    if not any(other.has_group(api_version) for other in context.schemas.values()):
        return None
    served = [other for other, known in context.schemas.items() if known.serves(*key)]
    message = f"{named} {kind} is not served by this version of Kubernetes"
    hint = f"served by {', '.join(served)}" if served else _instead(schema, kind, api_version)
    return _finding(REMOVED, chart, one, message, hint or "correct apiVersion or kind")


def _judge_served(chart: Chart, one: RenderedObject, schema: KubernetesSchema, version: str) -> Finding | None:
    key = api_version, kind = str(one.body.get("apiVersion")), str(one.body.get("kind"))
    if (gone := _DEPRECATED.get(key)) and _number(gone.version) <= _number(version):
        hint = _what_to_write(gone)
        return _finding(
            DEPRECATED,
            chart,
            one,
            f"{one.name}: {api_version} {kind} is deprecated since Kubernetes {gone.version}",
            hint,
        )
    if gone := _REMOVED.get(key):
        return _going(chart, one, schema, gone)
    if preview := _PREVIEW.search(api_version):
        return _preview(chart, one, schema, is_alpha=preview[1] == "alpha")
    return None


def _what_to_write(gone: Removal) -> str:
    return f"write {gone.instead}" if gone.instead else "nothing takes its place"


def _going(chart: Chart, one: RenderedObject, schema: KubernetesSchema, gone: Removal) -> Finding | None:
    """Judge what is served still, and later no more: there is nothing to say where nothing else can be written yet."""
    api_version, kind = str(one.body.get("apiVersion")), str(one.body.get("kind"))
    if gone.instead and not schema.serves(gone.instead, kind):
        return None
    hint = _what_to_write(gone)
    return _finding(
        DEPRECATED, chart, one, f"{one.name}: {api_version} {kind} is gone in Kubernetes {gone.version}", hint
    )


# Since then a new beta API is off by default. Those from before stayed on until they were removed, see _REMOVED.
# https://kubernetes.io/docs/reference/using-api/#api-versioning
_BETA_OFF = "1.24"


def _preview(chart: Chart, one: RenderedObject, schema: KubernetesSchema, *, is_alpha: bool) -> Finding | None:
    """Judge an alpha or a beta API that is served: alpha ones always have to be switched on."""
    api_version, kind = str(one.body.get("apiVersion")), str(one.body.get("kind"))
    instead = _instead(schema, kind, api_version)
    message = f"{one.name}: {api_version} is {'an alpha' if is_alpha else 'a beta'} API"
    if is_alpha or _number(schema.version) >= _number(_BETA_OFF):
        hint = instead or "say in the chart's documentation that it must be switched on"
        return _finding(DEPRECATED, chart, one, f"{message}, which a cluster serves only when told to", hint)
    return _finding(DEPRECATED, chart, one, f"{message}, and there is a stable one", instead) if instead else None


def _instead(schema: KubernetesSchema, kind: str, api_version: str) -> str:
    group = api_version.rpartition("/")[0]
    stable = [known for known in schema.api_versions(kind, group) if not _PREVIEW.search(known)]
    return f"write {stable[-1]}" if stable else ""


def _finding(check_name: str, chart: Chart, one: RenderedObject, message: str, hint: str) -> Finding:
    return Finding(
        check_name,
        chart.name,
        message,
        chart.file(one.source),
        _line(chart, one),
        one.name,
        hint,
        "error" if check_name == REMOVED else "warning",
    )


def _line(chart: Chart, one: RenderedObject) -> int:
    text = next((file.text for file in chart.templates if file.path == one.source), "")
    wanted = f"apiVersion: {one.body.get('apiVersion')}"
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.strip() == wanted]
    return lines[0] if len(lines) == 1 else 0


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
