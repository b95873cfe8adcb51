"""What installing and uninstalling the gateway leaves in a cluster: nothing."""

from __future__ import annotations

from contextlib import closing

from harness.assembly import Assembly
from harness.deploy.kubectl import KubectlDeployer
from harness.site import Site
from harness.wait import wait_until

KINDS = (
    # No namespaces: those of other workers' tests come and go meanwhile.
    "crds,clusterroles,clusterrolebindings,ingressclasses,apiservices,"
    "validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies"
)


def cluster_wide(kubectl: KubectlDeployer) -> set[str]:
    """Return the names of everything that belongs to no namespace and might be left behind."""
    return set(kubectl.run("get", KINDS, "--output=name").check().stdout.split())


def test_uninstalling_leaves_nothing_that_belongs_to_the_cluster(
    seatrial: Assembly, site: Site, kubectl: KubectlDeployer
) -> None:
    """No definition, role, webhook or class is there that was not there before, and the namespace is empty."""
    seatrial.load_balancer.ensure(site.handle)
    with site.fixed_namespace("ambassador") as namespace:
        before = cluster_wide(kubectl)
        with closing(site.helm()) as helm:
            site.gateway(helm)
            assert "customresourcedefinition.apiextensions.k8s.io/httproutes.gateway.networking.k8s.io" in (
                cluster_wide(kubectl) - before
            )
        # The API server forgets the groups of kinds that went a moment later.
        wait_until(
            "see the cluster as it was",
            lambda: cluster_wide(kubectl),
            done=lambda now: now == before,
            timeout_s=60,
            describe=lambda now: ", ".join(sorted(now ^ before)),
        )
        left = kubectl.run("-n", namespace, "get", "all,secrets,roles,rolebindings", "--output=name").check()
        assert left.stdout.split() == []
