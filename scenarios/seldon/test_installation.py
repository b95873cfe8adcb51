"""Installed and taken away again, in the tutorial's order and in others: the cluster is as it was."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace

import pytest

from harness.assembly import Assembly
from harness.commands.helm import Values
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.seldon import READINESS_PROBE, Predictor, SeldonDeployment
from harness.errors import SeldonOperatorError
from harness.images.reference import ImageRef
from harness.site import Site
from harness.supply.resolver import Supply

# Release and namespace have the same name, the tutorial's.
MODEL, OPERATOR, GATEWAY = "test-ml-seldon-app", "seldon-core", "ambassador"
NAMESPACES = frozenset(f"namespace/{name}" for name in (MODEL, OPERATOR, GATEWAY))

# What belongs to no namespace and might be left behind.
KINDS = (
    "crds,clusterroles,clusterrolebindings,namespaces,ingressclasses,apiservices,priorityclasses,"
    "validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies"
)
# Other tests have things of their own in the same cluster meanwhile; by these words the three releases' are known.
OF_THESE_RELEASES = re.compile(r"^(?!namespace/).*/.*(seldon|ambassador|projectcontour|gateway\.networking)")
# What the releases have in their namespaces, and what every namespace has.
NAMESPACED = "all,secrets,serviceaccounts,roles,rolebindings"
IN_EVERY_NAMESPACE = ["serviceaccount/default"]


def _of_the_cluster(kubectl: KubectlDeployer) -> frozenset[str]:
    names = kubectl.run("get", KINDS, "--output=name").check().stdout.split()
    return frozenset(name for name in names if name in NAMESPACES or OF_THESE_RELEASES.search(name))


def _settled(kubectl: KubectlDeployer, namespace: str) -> list[str]:
    """Return what is in a namespace once no pod is ending in it any more: those of a model go after their owner."""
    args = ("wait", "--for=delete", "pods", "--all", f"--namespace={namespace}", "--timeout=60s")
    kubectl.run(*args, timeout_s=70).check()
    return kubectl.run("get", NAMESPACED, "--namespace", namespace, "--output=name").check().stdout.split()


@pytest.mark.parametrize(
    "order",
    [
        pytest.param((MODEL, OPERATOR, GATEWAY), id="model, operator, gateway"),
        pytest.param((OPERATOR, MODEL, GATEWAY), id="operator, model, gateway"),
        pytest.param((OPERATOR, GATEWAY, MODEL), id="operator, gateway, model"),
        pytest.param((GATEWAY, OPERATOR, MODEL), id="gateway, operator, model"),
    ],
)
def test_nothing_is_left_whatever_goes_first(
    site: Site,
    seatrial: Assembly,
    supply: Supply,
    kubectl: KubectlDeployer,
    model_image: ImageRef,
    order: tuple[str, ...],
) -> None:
    """Uninstalled and their namespaces deleted, the three leave no object, and Helm knows nothing of them any more."""
    seatrial.load_balancer.ensure(site.handle)  # it belongs to the cluster, and stays
    with (
        site.fixed_namespace(OPERATOR),
        site.fixed_namespace(GATEWAY),
        site.fixed_namespace(MODEL),
        closing(site.helm()) as helm,
    ):
        before = _of_the_cluster(kubectl)
        core = site.seldon_core(helm).install()
        gateway = site.gateway(helm)
        model = {
            "image": model_image.name,
            "readinessProbe": dict(READINESS_PROBE),
            "lifecycle": {"preStop": {"exec": {"command": ["/bin/true"]}}},
        }
        values = Values(inline={"noEngine": core.no_engine, "model": model})
        chart = supply.chart("seldon-single-model").path
        releases = {
            OPERATOR: core.release,
            GATEWAY: gateway.release,
            MODEL: helm.install(MODEL, chart, namespace=MODEL, values=values),
        }
        site.wait_for_route(f"/seldon/{MODEL}/{MODEL}/")
        assert _of_the_cluster(kubectl) > before

        for part in order:
            helm.uninstall(releases[part])
            assert helm.list(namespace=part) == ()
            assert _settled(kubectl, part) == IN_EVERY_NAMESPACE
        for part in order:
            kubectl.run("delete", "namespace", part, "--wait=false").check()
        kubectl.run("wait", "--for=delete", *sorted(NAMESPACES), "--timeout=90s", timeout_s=100).check()
        assert _of_the_cluster(kubectl) == before - NAMESPACES


def test_a_webhook_without_its_service_blocks_no_deletion(site: Site, kubectl: KubectlDeployer, namespace: str) -> None:
    """Nobody can be asked whether a new model is right, so it is refused; models that are there can go all the same."""
    with site.fixed_namespace(OPERATOR), closing(site.helm()) as helm, closing(site.seldon()) as models:
        core = site.seldon_core(helm).install()
        model = SeldonDeployment("model", [Predictor("example/never-pulled:latest")], core.no_engine)
        models.apply(model, namespace=namespace, wait=False)
        models.apply(replace(model, name="left-to-its-namespace"), namespace=namespace, wait=False)
        parts = ("service/seldon-webhook-service", "deployment/seldon-controller-manager")
        # The API server keeps a connection to the webhook: it is answered until the operator's Pod itself has ended.
        gone = ("--cascade=foreground", "--timeout=90s")
        kubectl.run("delete", *parts, *gone, "--namespace", OPERATOR, timeout_s=100).check()

        with pytest.raises(SeldonOperatorError, match="failed calling webhook") as caught:
            models.apply(replace(model, name="late"), namespace=namespace, wait=False)
        assert "there is no operator in this cluster" in str(caught.value)

        kubectl.run("delete", "seldondeployment/model", "--namespace", namespace, "--timeout=30s").check()
        (left,) = kubectl.get("seldondeployments", namespace=namespace)
        assert left["metadata"]["name"] == "left-to-its-namespace"
        kubectl.run("delete", "namespace", namespace, "--timeout=90s", timeout_s=100).check()
