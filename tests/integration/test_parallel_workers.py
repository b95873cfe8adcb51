"""Parallel workers of pytest-xdist on a real cluster."""

from __future__ import annotations

import json
from contextlib import closing
from uuid import uuid4

import pytest

from harness.cluster.containers import labelled_clusters
from harness.engine.engine import Engine
from harness.supply.resolver import Supply

# The node of each worker, by its id, and the image that each has built: what one sees must be what the other sees.
TESTS = """
    import json
    from pathlib import Path

    import pytest

    @pytest.fixture(scope="session")
    def image(build_image, load_image, cluster):
        # With the cluster there, both workers begin at once.
        return load_image(build_image(Path("app"), name="example/two-workers:latest"))

    @pytest.mark.parametrize("number", range(2))
    def test_each(number, seatrial, cluster, namespace, image, worker_id):
        command = cluster.kubectl_command("get", "nodes", "--output=jsonpath={.items[*].metadata.uid}")
        uid = seatrial.runner.run(command).check().stdout
        assert worker_id in namespace
        seatrial.recorder.note(json.dumps([cluster.name, uid, image.image_id, worker_id]))
"""


def test_workers_share_one_cluster(pytester: pytest.Pytester, engine: Engine, supply: Supply) -> None:
    """One of them makes it, the other joins, and the last to leave removes it; so with an image that both build."""
    base = supply.image("python-3.11").reference
    app = pytester.mkdir("app")
    (app / "Dockerfile").write_text(f"FROM {base}\nRUN echo {uuid4().hex} >/made\n", encoding="utf-8")
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
    assert {worker for *_, worker in seen} == {"gw0", "gw1"}
    assert len({(name, uid, image) for name, uid, image, _ in seen}) == 1
    assert sum("kind create cluster" in step["name"] for step in record["steps"]) == 1
    with closing(engine.client()) as client:
        assert f"seatrial-{record['run_id']}" not in labelled_clusters(client)
        client.images.remove(seen[0][2], force=True)


PROGRAMS = {"kind-bin": "kind", "kind-kubectl-bin": "kubectl"}
