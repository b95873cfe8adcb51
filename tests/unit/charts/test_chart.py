"""Charts as their authors write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.charts import declaration, yaml_text
from harness.charts.chart import Chart
from harness.errors import ChartError

METADATA = "apiVersion: v2\nname: app\nversion: 1.0.0\n"


def test_a_case_says_what_its_cluster_serves(chart: Callable[..., Path]) -> None:
    """For its steps as well; the defaults and the files in ci/ are rendered without."""
    declared = "cases:\n  - {name: x, api-versions: [a.example/v1/B], steps: [install: {set: {n: 1}}]}\n"
    sets = Chart.load(chart(files={"seatrial.yaml": declared})).sets
    assert [one.api_versions for one in sets] == [(), ("a.example/v1/B",), ("a.example/v1/B",)]


def test_a_chart_is_read_with_its_values_sets(chart: Callable[..., Path]) -> None:
    """Defaults, each file in ci/ and each declared case."""
    declared = "cases:\n  - name: big\n    values: [ci/b.yaml]\n    set: {n: 3}\n    namespace: other\n"
    path = chart("n: 1\n", {}, {"ci/b.yaml": "n: 2\n", "ci/a.yaml": "", "seatrial.yaml": declared})
    sets = Chart.load(path).sets
    assert [one.name for one in sets] == ["default", "ci/a.yaml", "ci/b.yaml", "big"]
    assert sets[3].files == (path / "ci/b.yaml",)
    assert (sets[3].inline, sets[3].namespace, sets[3].release) == ({"n": 3}, "other", "app")


def test_each_step_that_renders_today_s_chart_with_more_is_a_values_set(chart: Callable[..., Path]) -> None:
    """Its values on top of the case's; the earlier version's steps and those meant to fail are none."""
    declared = (
        "cases:\n  - name: x\n    values: [a.yaml]\n    set: {n: 1, m: 1}\n    from: {path: ../old}\n    steps:\n"
        "      - install: {chart: previous, set: {n: 0}}\n      - upgrade: {set: {n: 2}, values: [b.yaml]}\n"
        "      - upgrade\n      - upgrade: {set: {n: 3}}\n      - upgrade: {set: {n: 4}, fails: refused}\n"
    )
    path = chart("", {}, {"a.yaml": "", "b.yaml": "", "seatrial.yaml": declared})
    sets = {one.name: one for one in Chart.load(path).sets}
    assert list(sets) == ["default", "x", "x/upgrade", "x/upgrade-4"]
    assert sets["x/upgrade"].files == (path / "a.yaml", path / "b.yaml")
    assert sets["x/upgrade"].inline == {"n": 2, "m": 1}
    assert sets["x/upgrade-4"].files == (path / "a.yaml",)
    assert sets["x/upgrade-4"].inline == {"n": 3, "m": 1}


@pytest.mark.parametrize(
    ("file", "text", "where", "seen"),
    [
        ("Chart.yaml", "a: [\n", "Chart.yaml:2", "did not find expected node content"),
        ("Chart.yaml", "- a\n", "Chart.yaml:1", "must be a mapping, it is a list"),
        ("Chart.yaml", "apiVersion: v2\nname: app\n", "Chart.yaml:1", "'version' is required and missing"),
        (
            "Chart.yaml",
            "apiVersion: v2\nname: app\nversion: 1.0\n",
            "Chart.yaml:3",
            "must be a string, 1.0 is a number",
        ),
        ("Chart.yaml", "apiVersion: v2\nname: app\nversion: x\n", "Chart.yaml:3", "is no semantic version"),
        ("Chart.yaml", METADATA + "type: lib\n", "Chart.yaml:4", "must be application or library, not 'lib'"),
        ("Chart.yaml", METADATA + "dependencies: {a: b}\n", "Chart.yaml:4", "must be a list, it is a mapping"),
        ("Chart.yaml", METADATA + "dependencies:\n  - version: 1\n", "Chart.yaml:4", "each dependency needs a name"),
        ("values.yaml", "a: 1\n b: 2\n", "values.yaml:2", "mapping values are not allowed"),
        ("values.yaml", "text", "values.yaml:1", "must be a mapping, it is a string"),
        ("values.schema.json", "{\n  oops\n}", "values.schema.json:2", "Expecting property name"),
        ("values.schema.json", "[]", "values.schema.json:1", "must be an object, it is a list"),
        ("ci/one.yaml", "- 1\n", "ci/one.yaml:1", "must be a mapping, it is a list"),
        ("seatrial.yaml", "cases:\n  - nam: x\n", "seatrial.yaml:1", "'name' is a required property"),
        (
            "seatrial.yaml",
            "case: []\n",
            "seatrial.yaml:1",
            "Additional properties are not allowed ('case' was unexpected)",
        ),
        ("seatrial.yaml", "cases: [{name: a}, {name: a}]\n", "seatrial.yaml", "case 'a' is there twice"),
        (
            "seatrial.yaml",
            "cases: [{name: a, values: [x.yaml]}]\n",
            "seatrial.yaml",
            "there is no values file 'x.yaml'",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(
    file: str, text: str, where: str, seen: str, chart: Callable[..., Path]
) -> None:
    """The error says which file, which line and what is wrong."""
    with pytest.raises(ChartError) as error:
        Chart.load(chart("", {}, {file: text}))
    assert seen in error.value.seen
    assert f"app/{where}" in error.value.seen


def test_a_directory_without_a_chart_is_refused(tmp_path: Path) -> None:
    """And one that is not there, and a file that is no archive."""
    (tmp_path / "x.tgz").write_bytes(b"no archive")
    for path, seen in (
        (tmp_path, "there is no Chart.yaml"),
        (tmp_path / "no", "no such"),
        (tmp_path / "x.tgz", "not a packaged"),
    ):
        with pytest.raises(ChartError, match=seen):
            Chart.load(path)


def test_subcharts_are_found_by_alias_and_by_directory(chart: Callable[..., Path]) -> None:
    """What is in charts/ wins over file://; what is nowhere is missing."""
    sub = "apiVersion: v2\nname: sub\nversion: 1.0.0\n"
    dependencies = (
        "dependencies:\n  - {name: sub, alias: one, version: 1.0.0}\n"
        "  - {name: near, version: 1.0.0, repository: 'file://../near'}\n"
        "  - {name: far, version: 1.0.0, repository: 'https://example.org'}\n"
    )
    near = "apiVersion: v2\nname: near\nversion: 1.0.0\n"
    files = {"Chart.yaml": METADATA + dependencies, "charts/sub/Chart.yaml": sub, "../near/Chart.yaml": near}
    loaded = Chart.load(chart("", {}, files))
    assert {key: one.name for key, one in loaded.subcharts.items()} == {"one": "sub", "near": "near"}
    assert [one.name for one in loaded.missing] == ["far"]
    assert loaded.unvendored == {"near"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-01-02", "2024-01-02"),
        ("1:30", "1:30"),
        ("1.0.0", "1.0.0"),
        ("1e3", 1000.0),
        ("0o17", 15),
        ("017", 15),
        ("0x1F", 31),
        ("-1.5", -1.5),
        ("1_000", 1000),
        ("yes", True),
        ("~", None),
        ("5", 5),
        ("1.", 1.0),
        ("08", "08"),
    ],
)
def test_plain_words_are_read_as_kubernetes_reads_them(text: str, value: object) -> None:
    """Dates and times of day stay texts, numbers are numbers."""
    assert yaml_text.load(f"a: {text}") == {"a": value}


def test_allowed_findings_match_by_pattern() -> None:
    """The check must be the same; the object may be a pattern."""
    from harness.charts.finding import Finding

    (allowed,) = declaration.parse("allow: [{check: unused-value, object: 'a.*', reason: r}]", "f").allowed
    assert allowed.covers(Finding("unused-value", "c", "m", object="a.b"))
    assert not allowed.covers(Finding("unused-value", "c", "m", object="b"))
    assert not allowed.covers(Finding("lint", "c", "m", object="a.b"))
