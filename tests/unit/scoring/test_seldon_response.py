"""What a Seldon model answered: assertions that pass, and failures that say the model's own reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.access.endpoint import Endpoint
from harness.errors import ScoreMismatch
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.seldon import SeldonMessage
from harness.scoring.seldon_response import SeldonResponse

REQUEST = ScoreRequest(Endpoint("http://127.0.0.1:80"), "/api/v0.1/predictions", SeldonMessage.tensor([[0, 1]]).body)
PREDICTION = {
    "data": {"names": ["t:0", "t:1"], "tensor": {"shape": [1, 2], "values": [0.0, 1.0]}},
    "meta": {"requestPath": {"model": "example/m:1"}, "tags": {"version": "2"}},
}
FAILURE = {"status": {"code": -1, "info": "no feature 'c'", "reason": "MICROSERVICE_INTERNAL_ERROR", "status": 1}}


def answer(body: Any, status: int = 200) -> ScoreResponse:
    """An HTTP answer with a JSON body."""
    return ScoreResponse(REQUEST, status, {"Content-Type": "application/json"}, json.dumps(body).encode(), 0.004)


def test_right_prediction_passes_every_assertion() -> None:
    """Data within a tolerance, names, path and tags; the assertions chain."""
    response = SeldonResponse.of(answer(PREDICTION))
    response.assert_success().assert_data([[0, 1 + 1e-9]], names=["t:0", "t:1"]).assert_tags(
        {"version": "2"}
    ).assert_request_path({"model": "example/m:1"})
    assert response.latency_s == 0.004
    assert response.message.request_path == {"model": "example/m:1"}


def test_other_contents() -> None:
    """Text and JSON are compared as such."""
    SeldonResponse.of(answer({"strData": "healthy"})).assert_str_data("healthy")
    SeldonResponse.of(answer({"jsonData": {"a": [1, None]}})).assert_json_data({"a": [1.0, None]})


@pytest.mark.parametrize(
    ("check", "says"),
    [
        pytest.param(
            lambda got: got.assert_data([[0, 2]]), r"\$\[0\]\[1\]: expected 2, got 1\.0 \(tolerance", id="wrong value"
        ),
        pytest.param(lambda got: got.assert_data([[0], [1]]), r"\$: expected 2 items, got 1", id="another shape"),
        pytest.param(
            lambda got: got.assert_data([[0, 1]], names=["a", "t:1"]),
            r'names\[0\]: expected "a", got "t:0"',
            id="names",
        ),
        pytest.param(lambda got: got.assert_str_data("x"), "expected strData in the answer, got data", id="content"),
        pytest.param(
            lambda got: got.assert_request_path({"model": "example/m:2"}),
            r'\$\.model: expected "example/m:2", got "example/m:1"',
            id="another image",
        ),
        pytest.param(lambda got: got.assert_tags({}), r"\$\.version: unexpected", id="a tag nobody expected"),
        pytest.param(lambda got: got.assert_failure(), "expected a failure", id="a success"),
    ],
)
def test_wrong_prediction_is_told_by_path(check: Any, says: str) -> None:
    """The error has what differs, the body and the command that asks again."""
    with pytest.raises(ScoreMismatch, match=says) as caught:
        check(SeldonResponse.of(answer(PREDICTION)))
    assert "body:" in str(caught.value)
    assert "again:  curl http://127.0.0.1:80/api/v0.1/predictions" in str(caught.value)


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(lambda got: got.assert_success(), id="success"),
        pytest.param(lambda got: got.assert_data([[0, 1]]), id="data"),
        pytest.param(lambda got: got.assert_str_data("x"), id="text"),
        pytest.param(lambda got: got.assert_json_data({}), id="JSON"),
        pytest.param(lambda got: got.assert_request_path({}), id="path"),
        pytest.param(lambda got: got.assert_tags({}), id="tags"),
    ],
)
def test_failure_of_the_model_is_the_reason_given(check: Any) -> None:
    """No assertion complains of missing data when the model said why there are none."""
    with pytest.raises(ScoreMismatch, match=r"FAILURE MICROSERVICE_INTERNAL_ERROR \(code -1\): no feature 'c'"):
        check(SeldonResponse.of(answer(FAILURE, 500)))


def test_expected_failure_passes() -> None:
    """Reason, code and a pattern of the sentence may be asked for, each on its own."""
    response = SeldonResponse.of(answer(FAILURE, 500))
    response.assert_failure().assert_failure(reason="MICROSERVICE_INTERNAL_ERROR", code=-1, info="feature '.'")


def test_another_failure_is_told() -> None:
    """All that differs is said at once."""
    with pytest.raises(ScoreMismatch) as caught:
        SeldonResponse.of(answer(FAILURE, 500)).assert_failure(reason="MICROSERVICE_BAD_DATA", code=400, info="shape")
    text = str(caught.value)
    assert "$.status.reason: expected 'MICROSERVICE_BAD_DATA', got 'MICROSERVICE_INTERNAL_ERROR'" in text
    assert "$.status.code: expected 400, got -1" in text
    assert "$.status.info: expected 'shape' in it, got \"no feature 'c'\"" in text


@pytest.mark.parametrize(
    ("response", "says"),
    [
        pytest.param(ScoreResponse(REQUEST, 404, {}, b"", 0.1), "the body is not JSON", id="a gateway without a route"),
        pytest.param(answer({"score": [1]}), "not a Seldon message", id="another service"),
        pytest.param(answer(PREDICTION, 500), "without the status", id="an error with a prediction"),
        pytest.param(
            answer({"data": {"tensor": {"shape": [3], "values": [1]}}}), "shape .3. holds 3 values, got 1", id="broken"
        ),
    ],
)
def test_answer_that_is_no_message(response: ScoreResponse, says: str) -> None:
    """It is a failed assertion, with the status and the body that came."""
    with pytest.raises(ScoreMismatch, match=says) as caught:
        SeldonResponse.of(response)
    assert f"status: {response.status}" in str(caught.value)
