"""Seldon's messages: what is sent, what is read, and what is refused on the client's side."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from harness.access.endpoint import Endpoint
from harness.errors import PayloadError
from harness.scoring.payloads import FormBody, PayloadShape
from harness.scoring.request import ScoreRequest
from harness.scoring.seldon import SeldonMessage, SeldonPaths, SeldonPayload, feedback_body

TUTORIAL = {"data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [0, 0, 1, 1]}}}


NO_SIZES: Any = [1.0]


class ArrayLike:
    """Stands for a NumPy array: all that is used of one is ``tolist``."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def tolist(self) -> Any:
        """Return the values as NumPy would."""
        return self._values


@pytest.mark.parametrize(
    ("message", "body"),
    [
        pytest.param(SeldonMessage.tensor([[0, 0], [1, 1]], names=["a", "b"]), TUTORIAL, id="rows become a tensor"),
        pytest.param(
            SeldonMessage.tensor([0, 0, 1, 1], shape=[2, 2], names=("a", "b")), TUTORIAL, id="flat values with a shape"
        ),
        pytest.param(
            SeldonMessage.tensor(ArrayLike([[0, 0], [1, 1]]), names=["a", "b"]),
            TUTORIAL,
            id="an array becomes a tensor",
        ),
        pytest.param(
            SeldonMessage.tensor([1.5, 2]), {"data": {"tensor": {"shape": [2], "values": [1.5, 2]}}}, id="rank 1"
        ),
        pytest.param(
            SeldonMessage.tensor([[[1], [2]], [[3], [4]], [[5], [6]]]),
            {"data": {"tensor": {"shape": [3, 2, 1], "values": [1, 2, 3, 4, 5, 6]}}},
            id="rank 3",
        ),
        pytest.param(
            SeldonMessage.tensor([], shape=[0, 2], names=["a", "b"]),
            {"data": {"names": ["a", "b"], "tensor": {"shape": [0, 2], "values": []}}},
            id="no rows",
        ),
        pytest.param(
            SeldonMessage.ndarray([["a", 1], [None, 2.5]], names=["x", "y"]),
            {"data": {"names": ["x", "y"], "ndarray": [["a", 1], [None, 2.5]]}},
            id="ndarray holds text and null",
        ),
        pytest.param(SeldonMessage.json_data({"a": [1]}), {"jsonData": {"a": [1]}}, id="jsonData"),
        pytest.param(SeldonMessage.str_data("hello"), {"strData": "hello"}, id="strData"),
        pytest.param(SeldonMessage.bin_data(b"hello"), {"binData": "aGVsbG8="}, id="binData is base64"),
        pytest.param(
            SeldonMessage.str_data("x", meta={"puid": "p1", "tags": {"a": 1}}),
            {"strData": "x", "meta": {"puid": "p1", "tags": {"a": 1}}},
            id="meta",
        ),
    ],
)
def test_message_in_its_json_form(message: SeldonMessage, body: Any) -> None:
    """The body is what the documentation of the protocol shows, and reads back as the same message."""
    assert message.body == body
    assert SeldonMessage.from_body(json.loads(json.dumps(body))) == message


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(
            lambda: SeldonMessage.tensor([0, 0, 1], shape=[2, 2]),
            r"\$\.data\.tensor: shape \[2, 2\] holds 4 values, got 3",
            id="fewer values than the shape holds",
        ),
        pytest.param(
            lambda: SeldonMessage.tensor(list(range(7)), shape=[3, 2, 1]), "holds 6 values, got 7", id="more values"
        ),
        pytest.param(
            lambda: SeldonMessage.tensor([[1, 2], [3]]),
            r"\$\.data\.tensor\.values\[1\]: its shape is \[1\], that of the first is \[2\]",
            id="rows of different length",
        ),
        pytest.param(lambda: SeldonMessage.tensor([[1], 2]), r"values\[1\]: expected rows", id="a row and a number"),
        pytest.param(lambda: SeldonMessage.tensor(3), "expected rows of numbers, got 3", id="a number"),
        pytest.param(
            lambda: SeldonMessage.tensor([[1, "x"]]), r"values\[1\]: expected a number, got 'x'", id="text in a tensor"
        ),
        pytest.param(lambda: SeldonMessage.tensor([[True]]), "expected a number, got True", id="a boolean"),
        pytest.param(lambda: SeldonMessage.tensor([[math.nan]]), "nan is not a JSON number", id="NaN"),
        pytest.param(
            lambda: SeldonMessage.tensor([1], shape=[-1, -1]), "expected a list of sizes", id="negative sizes"
        ),
        pytest.param(lambda: SeldonMessage.tensor([1], shape=NO_SIZES), "expected a list of sizes", id="a size of 1.0"),
        pytest.param(
            lambda: SeldonMessage.tensor([[1, 2]], names=["a"]),
            r"\$\.data\.names: 1 names for 2 columns",
            id="a name too few",
        ),
        pytest.param(
            lambda: SeldonMessage.ndarray([[1, 2]], names="abc"), "3 names for 2 columns", id="a name too many"
        ),
        pytest.param(lambda: SeldonMessage.ndarray({"a": 1}), "expected a list of rows", id="ndarray of an object"),
        pytest.param(lambda: SeldonMessage.json_data({1, 2}), r"\$\.jsonData: .* set", id="no JSON"),
    ],
)
def test_what_makes_no_message_is_refused(make: Any, says: str) -> None:
    """Nothing is sent; the error names the path and the reason."""
    with pytest.raises(PayloadError, match=says):
        make()


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        pytest.param({"data": {"tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}}, [[1, 2], [3, 4]], id="tensor"),
        pytest.param(
            {"data": {"tensor": {"shape": [2, 1, 2], "values": [1, 2, 3, 4]}}}, [[[1, 2]], [[3, 4]]], id="deep"
        ),
        pytest.param({"data": {"tensor": {"shape": [0]}}}, [], id="an empty tensor without its values"),
        pytest.param({"data": {"tensor": {}}}, [], id="a tensor without anything"),
        pytest.param({"data": {"tensor": {"shape": [2, 0]}}}, [[], []], id="rows without columns"),
        pytest.param({"data": {"ndarray": [["a", 1]]}}, [["a", 1]], id="ndarray"),
        pytest.param({"data": {}}, [], id="empty data"),
        pytest.param({"strData": "x"}, [], id="no data"),
    ],
)
def test_rows_are_nested_whatever_the_form(body: Any, rows: Any) -> None:
    """Tensor and ndarray of one prediction look alike."""
    assert SeldonMessage.from_body(body).rows == rows


def test_numbers_json_has_not() -> None:
    """NaN and the infinities come as text from components that write protobuf's JSON."""
    values = ["NaN", "Infinity", "-Infinity", 1]
    message = SeldonMessage.from_body({"data": {"tensor": {"shape": [2, 2], "values": values}}})
    (nan, infinity), (minus, one) = message.rows
    assert math.isnan(nan)
    assert (infinity, minus, one) == (math.inf, -math.inf, 1)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param({"score": [1, 2]}, "none of data, jsonData", id="the plain service's answer"),
        pytest.param([1], "expected an object", id="a list"),
        pytest.param({"strData": "x", "data": {"ndarray": []}}, "data and strData exclude", id="two contents"),
        pytest.param({"data": [1]}, r"\$\.data: expected an object", id="data of another type"),
        pytest.param({"strData": 1}, r"\$\.strData: expected text", id="a number for text"),
        pytest.param({"binData": "?"}, r"\$\.binData: expected base64", id="no base64"),
        pytest.param({"binData": 1}, r"\$\.binData: expected base64", id="a number for bytes"),
        pytest.param({"data": {"tensor": [1]}}, r"\$\.data\.tensor: expected an object", id="a list for a tensor"),
        pytest.param({"data": {"tensor": {"shape": [3], "values": [1]}}}, "holds 3 values, got 1", id="a wrong shape"),
        pytest.param({"data": {"tensor": {"shape": [1], "values": ["x"]}}}, "expected a number", id="text in a tensor"),
        pytest.param({"data": {"rows": []}}, "expected a tensor or an ndarray", id="data of no known form"),
    ],
)
def test_what_is_no_message_is_told_by_path(body: Any, says: str) -> None:
    """A body of another shape is not taken for an empty prediction."""
    with pytest.raises(ValueError, match=says):
        SeldonMessage.from_body(body)


@pytest.mark.parametrize("flag", [1, "FAILURE"], ids=["the wrapper's number", "the executor's name"])
def test_status_of_a_failure(flag: Any) -> None:
    """Both spellings are a failure, with its code, reason and sentence."""
    status = SeldonMessage.from_body(
        {"status": {"status": flag, "code": 500, "reason": "MICROSERVICE_INTERNAL_ERROR", "info": "no file"}}
    ).status
    assert status is not None
    assert (status.failed, status.code, status.reason, status.info) == (
        True,
        500,
        "MICROSERVICE_INTERNAL_ERROR",
        "no file",
    )
    assert str(status) == "FAILURE MICROSERVICE_INTERNAL_ERROR (code 500): no file"


@pytest.mark.parametrize("status", [{"code": 200, "status": "SUCCESS"}, {"code": 200}, {"status": 0, "info": "ok"}])
def test_status_of_a_success(status: Any) -> None:
    """A flag that is not there is the default of the protocol: SUCCESS."""
    read = SeldonMessage.from_body({"status": status, "strData": "x"}).status
    assert read is not None
    assert not read.failed


def test_paths() -> None:
    """The same paths directly and behind the gateway's prefix."""
    direct, gateway = SeldonPaths(), SeldonPaths.through_gateway("team-a", "model-1")
    assert (direct.predictions(), direct.predictions("v1.0")) == ("/api/v0.1/predictions", "/api/v1.0/predictions")
    assert gateway.predictions() == "/seldon/team-a/model-1/api/v0.1/predictions"
    assert gateway.feedback("v1.0") == "/seldon/team-a/model-1/api/v1.0/feedback"
    assert [direct.predict, direct.ping, direct.health, direct.metadata] == [
        "/predict",
        "/health/ping",
        "/health/status",
        "/metadata",
    ]


def test_payload_shape_of_seldon() -> None:
    """Code written for any payload shape works with Seldon's, in both forms."""
    shape: PayloadShape = SeldonPayload(names=("a", "b"))
    assert shape.path == "/api/v0.1/predictions"
    assert shape.encode([[0, 0], [1, 1]]) == TUTORIAL
    assert shape.decode(TUTORIAL) == [[0, 0], [1, 1]]
    assert SeldonPayload("ndarray").encode([["x", 1]]) == {"data": {"ndarray": [["x", 1]]}}


@pytest.mark.parametrize("body", [{"strData": "x"}, {"status": {"status": 1, "info": "no file"}}, {"score": [1]}])
def test_payload_shape_finds_rows_or_says_what_came(body: Any) -> None:
    """A message without rows is no row."""
    with pytest.raises(ValueError, match=r"no file|strData|none of data"):
        SeldonPayload().decode(body)


def test_feedback() -> None:
    """Request, response, reward and truth are named as in the protocol; what is not given is left out."""
    asked, answered = SeldonMessage.tensor([[1]]), SeldonMessage.tensor([[2]])
    assert feedback_body(asked, answered, reward=0.5, truth=answered) == {
        "request": asked.body,
        "response": answered.body,
        "truth": answered.body,
        "reward": 0.5,
    }
    assert feedback_body(asked, reward=1) == {"request": asked.body, "reward": 1}


def test_form_is_sent_as_curl_sends_it() -> None:
    """The image test's form: encoded like curl's, shown as the tutorial types it."""
    request = ScoreRequest(Endpoint("http://localhost:5000"), "/predict", FormBody({"json": TUTORIAL, "a b": "c&d=é"}))
    assert request.body is not None
    assert request.body.startswith(b"json=%7B%22data%22%3A+%7B%22names%22")
    assert request.body.endswith(b"&a%20b=c%26d%3D%C3%A9")
    assert request.all_headers() == {"Content-Type": "application/x-www-form-urlencoded"}
    assert request.as_curl() == (
        "curl http://localhost:5000/predict --request POST --header 'Content-Type: application/x-www-form-urlencoded' "
        '--data-urlencode \'json={"data": {"names": ["a", "b"], "tensor": '
        '{"shape": [2, 2], "values": [0, 0, 1, 1]}}}\' '
        "--data-urlencode 'a%20b=c&d=é'"
    )


def test_form_is_sent_again_with_other_limits() -> None:
    """A copy of the request, as readiness makes, carries the same form."""
    request = ScoreRequest(Endpoint("http://h"), "/predict", FormBody({"json": TUTORIAL}))
    assert request.with_timeout(1.0).body == request.body


def test_secrets_in_a_form_do_not_show() -> None:
    """The command masks them, also where they stand inside JSON."""
    request = ScoreRequest(
        Endpoint("http://h"), "/p", FormBody({"json": {"k": 'a"b'}, "t": "pw"}), secrets=('a"b', "pw")
    )
    assert "--data-urlencode 'json={\"k\": \"****\"}' --data-urlencode 't=****'" in request.as_curl()


def test_form_with_what_json_has_not_is_refused() -> None:
    """The path of what cannot be sent is named."""
    with pytest.raises(PayloadError, match=r"\$\.json\.x: nan"):
        FormBody({"json": {"x": math.nan}})
