"""Several models behind one gateway: each at its own path, canaries, updates and removals under traffic, gRPC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

from harness.assembly import Assembly
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.seldon import Predictor, SeldonDeployer
from harness.gateway.contour import Gateway
from harness.images.reference import ImageRef
from harness.scoring.grpc import predict_grpc
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.seldon import SeldonPaths
from harness.scoring.verdict import ErrorBudget
from harness.scoring.weights import assert_weights, count_variants
from harness.wait import wait_until
from scenarios.seldon.conftest import (
    MESSAGE,
    ROWS,
    AskModel,
    AskUntil,
    Deploy,
    Traffic,
    assert_the_tutorials_answer,
    image_of,
    is_right,
)

REQUESTS = 400


def _envoys(kubectl: KubectlDeployer, gateway: Gateway) -> set[str]:
    """The gateway's Envoy pods, by what makes a pod itself; those that leave do not count."""
    selector = f"app.kubernetes.io/instance={gateway.release.name},app.kubernetes.io/component=envoy"
    pods = kubectl.get("pods", namespace=gateway.release.namespace, selector=selector)
    return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def test_models_share_a_gateway_and_answer_their_own_path_only(
    deploy: Deploy,
    seldon: SeldonDeployer,
    ask_model: AskModel,
    request_to: Callable[[str], ScoreRequest],
    traffic: Traffic,
    predictor: Predictor,
    next_model_image: ImageRef,
    model_image: ImageRef,
    gateway: Gateway,
    seatrial: Assembly,
    namespace: str,
) -> None:
    """Two models, two answers, and none elsewhere; one removed, its path is nobody's and the other misses nothing."""
    deploy("first", predictor)
    second = deploy("second", replace(predictor, image=next_model_image))
    assert_the_tutorials_answer(ask_model("first"), model_image)
    assert_the_tutorials_answer(ask_model("second"), next_model_image)
    for nobody in (SeldonPaths.through_gateway(namespace, "third"), SeldonPaths.through_gateway("elsewhere", "first")):
        seatrial.score(gateway.endpoint, MESSAGE.body, path=nobody.predictions()).assert_status(404)

    with traffic(request_to("first"), check=is_right, rate_per_s=30, name="the model that stays") as probe:
        probe.at_least(30)
        with probe.phase("remove the other"):
            seldon.delete(second)
        probe.at_least(probe.answered + 30)
    probe.verdict.assert_within(ErrorBudget(max_failed=0, min_requests=60))
    wait_until(
        "see the removed model's path lead nowhere",
        lambda: seatrial.transport.send(request_to("second")),
        done=lambda answer: answer.status == 404,
        timeout_s=30,
        describe=ScoreResponse.summary,
    )


def test_an_update_loses_no_request(
    deploy: Deploy,
    request_to: Callable[[str], ScoreRequest],
    traffic: Traffic,
    ask_until: AskUntil,
    predictor: Predictor,
    model_image: ImageRef,
    next_model_image: ImageRef,
) -> None:
    """A model moves to a new image under steady traffic: every answer is right, and at the end it is the new one's."""
    deploy("model", predictor)
    with traffic(request_to("model"), check=is_right, rate_per_s=30, keep_alive=False, variant=image_of) as probe:
        probe.at_least(60)
        with probe.phase("update"):
            deploy("model", replace(predictor, image=next_model_image))
        probe.at_least(probe.answered + 60)
    probe.verdict.assert_within(ErrorBudget(max_failed=0, min_requests=120))
    assert set(probe.verdict.variants) == {model_image.name, next_model_image.name}
    assert_the_tutorials_answer(ask_until("model", next_model_image), next_model_image)


def test_a_canary_gets_its_share(
    deploy: Deploy,
    ask_model: AskModel,
    predictor: Predictor,
    model_image: ImageRef,
    next_model_image: ImageRef,
) -> None:
    """Of 400 requests a quarter goes to the canary, as far as chance allows: one false alarm in 100,000."""
    main = replace(predictor, name="main", traffic=75)
    canary = Predictor(next_model_image, name="canary", traffic=25)
    deploy("model", main, canary)
    answers = [ask_model("model").assert_data(ROWS) for _ in range(REQUESTS)]
    counts = count_variants(answers, lambda answer: answer.message.request_path["model"])
    assert_weights(counts, {model_image.name: 75, next_model_image.name: 25}, confidence=0.99999)


def test_a_gateway_is_restarted_under_traffic(
    deploy: Deploy,
    request_to: Callable[[str], ScoreRequest],
    traffic: Traffic,
    kubectl: KubectlDeployer,
    gateway: Gateway,
    predictor: Predictor,
) -> None:
    """The data plane is replaced pod by pod, every pod of it, and no request is lost."""
    deploy("model", predictor)
    before = _envoys(kubectl, gateway)
    with traffic(request_to("model"), check=is_right, rate_per_s=30, keep_alive=False) as probe:
        probe.at_least(30)
        with probe.phase("restart"):
            where = gateway.release.namespace
            kubectl.run("rollout", "restart", "deployment/ambassador", "--namespace", where).check()
            kubectl.rollout_status("ambassador", namespace=where)
        probe.at_least(probe.answered + 30)
    probe.verdict.assert_within(ErrorBudget(max_failed=0, min_requests=60))
    after = _envoys(kubectl, gateway)
    assert len(after) == len(before)
    assert before.isdisjoint(after)


def test_grpc_goes_through_the_same_gateway(
    deploy: Deploy, gateway: Gateway, predictor: Predictor, model_image: ImageRef, namespace: str
) -> None:
    """Seldon's Predict call finds its model by metadata, and gives the answer of the other way."""
    deploy("model", predictor)
    answer = predict_grpc(
        f"{urlsplit(gateway.endpoint.url).hostname}:{gateway.endpoint.port}",
        MESSAGE,
        metadata={"seldon": "model", "namespace": namespace},
        timeout_s=20,
    )
    assert_the_tutorials_answer(answer, model_image)
