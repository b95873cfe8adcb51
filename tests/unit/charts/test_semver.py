"""Versions as Helm orders them."""

from __future__ import annotations

import pytest

from harness.charts.semver import Version

ASCENDING = [
    "0.9.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0",
    "1.0.1",
    "1.10.0",
]


def test_versions_are_ordered_as_semver_org_orders_them() -> None:
    """The order of its own examples, numbers compared as numbers."""
    assert [one.text for one in sorted(map(Version.parse, reversed(ASCENDING)))] == ASCENDING


@pytest.mark.parametrize(
    ("text", "numbers"), [("v1.2.3", (1, 2, 3)), ("1.2", (1, 2, 0)), ("3", (3, 0, 0)), ("1.2.3+build.5", (1, 2, 3))]
)
def test_what_helm_forgives_is_read(text: str, numbers: tuple[int, int, int]) -> None:
    """A leading v and missing numbers are fine, build metadata does not count."""
    assert Version.parse(text).numbers == numbers


@pytest.mark.parametrize("text", ["latest", "", "1.2.3.4", "1.2.x", "1.2.3-", "1,2"])
def test_what_is_no_version_is_refused(text: str) -> None:
    """The message shows the text and an example."""
    with pytest.raises(ValueError, match=r"is no semantic version; write MAJOR\.MINOR\.PATCH"):
        Version.parse(text)


@pytest.mark.parametrize(("text", "after"), [("1.2.3", "1.2.4"), ("1.2.3-rc.1", "1.2.3")])
def test_the_next_version_is_the_least_one(text: str, after: str) -> None:
    """A pre-release is followed by its release."""
    assert Version.parse(text).next_patch() == after
