"""Two runs at once on one host, of one user and one project: neither disturbs the other."""

from __future__ import annotations

from contextlib import ExitStack

from harness.supply.resolver import Supply
from tests.integration.child_run import ChildProject

# Everything has the same name in both runs: project, cache, image, namespace and deployment.
APP = """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: app}
    spec:
      selector: {matchLabels: {app: app}}
      template:
        metadata: {labels: {app: app}}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
            - name: main
              image: example/two-runs:latest
              command: [python3, -m, http.server, --directory, /, "5000"]
              readinessProbe: {httpGet: {path: /answer, port: 5000}, periodSeconds: 1}
"""
TEST = """
    import os
    from pathlib import Path

    import requests
    from harness.wait import wait_until

    SIDE, OTHER = os.environ["SIDE"], os.environ["OTHER"]

    def test_it(build_image, load_image, fixed_namespace, manifests, port_forward):
        namespace = fixed_namespace("test-ml-app")
        load_image(build_image(Path(SIDE).absolute(), name="example/two-runs:latest"))
        manifests.apply(Path("app.yaml"), namespace=namespace)
        endpoint = port_forward("deployment/app", namespace=namespace, remote_port=5000)

        def answer():
            return requests.get(f"{endpoint.url}/answer", timeout=30).text

        assert answer() == SIDE
        Path(f"{SIDE}.up").touch()
        wait_until("see the other run's service up", Path(f"{OTHER}.up").exists, timeout_s=400)
        assert answer() == SIDE
        if SIDE == "right":
            wait_until("see the other run end", Path("left.ended").exists, timeout_s=300)
            assert answer() == SIDE
"""
# A cluster and a service each, side by side.
RUN_TIMEOUT_S = 420.0


def test_two_runs_at_once(child: ChildProject, supply: Supply) -> None:
    """Each gets its own answers, while both are up and after the other has removed all it made; nothing is left."""
    base = supply.image("python-3.11").reference
    child.write({"test_it.py": TEST, "app.yaml": APP})
    for side in ("left", "right"):
        child.write({f"{side}/Dockerfile": f"FROM {base}\nCOPY answer /\n", f"{side}/answer": side})
    with ExitStack() as stack:
        left = child.start(environ={"SIDE": "left", "OTHER": "right"})
        stack.callback(left.process.stop)
        right = child.start(environ={"SIDE": "right", "OTHER": "left"})
        stack.callback(right.process.stop)
        assert left.wait(RUN_TIMEOUT_S) == 0, left.output
        (child.project / "left.ended").touch()
        assert right.wait(RUN_TIMEOUT_S) == 0, right.output
    assert len(child.evidence_directories()) == 2
    assert child.traces() == []
