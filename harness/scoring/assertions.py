"""Comparing what a service answered with what it should have answered, told as the paths that differ."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.scoring.json_path import ROOT, child

# Twenty differences fill half a screen; when more differ, the shape of the answer is wrong rather than its values.
MAX_DIFFERENCES = 20

# What pytest.approx uses, so that a comparison moved from there keeps its meaning.
DEFAULT_REL = 1e-6
DEFAULT_ABS = 1e-12

NumberTest = Callable[[float, float], bool]


@dataclass(frozen=True)
class Difference:
    """One place where two JSON values differ.

    Args:
        path: where, e.g. ``$.score[1]``.
        reason: what differs there, e.g. ``expected 2, got 3``.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def exact_differences(expected: Any, actual: Any) -> list[Difference]:
    """Return where `actual` is not the same JSON value as `expected`.

    JSON has one kind of number, so 2 and 2.0 are the same; ``true`` is not 1; ``null`` is not a missing key; the order
    of keys does not matter, the order of items does. NaN and the infinities (which Python writes and reads, though
    they are not JSON) equal themselves: a NaN nobody expected is a difference, one that was expected is not.
    """
    return list(_compare(expected, actual, ROOT, _same_number))


def close_differences(
    expected: Any,
    actual: Any,
    *,
    rel: float = DEFAULT_REL,
    abs: float = DEFAULT_ABS,  # noqa: A002 - as in pytest.approx
) -> list[Difference]:
    """Return where `actual` is not `expected` within a tolerance.

    Numbers at any depth are close when they differ by at most ``max(rel * |expected|, abs)``; all else is compared as
    by :func:`exact_differences`. An infinity is close to itself only, NaN to NaN only.

    Args:
        expected: the value, with numbers at any depth.
        actual: the parsed answer.
        rel: tolerance as a fraction of the expected number.
        abs: tolerance in the numbers' own unit.

    Raises:
        ValueError: a tolerance is negative, infinite or NaN.
    """
    for name, tolerance in (("rel", rel), ("abs", abs)):
        if not (math.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(f"{name} must be a finite number that is not negative, got {tolerance!r}")

    def is_close(wanted: float, got: float) -> bool:
        if _same_number(wanted, got):
            return True
        if not (math.isfinite(wanted) and math.isfinite(got)):
            return False
        difference = wanted - got
        return max(difference, -difference) <= max(rel * max(wanted, -wanted), abs)

    within = f" (tolerance rel={rel:g}, abs={abs:g})"
    return [
        Difference(found.path, found.reason + within) if found.is_number else Difference(found.path, found.reason)
        for found in _compare(expected, actual, ROOT, is_close)
    ]


def schema_differences(schema: dict[str, Any], actual: Any) -> list[Difference]:
    """Return where `actual` does not satisfy a JSON Schema.

    Args:
        schema: the schema; ``$schema`` chooses the draft, 2020-12 without it. A ``$ref`` reaches inside the schema
            only: nothing is fetched.
        actual: the parsed answer.

    Raises:
        ValueError: the schema itself is not valid.
    """
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 - 0.1 s that only users of schemas pay
    from jsonschema.validators import validator_for  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    validator_class = validator_for(schema, default=Draft202012Validator)
    try:
        validator_class.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"not a valid JSON Schema: {error.json_path}: {error.message}") from error
    registry: Registry[Any] = Registry()
    validator = validator_class(schema, registry=registry)
    try:
        errors = sorted(validator.iter_errors(actual), key=lambda error: [str(step) for step in error.absolute_path])
    except Unresolvable as error:
        raise ValueError(f"not a usable JSON Schema: {error}") from error
    return [Difference(_path_of(error.absolute_path), error.message) for error in errors]


def listed(differences: Sequence[Difference]) -> str:
    """Return one line per difference, up to a limit, and how many more there are."""
    lines = [str(difference) for difference in differences[:MAX_DIFFERENCES]]
    more = len(differences) - MAX_DIFFERENCES
    return "\n".join([*lines, *([f"... and {more} more"] if more > 0 else [])])


@dataclass(frozen=True)
class _Found(Difference):
    """A difference, with whether it is one between two numbers."""

    is_number: bool = False


def _compare(expected: Any, actual: Any, path: str, same: NumberTest) -> list[_Found]:
    if callable(getattr(expected, "tolist", None)):  # a NumPy array or scalar among the expected values
        expected = expected.tolist()
    if isinstance(expected, Mapping):
        return _compare_objects(expected, actual, path, same)
    if isinstance(expected, (list, tuple)):
        return _compare_arrays(expected, actual, path, same)
    if _is_number(expected) and _is_number(actual):
        equal = same(expected, actual)
        return [] if equal else [_Found(path, f"expected {_shown(expected)}, got {_shown(actual)}", is_number=True)]
    # The types are compared too, because True == 1 in Python.
    if type(expected) is type(actual) and expected == actual:
        return []
    return [_Found(path, f"expected {_shown(expected)}, got {_shown(actual)}")]


def _compare_objects(expected: Mapping[str, Any], actual: Any, path: str, same: NumberTest) -> list[_Found]:
    if not isinstance(actual, Mapping):
        return [_Found(path, f"expected an object, got {_shown(actual)}")]
    found: list[_Found] = []
    for key, value in expected.items():
        if key in actual:
            found += _compare(value, actual[key], child(path, key), same)
        else:
            found.append(_Found(child(path, key), f"missing, expected {_shown(value)}"))
    found += [
        _Found(child(path, key), f"unexpected, got {_shown(value)}")
        for key, value in actual.items()
        if key not in expected
    ]
    return found


def _compare_arrays(expected: Sequence[Any], actual: Any, path: str, same: NumberTest) -> list[_Found]:
    if not isinstance(actual, list):
        return [_Found(path, f"expected an array, got {_shown(actual)}")]
    found: list[_Found] = []
    if len(expected) != len(actual):
        found.append(_Found(path, f"expected {len(expected)} items, got {len(actual)}"))
    for index, (wanted, got) in enumerate(zip(expected, actual, strict=False)):
        found += _compare(wanted, got, child(path, index), same)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same_number(wanted: float, got: float) -> bool:
    return wanted == got or (wanted != wanted and got != got)  # noqa: PLR0124 - only NaN differs from itself


def _path_of(steps: Sequence[str | int]) -> str:
    path = ROOT
    for step in steps:
        path = child(path, step)
    return path


def _shown(value: object) -> str:
    """Return `value` as JSON, short enough for one line."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    # 120 characters: one line of a terminal; the whole body follows below the list anyway.
    return text if len(text) <= 120 else f"{text[:117]}..."  # noqa: PLR2004 - the comment above explains it
