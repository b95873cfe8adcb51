"""Installed and taken away again, in the tutorial's order and in another: the cluster is as it was."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from harness.assembly import Assembly
from harness.deploy.deployer import ClusterDeployer
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.seldon import Predictor, SeldonDeployment
from harness.images.reference import ImageRef
from harness.site import Site

# What belongs to no namespace and might be left behind.
KINDS = (
    "crds,clusterroles,clusterrolebindings,ingressclasses,apiservices,priorityclasses,"
    "validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies"
)
MODEL, OPERATOR, GATEWAY = "model", "seldon-core", "ambassador"


@pytest.fixture
def objects_before(seatrial: Assembly, site: Site, kubectl: KubectlDeployer) -> frozenset[str]:
    """What the cluster holds before Seldon comes; the balancer belongs to the cluster, and is there already."""
    seatrial.load_balancer.ensure(site.handle)
    return _objects(kubectl)


def _objects(kubectl: KubectlDeployer) -> frozenset[str]:
    return frozenset(kubectl.run("get", KINDS, "--output=name").check().stdout.split())


@pytest.mark.parametrize(
    "order",
    [
        pytest.param((MODEL, OPERATOR, GATEWAY), id="model, operator, gateway"),
        pytest.param((GATEWAY, OPERATOR, MODEL), id="gateway, operator, model"),
    ],
)
def test_nothing_is_left_whatever_goes_first(
    site: Site,
    fixed_namespace: Callable[[str], str],
    objects_before: frozenset[str],
    kubectl: KubectlDeployer,
    model_image: ImageRef,
    namespace: str,
    order: tuple[str, ...],
) -> None:
    """No definition, webhook, role or namespace stays, and a webhook without its operator blocks no deletion."""
    fixed_namespace(OPERATOR)
    fixed_namespace(GATEWAY)
    with closing(site.helm()) as operator, closing(site.helm()) as gateway, closing(site.seldon()) as models:
        core = site.seldon_core(operator).install()
        site.gateway(gateway)
        models.apply(SeldonDeployment("model", [Predictor(model_image)], core.no_engine), namespace=namespace)
        site.wait_for_route(f"/seldon/{namespace}/model/")
        assert _objects(kubectl) > objects_before

        deployers: dict[str, ClusterDeployer] = {MODEL: models, OPERATOR: operator, GATEWAY: gateway}
        for part in order:
            deployers[part].close()

    for where in (namespace, OPERATOR, GATEWAY):
        assert kubectl.get("services,deployments,pods", namespace=where) == ()
    assert _objects(kubectl) == objects_before
