"""The shapes of what scoring services are sent and what they answer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, quote_plus

from harness.errors import PayloadError
from harness.scoring.json_path import ROOT, child

JsonValue = Any
"""A value JSON can hold: a mapping with text keys, a list, text, a finite number, a boolean or ``None``."""


class PayloadShape(Protocol):
    """How features travel to a service and how its scores come back; one implementation per kind of service."""

    @property
    def path(self) -> str:
        """Where a service of this kind answers, below its base address."""

    def encode(self, features: Any) -> JsonValue:
        """Return the request body for `features`; raises :class:`~harness.errors.PayloadError`."""

    def decode(self, body: JsonValue) -> Any:
        """Return the scores in a response body; raises ``ValueError`` when it has another shape."""


class PlainPayload:
    """``{"X": [...]}`` in, ``{"score": [...]}`` out: the plain Flask service of the tutorial.

    ``X`` is one row of shape ``(n_features,)``; ``score`` is a list of numbers, of the same length for the tutorial's
    identity model and of any length for others.
    """

    path = "/score"

    def encode(self, features: Any) -> JsonValue:
        """Return ``{"X": [...]}``.

        Args:
            features: finite numbers, shape ``(n_features,)`` with at least one of them: a sequence or a 1-d array.

        Raises:
            PayloadError: it has another shape, or holds something that is not a finite number.
        """
        row = to_json_value(features, path="$.X")
        if not isinstance(row, list) or not row:
            raise _refused("$.X", f"expected a row of numbers of shape (n_features,), got {_short(row)}")
        for index, value in enumerate(row):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise _refused(child("$.X", index), f"expected a number, got {_short(value)}")
        return {"X": row}

    def decode(self, body: JsonValue) -> list[float]:
        """Return the numbers under ``score``, shape ``(n_scores,)``."""
        scores = body.get("score") if isinstance(body, Mapping) else None
        if not isinstance(scores, list) or any(
            isinstance(score, bool) or not isinstance(score, (int, float)) for score in scores
        ):
            raise ValueError(f'expected {{"score": [number, ...]}}, got {_short(body)}')
        return scores


@dataclass(frozen=True)
class FormBody:
    """The fields of an HTML form as a request body, as ``curl --data-urlencode name=value`` sends them.

    The image test of a Seldon model posts its message so: ``FormBody({"json": {"data": {...}}})``.

    Args:
        fields: by name: text is sent as it is, anything else as JSON text.

    Raises:
        PayloadError: a value has no place in JSON.
    """

    fields: Mapping[str, Any]

    def __post_init__(self) -> None:
        texts = {
            name: value if isinstance(value, str) else to_json_text(to_json_value(value, path=child(ROOT, name)))
            for name, value in self.fields.items()
        }
        object.__setattr__(self, "fields", texts)

    def encoded(self) -> bytes:
        """Return the body, byte for byte what curl (seen with 7.88) makes of the command that shows the request."""
        fields = (f"{quote(name, safe='')}={quote_plus(text)}" for name, text in self.fields.items())
        return "&".join(fields).encode()


def to_json_value(value: Any, *, path: str = ROOT) -> JsonValue:
    """Return `value` as plain JSON data; tuples become lists, arrays and their scalars become numbers.

    Args:
        value: anything made of mappings, sequences, numbers, text, booleans, ``None``, or of objects with a
            ``tolist()`` method (NumPy arrays and scalars, pandas Series).
        path: where the value stands, for error messages.

    Raises:
        PayloadError: JSON cannot hold it. NaN and the infinities are refused too: Python would write them as ``NaN``,
            which is not JSON (RFC 8259, section 6) and which most services answer with a puzzling 400 or 500.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)) and type(value) in (int, float):
        if isinstance(value, float) and not math.isfinite(value):
            raise _refused(path, f"{value!r} is not a JSON number")
        return value
    if isinstance(value, Mapping):
        return {_key(key, path): to_json_value(item, path=child(path, str(key))) for key, item in value.items()}
    if callable(getattr(value, "tolist", None)):
        return to_json_value(value.tolist(), path=path)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [to_json_value(item, path=child(path, index)) for index, item in enumerate(value)]
    raise _refused(path, f"{_short(value)} of type {type(value).__name__} has no place in JSON")


def to_json_text(value: Any) -> str:
    """Return `value` as JSON text, written as a person would type it: ``{"X": [1, 2]}``."""
    return json.dumps(to_json_value(value), ensure_ascii=False, allow_nan=False)


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise _refused(path, f"its key {key!r} is not text")
    return key


def _refused(path: str, why: str) -> PayloadError:
    return PayloadError(
        "make a request payload",
        seen=f"{path}: {why}",
        hint="send finite numbers, text, booleans, None, lists and mappings with text keys; "
        "to test a service with a body that is not JSON, give the payload as bytes",
    )


def _short(value: object) -> str:
    # 80 characters: enough to recognise a value, little enough for one line.
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - the comment above explains it
