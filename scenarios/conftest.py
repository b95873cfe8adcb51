"""What every route shares: the tutorial's request, and the one answer all of them must give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from harness.access.endpoint import Endpoint
from harness.assembly import Assembly
from harness.cluster.provider import ClusterHandle, ClusterSpec
from harness.engine.engine import Engine
from harness.images.push import pull
from harness.images.reference import ImageRef
from harness.scoring.response import ScoreResponse
from harness.site import Site

Ask = Callable[[Endpoint], ScoreResponse]
PullBack = Callable[[str], ImageRef]


@pytest.fixture(scope="session")
def ask(seatrial: Assembly) -> Ask:
    """Send the tutorial's request and hold the answer to the tutorial's: the same whatever the way it came."""

    def ask(endpoint: Endpoint) -> ScoreResponse:
        response = seatrial.score(endpoint, {"X": [1, 2]}, path="/score")
        return response.assert_status(200).assert_content_type("application/json").assert_json({"score": [1, 2]})

    return ask


@pytest.fixture
def pull_back(engine: Engine) -> Iterator[PullBack]:
    """`docker pull` from a registry that ends with the run: the name that holds its port goes with the test."""
    pulled: list[ImageRef] = []

    def pull_back(reference: str) -> ImageRef:
        pulled.append(pull(engine, reference))
        return pulled[-1]

    yield pull_back
    with closing(engine.client()) as client:
        for image in pulled:
            client.images.remove(image.name, noprune=True)


@pytest.fixture(scope="session")
def three_nodes(
    seatrial: Assembly, make_cluster: Callable[..., ClusterHandle], site_at: Callable[[ClusterHandle], Site]
) -> Site:
    """The cluster elsewhere: a control plane and two workers, as the tutorial's has three nodes, and a balancer."""
    spec = ClusterSpec.of_size(seatrial.settings.cluster.kubernetes, workers=2)
    handle = make_cluster(spec, suffix="-three")
    # A cloud has its balancer from the start; here it comes when first asked for, and who takes the cluster for an
    # existing one does not ask.
    seatrial.load_balancer.ensure(handle)
    return site_at(handle)


@pytest.fixture(scope="session")
def image_elsewhere(three_nodes: Site, built_image: ImageRef) -> ImageRef:
    """The scoring service's image, usable in the cluster elsewhere."""
    return three_nodes.load_image(built_image)
