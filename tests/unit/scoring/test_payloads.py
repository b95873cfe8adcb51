"""Payload shapes: what is sent, what comes back, and what is refused before it is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from harness.errors import PayloadError
from harness.scoring.payloads import PlainPayload, to_json_text, to_json_value


class ArrayLike:
    """Stands for a NumPy array: all that is used of one is ``tolist``."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def tolist(self) -> Any:
        """Return the values as NumPy would."""
        return self._values


@pytest.mark.parametrize(
    ("features", "body"),
    [
        pytest.param([1, 2], {"X": [1, 2]}, id="a list keeps its integers"),
        pytest.param((1.5, -2.0), {"X": [1.5, -2.0]}, id="a tuple becomes a list"),
        pytest.param(range(3), {"X": [0, 1, 2]}, id="any sequence becomes a list"),
        pytest.param(ArrayLike([0.1, 0.2]), {"X": [0.1, 0.2]}, id="an array becomes a list"),
        pytest.param([ArrayLike(3), 4], {"X": [3, 4]}, id="array scalars become numbers"),
    ],
)
def test_plain_payload_carries_one_row(features: Any, body: Mapping[str, Any]) -> None:
    """A row of numbers travels under ``X`` with its numbers unchanged."""
    assert PlainPayload().encode(features) == body


@pytest.mark.parametrize(
    ("features", "says"),
    [
        pytest.param([], r"\$\.X: expected a row", id="no feature at all"),
        pytest.param(3, r"\$\.X: expected a row", id="a number instead of a row"),
        pytest.param("12", r"\$\.X: expected a row", id="text is not a row"),
        pytest.param([[1, 2], [3, 4]], r"\$\.X\[0\]: expected a number", id="several rows"),
        pytest.param([1, True], r"\$\.X\[1\]: expected a number", id="a boolean is not a number"),
        pytest.param([1, None], r"\$\.X\[1\]: expected a number", id="a missing value"),
        pytest.param([1, math.nan], r"\$\.X\[1\]: nan is not a JSON number", id="NaN"),
        pytest.param([-math.inf], r"\$\.X\[0\]: -inf is not a JSON number", id="an infinity"),
        pytest.param({1, 2}, r"of type set has no place in JSON", id="a set"),
    ],
)
def test_plain_payload_refuses_what_is_not_a_row_of_numbers(features: Any, says: str) -> None:
    """A wrong shape or value is refused with its path, before anything is sent."""
    with pytest.raises(PayloadError, match=says):
        PlainPayload().encode(features)


def test_plain_payload_finds_the_scores() -> None:
    """The numbers under ``score`` are the scores, whatever else the service adds."""
    assert PlainPayload().decode({"score": [1, 2.5], "model": "identity"}) == [1, 2.5]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="no score"),
        pytest.param([1, 2], id="not an object"),
        pytest.param({"score": 1}, id="a number instead of a list"),
        pytest.param({"score": ["1"]}, id="text among the scores"),
        pytest.param({"score": [True]}, id="a boolean among the scores"),
    ],
)
def test_plain_payload_refuses_an_answer_of_another_shape(body: Any) -> None:
    """An answer of another shape is an error that shows it."""
    with pytest.raises(ValueError, match="expected"):
        PlainPayload().decode(body)


def test_json_text_reads_as_a_person_types_it() -> None:
    """The text has a blank after colons and commas, and other scripts stay readable."""
    assert to_json_text({"X": [1, 2], "naam": "één"}) == '{"X": [1, 2], "naam": "één"}'


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param({"a": {"b": [0, math.nan]}}, r"\$\.a\.b\[1\]: nan", id="NaN deep inside"),
        pytest.param({"a": object()}, r"\$\.a: <object .* of type object", id="an object"),
        pytest.param({1: "x"}, r"\$: its key 1 is not text", id="a key that is a number"),
        pytest.param({"t:0": b"x"}, r"\$\[\"t:0\"\]: b'x' of type bytes", id="bytes under a key with a colon"),
        pytest.param(1 + 2j, r"\$: \(1\+2j\) of type complex", id="a complex number"),
    ],
)
def test_values_without_a_place_in_json_are_refused_by_path(value: Any, says: str) -> None:
    """The message names where the value stands and why it cannot go."""
    with pytest.raises(PayloadError, match=says):
        to_json_value(value)
