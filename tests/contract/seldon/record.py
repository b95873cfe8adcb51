"""Writes answers.json: what the Python wrapper of seldon-core answers, word for word.

Not run by the tests: seldon-core's requirements exclude ours. In an environment of its own (Python 3.11, setuptools<81,
seldon-core==1.17.1): ``python tests/contract/seldon/record.py``.
"""

# mypy: ignore-errors
# (none of seldon-core is there where types are checked)
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ |= {"PREDICTIVE_UNIT_IMAGE": "example/test-ml-score-seldon-api:latest", "PREDICTIVE_UNIT_ID": "model"}

import grpc  # seldon-core reads the environment when it is imported
import numpy as np
from google.protobuf.json_format import ParseDict
from seldon_core import __version__
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.metrics import SeldonMetrics
from seldon_core.proto import prediction_pb2 as messages
from seldon_core.proto import prediction_pb2_grpc as stubs
from seldon_core.wrapper import get_grpc_server, get_rest_microservice

HERE = Path(__file__).parent
V01, V10 = "/api/v0.1/predictions", "/api/v1.0/predictions"
TUTORIAL = {"data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [0, 0, 1, 1]}}}


class MLScore:
    """The tutorial's model: what goes in comes out."""

    def predict(self, X: Any, features_names: Any) -> Any:  # noqa: N803 - Seldon's name
        """Return the features."""
        return X

    def send_feedback(self, *_: Any, **__: Any) -> list[Any]:
        """Take feedback."""
        return []


class Faulty:
    """Fails in the way its first feature says."""

    def predict(self, X: Any, features_names: Any) -> Any:  # noqa: N803
        """Raise, or return something that is no prediction."""
        kind = int(np.ravel(X)[0])
        if kind == 1:
            raise ValueError("the model has no feature named 'c'")
        if kind == 2:
            raise SeldonMicroserviceException("features out of range", status_code=422, reason="OUT_OF_RANGE")
        return {3: "not a number at all", 4: None, 5: np.array([[np.nan, np.inf]])}.get(kind, X)

    def tags(self) -> dict[str, Any]:
        """Say more about the prediction."""
        return {"version": "2", "threshold": 0.5}


def rows(first: int) -> dict[str, Any]:
    """A message of one number."""
    return {"data": {"tensor": {"shape": [1, 1], "values": [first]}}}


HTTP: dict[str, tuple[type, str, Any]] = {
    "tensor": (MLScore, V01, TUTORIAL),
    "tensor v1.0": (MLScore, V10, TUTORIAL),
    "ndarray": (MLScore, V01, {"data": {"names": ["a", "b"], "ndarray": [[0, 0], [1, 1]]}}),
    "ndarray of text": (MLScore, V01, {"data": {"ndarray": [["a", 1], ["b", None]]}}),
    "rank 1": (MLScore, V01, {"data": {"tensor": {"shape": [3], "values": [7, 8, 9]}}}),
    "rank 3": (MLScore, V01, {"data": {"tensor": {"shape": [2, 1, 2], "values": [7, 8, 9, 10]}}}),
    "strData": (MLScore, V01, {"strData": "hello"}),
    "jsonData": (MLScore, V01, {"jsonData": {"a": [1, None]}}),
    "binData": (MLScore, V01, {"binData": "aGVsbG8="}),
    "form": (MLScore, "/predict", {"form": json.dumps(TUTORIAL)}),
    "feedback": (MLScore, "/api/v0.1/feedback", {"request": TUTORIAL, "response": TUTORIAL, "reward": 1.0}),
    "health": (MLScore, "/health/status", None),
    "ping": (MLScore, "/health/ping", None),
    "metadata": (MLScore, "/metadata", None),
    "shape and values disagree": (MLScore, V01, {"data": {"tensor": {"shape": [2, 3], "values": [0, 0, 1, 1]}}}),
    "broken JSON": (MLScore, V01, '{"data": '),
    "plain payload": (MLScore, V01, {"X": [1]}),
    "no such path": (MLScore, "/nowhere", {}),
    "tags and puid": (Faulty, V01, {"meta": {"puid": "abc", "tags": {"a": 1}}, **rows(7)}),
    "predict raises": (Faulty, V01, rows(1)),
    "predict raises Seldon's own": (Faulty, V01, rows(2)),
    "predict returns text": (Faulty, V01, rows(3)),
    "predict returns nothing": (Faulty, V01, rows(4)),
    "predict returns NaN": (Faulty, V01, rows(5)),
}
GRPC: dict[str, tuple[type, dict[str, Any]]] = {
    "tensor": (MLScore, TUTORIAL),
    "ndarray": (MLScore, {"data": {"names": ["a", "b"], "ndarray": [["x", 1.5], ["y", None]]}}),
    "strData": (MLScore, {"strData": "hello"}),
    "jsonData": (MLScore, {"jsonData": {"a": [1.0, None]}}),
    "binData": (MLScore, {"binData": "aGVsbG8="}),
    "tags and puid": (Faulty, {"meta": {"puid": "abc"}, **rows(7)}),
    "predict raises": (Faulty, rows(1)),
}


def over_http(model: type, path: str, sent: Any) -> dict[str, Any]:
    """Ask the wrapper's web application."""
    client = get_rest_microservice(model(), SeldonMetrics()).test_client()
    if sent is None:
        answer = client.get(path)
    elif isinstance(sent, str):
        answer = client.post(path, data=sent, content_type="application/json")
    elif "form" in sent:
        answer = client.post(path, data={"json": sent["form"]})
    else:
        answer = client.post(path, json=sent)
    text = answer.get_data(as_text=True)
    return {"path": path, "status": answer.status_code, "content_type": answer.content_type, "body": text}


def over_grpc(model: type, sent: dict[str, Any]) -> dict[str, Any]:
    """Ask the wrapper's gRPC server and keep the bytes both ways."""
    server = get_grpc_server(model(), SeldonMetrics())
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    request = ParseDict(sent, messages.SeldonMessage())
    recorded = {"sent": sent, "request": request.SerializeToString().hex()}
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = stubs.SeldonStub(channel).Predict(request, timeout=10)
        return {**recorded, "code": "OK", "answer": answer.SerializeToString().hex()}
    except grpc.RpcError as error:
        return {**recorded, "code": error.code().name, "details": error.details()}
    finally:
        server.stop(None).wait()


if __name__ == "__main__":
    document = {
        "recorded_from": f"seldon-core {__version__}",
        "http": {name: over_http(*case) for name, case in HTTP.items()},
        "grpc": {name: over_grpc(*case) for name, case in GRPC.items()},
    }
    (HERE / "answers.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
