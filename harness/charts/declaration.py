"""`seatrial.yaml` beside a chart's Chart.yaml: what else belongs to the chart, and the cases it is tried in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.charts import yaml_text
from harness.charts.finding import Finding
from harness.errors import ChartError

FILE = "seatrial.yaml"
SCHEMA = Path(__file__).with_name("seatrial.schema.json")


# Steps that render the chart, and so have values of their own.
RENDERS = ("install", "upgrade")


@dataclass(frozen=True)
class Rendering:
    """A step of a case that renders the chart with values of its own.

    Args:
        verb: ``install`` or ``upgrade``.
        number: which of the case's steps it is, from 0.
        values: values files on top of the case's, relative to the chart.
        set: values on top of those.
        today: whether it is today's chart that is rendered, and meant to succeed.
    """

    verb: str
    number: int
    values: tuple[str, ...] = ()
    set: Mapping[str, Any] = field(default_factory=dict)
    today: bool = True


@dataclass(frozen=True)
class Case:
    """One way in which a chart is used.

    Args:
        name: unique among the chart's cases.
        values: values files, relative to the chart, merged in this order.
        set: values of the case's own, merged last.
        release: the release's name; the chart's by default.
        namespace: where it goes.
        api_versions: what a cluster that it goes to serves besides Kubernetes' own.
        details: what else the file says of the case, for :mod:`harness.charts.case`; whether it names a namespace too.
    """

    name: str
    values: tuple[str, ...] = ()
    set: Mapping[str, Any] = field(default_factory=dict)
    release: str = ""
    namespace: str = "default"
    api_versions: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def renderings(self) -> Iterator[Rendering]:
        """Yield the steps that have values of their own."""
        for number, step in enumerate(self.details.get("steps", ())):
            ((verb, options),) = step.items() if isinstance(step, Mapping) else ((step, None),)
            if verb in RENDERS and options and (options.get("values") or options.get("set")):
                today = options.get("chart", "current") == "current" and not options.get("fails")
                yield Rendering(verb, number, tuple(options.get("values", ())), options.get("set", {}), today)

    def values_files(self) -> tuple[str, ...]:
        """Return every values file it names, those of its steps included, relative to the chart."""
        return (*self.values, *(file for step in self.renderings() for file in step.values))


@dataclass(frozen=True)
class Allowed:
    """A finding that is known and accepted.

    Args:
        check: the check's name.
        reason: why it is accepted.
        object: pattern of the finding's object, e.g. ``legacy.*``.
    """

    check: str
    reason: str
    object: str = "*"

    def covers(self, finding: Finding) -> bool:
        """Whether `finding` is the one that is accepted."""
        return finding.check == self.check and fnmatchcase(finding.object, self.object)


@dataclass(frozen=True)
class Declaration:
    """The whole file.

    Args:
        sources: files and directories outside the chart whose change touches it, relative to the chart.
        cases: ways in which the chart is used.
        allowed: findings that are known and accepted.
    """

    sources: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()
    allowed: tuple[Allowed, ...] = ()


def parse(text: str, file: str) -> Declaration:
    """Read the file's text.

    Raises:
        ChartError: it is no YAML, or not what the schema wants.
    """
    import jsonschema  # noqa: PLC0415 - most charts have no declaration, and importing it takes longer than the rest

    attempted = f"read chart declaration '{file}'"
    try:
        body = yaml_text.load(text)
    except yaml_text.YamlError as broken:
        raise ChartError(
            attempted,
            problem="malformed",
            file=file,
            line=broken.line,
            seen=f"{file}:{broken.line}: {broken}",
            hint="correct the indentation and quotes there",
        ) from None
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    lines = yaml_text.key_lines(text)
    problems = []
    for error in validator.iter_errors(body if body is not None else {}):
        path = tuple(str(part) for part in error.absolute_path)
        line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 1)
        problems.append((line, f"{file}:{line}: {'.'.join(path) or 'the file'}: {error.message}"))
    names = [case["name"] for case in (body or {}).get("cases", ())] if not problems else []
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problems.append((lines.get(("cases",), 1), f"{file}: case '{twice[0]}' is there twice"))
    if problems:
        raise ChartError(
            attempted,
            problem="malformed",
            file=file,
            line=problems[0][0],
            seen="\n".join(message for _, message in problems),
            hint=f"the file's schema is {SCHEMA}",
        )
    return _declaration(body or {})


def _declaration(body: Mapping[str, Any]) -> Declaration:
    known = ("name", "values", "set", "release", "api-versions")
    return Declaration(
        tuple(body.get("sources", ())),
        tuple(
            Case(
                case["name"],
                tuple(case.get("values", ())),
                case.get("set", {}),
                case.get("release", ""),
                case.get("namespace", "default"),
                tuple(case.get("api-versions", ())),
                {key: value for key, value in case.items() if key not in known},
            )
            for case in body.get("cases", ())
        ),
        tuple(
            Allowed(allowed["check"], allowed["reason"], allowed.get("object", "*"))
            for allowed in body.get("allow", ())
        ),
    )
