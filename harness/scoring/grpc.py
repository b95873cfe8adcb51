"""Seldon's Predict call over gRPC.

The published descriptions of Seldon's messages come with seldon-core, whose requirements (protobuf below 4, NumPy below
2, Flask 2.2) cannot be those of a test environment. A call needs the few messages of prediction.proto below; they are
described here by the numbers of their fields, checked against seldon-core 1.17.1. ``tftensor`` and ``customData`` are
left out: they need TensorFlow's messages and the sender's own.

grpcio and protobuf are wanted by this module only: ``pip install 'seatrial[grpc]'``.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, Literal

from harness.errors import AccessError, EndpointNotReadyError, PayloadError, ScoreMismatch
from harness.process.redact import redact
from harness.scoring.payloads import to_json_text
from harness.scoring.request import DEFAULT_TIMEOUT_S
from harness.scoring.seldon import SeldonMessage
from harness.scoring.seldon_response import SeldonResponse

Service = Literal["Seldon", "Model"]

_PACKAGE = "seldon.protos"
_STRUCT = ".google.protobuf."

# Name -> (number, type) of each field; a name in brackets is repeated, one in braces a map from text.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "SeldonMessage": {
        "status": (1, "Status"),
        "meta": (2, "Meta"),
        "data": (3, "DefaultData"),
        "binData": (4, "bytes"),
        "strData": (5, "string"),
        "jsonData": (6, _STRUCT + "Value"),
    },
    "DefaultData": {"names": (1, "[string]"), "tensor": (2, "Tensor"), "ndarray": (3, _STRUCT + "ListValue")},
    "Tensor": {"shape": (1, "[int32]"), "values": (2, "[double]")},
    "Meta": {
        "puid": (1, "string"),
        "tags": (2, "{" + _STRUCT + "Value}"),
        "routing": (3, "{int32}"),
        "requestPath": (4, "{string}"),
        "metrics": (5, "[Metric]"),
    },
    "Metric": {"key": (1, "string"), "type": (2, "MetricType"), "value": (3, "float"), "tags": (4, "{string}")},
    "Status": {"code": (1, "int32"), "info": (2, "string"), "reason": (3, "string"), "status": (4, "StatusFlag")},
}
# Of the fields of one message at most one of these is set.
_EXCLUSIVE: Mapping[str, tuple[str, ...]] = {
    "SeldonMessage": ("data", "binData", "strData", "jsonData"),
    "DefaultData": ("tensor", "ndarray"),
}
_ENUMS: Mapping[str, tuple[str, ...]] = {
    "MetricType": ("COUNTER", "GAUGE", "TIMER"),
    "StatusFlag": ("SUCCESS", "FAILURE"),
}

# No answer came, and another attempt may bring one (grpc.io, "Status codes and their use in gRPC").
_NO_ANSWER = {"UNAVAILABLE": "no answer", "DEADLINE_EXCEEDED": "timeout"}


@dataclass(frozen=True)
class GrpcReply:
    """How a message came back over gRPC.

    Args:
        address: host and port that were called.
        method: the call, e.g. ``/seldon.protos.Seldon/Predict``.
        sent: what was asked.
        metadata: what went with it.
        code: the call's status, e.g. ``OK`` or ``UNKNOWN``.
        text: what came, as text.
        latency_s: seconds from the call to its end.
        secrets: values masked in messages.
    """

    address: str
    method: str
    sent: SeldonMessage
    metadata: Mapping[str, str]
    code: str
    text: str
    latency_s: float
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def mismatch(self, what: str, details: str = "") -> ScoreMismatch:
        """See :meth:`harness.scoring.seldon_response.Reply.mismatch`."""
        indented = "\n".join(f"  {line}" for line in details.splitlines())
        parts = [what, *([indented] if indented else []), f"status: {self.code} after {self.latency_s:.3f} s"]
        parts += [f"body:   {self.text}", f"again:  {self.as_grpcurl()}"]
        return ScoreMismatch(redact("\n".join(parts), self.secrets))

    def as_grpcurl(self) -> str:
        """Return a grpcurl command that makes the same call, given Seldon's prediction.proto; secrets masked."""
        headers = [word for name, value in self.metadata.items() for word in ("-H", shlex.quote(f"{name}: {value}"))]
        words = ["grpcurl", "-plaintext", "-proto", "prediction.proto", *headers]
        words += ["-d", shlex.quote(to_json_text(self.sent.body)), self.address, self.method.lstrip("/")]
        return redact(" ".join(words), self.secrets)


def predict_grpc(
    address: str,
    payload: SeldonMessage,
    *,
    metadata: Mapping[str, str] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    service: Service = "Seldon",
    secrets: tuple[str, ...] = (),
) -> SeldonResponse:
    """Call Predict once, without TLS, and return the answer.

    A call that the server ended with an error is an answer too: a FAILURE whose reason is gRPC's word for the status
    (``UNKNOWN`` is what a raising model gives), whose code is its number and whose info is what the server said.

    Args:
        address: host and port, e.g. ``127.0.0.1:9500``.
        payload: what is asked.
        metadata: what goes with the call; a gateway finds the model by ``{"seldon": NAME, "namespace": NAMESPACE}``.
        timeout_s: seconds from connecting to the answer.
        service: whose Predict it is: ``Seldon`` is that of a deployment, ``Model`` that of one component.
        secrets: values masked in messages.

    Raises:
        EndpointNotReadyError: no answer came; another attempt may work.
        AccessError: grpcio is not installed.
        PayloadError: the message has a part that these messages have not (``tftensor``, ``customData``).
    """
    grpc = _library("grpc")
    message_class = _message_class()
    method = f"/{_PACKAGE}.{service}/Predict"
    sent = _encoded(payload, message_class)
    began = time.perf_counter()
    channel = grpc.insecure_channel(
        address,
        # As of scoring over HTTP: a proxy named in the environment knows nothing of loopback and cluster addresses.
        options=(("grpc.enable_http_proxy", 0),),
    )
    code, text = "OK", ""
    try:
        call = channel.unary_unary(
            method, request_serializer=message_class.SerializeToString, response_deserializer=message_class.FromString
        )
        answer = call(sent, timeout=timeout_s, metadata=tuple((metadata or {}).items()))
        body = _library("google.protobuf.json_format").MessageToDict(answer)
        text = to_json_text(body)
    except grpc.RpcError as error:
        code, text = error.code().name, error.details() or ""
        if code in _NO_ANSWER:
            raise EndpointNotReadyError(
                f"get an answer to {method} from {address}",
                seen=redact(f"{code}: {text}", secrets),
                hint="see whether the model's pods are ready and serve gRPC on that port",
                elapsed_s=time.perf_counter() - began,
                kind=_NO_ANSWER[code],
            ) from error
        body = {"status": {"status": "FAILURE", "code": error.code().value[0], "reason": code, "info": text}}
    finally:
        channel.close()
    reply = GrpcReply(
        address, method, payload, dict(metadata or {}), code, text, time.perf_counter() - began, secrets=secrets
    )
    try:
        return SeldonResponse(SeldonMessage.from_body(body), reply)
    except ValueError as error:
        raise reply.mismatch("the answer is not a Seldon message", str(error)) from error


def _encoded(payload: SeldonMessage, message_class: Any) -> Any:
    json_format = _library("google.protobuf.json_format")
    try:
        return json_format.ParseDict(dict(payload.body), message_class())
    except json_format.ParseError as error:
        raise PayloadError(
            "make a gRPC message of a Seldon message",
            seen=str(error),
            hint="send data, jsonData, strData or binData; tftensor and customData go over HTTP",
        ) from error


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise AccessError(
            "call a model over gRPC",
            seen=f"{error}",
            hint="install what it needs beside Seatrial: pip install 'seatrial[grpc]'",
        ) from error


@cache
def _message_class() -> Any:
    """Return the class of SeldonMessage, made from the table above.

    Its pool is its own: where seldon-core is imported, too, protobuf would refuse a second description of its messages.
    """
    descriptor_pb2 = _library("google.protobuf.descriptor_pb2")
    struct_pb2 = _library("google.protobuf.struct_pb2")
    pool = _library("google.protobuf.descriptor_pool").DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(
        name="seatrial/prediction.proto", package=_PACKAGE, syntax="proto3", dependency=[struct_pb2.DESCRIPTOR.name]
    )
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        exclusive = _EXCLUSIVE.get(name, ())
        if exclusive:
            message.oneof_decl.add(name="data_oneof")
        for field_name, (number, kind) in fields.items():
            described = _add_field(message, field_name, number, kind)
            if field_name in exclusive:
                described.oneof_index = 0
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindMessageTypeByName(f"{_PACKAGE}.SeldonMessage")
    return _library("google.protobuf.message_factory").GetMessageClass(found)


def _add_field(message: Any, name: str, number: int, kind: str) -> Any:
    """Describe one field of a message; a map is a repeated message of keys and values (protobuf language guide)."""
    described = message.field.add(name=name, json_name=name, number=number)
    described.label = described.LABEL_REPEATED if kind[0] in "[{" else described.LABEL_OPTIONAL
    if kind[0] == "{":
        entry_name = f"{name[0].upper()}{name[1:]}Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, kind.strip("{}"))
        described.type, described.type_name = described.TYPE_MESSAGE, f".{_PACKAGE}.{message.name}.{entry_name}"
        return described
    plain = kind.strip("[]")
    if plain in _ENUMS:
        described.type, described.type_name = described.TYPE_ENUM, f".{_PACKAGE}.{plain}"
    elif plain in _MESSAGES or plain.startswith(_STRUCT):
        described.type = described.TYPE_MESSAGE
        described.type_name = plain if plain.startswith(".") else f".{_PACKAGE}.{plain}"
    else:
        described.type = getattr(described, f"TYPE_{plain.upper()}")
    return described
