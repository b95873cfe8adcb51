"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a chart.

    Args:
        check: the check that found it, e.g. ``unused-value``.
        chart: the chart's name, or its directory's when it cannot be read.
        message: what is wrong, without where.
        file: the file to look at; empty when there is none to name.
        line: 1-based, 0 when unknown.
        object: what it is about: a value's path, or ``Kind/name`` of a rendered object.
        hint: what to do about it.
        severity: an error fails the check, a warning does not.
        values: names of the value sets it was seen with; empty when it does not depend on values.
        kubernetes: minor versions it was seen with; empty when it does not depend on them.
    """

    check: str
    chart: str
    message: str
    file: str = ""
    line: int = 0
    object: str = ""
    hint: str = ""
    severity: Severity = "error"
    values: tuple[str, ...] = ()
    kubernetes: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """E.g. ``charts/app/values.yaml:12``."""
        return f"{self.file}:{self.line}" if self.line else self.file


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings, those that differ only in values and Kubernetes versions made one; errors first."""
    found: dict[Finding, Finding] = {}
    for finding in findings:
        key = replace(finding, values=(), kubernetes=())
        before = found.get(key, key)
        found[key] = replace(
            before,
            values=tuple(dict.fromkeys((*before.values, *finding.values))),
            kubernetes=tuple(dict.fromkeys((*before.kubernetes, *finding.kubernetes))),
        )
    return tuple(sorted(found.values(), key=lambda one: (one.severity != "error", one.file, one.line, one.check)))
