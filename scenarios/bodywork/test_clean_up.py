"""The tutorial's last chapter: the namespace is deleted, and what that leaves is named; the host is as it was."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from harness.deploy.bodywork import BodyworkDeployer
from harness.deploy.release import Release
from harness.site import Site
from scenarios.bodywork.conftest import FAULTS, NAMESPACE, host_files


def test_the_namespace_goes(site: Site, pipelines: BodyworkDeployer, set_up: Release) -> None:
    """A deleted namespace leaves the binding of its account, and the role when no other namespace has it."""
    namespace = tuple(ref for ref in set_up.resources if ref.kind == "Namespace")
    pipelines.delete(replace(set_up, name="the namespace alone", resources=namespace))
    with closing(site.kubectl()) as kubectl:
        assert kubectl.get(f"namespace/{NAMESPACE}") == ()
        shared = kubectl.get(f"clusterrolebinding/bodywork-workflow-controller--{FAULTS}") != ()
    assert [str(ref) for ref in pipelines.leftovers(NAMESPACE)] == [
        "clusterrolebinding/bodywork-workflow-controller--ml-pipeline",
        *([] if shared else ["clusterrole/bodywork-workflow-controller"]),
    ]

    pipelines.delete(set_up)
    assert pipelines.leftovers(NAMESPACE) == ()


def test_the_host_is_as_it_was(host_before: Mapping[Path, bytes | None], set_up: Release) -> None:
    """Names, trust and git's rewriting of addresses are the run's own: nothing of the host's was written."""
    del set_up  # all of that was used
    assert host_files() == host_before
