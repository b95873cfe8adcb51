"""The scenarios' routes: what runs, in which order, and what the README says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import CLUSTER_WIDE, ROUTES

ROOT = Path(__file__).parents[3]


def test_every_route_has_its_place() -> None:
    """Each folder of stories is in the order of routes, once, and says in a README what it proves."""
    assert sorted(ROUTES) == sorted(path.parent.name for path in (ROOT / "scenarios").glob("*/README.md"))
    assert set(ROUTES) == {path.parent.name for path in (ROOT / "scenarios").glob("*/test_*.py")}


def test_what_has_the_cluster_to_itself_is_there() -> None:
    """The names of files that parallel workers keep together are those of files."""
    assert [name for name in CLUSTER_WIDE if not (ROOT / "tests" / "integration" / name).is_file()] == []


def test_every_route_has_a_marker(pytestconfig: pytest.Config) -> None:
    """`-m ROUTE` runs one."""
    assert set(ROUTES) <= {line.partition(":")[0] for line in pytestconfig.getini("markers")}


def test_the_readme_lists_the_routes_in_the_order_they_run_in() -> None:
    """A reader sees all of them, and finds each."""
    listed = re.findall(r"^\| \[(\w+)\]\(scenarios/(\w+)\) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert listed == [(route, route) for route in ROUTES]
