"""Ctrl-C, SIGTERM and SIGKILL in the middle of a run, whatever it is doing: nothing of it is left behind."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from kubernetes import client as kube

from harness.cluster.provider import ClusterHandle
from harness.naming import LABEL_RUN
from harness.supply.resolver import Supply
from harness.wait import wait_until
from tests.integration.child_run import ChildProject, ChildRun

# Preloaded in the node image, with busybox in it.
BUSYBOX = "seatrial/local-path-provisioner:v0.0.30"
EXIT_CODES = {signal.SIGINT: pytest.ExitCode.INTERRUPTED, signal.SIGTERM: 128 + signal.SIGTERM}

# Never ready and never hopeless: its init container works for ten minutes.
POD_SPEC = f"""{{
    "terminationGracePeriodSeconds": 0,
    "initContainers": [{{"name": "wait", "image": "{BUSYBOX}", "command": ["sleep", "600"]}}],
    "containers": [{{"name": "main", "image": "{BUSYBOX}", "command": ["sleep", "600"]}}]
}}"""
DEPLOYMENT = f"""{{
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "slow"}},
    "spec": {{
        "selector": {{"matchLabels": {{"app": "slow"}}}},
        "template": {{"metadata": {{"labels": {{"app": "slow"}}}}, "spec": {POD_SPEC}}}
    }}
}}"""

# -- while a cluster is made: in the background, the main thread builds images or waits for it

CLUSTER = {"test_it.py": "def test_it(cluster):\n    assert False, 'the run was to be interrupted before'\n"}


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        pytest.param(signal.SIGINT, "first", id="SIGINT as kind begins"),
        pytest.param(signal.SIGTERM, "node", id="SIGTERM as the node boots"),
        pytest.param(signal.SIGINT, "usable", id="SIGINT as the API server answers"),
    ],
)
def test_while_a_cluster_is_made(child: ChildProject, number: signal.Signals, moment: str) -> None:
    """What kind has begun is stopped, and what there is of it goes: containers, network, record, kubeconfig, lock."""
    child.write(CLUSTER)
    run = child.start()
    if moment == "first":
        run.until("see kind begin", lambda: run.has_process("create", "cluster"))
    else:
        run.until("see a node container", run.node_is_there)
    if moment == "usable":
        run.until("see kind end", lambda: not run.has_process("create", "cluster"))
    if moment != "first":
        run.until("hear of the node's volumes", lambda: child.volumes.of(lambda name: run.run_id in name))
    run.signal(number)
    assert run.wait() == EXIT_CODES[number]
    assert child.traces() == []


# -- while an image is built


@pytest.mark.parametrize("number", EXIT_CODES, ids=lambda number: number.name)
def test_while_an_image_is_built(child: ChildProject, supply: Supply, number: signal.Signals) -> None:
    """The step's container goes, and the layers made before it."""
    base = supply.image("python-3.11").reference
    child.write(
        {
            "app/Dockerfile": f"FROM {base}\nRUN echo {child.mark}\nRUN sleep 600 # {child.mark}\n",
            "test_it.py": """
                from pathlib import Path

                def test_it(build_image):
                    build_image(Path("app").absolute(), name="example/interrupted:latest")
            """,
        }
    )
    run = child.start()

    def builds() -> bool:
        with closing(child.engine.client()) as client:
            return any(
                "sleep 600" in one["Command"] and child.mark in one["Command"] for one in client.api.containers()
            )

    run.until("see the build's second step", builds)
    run.signal(number)
    assert run.wait() == EXIT_CODES[number]
    assert child.traces() == []


# -- while something is deployed: in a cluster that is not the run's, where nothing goes by itself

CHART = {
    "chart/Chart.yaml": "apiVersion: v2\nname: slow\nversion: 1.0.0\n",
    "chart/templates/deployment.yaml": DEPLOYMENT,
    "chart/templates/hook.yaml": f"""
        apiVersion: batch/v1
        kind: Job
        metadata: {{name: slow-hook, annotations: {{helm.sh/hook: post-install}}}}
        spec:
          template:
            spec:
              restartPolicy: Never
              terminationGracePeriodSeconds: 0
              containers: [{{name: main, image: "{BUSYBOX}", command: [sleep, "600"]}}]
    """,
}
ROLLOUT = {
    "slow.json": DEPLOYMENT,
    "test_it.py": """
        from pathlib import Path

        def test_it(manifests, namespace):
            manifests.apply(Path("slow.json"), namespace=namespace)
    """,
}
INSTALL = {
    **CHART,
    "test_it.py": """
        from pathlib import Path

        def test_it(helm):
            helm.install("interrupted", Path("chart").absolute(), namespace="default")
    """,
}
TEARDOWN = {
    "slow.json": DEPLOYMENT,
    "test_it.py": """
        from pathlib import Path

        def test_it(manifests, namespace):
            manifests.apply(Path("slow.json"), namespace=namespace, wait=False)
    """,
}


def pods_of(handle: ClusterHandle, run: ChildRun) -> list[Any]:
    """Return the pods in the namespaces that a run has made."""
    with closing(handle.api_client()) as api:
        core: Any = kube.CoreV1Api(api)
        names = [one.metadata.name for one in core.list_namespace(label_selector=f"{LABEL_RUN}={run.run_id}").items]
        return [pod for name in names for pod in core.list_namespaced_pod(name).items]


def namespace_is_going(handle: ClusterHandle, run: ChildRun) -> bool:
    """Whether the run's own namespace is being removed, which takes Kubernetes five seconds at least."""
    with closing(handle.api_client()) as api:
        core: Any = kube.CoreV1Api(api)
        found = core.list_namespace(label_selector=f"{LABEL_RUN}={run.run_id}").items
        return any(one.metadata.deletion_timestamp is not None for one in found)


@pytest.fixture
def elsewhere(child: ChildProject, cluster: ClusterHandle) -> ChildProject:
    """A foreign project that uses this run's cluster as one that exists."""
    child.options = (
        "--cluster-provider=existing",
        f"--kubeconfig={cluster.kubeconfig}",
        f"--kube-context={cluster.context}",
    )
    return child


PHASES: dict[str, tuple[dict[str, str], Callable[[ClusterHandle, ChildRun], object]]] = {
    "a rollout wait": (ROLLOUT, lambda handle, run: run.run_id and pods_of(handle, run)),
    "a helm install": (INSTALL, lambda handle, run: run.has_process("helm", "install")),
    "the teardown": (TEARDOWN, lambda handle, run: run.run_id and namespace_is_going(handle, run)),
}


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        pytest.param("a rollout wait", signal.SIGINT, id="SIGINT in a rollout wait"),
        pytest.param("a helm install", signal.SIGTERM, id="SIGTERM in a helm install"),
        pytest.param("the teardown", signal.SIGINT, id="SIGINT in the teardown"),
        pytest.param("the teardown", signal.SIGTERM, id="SIGTERM in the teardown"),
    ],
)
def test_while_something_is_deployed(
    elsewhere: ChildProject, cluster: ClusterHandle, phase: str, number: signal.Signals
) -> None:
    """Releases and namespaces go, and programs end."""
    files, seen = PHASES[phase]
    elsewhere.write(files)
    run = elsewhere.start()
    run.until(f"see {phase}", lambda: seen(cluster, run))
    run.signal(number)
    assert run.wait() == EXIT_CODES[number]
    assert elsewhere.traces(cluster) == []


# -- when there is no time to remove anything


def test_the_next_run_removes_what_a_killed_one_left(elsewhere: ChildProject, cluster: ClusterHandle) -> None:
    """After SIGKILL: a namespace in a cluster that goes on, and a container."""
    elsewhere.write(ROLLOUT)
    run = elsewhere.start()
    run.until("see a rollout wait", lambda: run.run_id and pods_of(cluster, run))
    run.signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert [trace for trace in elsewhere.traces(cluster) if trace.startswith("namespace ")]

    elsewhere.write({"test_it.py": "def test_it(namespace):\n    pass\n"})
    assert elsewhere.run().exit_code == 0
    assert elsewhere.traces(cluster) == []


def test_the_next_run_removes_a_killed_ones_cluster(child: ChildProject) -> None:
    """After SIGKILL while kind is at work: nodes, registry, network and record."""
    child.write(CLUSTER)
    run = child.start()
    run.until("see a node container", run.node_is_there)
    run.signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert [trace for trace in child.traces() if trace.startswith("container ")]

    child.write({"test_it.py": "def test_it(seatrial):\n    assert seatrial.provider\n"})
    assert child.run().exit_code == 0
    # The killed run's kind, which nobody has ended, ends by itself when its nodes are gone.
    wait_until("see nothing left", child.traces, done=lambda left: left == [], timeout_s=60)
