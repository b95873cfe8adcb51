"""What goes wrong with models, told by the true reason; and what must not go wrong when Seldon itself is disturbed."""

from __future__ import annotations

from collections.abc import Callable
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
from harness.scoring.request import ScoreRequest
from harness.scoring.seldon import SeldonMessage, SeldonPaths
from harness.scoring.seldon_response import SeldonResponse
from harness.scoring.verdict import ErrorBudget
from harness.wait import wait_until
from scenarios.seldon.conftest import (
    PATIENT,
    ROWS,
    AskModel,
    AskUntil,
    Deploy,
    Traffic,
    assert_the_tutorials_answer,
    image_of,
    is_right,
)


@pytest.fixture
def short_lived(predictor: Predictor) -> Predictor:
    """One replica that ends when it is told to, not the operator's ten seconds later: nobody asks it any more."""
    return replace(predictor, lifecycle={"preStop": {"exec": {"command": ["/bin/true"]}}})


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
    deploy: Deploy, short_lived: Predictor, seatrial: Assembly, changes: dict[str, Any], reason: str, said: str
) -> None:
    """The wait ends before its limit, with Kubernetes' word for it and the model's own last lines."""
    with pytest.raises(RolloutError) as caught:
        deploy("model", replace(short_lived, **changes))
    assert caught.value.reason == reason or (reason, caught.value.reason) == ("ErrImagePull", "ImagePullBackOff")
    assert said in str(caught.value)
    assert float(str(caught.value.facts["waited_s"])) < seatrial.settings.deploy.rollout_timeout_s * 0.9


@pytest.mark.parametrize(
    ("model", "reason", "info"),
    [
        pytest.param("RaisesInPredict", "MICROSERVICE_INTERNAL_ERROR", "never seen such features", id="predict raises"),
        pytest.param("AnswersNothing", "MICROSERVICE_BAD_DATA", "", id="predict returns nonsense"),
    ],
)
def test_a_model_that_cannot_predict(
    deploy: Deploy,
    ask_model: AskModel,
    short_lived: Predictor,
    seldon_core: SeldonCore,
    model: str,
    reason: str,
    info: str,
) -> None:
    """The model's FAILURE is an answer: never asked again, and a test that wants data is told the model's reason."""
    deploy("model", replace(short_lived, env={"MODEL_NAME": f"faulty.{model}"}))
    # The executor may put a code of its own in the place of the model's server's.
    code = -1 if seldon_core.no_engine else None
    answer = ask_model("model").assert_failure(reason=reason, info=info, code=code)
    with pytest.raises(AssertionError, match=reason):
        answer.assert_data(ROWS)


def test_a_model_that_answers_something_else(deploy: Deploy, ask_model: AskModel, short_lived: Predictor) -> None:
    """A success with text where a tensor is due is no success of a test that wants the tensor."""
    deploy("model", replace(short_lived, env={"MODEL_NAME": "faulty.AnswersText"}))
    answer = ask_model("model").assert_success().assert_str_data("forty-two")
    with pytest.raises(AssertionError, match="expected data in the answer, got strData"):
        answer.assert_data(ROWS)


def test_a_tensor_whose_shape_and_values_disagree(
    deploy: Deploy, short_lived: Predictor, gateway: Gateway, seatrial: Assembly, namespace: str
) -> None:
    """It is refused before it is sent; sent as it is, the model says what is wrong with it."""
    with pytest.raises(PayloadError, match="shape"):
        SeldonMessage.tensor([0, 0, 1], shape=[2, 2])

    deploy("model", short_lived)
    broken = {"data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [0, 0, 1]}}}
    path = SeldonPaths.through_gateway(namespace, "model").predictions()
    SeldonResponse.of(seatrial.score(gateway.endpoint, broken, path=path)).assert_failure(
        reason="MICROSERVICE_INTERNAL_ERROR", info="reshape"
    )


def test_the_operator_is_killed_mid_rollout(
    deploy: Deploy,
    seldon: SeldonDeployer,
    seldon_core: SeldonCore,
    kubectl: KubectlDeployer,
    request_to: Callable[[str], ScoreRequest],
    traffic: Traffic,
    ask_until: AskUntil,
    predictor: Predictor,
    model_image: ImageRef,
    next_model_image: ImageRef,
    namespace: str,
) -> None:
    """It dies when it has begun to update a model under traffic: the next one finishes that, and no request is lost."""
    deploy("model", predictor)
    before = _operators(kubectl, seldon_core)
    predictors = (replace(predictor, image=next_model_image),)
    update = SeldonDeployment("model", predictors, no_engine=seldon_core.no_engine, annotations=PATIENT)
    with traffic(request_to("model"), check=is_right, rate_per_s=30, keep_alive=False, variant=image_of) as probe:
        probe.at_least(60)
        with probe.phase("update, and the operator dies"):
            release = seldon.apply(update, namespace=namespace, wait=False)
            wait_until(
                "see the operator begin",
                lambda: kubectl.get("replicasets", namespace=namespace, selector="seldon-deployment-id=model"),
                done=lambda found: len(found) > 1,
                timeout_s=30,
                poll_interval_s=0.05,
            )
            where = ("--namespace", seldon_core.release.namespace)
            kubectl.run("delete", "pods", "--all", "--grace-period=0", "--force", *where).check()
            seldon.wait(release)
        probe.at_least(probe.answered + 60)
    probe.verdict.assert_within(ErrorBudget(max_failed=0, min_requests=120))
    assert set(probe.verdict.variants) == {model_image.name, next_model_image.name}
    assert_the_tutorials_answer(ask_until("model", next_model_image), next_model_image)
    after = _operators(kubectl, seldon_core)
    assert after
    assert before.isdisjoint(after)


def _operators(kubectl: KubectlDeployer, seldon_core: SeldonCore) -> set[str]:
    """The operator's pods, by what makes a pod itself."""
    return {pod["metadata"]["uid"] for pod in kubectl.get("pods", namespace=seldon_core.release.namespace)}
