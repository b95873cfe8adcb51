"""The YAML scenario with Seatrial."""

from pathlib import Path

import pytest

IMAGE = "example/test-ml-score-api:dev"


@pytest.fixture(scope="session")
def image(build_image, supply):
    return build_image(Path("app"), name=IMAGE, build_args={"BASE_IMAGE": supply.image("python-3.11").reference})


@pytest.fixture(scope="session")
def loaded(image, load_image):
    return load_image(image)


def test_score(loaded, manifests, turn_with_namespace, port_forward, score):
    namespace = turn_with_namespace("test-ml-app")
    manifests.apply(Path("score.yaml"))
    endpoint = port_forward("service/test-ml-score-lb", namespace=namespace, remote_port=5000)
    response = score(endpoint, {"X": [1, 2]}, path="/score")
    Path("answered").touch()  # timed
    response.assert_status(200).assert_json({"score": [1, 2]})
