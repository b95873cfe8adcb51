"""Seldon's messages, and where a model of Seldon Core v1 takes them.

Checked against prediction.proto and the Python wrapper of seldon-core 1.17.1.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from harness.errors import PayloadError
from harness.scoring.json_path import ROOT, child
from harness.scoring.payloads import JsonValue, to_json_value

Version = Literal["v0.1", "v1.0"]
TensorForm = Literal["tensor", "ndarray"]
Content = Literal["data", "jsonData", "strData", "binData"]

_CONTENTS: tuple[Content, ...] = get_args(Content)

# How JSON of protobuf messages writes numbers that JSON has not (protobuf documentation, "ProtoJSON Format").
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


@dataclass(frozen=True)
class SeldonPaths:
    """The paths of one Seldon model.

    Args:
        prefix: what stands before them: nothing where the model is reached directly.

    >>> SeldonPaths.through_gateway("test-ml-seldon-app", "test-ml-seldon-app").predictions()
    '/seldon/test-ml-seldon-app/test-ml-seldon-app/api/v0.1/predictions'
    """

    prefix: str = ""

    @classmethod
    def through_gateway(cls, namespace: str, name: str) -> SeldonPaths:
        """Return the paths as the gateway routes them.

        Args:
            namespace: the SeldonDeployment's namespace.
            name: the SeldonDeployment's name.
        """
        return cls(f"/seldon/{namespace}/{name}")

    def predictions(self, version: Version = "v0.1") -> str:
        """Where predictions are asked for; both versions take and give the same messages."""
        return f"{self.prefix}/api/{version}/predictions"

    def feedback(self, version: Version = "v0.1") -> str:
        """Where feedback is given."""
        return f"{self.prefix}/api/{version}/feedback"

    @property
    def predict(self) -> str:
        """The wrapper's own path: it also takes a form with the message in its field ``json``."""
        return f"{self.prefix}/predict"

    @property
    def ping(self) -> str:
        """Answers ``pong`` as plain text (GET)."""
        return f"{self.prefix}/health/ping"

    @property
    def health(self) -> str:
        """Answers a message, ``strData`` is ``healthy`` unless the model says otherwise (GET)."""
        return f"{self.prefix}/health/status"

    @property
    def metadata(self) -> str:
        """Answers the model's name, versions, inputs and outputs (GET); it is not a message."""
        return f"{self.prefix}/metadata"


@dataclass(frozen=True)
class SeldonStatus:
    """What a Seldon component says about a request.

    Args:
        failed: whether it is a FAILURE.
        code: the component's own code; the Python wrapper always says -1, the executor an HTTP status.
        reason: one word, e.g. ``MICROSERVICE_BAD_DATA``.
        info: a sentence, e.g. the exception's text.
    """

    failed: bool
    code: int = 0
    reason: str = ""
    info: str = ""

    def __str__(self) -> str:
        words = ["FAILURE" if self.failed else "SUCCESS", self.reason, f"(code {self.code})"]
        return " ".join(word for word in words if word) + (f": {self.info}" if self.info else "")


@dataclass(frozen=True)
class SeldonMessage:
    """One message to or from a Seldon model: a ``SeldonMessage`` of prediction.proto in its JSON form.

    Args:
        body: the JSON value; give it to :class:`~harness.scoring.request.ScoreRequest` as its payload.

    >>> SeldonMessage.tensor([[0, 0], [1, 1]], names=["a", "b"]).body
    {'data': {'names': ['a', 'b'], 'tensor': {'shape': [2, 2], 'values': [0, 0, 1, 1]}}}
    """

    body: Mapping[str, Any]

    @classmethod
    def tensor(
        cls,
        values: Any,
        *,
        shape: Sequence[int] | None = None,
        names: Iterable[str] = (),
        meta: Mapping[str, Any] | None = None,
    ) -> SeldonMessage:
        """Return a message with a tensor: its shape, and its numbers in one row-major list.

        Args:
            values: nested rows of numbers, ``[[0, 0], [1, 1]]`` (any rank, or an array), whose shape is seen from them;
                with `shape`, a flat list.
            shape: ``[n_rows, n_cols]`` or of any other rank; its product is the number of values.
            names: name of each column, of length n_cols, or none.
            meta: metadata to send, e.g. ``{"puid": ..., "tags": {...}}``.

        Raises:
            PayloadError: shape and values disagree, rows differ in length, or a value is not a finite number.
        """
        plain = to_json_value(values, path="$.data.tensor.values")
        if shape is None:
            shape, flat = _shape_and_values(plain)
        else:
            shape, flat = to_json_value(shape), plain
        tensor = {"shape": shape, "values": flat}
        return cls(_with_meta({"data": _named(names, {"tensor": tensor}, check=_refuse)}, meta))

    @classmethod
    def ndarray(cls, rows: Any, *, names: Iterable[str] = (), meta: Mapping[str, Any] | None = None) -> SeldonMessage:
        """Return a message with nested rows as they are; unlike a tensor's, they may hold text and ``None``.

        Args:
            rows: usually of shape ``(n_rows, n_cols)``.
            names: name of each column, of length n_cols, or none.
            meta: metadata to send.

        Raises:
            PayloadError: it is no list, or names and columns differ in number.
        """
        plain = to_json_value(rows, path="$.data.ndarray")
        return cls(_with_meta({"data": _named(names, {"ndarray": plain}, check=_refuse)}, meta))

    @classmethod
    def json_data(cls, value: Any, *, meta: Mapping[str, Any] | None = None) -> SeldonMessage:
        """Return a message with any JSON value."""
        return cls(_with_meta({"jsonData": to_json_value(value, path="$.jsonData")}, meta))

    @classmethod
    def str_data(cls, text: str, *, meta: Mapping[str, Any] | None = None) -> SeldonMessage:
        """Return a message with a text."""
        return cls(_with_meta({"strData": text}, meta))

    @classmethod
    def bin_data(cls, data: bytes, *, meta: Mapping[str, Any] | None = None) -> SeldonMessage:
        """Return a message with bytes; JSON carries them in base64."""
        return cls(_with_meta({"binData": base64.b64encode(data).decode("ascii")}, meta))

    @classmethod
    def from_body(cls, body: JsonValue) -> SeldonMessage:
        """Return the message in a parsed JSON body.

        Raises:
            ValueError: it is not a Seldon message; the text names the path of what is wrong.
        """
        if not isinstance(body, Mapping):
            raise ValueError(f"{ROOT}: expected an object with one of {', '.join(_CONTENTS)} or status, got {body!r}")  # noqa: TRY004 - the answer is wrong, not the call
        held = [name for name in _CONTENTS if name in body]
        if len(held) > 1:
            raise ValueError(f"{ROOT}: {' and '.join(held)} exclude each other")
        if not held and not isinstance(body.get("status"), Mapping) and not isinstance(body.get("meta"), Mapping):
            raise ValueError(f"{ROOT}: none of {', '.join(_CONTENTS)}, status or meta is in it")
        for name in ("status", "meta", "data"):
            if name in body and not isinstance(body[name], Mapping):
                raise ValueError(f"{child(ROOT, name)}: expected an object, got {body[name]!r}")
        if "data" in body:
            _check_data(body["data"], _raise_value_error)
        if "strData" in body and not isinstance(body["strData"], str):
            raise ValueError(f"$.strData: expected text, got {body['strData']!r}")
        if "binData" in body:
            _decoded(body["binData"])
        return cls(body)

    @property
    def content(self) -> Content | None:
        """Which of the forms it holds; ``None`` for a message of status and meta only."""
        return next((name for name in _CONTENTS if name in self.body), None)

    @property
    def value(self) -> Any:
        """What it holds: nested rows of a tensor or an ndarray, a JSON value, a text, bytes; ``None`` for nothing."""
        content = self.content
        if content == "data":
            return self.rows
        if content == "binData":
            return _decoded(self.body["binData"])
        return None if content is None else self.body[content]

    @property
    def rows(self) -> list[Any]:
        """The rows of its ``data``, nested as its shape says: tensor and ndarray look alike; empty without data."""
        data = self._part("data")
        if "tensor" not in data:
            return list(data.get("ndarray", []))
        # The wrapper leaves empty lists away, as JSON of protobuf messages does.
        values = [float(value) if value in _NOT_FINITE else value for value in data["tensor"].get("values", [])]
        return _nested(values, data["tensor"].get("shape", [len(values)]))

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self._part("data").get("names", []))

    @property
    def meta(self) -> Mapping[str, Any]:
        """Its metadata."""
        return self._part("meta")

    @property
    def request_path(self) -> dict[str, str]:
        """What the request went through: name of each component -> its image."""
        return dict(self.meta.get("requestPath", {}))

    @property
    def tags(self) -> dict[str, Any]:
        """What the components said about the prediction."""
        return dict(self.meta.get("tags", {}))

    @property
    def status(self) -> SeldonStatus | None:
        """What the component said about the request; most successes come without."""
        status = self._part("status")
        if not status:
            return None
        # The wrapper writes the flag's number, the executor its name; a missing one is SUCCESS, as in protobuf.
        failed = status.get("status", 0) in (1, "1", "FAILURE")
        return SeldonStatus(
            failed, int(status.get("code", 0)), str(status.get("reason", "")), str(status.get("info", ""))
        )

    def _part(self, name: str) -> Mapping[str, Any]:
        part: Mapping[str, Any] = self.body.get(name, {})
        return part


@dataclass(frozen=True)
class SeldonPayload:
    """Rows of features in, rows of scores out: Seldon's :class:`~harness.scoring.payloads.PayloadShape`.

    Args:
        form: how the rows travel.
        names: name of each column, of length n_cols, or none.
        path: where the model takes them, e.g. ``SeldonPaths.through_gateway(namespace, name).predictions()``.
    """

    form: TensorForm = "tensor"
    names: tuple[str, ...] = ()
    path: str = SeldonPaths().predictions()

    def encode(self, features: Any) -> JsonValue:
        """Return the message's body for `features`, of shape ``(n_rows, n_cols)`` or of any other rank."""
        make = SeldonMessage.tensor if self.form == "tensor" else SeldonMessage.ndarray
        return dict(make(features, names=self.names).body)

    def decode(self, body: JsonValue) -> list[Any]:
        """Return the rows in a response body.

        Raises:
            ValueError: it is no message with data; what the component said of a failure is in the text.
        """
        message = SeldonMessage.from_body(body)
        if message.content != "data":
            raise ValueError(f"expected rows of data, got {message.status or message.body!r}")
        return message.rows


def feedback_body(
    request: SeldonMessage,
    response: SeldonMessage | None = None,
    *,
    reward: float,
    truth: SeldonMessage | None = None,
) -> JsonValue:
    """Return the body of a feedback request.

    Args:
        request: what was asked.
        response: what was answered; its meta.routing tells the graph which way to send the feedback.
        reward: how good the answer was; components add it up.
        truth: what would have been right.
    """
    parts = {"request": request, "response": response, "truth": truth}
    bodies = {name: dict(message.body) for name, message in parts.items() if message is not None}
    return {**bodies, "reward": to_json_value(reward, path="$.reward")}


def _refuse(path: str, why: str) -> None:
    raise PayloadError(
        "make a Seldon message",
        seen=f"{path}: {why}",
        hint="give nested rows of one length, or a flat list with its shape [n_rows, n_cols]; "
        "to test a model with a broken message, give the body itself as the payload",
    )


def _raise_value_error(path: str, why: str) -> None:
    raise ValueError(f"{path}: {why}")


def _with_meta(body: dict[str, Any], meta: Mapping[str, Any] | None) -> dict[str, Any]:
    return body if meta is None else {**body, "meta": to_json_value(meta, path="$.meta")}


def _named(names: Iterable[str], content: dict[str, Any], *, check: Any) -> dict[str, Any]:
    listed = list(names)
    data = {"names": listed, **content} if listed else content
    _check_data(data, check)
    columns = _columns(data)
    if listed and columns is not None and len(listed) != columns:
        check("$.data.names", f"{len(listed)} names for {columns} columns")
    return data


def _columns(data: Mapping[str, Any]) -> int | None:
    """The number of columns; ``None`` where there is nothing like a column."""
    if "tensor" in data:
        shape = data["tensor"]["shape"]
        return int(shape[1]) if len(shape) > 1 else None
    first = next(iter(data["ndarray"]), None)
    return len(first) if isinstance(first, list) else None


def _check_data(data: Mapping[str, Any], complain: Any) -> None:
    """Call `complain` with a path and a reason unless `data` is a tensor or an ndarray that makes sense."""
    if "tensor" in data:
        _check_tensor(data["tensor"], complain)
    elif "ndarray" in data:
        if not isinstance(data["ndarray"], list):
            complain("$.data.ndarray", f"expected a list of rows, got {data['ndarray']!r}")
    elif "tftensor" not in data and data:
        complain("$.data", "expected a tensor or an ndarray")


def _check_tensor(tensor: Any, complain: Any) -> None:
    if not isinstance(tensor, Mapping):
        complain("$.data.tensor", f"expected an object with shape and values, got {tensor!r}")
        return
    values = tensor.get("values", [])
    if not isinstance(values, list):
        complain("$.data.tensor.values", f"expected a list of numbers, got {values!r}")
    for index, value in enumerate(values):
        if value not in _NOT_FINITE and (isinstance(value, bool) or not isinstance(value, (int, float))):
            complain(child("$.data.tensor.values", index), f"expected a number, got {value!r}")
    shape = tensor.get("shape", [len(values)])
    if not isinstance(shape, list) or not all(_is_size(size) for size in shape):
        complain("$.data.tensor.shape", f"expected a list of sizes such as [2, 3], got {shape!r}")
    elif math.prod(shape) != len(values):
        complain("$.data.tensor", f"shape {shape} holds {math.prod(shape)} values, got {len(values)}")


def _is_size(size: object) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and size >= 0


def _shape_and_values(rows: JsonValue, path: str = "$.data.tensor.values") -> tuple[list[int], list[Any]]:
    """Return the shape of nested lists and their values in row-major order."""
    if not isinstance(rows, list):
        _refuse(path, f"expected rows of numbers, got {rows!r}")
    if not any(isinstance(row, list) for row in rows):
        return [len(rows)], rows
    shapes: list[list[int]] = []
    flat: list[Any] = []
    for index, row in enumerate(rows):
        shape, values = _shape_and_values(row, child(path, index))
        shapes.append(shape)
        flat += values
        if shape != shapes[0]:
            _refuse(child(path, index), f"its shape is {shape}, that of the first is {shapes[0]}")
    return [len(rows), *shapes[0]], flat


def _nested(values: list[Any], shape: Sequence[int]) -> list[Any]:
    """Return the flat `values` as nested lists of `shape`."""
    if len(shape) <= 1:
        return values
    size = math.prod(shape[1:])
    return [_nested(values[row * size : (row + 1) * size], shape[1:]) for row in range(shape[0])]


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ValueError(f"$.binData: expected base64, got {text!r}") from error
