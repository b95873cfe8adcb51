"""The YAML scenario with pytest-kind."""

import os
import subprocess
from pathlib import Path

import pytest
import requests

IMAGE = "example/test-ml-score-api:dev"


@pytest.fixture(scope="session")
def image():
    base = os.environ["BASE_IMAGE"]
    subprocess.run(["docker", "build", "--build-arg", f"BASE_IMAGE={base}", "--tag", IMAGE, "app"], check=True)
    return IMAGE


@pytest.fixture
def service(kind_cluster, image):
    kind_cluster.load_docker_image(image)
    kind_cluster.kubectl("apply", "-f", "score.yaml")
    try:
        kind_cluster.kubectl("rollout", "status", "deployment/test-ml-score-api", "-n", "test-ml-app", "--timeout=120s")
        yield "service/test-ml-score-lb"
    finally:
        kind_cluster.kubectl("delete", "-f", "score.yaml")


def test_score(kind_cluster, service):
    with kind_cluster.port_forward(service, 5000, "-n", "test-ml-app") as port:
        response = requests.post(f"http://127.0.0.1:{port}/score", json={"X": [1, 2]}, timeout=10)
        Path("answered").touch()  # timed
    assert response.status_code == 200
    assert response.json() == {"score": [1, 2]}
