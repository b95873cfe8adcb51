"""What the Python wrapper of seldon-core answered (answers.json, written by record.py) is read for what it is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness.access.endpoint import Endpoint
from harness.errors import ScoreMismatch
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.seldon import SeldonMessage, SeldonPaths
from harness.scoring.seldon_response import SeldonResponse

RECORDED = json.loads((Path(__file__).parent / "answers.json").read_text(encoding="utf-8"))
IMAGE = {"model": "example/test-ml-score-seldon-api:latest"}


def answer(name: str) -> ScoreResponse:
    """One recorded HTTP answer."""
    recorded = RECORDED["http"][name]
    request = ScoreRequest(Endpoint("http://127.0.0.1:9000"), recorded["path"])
    headers = {"Content-Type": recorded["content_type"]}
    return ScoreResponse(request, recorded["status"], headers, recorded["body"].encode(), 0.01)


@pytest.mark.parametrize("name", ["tensor", "tensor v1.0", "ndarray", "form"])
def test_the_tutorials_prediction(name: str) -> None:
    """Both versions, both forms and the form-encoded request give the tutorial's answer."""
    response = SeldonResponse.of(answer(name).assert_status(200))
    response.assert_data([[0.0, 0.0], [1.0, 1.0]], names=["t:0", "t:1"]).assert_request_path(IMAGE).assert_tags({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ndarray of text", [["a", 1], ["b", None]]),
        ("rank 1", [7, 8, 9]),
        ("rank 3", [[[7, 8]], [[9, 10]]]),
        ("strData", "hello"),
        ("jsonData", {"a": [1, None]}),
        ("binData", b"hello"),
        ("feedback", []),
        ("health", "healthy"),
    ],
)
def test_every_content(name: str, value: Any) -> None:
    """What went in comes out, whatever the form; feedback is answered with empty data."""
    response = SeldonResponse.of(answer(name)).assert_success()
    assert response.message.value == value


def test_tags_and_puid() -> None:
    """Tags of the request and of the model are joined; the puid comes back."""
    response = SeldonResponse.of(answer("tags and puid"))
    response.assert_data([[7]]).assert_tags({"a": 1, "threshold": 0.5, "version": "2"})
    assert response.message.meta["puid"] == "abc"


@pytest.mark.parametrize(
    ("name", "status", "reason", "info"),
    [
        ("shape and values disagree", 500, "MICROSERVICE_INTERNAL_ERROR", "cannot reshape array of size 4"),
        ("broken JSON", 400, "MICROSERVICE_BAD_DATA", "Can't find JSON in data"),
        ("plain payload", 400, "MICROSERVICE_BAD_DATA", "Invalid request data type"),
        ("no such path", 500, "MICROSERVICE_INTERNAL_ERROR", "405 Method Not Allowed"),
        ("predict raises", 500, "MICROSERVICE_INTERNAL_ERROR", "no feature named 'c'"),
        ("predict raises Seldon's own", 422, "OUT_OF_RANGE", "features out of range"),
        ("predict returns nothing", 400, "MICROSERVICE_BAD_DATA", "Unknown data type returned"),
    ],
)
def test_every_failure(name: str, status: int, reason: str, info: str) -> None:
    """The HTTP status varies, the code is always -1, the reason and the exception's text are told."""
    response = SeldonResponse.of(answer(name).assert_status(status))
    response.assert_failure(code=-1, reason=reason, info=info)
    with pytest.raises(ScoreMismatch, match=reason):
        response.assert_data([[1]])


def test_model_that_returns_text_is_found_out() -> None:
    """The wrapper answers 200 with the text: only looking at the content tells."""
    with pytest.raises(ScoreMismatch, match="expected data in the answer, got strData"):
        SeldonResponse.of(answer("predict returns text").assert_status(200)).assert_data([[3]])


def test_model_that_returns_nan_is_found_out() -> None:
    """The wrapper writes numbers that JSON has not; they are no prediction unless expected."""
    response = SeldonResponse.of(answer("predict returns NaN"))
    response.assert_data([[math.nan, math.inf]])
    with pytest.raises(ScoreMismatch, match="expected 1, got NaN"):
        response.assert_data([[1, math.inf]])


def test_what_is_no_message() -> None:
    """Ping is plain text, metadata an object of its own."""
    assert answer("ping").text == "pong"
    answer("metadata").assert_json(
        {
            "custom": {},
            "inputs": [],
            "name": "example/test-ml-score-seldon-api",
            "outputs": [],
            "platform": "",
            "versions": ["latest"],
        }
    )
    with pytest.raises(ScoreMismatch, match="not a Seldon message"):
        SeldonResponse.of(answer("metadata"))


def test_recorded_paths_are_ours() -> None:
    """Each path that the wrapper answered on is one that is offered."""
    paths = SeldonPaths()
    ours = {paths.predictions(), paths.predictions("v1.0"), paths.feedback(), paths.predict, paths.ping}
    ours |= {paths.health, paths.metadata}
    assert {one["path"] for one in RECORDED["http"].values()} - {"/nowhere"} == ours


@pytest.mark.parametrize("name", RECORDED["grpc"])
def test_bytes_are_those_of_the_published_description(name: str) -> None:
    """Our description of the messages writes and reads the very bytes that seldon-core's own does."""
    pytest.importorskip("grpc", reason="grpcio is not installed")
    json_format = pytest.importorskip("google.protobuf.json_format")
    from harness.scoring.grpc import _encoded, _message_class

    recorded = RECORDED["grpc"][name]
    message_class = _message_class()
    assert (
        _encoded(SeldonMessage.from_body(recorded["sent"]), message_class).SerializeToString().hex()
        == (recorded["request"])
    )
    if recorded["code"] == "OK":
        read = message_class.FromString(bytes.fromhex(recorded["answer"]))
        assert SeldonMessage.from_body(json_format.MessageToDict(read)).request_path == IMAGE
        known = message_class.FromString(bytes.fromhex(recorded["answer"]))
        known.DiscardUnknownFields()
        assert known.SerializeToString(deterministic=True) == read.SerializeToString(deterministic=True)
