"""What the Seldon stories share: the tutorial's model and request, and the one answer it must get."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from harness.assembly import Assembly
from harness.deploy.release import Release
from harness.deploy.seldon import Predictor, SeldonDeployer, SeldonDeployment
from harness.deploy.seldon_core import SeldonCore
from harness.gateway.contour import Gateway
from harness.images.reference import ImageRef
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.seldon import SeldonMessage, SeldonPaths
from harness.scoring.seldon_response import SeldonResponse
from harness.scoring.traffic import TrafficProbe
from harness.site import Site
from harness.supply.resolver import Supply
from harness.wait import wait_until

APP = Path(__file__).parents[2] / "fixtures" / "apps" / "seldon-ml-score-component"
MESSAGE = SeldonMessage.tensor([[0, 0], [1, 1]], names=["a", "b"])
ROWS = [[0.0, 0.0], [1.0, 1.0]]

# The oldest Kubernetes that these stories were run on. On an older one the operator's HorizontalPodAutoscalers
# (autoscaling/v2, from 1.23) and its webhook's conditions (from 1.28) are missing.
OLDEST = (1, 33)

# Traffic on a machine that may be busy: the operator gives the gateway three seconds otherwise.
PATIENT = {"seldon.io/rest-timeout": "10000"}

Deploy = Callable[..., Release]
AskModel = Callable[[str], SeldonResponse]
AskUntil = Callable[[str, ImageRef], SeldonResponse]
Traffic = Callable[..., AbstractContextManager[TrafficProbe]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Install and take away before the others: theirs stays until the run ends, and a cluster has one at a time."""
    items.sort(key=lambda item: item.path != Path(__file__).parent / "test_installation.py")


@pytest.fixture(scope="session", autouse=True)
def kubernetes_that_will_do(kubernetes_version: str) -> None:
    """Leave these stories out where Seldon's operator has not been tried."""
    if tuple(int(part) for part in kubernetes_version.split(".")) < OLDEST:
        pytest.skip(f"Seldon's stories need Kubernetes 1.33 or later; this is {kubernetes_version}")


def assert_the_tutorials_answer(answer: SeldonResponse, image: ImageRef | str) -> SeldonResponse:
    """Hold an answer to the tutorial's: the rows that were asked, under new names, from this image."""
    name = image.name if isinstance(image, ImageRef) else image
    return answer.assert_data(ROWS, names=["t:0", "t:1"]).assert_request_path({"model": name})


def is_right(response: ScoreResponse) -> None:
    """Hold an answer under traffic to the rows that were asked."""
    SeldonResponse.of(response.assert_status(200)).assert_data(ROWS)


def image_of(response: ScoreResponse) -> str:
    """Return which image answered."""
    return SeldonResponse.of(response).message.request_path["model"]


@pytest.fixture(scope="session")
def gateway(seldon_core: SeldonCore, gateway: Gateway) -> Gateway:
    """The run's gateway, after the operator: who takes both locks always takes them in this order."""
    del seldon_core
    return gateway


@pytest.fixture(scope="session")
def built_model(build_image: Callable[..., ImageRef], supply: Supply) -> ImageRef:
    """The tutorial's model, built from fixtures/apps."""
    base = supply.image("python-3.11").reference
    return build_image(APP, name="example/test-ml-score-seldon-api:latest", build_args={"BASE_IMAGE": base})


@pytest.fixture(scope="session")
def model_image(built_model: ImageRef, load_image: Callable[[ImageRef], ImageRef]) -> ImageRef:
    """The same, usable in the cluster."""
    return load_image(built_model)


@pytest.fixture(scope="session")
def next_model_image(
    built_model: ImageRef,
    build_image: Callable[..., ImageRef],
    load_image: Callable[[ImageRef], ImageRef],
    tmp_path_factory: pytest.TempPathFactory,
) -> ImageRef:
    """The model's next version: the same answers, from another image, which ``meta.requestPath`` names."""
    directory = tmp_path_factory.mktemp("next")
    (directory / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nENV MODEL_VERSION=2\n")
    name = "example/test-ml-score-seldon-api:2"
    return load_image(build_image(directory, name=name, build_args={"BASE_IMAGE": built_model.image_id}))


@pytest.fixture
def predictor(model_image: ImageRef) -> Predictor:
    """One replica of the model, with a share of the processor: without one a busy node has none left for it."""
    return Predictor(model_image, resources={"requests": {"cpu": "50m"}})


@pytest.fixture
def deploy(seldon: SeldonDeployer, seldon_core: SeldonCore, gateway: Gateway, site: Site, namespace: str) -> Deploy:
    """Deploy predictors under a name in the test's namespace and return once the gateway leads to them."""
    del gateway  # it has to be there to lead

    def deploy(name: str, *predictors: Predictor) -> Release:
        model = SeldonDeployment(name, predictors, no_engine=seldon_core.no_engine, annotations=PATIENT)
        release = seldon.apply(model, namespace=namespace)
        site.wait_for_route(f"/seldon/{namespace}/{name}/")
        return release

    return deploy


@pytest.fixture
def request_to(gateway: Gateway, namespace: str) -> Callable[[str], ScoreRequest]:
    """The tutorial's request to a model of the test's namespace, through the gateway."""

    def request(name: str) -> ScoreRequest:
        path = SeldonPaths.through_gateway(namespace, name).predictions()
        return ScoreRequest(gateway.endpoint, path=path, payload=MESSAGE.body, timeout_s=10.0)

    return request


@pytest.fixture
def ask_model(seatrial: Assembly, gateway: Gateway, namespace: str) -> AskModel:
    """Ask a model of the test's namespace what the tutorial asks, through the gateway."""

    def ask(name: str) -> SeldonResponse:
        path = SeldonPaths.through_gateway(namespace, name).predictions()
        return SeldonResponse.of(seatrial.score(gateway.endpoint, MESSAGE.body, path=path))

    return ask


@pytest.fixture
def ask_until(ask_model: AskModel) -> AskUntil:
    """The same, until an image answers: a pod that is told to go answers until the gateway has heard of that."""

    def ask(name: str, image: ImageRef) -> SeldonResponse:
        return wait_until(
            f"see {image.name} answer",
            lambda: ask_model(name),
            done=lambda answer: answer.message.request_path.get("model") == image.name,
            timeout_s=30,
            describe=lambda answer: str(answer.message.request_path),
        )

    return ask
