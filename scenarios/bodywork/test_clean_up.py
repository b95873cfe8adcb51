"""The tutorial's last chapter: the namespace is deleted, and what that leaves is named."""

from __future__ import annotations

from contextlib import closing

from harness.deploy.bodywork import BodyworkDeployer
from harness.deploy.release import Release
from harness.site import Site
from scenarios.bodywork.conftest import NAMESPACE


def test_the_namespace_goes(site: Site, pipelines: BodyworkDeployer, set_up: Release) -> None:
    """`kubectl delete namespace` leaves the binding of its account, and the role when no other namespace has it."""
    binding, *role = (str(ref) for ref in pipelines.leftovers(NAMESPACE))
    assert binding == "clusterrolebinding/bodywork-workflow-controller--ml-pipeline"
    assert role in ([], ["clusterrole/bodywork-workflow-controller"])

    pipelines.delete(set_up)
    with closing(site.kubectl()) as kubectl:
        assert kubectl.get(f"namespace/{NAMESPACE}") == ()
    assert pipelines.leftovers(NAMESPACE) == ()
