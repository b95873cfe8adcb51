"""Predict over gRPC, against a real server on loopback that answers with bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.errors import AccessError, EndpointNotReadyError, PayloadError, ScoreMismatch
from harness.scoring.grpc import predict_grpc
from harness.scoring.seldon import SeldonMessage

TEXT = SeldonMessage.str_data("hello")


@dataclass
class Server:
    """Answers each call with what ``answer`` returns or does."""

    address: str = ""
    answer: Callable[[bytes, Any], bytes] = field(default=lambda sent, context: sent)
    called: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    """Run the server for one test; it sends back what it is sent unless told otherwise."""
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    state = Server()

    class Handler(grpc.GenericRpcHandler):  # type: ignore[name-defined]
        def service(self, details: Any) -> Any:
            state.called.append((details.method, dict(details.invocation_metadata)))
            return grpc.unary_unary_rpc_method_handler(lambda sent, context: state.answer(sent, context))

    serving = grpc.server(futures.ThreadPoolExecutor(2), handlers=(Handler(),))
    state.address = f"127.0.0.1:{serving.add_insecure_port('127.0.0.1:0')}"
    serving.start()
    yield state
    serving.stop(None).wait()


def test_message_and_metadata_arrive(server: Server) -> None:
    """The call has Seldon's name, the gateway's metadata goes with it, and the answer is read like an HTTP one."""
    sent = SeldonMessage.tensor([[0, 0], [1, 1]], names=["a", "b"], meta={"tags": {"x": 1}})
    response = predict_grpc(server.address, sent, metadata={"seldon": "model", "namespace": "team-a"})
    ((method, metadata),) = server.called
    assert method == "/seldon.protos.Seldon/Predict"
    assert (metadata["seldon"], metadata["namespace"]) == ("model", "team-a")
    response.assert_data([[0, 0], [1, 1]], names=["a", "b"]).assert_tags({"x": 1})
    assert response.latency_s > 0


def test_component_can_be_called_itself(server: Server) -> None:
    """A component's own service has another name."""
    predict_grpc(server.address, TEXT, service="Model").assert_str_data("hello")
    assert server.called[0][0] == "/seldon.protos.Model/Predict"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(SeldonMessage.ndarray([["a", 1.5], [None, True]]), id="ndarray"),
        pytest.param(SeldonMessage.json_data({"a": [1.5, None, {"b": "c"}]}), id="jsonData"),
        pytest.param(SeldonMessage.bin_data(b"\0\xff"), id="binData"),
        pytest.param(SeldonMessage.tensor([[[1.5]], [[2.5]]]), id="a tensor of rank 3"),
        pytest.param(SeldonMessage.str_data("é"), id="strData"),
    ],
)
def test_every_content_goes_and_comes(server: Server, message: SeldonMessage) -> None:
    """Nothing is lost between JSON and bytes."""
    assert predict_grpc(server.address, message).message == message


def test_raising_model_is_a_failure_with_its_reason(server: Server) -> None:
    """The word that gRPC has for it, and what the server said, are in the message, with the call to repeat."""
    grpc = pytest.importorskip("grpc")

    def fail(sent: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.UNKNOWN, "Exception calling application: no feature 'c'")
        return b""

    server.answer = fail
    response = predict_grpc(server.address, TEXT, metadata={"seldon": "model"})
    response.assert_failure(reason="UNKNOWN", code=2, info="no feature 'c'")
    with pytest.raises(ScoreMismatch) as caught:
        response.assert_data([[1]])
    text = str(caught.value)
    assert "FAILURE UNKNOWN (code 2): Exception calling application: no feature 'c'" in text
    assert (
        "again:  grpcurl -plaintext -proto prediction.proto -H 'seldon: model' -d '{\"strData\": \"hello\"}' " in text
    )
    assert text.endswith(f"{server.address} seldon.protos.Seldon/Predict")


def test_answer_that_is_no_message(server: Server) -> None:
    """An empty answer is told as such: it is not a prediction."""
    server.answer = lambda sent, context: b""
    with pytest.raises(ScoreMismatch, match="not a Seldon message"):
        predict_grpc(server.address, TEXT)


def test_no_answer_in_time(server: Server) -> None:
    """The time limit is kept, and another attempt may work."""

    def hang(sent: bytes, context: Any) -> bytes:
        while context.is_active():
            context.time_remaining()
        return b""

    server.answer = hang
    with pytest.raises(EndpointNotReadyError, match="DEADLINE_EXCEEDED") as caught:
        predict_grpc(server.address, TEXT, timeout_s=0.3)
    assert caught.value.facts["kind"] == "timeout"


def test_nobody_listens(server: Server) -> None:
    """The error names the call and the address."""
    with pytest.raises(EndpointNotReadyError, match=r"Predict from 127\.0\.0\.1:1\n.*UNAVAILABLE"):
        predict_grpc("127.0.0.1:1", TEXT, timeout_s=5.0)


def test_part_that_cannot_be_sent(server: Server) -> None:
    """TensorFlow's own tensors go over HTTP only; nothing is sent."""
    with pytest.raises(PayloadError, match="tftensor"):
        predict_grpc(server.address, SeldonMessage({"data": {"tftensor": {}}}))
    assert server.called == []


def test_secrets_do_not_show(server: Server) -> None:
    """Metadata may carry a token."""
    response = predict_grpc(server.address, TEXT, metadata={"authorization": "hunter2"}, secrets=("hunter2",))
    with pytest.raises(ScoreMismatch) as caught:
        response.assert_str_data("other")
    assert "hunter2" not in str(caught.value)


def test_grpcio_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not asked for it is told how to."""
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(AccessError, match=r"pip install 'seatrial\[grpc\]'"):
        predict_grpc("127.0.0.1:1", TEXT)
