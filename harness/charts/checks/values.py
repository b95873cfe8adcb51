"""Values nothing obeys, and values nobody declares."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from harness.charts import yaml_text
from harness.charts.chart import VALUES, Chart, ValuesSet, Written
from harness.charts.checks.context import Context
from harness.charts.finding import Finding
from harness.charts.render import Render
from harness.charts.value_use import GLOBAL, Path, Read, find_uses

UNUSED = "unused-value"
UNDEFINED = "undefined-value"


def check(chart: Chart, renders: Sequence[Render], context: Context) -> list[Finding]:
    """Report values that no template reads, wherever they are given, and reads of values that are declared nowhere."""
    del renders, context
    uses = find_uses(chart)
    # A library's values are read by the charts that use it, which cannot be seen from here.
    if chart.is_library or not uses.complete:
        return []
    return [*_unused(chart, uses.reads), *_undefined(chart, uses.reads)]


def _unused(chart: Chart, reads: Sequence[Read]) -> Iterator[Finding]:
    used = _Used(chart, reads)
    own = Written(chart.values, chart.file(VALUES), chart.values_text)
    lines = yaml_text.key_lines(own.text)
    by_default: set[Path] = set()
    for path, value, subchart in used.unread(own.values):
        by_default.add(path)
        name = ".".join(path)
        if subchart is None:
            said = f" (default {value!r})" if not isinstance(value, (dict, list)) else ""
            message = f"value '{name}'{said} is read by no template: setting it changes nothing"
            hint = _fixed_in_template(chart, path, name)
        else:
            message = f"value '{name}' is neither declared nor read by subchart '{subchart.name}'"
            hint = _near(path[-1], subchart.values)
        yield Finding(UNUSED, chart.name, message, own.file, lines.get(path, 0), name, hint)
    known = [".".join(path) for path, _ in _paths(_declared(chart, with_sets=False), ())]
    for values in chart.sets:
        for written in values.written:
            for path, _, subchart in used.unread(written.values):
                # What values.yaml says already needs to be said once.
                if not any(path[:end] in by_default for end in range(1, len(path) + 1)):
                    yield _unused_in_set(chart, values, written, path, subchart, known)


def _unused_in_set(
    chart: Chart, values: ValuesSet, written: Written, path: Path, subchart: Chart | None, known: Sequence[str]
) -> Finding:
    name = ".".join(path)
    if subchart is None:
        message = f"value '{name}' is read by no template: giving it here changes nothing"
    else:
        message = f"value '{name}' is neither declared nor read by subchart '{subchart.name}'"
    line = yaml_text.key_lines(written.text).get((*written.at, *path), 0)
    hint = _near(name, known) or "use it in a template, or leave it out here"
    return Finding(UNUSED, chart.name, message, written.file, line, name, hint, values=(values.name,))


class _Used:
    """Tells which of some values nothing reads."""

    def __init__(self, chart: Chart, reads: Sequence[Read]) -> None:
        self._chart = chart
        self._whole = {read.path for read in reads if read.whole}
        self._touched = {read.path for read in reads}
        # A read of something below a value that is empty by default, e.g. `resources: {}`, uses that value.
        self._above = {read.path[:end] for read in reads for end in range(1, len(read.path))}
        # What a subchart declares is its own affair: reported, if unused, when it is checked itself.
        self._known = {
            (key, *path) for key, subchart in chart.subcharts.items() for path, _ in _paths(_declared(subchart), ())
        }

    def unread(self, values: Mapping[str, Any]) -> Iterator[tuple[Path, Any, Chart | None]]:
        """Yield what nothing reads, with the subchart it is for."""
        subcharts = self._chart.subcharts
        own = {key: value for key, value in values.items() if key not in subcharts}
        for path, value in _unread(own, (), self._is_used, self._whole):
            yield path, value, None
        for key, subchart in subcharts.items():
            given = values.get(key)
            if isinstance(given, Mapping):
                theirs = {name: value for name, value in given.items() if name != GLOBAL}
                for path, value in _unread(theirs, (key,), self._is_theirs, self._whole):
                    yield path, value, subchart

    def _is_theirs(self, path: Path) -> bool:
        return path in self._known or self._is_used(path)

    def _is_used(self, path: Path) -> bool:
        return (
            path in self._touched or path in self._above or any(path[:e] in self._whole for e in range(len(path) + 1))
        )


def _unread(values: Mapping[str, Any], at: Path, is_used: Any, whole: set[Path]) -> Iterator[tuple[Path, Any]]:
    """Yield the values below `at` that are not used: a mapping as one when nothing in it is."""
    for key, value in values.items():
        path = (*at, str(key))
        if any(path[:end] in whole for end in range(len(path) + 1)):
            continue
        if isinstance(value, Mapping) and value:
            inner = list(_unread(value, path, is_used, whole))
            if len(inner) == len(value) and not is_used(path):
                yield path, value
            else:
                yield from inner
        elif not is_used(path):
            yield path, value


def _fixed_in_template(chart: Chart, path: Path, name: str) -> str:
    """Point at a template that says the same key with a value of its own."""
    pattern = re.compile(rf"^\s*(?:- )?{re.escape(path[-1])}:\s*([^\s{{#][^{{#\n]*?)\s*$", re.MULTILINE)
    for file in chart.templates:
        if match := pattern.search(file.text):
            line = file.text.count("\n", 0, match.start(1)) + 1
            said = f"{file.path}:{line} says '{path[-1]}: {match[1]}' itself"
            return f"{said}; write {{{{ .Values.{name} }}}} there, or remove the value"
    return "use it in a template, or remove it from values.yaml"


def _undefined(chart: Chart, reads: Sequence[Read]) -> Iterator[Finding]:
    declared = _declared(chart)
    forgiven = {read.path for read in reads if read.optional}
    known = {path for path, _ in _paths(declared, ())}
    # A misspelt value of a case is no word to suggest.
    names = [".".join(path) for path, _ in _paths(_declared(chart, with_sets=False), ())]
    reported: set[Path] = set()
    for read in sorted(reads, key=lambda one: (one.file, one.line, one.path)):
        if not read.own or read.optional or not read.path or read.path in reported:
            continue
        if read.path in known or _is_open(declared, read.path):
            continue
        # A template that asks anywhere whether it is there knows that it may be absent.
        if any(read.path[:end] in forgiven and read.path[:end] not in known for end in range(1, len(read.path) + 1)):
            continue
        reported.add(read.path)
        name = ".".join(read.path)
        near = _near(name, names)
        yield Finding(
            UNDEFINED,
            chart.name,
            f"value '{name}' is read here and declared nowhere",
            chart.file(read.file),
            read.line,
            name,
            f"{near or 'declare it in values.yaml'}, or give it a default in the template",
        )


def _near(name: str, names: Any) -> str:
    close = get_close_matches(name, list(names), n=1, cutoff=0.75)
    return f"did you mean '{close[0]}'?" if close else ""


class _Open:
    """Stands for values of which only the chart they are for knows what is in them."""


_OPEN = _Open()


def _declared(chart: Chart, *, with_sets: bool = True) -> dict[str, Any]:
    """Return everything that declares a value, as one tree; what is given to try the chart only `with_sets`."""
    tree: dict[str, Any] = {}
    for key, subchart in chart.subcharts.items():
        _merge(tree, {key: _declared(subchart)})
        exports = subchart.values.get("exports")
        for exported in exports.values() if isinstance(exports, Mapping) else ():
            _merge(tree, exported if isinstance(exported, Mapping) else {})
    for dependency in chart.missing:
        tree[dependency.key] = _OPEN
        tree.setdefault(GLOBAL, _OPEN)
    for dependency in chart.metadata.dependencies:
        for path in dependency.imports or ():
            _merge(tree, _nested(path.split(".")))
    _merge(tree, chart.values)
    if chart.schema is not None:
        _merge(tree, _of_schema(chart.schema, chart.schema, 0))
    for values in chart.sets if with_sets else ():
        for written in values.written:
            _merge(tree, written.values)
    return tree


def _nested(path: Sequence[str]) -> dict[str, Any]:
    return {path[0]: _nested(path[1:]) if len(path) > 1 else _OPEN}


# Deeper than values are ever nested: schemas may refer to themselves.
_SCHEMA_DEPTH = 12


def _of_schema(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Return the properties that a values schema names."""
    tree: dict[str, Any] = {}
    if depth > _SCHEMA_DEPTH:
        return tree
    for part in (schema, *schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if isinstance(part, Mapping) and str(part.get("$ref", "")).startswith("#/"):
            target: Any = root
            for step in part["$ref"].removeprefix("#/").split("/"):
                target = target.get(step, {}) if isinstance(target, Mapping) else {}
            _merge(tree, _of_schema(target, root, depth + 1))
        properties = part.get("properties") if isinstance(part, Mapping) else None
        for key, inner in properties.items() if isinstance(properties, Mapping) else ():
            _merge(tree, {key: _of_schema(inner, root, depth + 1) if isinstance(inner, Mapping) else {}})
    return tree


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            inner = into.get(str(key))
            if not isinstance(inner, dict):
                inner = into[str(key)] = {}
            _merge(inner, value)
        elif not isinstance(into.get(str(key)), dict):
            into[str(key)] = value


def _paths(tree: Mapping[str, Any], at: Path) -> Iterator[tuple[Path, Any]]:
    for key, value in tree.items():
        yield (*at, key), value
        if isinstance(value, Mapping):
            yield from _paths(value, (*at, key))


def _is_open(tree: Mapping[str, Any], path: Path) -> bool:
    """Whether `path` goes through something nobody here can know the inside of."""
    node: Any = tree
    for key in path:
        if not isinstance(node, Mapping):
            return isinstance(node, _Open)
        node = node.get(key)
    return isinstance(node, _Open)
