"""The cluster elsewhere: three nodes, and the kubectl scenario as its user would run it there."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import pytest

from harness.assembly import Assembly
from harness.deploy.manifests import Manifest
from harness.errors import RolloutError
from harness.images.reference import ImageRef
from harness.process.command import Command
from harness.process.runner import Runner
from harness.site import Site
from harness.supply.resolver import Supply
from scenarios.conftest import Ask

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "fixtures" / "manifests"
IMAGE = "example/test-ml-score-api:latest"
APP = "test-ml-score-api"


def test_replicas_spread_over_the_nodes_and_answer_both_ways(
    three_nodes: Site, image_elsewhere: ImageRef, ask: Ask, request: pytest.FixtureRequest
) -> None:
    """Three replicas run on both workers; the balancer's address and a forwarded port give the tutorial's answer."""
    kubectl = three_nodes.kubectl()
    with three_nodes.fresh_namespace(request.node.name) as namespace:
        kubectl.create_deployment(APP, image_elsewhere, namespace=namespace, replicas=3)
        pods = kubectl.get("pods", namespace=namespace)
        assert len({pod["spec"]["nodeName"] for pod in pods}) == 2

        kubectl.expose(APP, port=5000, namespace=namespace, service_type="LoadBalancer", name=f"{APP}-lb")
        ask(three_nodes.load_balancer(f"{APP}-lb", namespace=namespace))
        with three_nodes.port_forward(f"service/{APP}-lb", namespace=namespace, remote_port=5000) as endpoint:
            ask(endpoint)


def test_the_same_scenario_runs_on_a_cluster_that_is_already_there(
    three_nodes: Site, runner: Runner, tmp_path: Path, seatrial: Assembly, supply: Supply
) -> None:
    """`--cluster-provider existing` with a kubeconfig, a context and a registry runs the kubectl scenario unchanged."""
    handle = three_nodes.handle
    # What this run was told by its environment (to keep its cluster, say) is not meant for the run within it, which is
    # told all it needs by options.
    names = (*(name for name in os.environ if name.startswith(("PYTEST_", "SEATRIAL_"))), "GITHUB_STEP_SUMMARY")
    command = Command(
        (
            sys.executable, "-m", "pytest", str(ROOT / "scenarios" / "kubectl"), "-m", "kubectl",
            "-p", "no:cacheprovider",
            "--cluster-provider=existing",
            f"--kubeconfig={handle.kubeconfig}",
            f"--kube-context={handle.context}",
            f"--image-registry={handle.registry}",
            f"--evidence-dir={tmp_path}",
            f"--docker-host={seatrial.engine.docker_host}",
            f"--supply-cache={seatrial.settings.supply.cache_dir}",
            f"--supply=python-3.11={supply.image('python-3.11').reference}",
            f"--kind-kubectl-bin={handle.kubectl}",
        ),
        env=dict.fromkeys(names),
        cwd=ROOT,
        timeout_s=300,
    )  # fmt: skip
    outcome = runner.run(command).check()
    assert "3 passed" in outcome.stdout


def test_a_replica_that_no_node_can_take_is_told_early(
    three_nodes: Site, image_elsewhere: ImageRef, request: pytest.FixtureRequest
) -> None:
    """Of three replicas that want a node each the third finds none: the scheduler's words on all three, no time-out."""
    manifest = Manifest.load(MANIFESTS / "faulty" / "one-per-node.yaml").with_image(IMAGE, image_elsewhere)
    with (
        three_nodes.fresh_namespace(request.node.name) as namespace,
        closing(three_nodes.manifests()) as manifests,
        pytest.raises(RolloutError, match=r"0/3 nodes are available(?s:.*)anti-affinity") as caught,
    ):
        manifests.apply(manifest, namespace=namespace)
    assert caught.value.reason == "Unschedulable"
