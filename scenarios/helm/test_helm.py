"""A Helm chart: dry run, install, list, status, notes, score, uninstall."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.access.endpoint import Endpoint
from harness.commands.helm import Values
from harness.deploy.helm import HelmDeployer
from harness.deploy.kubectl import KubectlDeployer
from harness.errors import ChartError, RolloutError
from harness.images.reference import ImageRef
from scenarios.conftest import Ask

CHARTS = Path(__file__).parents[2] / "fixtures" / "charts"
CHART = CHARTS / "helm-ml-score-app"
RELEASE = NAMESPACE = "test-ml-app"


@pytest.fixture
def values(score_image: ImageRef) -> Values:
    """The chart's values, with the image as the cluster knows it."""
    return Values(inline={"app": {"image": score_image.name}})


def state_of(release: str, helm: HelmDeployer) -> str:
    """What `helm list` says of a release, empty when it lists none of that name; others may have theirs there."""
    return next((one.status for one in helm.list() if one.name == release), "")


def test_a_chart_is_installed_scores_and_is_uninstalled(
    helm: HelmDeployer,
    kubectl: KubectlDeployer,
    turn_with_namespace: Callable[[str], str],
    values: Values,
    load_balancer: Callable[..., Endpoint],
    ask: Ask,
) -> None:
    """The tutorial's helm commands in order; the answer is that of the other ways, and nothing is left."""
    turn_with_namespace(NAMESPACE)
    preview = helm.dry_run(RELEASE, CHART, values=values)
    assert {one["kind"] for one in preview.manifest} == {"Namespace", "Deployment", "Service"}
    assert not state_of(RELEASE, helm)

    release = helm.install(RELEASE, CHART, values=values)
    assert state_of(RELEASE, helm) == "deployed"
    assert helm.status(RELEASE).revision == 1
    assert "kubectl get service test-ml-score-api-lb" in release.notes

    ask(load_balancer("test-ml-score-api-lb", namespace=NAMESPACE))

    helm.uninstall(release)
    assert not state_of(RELEASE, helm)
    assert kubectl.get(f"namespace/{NAMESPACE}") == ()


def test_the_tutorials_chart_ignores_its_replicas(helm: HelmDeployer, values: Values) -> None:
    """A known trap, kept: the values ask for two replicas and the template renders one."""
    rendered = helm.template(RELEASE, CHART, values=values)
    (deployment,) = (one for one in rendered.bodies if one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 1


def test_a_broken_template_is_named_with_its_line(helm: HelmDeployer) -> None:
    """A template that does not render fails before anything is sent, naming file and line."""
    with pytest.raises(ChartError, match=r"configmap\.yaml:\d+"):
        helm.install("broken", CHARTS / "broken-template")
    assert not state_of("broken", helm)


def test_values_of_the_wrong_type_are_refused_by_the_schema(helm: HelmDeployer) -> None:
    """A value that the chart's schema forbids is named, and nothing is installed."""
    with pytest.raises(ChartError, match="replicas"):
        helm.install("typed", CHARTS / "typed-values", values=Values(inline={"replicas": "two"}))
    assert not state_of("typed", helm)


def test_a_release_that_never_becomes_ready_is_not_left_behind(
    helm: HelmDeployer, turn_with_namespace: Callable[[str], str]
) -> None:
    """A chart whose image does not exist fails with the pods' reason, and the failed release is uninstalled."""
    turn_with_namespace(NAMESPACE)
    with pytest.raises(RolloutError, match=r"ErrImagePull|ImagePullBackOff"):
        helm.install(RELEASE, CHART, values=Values(inline={"app": {"image": "example/no-such-image:latest"}}))
    assert not state_of(RELEASE, helm)
