"""What goes wrong with models, told by the true reason; and what must not go wrong when Seldon itself is disturbed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.assembly import Assembly
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.seldon import Predictor, SeldonDeployer, SeldonDeployment
from harness.deploy.seldon_core import SeldonCore
from harness.errors import PayloadError, RolloutError
from harness.gateway.contour import Gateway
from harness.images.reference import ImageRef
from harness.scoring.seldon import SeldonMessage, SeldonPaths
from harness.scoring.seldon_response import SeldonResponse
from harness.site import Site
from scenarios.seldon.conftest import AskModel, Deploy, assert_the_tutorials_answer


@pytest.mark.parametrize(
    ("changes", "reason", "said"),
    [
        pytest.param(
            {"env": {"MODEL_NAME": "faulty.RaisesAtStart"}},
            "CrashLoopBackOff",
            "the weights are not where they should be",
            id="its class raises in __init__",
        ),
        pytest.param(
            {"env": {"MODEL_NAME": "faulty.EatsMemory"}, "resources": {"limits": {"memory": "160Mi"}}},
            "OOMKilled",
            "memory",
            id="it needs more memory than it may have",
        ),
        pytest.param(
            {"image": "example/no-such-model:latest"}, "ErrImagePull", "no-such-model", id="its image is nowhere"
        ),
    ],
)
def test_a_model_that_never_serves(
    deploy: Deploy, predictor: Predictor, changes: dict[str, Any], reason: str, said: str
) -> None:
    """The wait ends early, with Kubernetes' word for it and the model's own last lines."""
    with pytest.raises(RolloutError) as caught:
        deploy("model", replace(predictor, **changes))
    assert caught.value.reason == reason or (reason, caught.value.reason) == ("ErrImagePull", "ImagePullBackOff")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("model", "reason", "info"),
    [
        pytest.param("RaisesInPredict", "MICROSERVICE_INTERNAL_ERROR", "never seen such features", id="predict raises"),
        pytest.param("AnswersNothing", "MICROSERVICE_BAD_DATA", "", id="predict returns nonsense"),
    ],
)
def test_a_model_that_cannot_predict(
    deploy: Deploy, ask_model: AskModel, predictor: Predictor, model: str, reason: str, info: str
) -> None:
    """The model's FAILURE is an answer: never asked again, and a test that wants data is told the model's reason."""
    deploy("model", replace(predictor, env={"MODEL_NAME": f"faulty.{model}"}))
    answer = ask_model("model").assert_failure(reason=reason, info=info)
    with pytest.raises(AssertionError, match=reason):
        answer.assert_data([[0.0, 0.0], [1.0, 1.0]])


def test_a_tensor_whose_shape_and_values_disagree(
    deploy: Deploy, predictor: Predictor, gateway: Gateway, seatrial: Assembly, namespace: str
) -> None:
    """It is refused before it is sent; sent as it is, the model says what is wrong with it."""
    with pytest.raises(PayloadError, match="shape"):
        SeldonMessage.tensor([0, 0, 1], shape=[2, 2])

    deploy("model", predictor)
    broken = {"data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [0, 0, 1]}}}
    path = SeldonPaths.through_gateway(namespace, "model").predictions()
    SeldonResponse.of(seatrial.score(gateway.endpoint, broken, path=path)).assert_failure(
        reason="MICROSERVICE_INTERNAL_ERROR", info="reshape"
    )


def test_the_operator_is_killed_mid_rollout(
    site: Site,
    seldon: SeldonDeployer,
    seldon_core: SeldonCore,
    kubectl: KubectlDeployer,
    ask_model: AskModel,
    predictor: Predictor,
    model_image: ImageRef,
    namespace: str,
) -> None:
    """A model that was applied when the operator died is served all the same: the next operator goes on."""
    model = SeldonDeployment("model", [predictor], no_engine=seldon_core.no_engine)
    release = seldon.apply(model, namespace=namespace, wait=False)
    kubectl.run(
        *("delete", "pods", "--all", "--grace-period=0", "--force", "--namespace", seldon_core.release.namespace)
    ).check()
    seldon.wait(release)
    site.wait_for_route(f"/seldon/{namespace}/model/")
    assert_the_tutorials_answer(ask_model("model"), model_image)
