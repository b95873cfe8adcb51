"""Merging what is declared in two places."""

from __future__ import annotations

from typing import Any

import pytest

from harness.merge import merge


@pytest.mark.parametrize(
    ("base", "extra", "merged"),
    [
        pytest.param({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}, id="mappings deeply"),
        pytest.param({"a": [1]}, {"a": [2]}, {"a": [1, 2]}, id="lists one after the other"),
        pytest.param({"a": 1}, {"a": 2}, {"a": 2}, id="all else replaced"),
        pytest.param({"a": [1]}, {"a": None}, {"a": None}, id="a list by something else"),
    ],
)
def test_merge(base: dict[str, Any], extra: dict[str, Any], merged: dict[str, Any]) -> None:
    """What the second mapping says is in the result, and the first mapping is left alone."""
    before = repr(base)
    assert merge(base, extra) == merged
    assert repr(base) == before
