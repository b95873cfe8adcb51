"""Which values templates read, and what is reported of those they do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.charts.chart import Chart
from harness.charts.checks import values as check
from harness.charts.checks.context import Context


def _found(path: Path) -> dict[str, str]:
    return {one.object: one.check for one in check.check(Chart.load(path), (), Context())}


USED = {
    "printed": ("a: 1", "{{ .Values.a }}"),
    "from the root, inside with": ("a: 1\nb: {c: 1}", "{{ with .Values.b }}{{ .c }}{{ $.Values.a }}{{ end }}"),
    "through variables": ("a: {b: 1}", "{{ $x := .Values.a }}{{ $y := $x.b }}{{ $y | quote }}"),
    "as a whole": ("a: {b: 1, c: {d: 2}}", "{{ toYaml .Values.a | nindent 2 }}"),
    "below an empty default": ("a: {}", "{{ if .Values.a.b }}{{ .Values.a.b.c }}{{ end }}"),
    "by index": ("a: {b-c: 1}", '{{ index .Values.a "b-c" }}{{ index .Values "a" "b-c" }}'),
    "by get and dig": ("a: {b: 1}\nc: {d: 1}", '{{ get .Values.a "b" }}{{ dig "c" "d" 5 .Values }}'),
    "by a key chosen at run time": ("a: {b: 1}\nk: b", "{{ index .Values.a .Values.k }}"),
    "in range": ("a: [{b: 1}]", "{{ range $i, $e := .Values.a }}{{ $e.b }}{{ .b }}{{ end }}"),
    "in a condition": ("a: true\nb: x", '{{ if and .Values.a (eq .Values.b "x") }}y{{ end }}'),
    "in else if": ("a: 1\nb: 2", "{{ if .Values.a }}{{ else if .Values.b }}{{ end }}"),
    "with a default": ("a: 1\nb: 1", "{{ default 5 .Values.a }}{{ .Values.b | default 5 }}"),
    "in a template that is included": ("a: {b: 1}", '{{ define "x" }}{{ .b }}{{ end }}{{ include "x" .Values.a }}'),
    "handed on in a dict": (
        "a: 1\nb: {c: 1}",
        '{{ define "x" }}{{ .root.Values.a }}{{ .b.c }}{{ end }}{{ include "x" (dict "root" $ "b" .Values.b) }}',
    ),
    "out of a block by a variable": (
        "a: {x: 1}\nb: {x: 1}",
        "{{ $v := .Values.a }}{{ if .Values.a.x }}{{ $v = .Values.b }}{{ end }}{{ $v.x }}",
    ),
    "in a value that is a template": ('a: "{{ .Values.b }}"\nb: 1', "{{ tpl .Values.a . }}"),
    "in a raw string and past a comment": ("a: 1", "{{/* .Values.b */}}{{ printf `}} %s` .Values.a }}"),
    "of a parenthesis": ("a: {b: 1}", "{{ (.Values.a).b }}{{ ((.Values.a)).b }}"),
    "merged": ("a: {b: 1}\nc: {b: 2}", "{{ $m := merge .Values.a .Values.c }}{{ $m.b }}"),
    "the whole of them": ("a: 1\nb: {c: 1}", "{{ toYaml .Values }}"),
}


@pytest.mark.parametrize(("values", "template"), USED.values(), ids=USED)
def test_what_is_read_is_not_reported(values: str, template: str, chart: Callable[..., Path]) -> None:
    """No false alarm, neither of a value unused nor of one undefined."""
    assert _found(chart(values, {"x.yaml": template})) == {}


UNUSED = {
    "at the top": ("a: 1\nb: 2", "{{ .Values.a }}", ["b"]),
    "beside one that is read": ("a: {b: 1, c: 2}", "{{ .Values.a.b }}", ["a.c"]),
    "a mapping as one": ("a: {b: 1, c: 2}", "x", ["a"]),
    "only asked for, not looked into": ("a: {b: 1}", "{{ if .Values.a }}y{{ end }}", ["a.b"]),
    "in a template nobody includes": ("a: 1", '{{ define "x" }}{{ .Values.a }}{{ end }}', ["a"]),
    "in a comment": ("a: 1", "{{- /* .Values.a */ -}}\n# .Values.a", ["a"]),
}


@pytest.mark.parametrize(("values", "template", "names"), UNUSED.values(), ids=UNUSED)
def test_what_nobody_reads_is_named(values: str, template: str, names: list[str], chart: Callable[..., Path]) -> None:
    """Each by its path."""
    assert _found(chart(values, {"x.yaml": template})) == dict.fromkeys(names, check.UNUSED)


UNDEFINED = {
    "misspelt": ("image: x", "{{ .Values.image }}{{ .Values.imgae }}", ["imgae"]),
    "below a value": ("a: {b: 1}", "{{ .Values.a.b }}{{ .Values.a.c }}", ["a.c"]),
    "handed to include": ("a: {b: 1}", '{{ define "x" }}{{ .b }}{{ .c }}{{ end }}{{ include "x" .Values.a }}', ["a.c"]),
}


@pytest.mark.parametrize(("values", "template", "names"), UNDEFINED.values(), ids=UNDEFINED)
def test_what_nobody_declares_is_named(
    values: str, template: str, names: list[str], chart: Callable[..., Path]
) -> None:
    """Each by its path."""
    assert _found(chart(values, {"x.yaml": template})) == dict.fromkeys(names, check.UNDEFINED)


FORGIVEN = {
    "a default": "{{ .Values.x | default 1 }}{{ default 1 .Values.y }}",
    "a condition anywhere": "{{ if .Values.x }}{{ .Values.x.y }}{{ end }}{{ .Values.x.z }}",
    "with": "{{ with .Values.x }}{{ .y }}{{ end }}",
    "required": '{{ required "give x" .Values.x }}',
    "hasKey": '{{ if hasKey .Values "x" }}{{ .Values.x }}{{ end }}',
    "coalesce": "{{ coalesce .Values.x .Values.y 1 }}",
}


@pytest.mark.parametrize("template", FORGIVEN.values(), ids=FORGIVEN)
def test_a_value_that_may_be_absent_is_not_undefined(template: str, chart: Callable[..., Path]) -> None:
    """A template that asks, or has something else to use, copes without it."""
    assert _found(chart("", {"x.yaml": template})) == {}


def test_the_schema_and_ci_values_declare_too(chart: Callable[..., Path]) -> None:
    """What only they name is not undefined."""
    schema = '{"properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}}}'
    path = chart(
        "", {"x.yaml": "{{ .Values.a.b }}{{ .Values.c }}"}, {"values.schema.json": schema, "ci/one.yaml": "c: 1\n"}
    )
    assert _found(path) == {}


def test_values_for_subcharts_are_followed_into_them(chart: Callable[..., Path]) -> None:
    """Declared or read there: fine; neither: named; global values and conditions count as read."""
    path = chart(
        "global: {zone: a}\nsub: {enabled: true, size: 1, color: red, sise: 2}\n",
        {},
        {
            "Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n"
            "dependencies:\n  - name: sub\n    version: 1.0.0\n    condition: sub.enabled\n",
            "charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
            "charts/sub/values.yaml": "size: 0\n",
            "charts/sub/templates/x.yaml": "{{ .Values.size }}{{ .Values.color }}{{ .Values.global.zone }}",
        },
    )
    assert _found(path) == {"sub.sise": check.UNUSED}


def test_a_dependency_that_is_not_here_may_read_its_values(chart: Callable[..., Path]) -> None:
    """What is given to a chart that was not fetched is not called unused."""
    dependencies = "dependencies:\n  - name: redis\n    version: 1.0.0\n    repository: https://example.org\n"
    metadata = f"apiVersion: v2\nname: app\nversion: 1.0.0\n{dependencies}"
    assert _found(chart("redis: {size: 1}\nb: 1\n", {}, {"Chart.yaml": metadata})) == {"b": check.UNUSED}


def test_a_template_that_cannot_be_read_stops_the_check(chart: Callable[..., Path]) -> None:
    """Nothing is said of values when something may have been overlooked; Helm reports the template."""
    assert _found(chart("a: 1", {"x.yaml": "{{ if }}"})) == {}


def test_the_hint_points_at_the_template_that_says_it_itself(chart: Callable[..., Path]) -> None:
    """The line of the fixed value is named."""
    path = chart("replicas: 2", {"x.yaml": "spec:\n  replicas: 1\n"})
    (finding,) = check.check(Chart.load(path), (), Context())
    assert finding.line == 1
    assert finding.hint.startswith("templates/x.yaml:2 says 'replicas: 1' itself; write {{ .Values.replicas }} there")


IN_SETS = {
    "in a file of CI values": ({"ci/one.yaml": "a: 1\nb: {c: 1}\n"}, "ci/one.yaml", 2, "b", "ci/one.yaml"),
    "in a case": ({"seatrial.yaml": "cases:\n  - name: x\n    set:\n      aa: 1\n"}, "seatrial.yaml", 4, "aa", "x"),
    "in a step": (
        {"seatrial.yaml": "cases:\n  - name: x\n    steps:\n      - install\n      - upgrade: {set: {b: 1}}\n"},
        "seatrial.yaml",
        5,
        "b",
        "x/upgrade",
    ),
    "in a step's file": (
        {
            "seatrial.yaml": "cases: [{name: x, steps: [{install: {values: [../more.yaml]}}]}]\n",
            "../more.yaml": "\nb: 1\n",
        },
        "../more.yaml",
        2,
        "b",
        "x/install",
    ),
}


@pytest.mark.parametrize(("files", "file", "line", "name", "values"), IN_SETS.values(), ids=IN_SETS)
def test_what_a_case_gives_and_nobody_reads_is_named_where_it_stands(
    files: dict[str, str], file: str, line: int, name: str, values: str, chart: Callable[..., Path]
) -> None:
    """With its line, and with the set it belongs to."""
    path = chart("a: 1\n", {"x.yaml": "{{ .Values.a }}"}, files)
    (finding,) = check.check(Chart.load(path), (), Context())
    assert (finding.check, finding.file, finding.line) == (check.UNUSED, str(path / file), line)
    assert (finding.object, finding.values) == (name, (values,))


def test_a_misspelt_value_of_a_case_is_told_what_was_meant(chart: Callable[..., Path]) -> None:
    """The hint names the value of values.yaml; for a template's own misspelling it never names the case's."""
    declared = "cases: [{name: x, set: {replicsa: 3}}]\n"
    path = chart("replicas: 1\n", {"x.yaml": "{{ .Values.replicas }}"}, {"seatrial.yaml": declared})
    (finding,) = check.check(Chart.load(path), (), Context())
    assert finding.hint == "did you mean 'replicas'?"
    path = chart("", {"x.yaml": "{{ .Values.replicas }}"}, {"seatrial.yaml": declared})
    hints = {one.object: one.hint for one in check.check(Chart.load(path), (), Context())}
    assert "did you mean" not in hints["replicas"]


def test_what_values_yaml_says_already_is_said_once(chart: Callable[..., Path]) -> None:
    """A case that sets an unused value of values.yaml is not a second finding."""
    files = {"ci/one.yaml": "a: {b: 2}\n", "seatrial.yaml": "cases: [{name: x, set: {a: {b: 3}}}]\n"}
    (finding,) = check.check(Chart.load(chart("a: {b: 1}\n", {"x.yaml": "x"}, files)), (), Context())
    assert finding.file.endswith("values.yaml")


def test_steps_that_are_meant_to_fail_or_are_the_earlier_version_s_are_not_looked_at(
    chart: Callable[..., Path],
) -> None:
    """The earlier version may have had the value; what must fail may fail for it."""
    declared = (
        "cases:\n  - name: x\n    from: {path: ../old}\n    steps:\n"
        "      - install: {chart: previous, set: {old: 1}}\n      - upgrade: {set: {b: 1}, fails: refused}\n"
    )
    assert _found(chart("a: 1\n", {"x.yaml": "{{ .Values.a }}"}, {"seatrial.yaml": declared})) == {}


def test_values_for_a_subchart_are_looked_at_however_deep(chart: Callable[..., Path]) -> None:
    """Beside what it declares or reads, what it does not is named."""
    path = chart(
        "sub: {store: {size: 2, sizes: 3}}\n",
        {},
        {
            "charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
            "charts/sub/values.yaml": "store: {size: 1, unread: 1}\n",
            "charts/sub/templates/x.yaml": "{{ .Values.store.size }}",
            "ci/one.yaml": "sub: {shop: {size: 1}, store: {size: 4, unread: 2}}\n",
        },
    )
    assert _found(path) == {"sub.store.sizes": check.UNUSED, "sub.shop": check.UNUSED}
