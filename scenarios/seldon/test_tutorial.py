"""The tutorial's way: the image by itself, then operator, gateway and chart, scored through the gateway."""

from __future__ import annotations

from collections.abc import Callable

from harness.access.endpoint import Endpoint
from harness.assembly import Assembly
from harness.commands.helm import Values
from harness.deploy.helm import HelmDeployer
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.seldon import READINESS_PROBE
from harness.deploy.seldon_core import SeldonCore
from harness.engine.engine import Engine
from harness.evidence.write_json import to_document
from harness.gateway.contour import Gateway
from harness.images.container import ContainerSpec, RunningContainer
from harness.images.push import push
from harness.images.reference import ImageRef
from harness.outside.registry import LocalRegistry
from harness.scoring.request import FormBody
from harness.scoring.seldon import SeldonMessage, SeldonPaths, feedback_body
from harness.scoring.seldon_response import SeldonResponse
from harness.site import Site
from harness.supply.resolver import Supply
from scenarios.conftest import PullBack
from scenarios.seldon.conftest import MESSAGE, ROWS, assert_the_tutorials_answer

NAME = "test-ml-seldon-app"


def test_the_image_answers_the_form_and_travels_through_a_registry(
    built_model: ImageRef,
    run_container: Callable[[ContainerSpec], RunningContainer],
    registry: LocalRegistry,
    engine: Engine,
    pull_back: PullBack,
    seatrial: Assembly,
) -> None:
    """`docker run` and curl's ``--data-urlencode json=...``, as in the tutorial; push, pull: the same image."""
    container = run_container(
        ContainerSpec(
            built_model.name,
            name=f"test-seldon-{seatrial.run.run_id}",
            container_port=5000,
            probe_path=SeldonPaths().ping,
        )
    )
    response = seatrial.score(
        Endpoint.from_url(container.url), FormBody({"json": MESSAGE.body}), path=SeldonPaths().predict
    )
    SeldonResponse.of(response).assert_data(ROWS, names=["t:0", "t:1"])

    pulled = pull_back(push(engine, built_model, registry.host_address).reference)
    assert pulled.image_id == built_model.image_id


def test_a_model_of_the_chart_scores_through_the_gateway(
    site: Site,
    helm: HelmDeployer,
    kubectl: KubectlDeployer,
    supply: Supply,
    seldon_core: SeldonCore,
    gateway: Gateway,
    model_image: ImageRef,
    fixed_namespace: Callable[[str], str],
    seatrial: Assembly,
) -> None:
    """Chart seldon-single-model, the gateway's address as the tutorial finds it, every path a model has."""
    fixed_namespace(NAME)
    values = Values(
        inline={"noEngine": seldon_core.no_engine, "model": {"readinessProbe": dict(READINESS_PROBE)}},
        overrides={"model.image": model_image.name},
    )
    release = helm.install(NAME, supply.chart("seldon-single-model").path, namespace=NAME, values=values)
    site.wait_for_route(f"/seldon/{NAME}/{NAME}/")

    (service,) = kubectl.get("service/ambassador", namespace="ambassador")
    (address,) = (one["ip"] for one in service["status"]["loadBalancer"]["ingress"])
    endpoint = Endpoint.from_url(f"http://{address}:80")
    assert endpoint.url == gateway.endpoint.url
    paths = SeldonPaths.through_gateway(NAME, NAME)

    for path in (paths.predictions("v0.1"), paths.predictions("v1.0")):
        response = seatrial.score(endpoint, MESSAGE.body, path=path).assert_status(200)
        assert_the_tutorials_answer(SeldonResponse.of(response), model_image)
        assert response.json()["data"] == {
            "names": ["t:0", "t:1"],
            "tensor": {"shape": [2, 2], "values": [0.0, 0.0, 1.0, 1.0]},
        }

    ndarray = SeldonMessage.ndarray([[0, 0], [1, 1]], names=["a", "b"])
    SeldonResponse.of(seatrial.score(endpoint, ndarray.body, path=paths.predictions())).assert_data(ROWS)
    words = SeldonMessage.str_data("seven")
    SeldonResponse.of(seatrial.score(endpoint, words.body, path=paths.predictions())).assert_str_data("seven")
    anything = SeldonMessage.json_data({"rows": [1, None]})
    SeldonResponse.of(seatrial.score(endpoint, anything.body, path=paths.predictions())).assert_json_data(
        {"rows": [1, None]}
    )
    reward = feedback_body(MESSAGE, MESSAGE, reward=1.0)
    for path in (paths.feedback("v0.1"), paths.feedback("v1.0")):
        SeldonResponse.of(seatrial.score(endpoint, reward, path=path)).assert_success()
    if seldon_core.no_engine:
        _assert_the_models_own_paths(seatrial, endpoint, paths)
    else:
        # The executor answers in the model's place, and has these two instead.
        for path in ("ready", "live"):
            seatrial.score(endpoint, path=f"{paths.prefix}/{path}", method="GET").assert_status(200)

    helm.uninstall(release)
    assert kubectl.get("seldondeployments", namespace=NAME) == ()
    assert kubectl.get("pods", namespace=NAME) == ()


def _assert_the_models_own_paths(seatrial: Assembly, endpoint: Endpoint, paths: SeldonPaths) -> None:
    assert seatrial.score(endpoint, path=paths.ping, method="GET").assert_status(200).text == "pong"
    health = seatrial.score(endpoint, path=paths.health, method="GET").assert_status(200)
    SeldonResponse.of(health).assert_str_data("healthy")
    metadata = seatrial.score(endpoint, path=paths.metadata, method="GET").assert_status(200)
    metadata.assert_content_type("application/json")


def test_the_run_says_what_is_a_stand_in(
    seldon_core: SeldonCore, gateway: Gateway, seatrial: Assembly, supply: Supply
) -> None:
    """Whoever reads run.json learns which part was upstream's own and which stood in for it."""
    assert gateway.endpoint.url
    versions = to_document(seatrial.recorder.evidence())["versions"]
    assert ("stand-in for Ambassador" in versions["gateway"]) is not supply.chart("ambassador").published
    assert ("without executor" in versions["Seldon Core"]) is not seldon_core.published
    assert ("stands in for the published chart" in versions["Seldon Core"]) is not seldon_core.published
    assert seldon_core.version in versions["Seldon Core"]
