"""The scoring service, deployed once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

DEPLOY = Path(__file__).parent / "deploy"


@pytest.fixture(scope="session")
def scorer(kind_cluster):
    """The service, rolled out."""
    kind_cluster.load_docker_image("example/test-ml-score-api:latest")
    kind_cluster.kubectl("apply", "-f", str(DEPLOY / "scorer.yaml"))
    kind_cluster.kubectl("rollout", "status", "deployment/scorer", "--timeout=120s")
    return kind_cluster


@pytest.fixture(scope="session")
def scorer_url(scorer):
    """Its address on this host."""
    with scorer.port_forward("service/scorer", 80) as port:
        yield f"http://127.0.0.1:{port}"
