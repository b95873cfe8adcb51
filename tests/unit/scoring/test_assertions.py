"""Comparing JSON values: what is equal, what differs, and how a difference is told."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harness.scoring.assertions import (
    MAX_DIFFERENCES,
    close_differences,
    exact_differences,
    listed,
    schema_differences,
)

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        pytest.param({"score": [1, 2]}, {"score": [1, 2]}, id="the tutorial's answer"),
        pytest.param([2], [2.0], id="an integer and a float of one value"),
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, id="keys in another order"),
        pytest.param((1, 2), [1, 2], id="a tuple and an array"),
        pytest.param(None, None, id="null"),
        pytest.param([NAN], [NAN], id="a NaN that was expected"),
        pytest.param([INF, -INF], [INF, -INF], id="infinities that were expected"),
        pytest.param({}, {}, id="empty objects"),
        pytest.param(2**60, 2**60, id="an integer beyond the floats"),
    ],
)
def test_equal_values_have_no_differences(expected: Any, actual: Any) -> None:
    """The same JSON value differs nowhere."""
    assert exact_differences(expected, actual) == []


@pytest.mark.parametrize(
    ("expected", "actual", "told"),
    [
        pytest.param({"score": [1, 2]}, {"score": [1, 3]}, ["$.score[1]: expected 2, got 3"], id="a wrong number"),
        pytest.param([1.0], [1.0000001], ["$[0]: expected 1.0, got 1.0000001"], id="nearly equal is not exact"),
        pytest.param([1], [True], ["$[0]: expected 1, got true"], id="true is not 1"),
        pytest.param([False], [0], ["$[0]: expected false, got 0"], id="0 is not false"),
        pytest.param([1], ["1"], ['$[0]: expected 1, got "1"'], id="text is not a number"),
        pytest.param({"a": None}, {}, ["$.a: missing, expected null"], id="a missing key is not null"),
        pytest.param({}, {"a": 0}, ["$.a: unexpected, got 0"], id="an extra key"),
        pytest.param([1], [1, 2], ["$: expected 1 items, got 2"], id="an item too many"),
        pytest.param([1, 2], [9], ["$: expected 2 items, got 1", "$[0]: expected 1, got 9"], id="length and an item"),
        pytest.param({"a": {}}, {"a": []}, ["$.a: expected an object, got []"], id="an array for an object"),
        pytest.param([1], {"0": 1}, ['$: expected an array, got {"0": 1}'], id="an object for an array"),
        pytest.param([1], [NAN], ["$[0]: expected 1, got NaN"], id="a NaN nobody expected"),
        pytest.param([NAN], [None], ["$[0]: expected NaN, got null"], id="null is not NaN"),
        pytest.param([INF], [-INF], ["$[0]: expected Infinity, got -Infinity"], id="the other infinity"),
        pytest.param({"t:0": 1}, {"t:0": 2}, ['$["t:0"]: expected 1, got 2'], id="a key that needs quotes"),
        pytest.param(2**60, 2**60 + 1, [f"$: expected {2**60}, got {2**60 + 1}"], id="integers beyond the floats"),
        pytest.param(
            {"a": 1, "b": [1, 2]},
            {"a": 2, "b": [1, 3]},
            ["$.a: expected 1, got 2", "$.b[1]: expected 2, got 3"],
            id="all differences, not the first",
        ),
    ],
)
def test_differences_are_told_by_path(expected: Any, actual: Any, told: list[str]) -> None:
    """Every place that differs is named with what was expected and what came."""
    assert [str(difference) for difference in exact_differences(expected, actual)] == told


@pytest.mark.parametrize(
    ("expected", "actual", "tolerance"),
    [
        pytest.param([100.0], [100.00005], {}, id="one in a million by default"),
        pytest.param([100], [109], {"rel": 0.1}, id="relative to the expected number"),
        pytest.param([0.0], [0.05], {"abs": 0.1}, id="absolute near zero"),
        pytest.param([-2], [-2.1], {"rel": 0, "abs": 0.2}, id="negative numbers"),
        pytest.param({"a": [{"b": 1.0}]}, {"a": [{"b": 1.01}]}, {"rel": 0.1}, id="at any depth"),
        pytest.param([INF, NAN], [INF, NAN], {}, id="infinities and NaN that were expected"),
        pytest.param([3], [3.0], {"rel": 0, "abs": 0}, id="no tolerance and equal"),
    ],
)
def test_close_values_have_no_differences(expected: Any, actual: Any, tolerance: dict[str, float]) -> None:
    """Numbers within the tolerance differ nowhere."""
    assert close_differences(expected, actual, **tolerance) == []


@pytest.mark.parametrize(
    ("expected", "actual", "tolerance", "path"),
    [
        pytest.param([100], [111], {"rel": 0.1}, "$[0]", id="beyond the relative tolerance"),
        pytest.param([111], [100], {"rel": 0.0990}, "$[0]", id="relative to the expected, not to the actual"),
        pytest.param([0.0], [1e-9], {}, "$[0]", id="relative tolerance of zero is none"),
        pytest.param([1.0], [INF], {"rel": 1e300}, "$[0]", id="no tolerance reaches infinity"),
        pytest.param([INF], [1e308], {"abs": 1e308}, "$[0]", id="nor from infinity to a number"),
        pytest.param([1.0], [NAN], {"abs": 1e300}, "$[0]", id="nor NaN"),
        pytest.param([1], [True], {"abs": 1}, "$[0]", id="a boolean has no distance"),
        pytest.param(["a"], ["b"], {"abs": 1}, "$[0]", id="text is compared exactly"),
        pytest.param({"a": 1}, {}, {"abs": 1}, "$.a", id="a missing key"),
    ],
)
def test_values_that_are_not_close_differ(expected: Any, actual: Any, tolerance: dict[str, float], path: str) -> None:
    """Everything beyond the tolerance is one difference at its path."""
    assert [difference.path for difference in close_differences(expected, actual, **tolerance)] == [path]


def test_a_difference_between_numbers_names_the_tolerance() -> None:
    """The reader sees which tolerance was broken, and only where one applied."""
    told = [str(item) for item in close_differences([1.0, "a"], [1.2, "b"], rel=0.1, abs=0.01)]
    assert told == ["$[0]: expected 1.0, got 1.2 (tolerance rel=0.1, abs=0.01)", '$[1]: expected "a", got "b"']


@pytest.mark.parametrize("tolerance", [{"rel": -1.0}, {"abs": INF}, {"rel": NAN}], ids=str)
def test_senseless_tolerances_are_refused(tolerance: dict[str, float]) -> None:
    """A tolerance that would accept nothing or everything is an error of the test, not of the service."""
    with pytest.raises(ValueError, match="must be a finite number"):
        close_differences([1], [1], **tolerance)


def test_many_differences_are_cut_with_their_number() -> None:
    """A long list is cut, and says how much was cut."""
    lines = listed(exact_differences([0] * 50, [1] * 50)).splitlines()
    assert len(lines) == MAX_DIFFERENCES + 1
    assert lines[-1] == f"... and {50 - MAX_DIFFERENCES} more"


SCORE_SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "array", "items": {"type": "number"}, "minItems": 1}},
    "required": ["score"],
    "additionalProperties": False,
}


def test_a_value_that_satisfies_its_schema_has_no_differences() -> None:
    """A valid answer differs nowhere."""
    assert schema_differences(SCORE_SCHEMA, {"score": [1, 2.5]}) == []


@pytest.mark.parametrize(
    ("actual", "told"),
    [
        pytest.param({"score": [1, "2"]}, ["$.score[1]: '2' is not of type 'number'"], id="an item of a wrong type"),
        pytest.param({"score": [True]}, ["$.score[0]: True is not of type 'number'"], id="a boolean is no number"),
        pytest.param({}, ["$: 'score' is a required property"], id="a missing key"),
    ],
)
def test_schema_differences_are_told_by_path(actual: Any, told: list[str]) -> None:
    """Every violation is named by its path."""
    assert [str(item) for item in schema_differences(SCORE_SCHEMA, actual)] == told


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "nonsense"}, id="an unknown type"),
        pytest.param({"$ref": "http://127.0.0.1:1/other.json"}, id="a reference that would have to be fetched"),
    ],
)
def test_an_unusable_schema_is_an_error_of_the_test(schema: dict[str, Any]) -> None:
    """A broken schema does not look like a wrong answer."""
    with pytest.raises(ValueError, match="JSON Schema"):
        schema_differences(schema, {})
