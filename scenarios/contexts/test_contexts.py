"""Several clusters in one kubeconfig: listing contexts and switching between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.provider import ClusterHandle
from harness.deploy.kubectl import Contexts
from harness.errors import ClusterError
from harness.process.runner import Runner
from harness.site import Site


def test_switching_contexts_switches_clusters(
    cluster: ClusterHandle, three_nodes: Site, runner: Runner, tmp_path: Path
) -> None:
    """`use-context` decides which cluster answers; the kubeconfig is private, the user's own is never touched."""
    elsewhere = three_nodes.handle
    contexts = Contexts.gather([cluster, elsewhere], tmp_path / "kubeconfig", runner)
    assert {one.name for one in contexts.list()} == {cluster.context, elsewhere.context}

    contexts.use(cluster.context)
    assert contexts.current() == cluster.context
    here = contexts.cluster_info()

    contexts.use(elsewhere.context)
    assert contexts.current() == elsewhere.context
    assert contexts.cluster_info() != here


def test_a_context_that_is_not_there_is_refused(cluster: ClusterHandle, runner: Runner, tmp_path: Path) -> None:
    """The error names what there is, and the context in use stays; kubectl would give an unknown one a namespace."""
    contexts = Contexts.gather([cluster], tmp_path / "kubeconfig", runner)
    with pytest.raises(ClusterError, match=rf"'k8s-test-cluster'(?s:.*){cluster.context}"):
        contexts.use("k8s-test-cluster")
    with pytest.raises(ClusterError, match=rf"'k8s-test-cluster'(?s:.*){cluster.context}"):
        contexts.set_namespace("k8s-test-cluster", "default")
    assert [one.name for one in contexts.list()] == [contexts.current()] == [cluster.context]
