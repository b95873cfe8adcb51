"""Parallel workers of pytest-xdist on a real cluster."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from harness.cluster.containers import labelled_clusters
from harness.engine.engine import Engine
from harness.supply.resolver import Supply

# The node of each worker, by its id: what one worker sees must be what the other sees.
TESTS = """
    import json

    import pytest

    @pytest.mark.parametrize("number", range(2))
    def test_each(number, seatrial, cluster, namespace, worker_id):
        command = cluster.kubectl_command("get", "nodes", "--output=jsonpath={.items[*].metadata.uid}")
        uid = seatrial.runner.run(command).check().stdout
        assert worker_id in namespace
        seatrial.recorder.note(json.dumps([cluster.name, uid, worker_id]))
"""


def test_workers_share_one_cluster(pytester: pytest.Pytester, engine: Engine, supply: Supply) -> None:
    """One of them makes it, the other joins, and the last to leave removes it."""
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess(
        *("-n", "2", "--dist=each", f"--docker-host={engine.docker_host}"),
        f"--kind-image={supply.image('node-1.34').reference}",
        f"--supply=registry={supply.image('registry').reference}",
        *(f"--{flag}={supply.program(name).path}" for flag, name in PROGRAMS.items()),
    )
    result.assert_outcomes(passed=4)
    record = json.loads((pytester.path / "seatrial-evidence" / "latest" / "run.json").read_text(encoding="utf-8"))
    seen = [json.loads(note) for note in record["notes"]]
    assert {worker for _, _, worker in seen} == {"gw0", "gw1"}
    assert len({(name, uid) for name, uid, _ in seen}) == 1
    assert sum("kind create cluster" in step["name"] for step in record["steps"]) == 1
    with closing(engine.client()) as client:
        assert f"seatrial-{record['run_id']}" not in labelled_clusters(client)


PROGRAMS = {"kind-bin": "kind", "kind-kubectl-bin": "kubectl"}
