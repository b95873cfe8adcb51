"""What is said of API versions that are gone, going, or served only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.charts.chart import Chart
from harness.charts.checks import api_versions
from harness.charts.checks.context import Context
from harness.charts.finding import Finding
from harness.charts.kubernetes_schema import KubernetesSchema
from harness.charts.render import Render, RenderedObject

OLD = (
    ("policy/v1beta1", "PodDisruptionBudget"),
    ("policy/v1", "PodDisruptionBudget"),
    ("policy/v1beta1", "PodSecurityPolicy"),
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"),
    ("autoscaling/v1", "HorizontalPodAutoscaler"),
    ("example.k8s.io/v1beta1", "Thing"),
    ("example.k8s.io/v1beta1", "Settled"),
    ("example.k8s.io/v1", "Settled"),
    ("example.k8s.io/v1alpha1", "Early"),
)
BETWEEN = (*OLD, ("autoscaling/v2", "HorizontalPodAutoscaler"))
NEW = (
    ("policy/v1", "PodDisruptionBudget"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("example.k8s.io/v1beta1", "Thing"),
)


def schema(version: str, served: Sequence[tuple[str, str]]) -> KubernetesSchema:
    """Return a schema that serves these kinds and says nothing of their fields."""
    return KubernetesSchema(
        version,
        {
            f"{api_version}.{kind}": {
                "x-kubernetes-group-version-kind": [
                    {"group": api_version.split("/")[0], "version": api_version.split("/")[1], "kind": kind}
                ]
            }
            for api_version, kind in served
        },
    )


@pytest.fixture
def judged(chart: Callable[..., Path]) -> Callable[..., list[Finding]]:
    """Check one object, rendered for some versions of Kubernetes."""
    schemas = {"1.21": schema("1.21", OLD), "1.24": schema("1.24", BETWEEN), "1.34": schema("1.34", NEW)}

    def judged(api_version: str, kind: str, *versions: str) -> list[Finding]:
        body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}}
        render = Render("default", versions, (RenderedObject(body, "templates/x.yaml"),))
        return api_versions.check(Chart.load(chart()), [render], Context(schemas))

    return judged


@pytest.mark.parametrize(
    ("version", "api_version", "kind", "check", "message", "hint"),
    [
        pytest.param(
            "1.21", "policy/v1beta1", "PodDisruptionBudget", "deprecated-api",
            "policy/v1beta1 PodDisruptionBudget is gone in Kubernetes 1.25", "write policy/v1",
            id="served still, gone later",
        ),
        pytest.param(
            "1.21", "policy/v1beta1", "PodSecurityPolicy", "deprecated-api",
            "policy/v1beta1 PodSecurityPolicy is gone in Kubernetes 1.25", "nothing takes its place",
            id="gone later without a successor",
        ),
        pytest.param(
            "1.24", "autoscaling/v2beta2", "HorizontalPodAutoscaler", "deprecated-api",
            "autoscaling/v2beta2 HorizontalPodAutoscaler is gone in Kubernetes 1.26", "write autoscaling/v2",
            id="on by default after 1.24 because it was before",
        ),
        pytest.param(
            "1.34", "policy/v1beta1", "PodDisruptionBudget", "removed-api",
            "policy/v1beta1 PodDisruptionBudget is not served since Kubernetes 1.25", "write policy/v1",
            id="gone",
        ),
        pytest.param(
            "1.34", "example.k8s.io/v1beta1", "Thing", "deprecated-api",
            "example.k8s.io/v1beta1 is a beta API, which a cluster serves only when told to",
            "say in the chart's documentation that it must be switched on",
            id="a beta API, off by default since 1.24",
        ),
        pytest.param(
            "1.21", "example.k8s.io/v1beta1", "Settled", "deprecated-api",
            "example.k8s.io/v1beta1 is a beta API, and there is a stable one", "write example.k8s.io/v1",
            id="a beta API beside the stable one",
        ),
        pytest.param(
            "1.21", "example.k8s.io/v1alpha1", "Early", "deprecated-api",
            "example.k8s.io/v1alpha1 is an alpha API, which a cluster serves only when told to",
            "say in the chart's documentation that it must be switched on",
            id="an alpha API, off always",
        ),
    ],
)  # fmt: skip
def test_what_is_on_its_way_out_is_told(
    version: str, api_version: str, kind: str, check: str, message: str, hint: str,
    judged: Callable[..., list[Finding]],
) -> None:  # fmt: skip
    """With when it goes, and what to write instead."""
    (finding,) = judged(api_version, kind, version)
    assert (finding.check, finding.message, finding.hint) == (check, f"{kind}/x: {message}", hint)
    assert finding.severity == ("error" if check == "removed-api" else "warning")


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        pytest.param("autoscaling/v2beta2", "HorizontalPodAutoscaler", id="its successor is not served yet"),
        pytest.param("example.k8s.io/v1beta1", "Thing", id="a beta API was on by default before 1.24"),
    ],
)
def test_what_an_old_version_serves_unasked_and_nothing_can_replace_is_no_finding(
    api_version: str, kind: str, judged: Callable[..., list[Finding]]
) -> None:
    """Nothing else could be written for Kubernetes 1.21."""
    assert judged(api_version, kind, "1.21") == []
