"""What the checks found, for people, programs and GitHub."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from harness.charts.check import ChartReport
from harness.charts.finding import Finding
from harness.commands import github


def as_text(reports: Sequence[ChartReport], base: Path) -> str:
    """Return the findings chart by chart; files are named from `base` where they are below it."""
    lines = []
    for report in reports:
        lines.append(f"{report.name} ({_from(base, report.path)})")
        for finding in report.findings:
            lines.extend(f"  {line}" for line in _lines(finding, base))
        for finding, allowed in report.allowed:
            lines.append(f"  allowed {finding.check} {finding.object}: {allowed.reason}")
        lines.append(f"  {_summary(report)}")
    return "\n".join(lines)


def _lines(finding: Finding, base: Path) -> list[str]:
    where = f"{_from(base, finding.file)}:{finding.line}" if finding.line else _from(base, finding.file)
    lines = [f"{finding.severity:<7} {finding.check:<15} {where}", *_indented(finding.message)]
    if finding.hint:
        lines.append(f"        try: {finding.hint}")
    seen = [part for part in (_seen("with", finding.values), _seen("on Kubernetes", finding.kubernetes)) if part]
    if seen:
        lines.append(f"        {' '.join(seen)}")
    return lines


def _indented(text: str) -> list[str]:
    return [f"        {line}" for line in text.splitlines()]


def _seen(word: str, names: Sequence[str]) -> str:
    return f"{word} {', '.join(names)}" if names else ""


def _summary(report: ChartReport) -> str:
    errors = sum(finding.severity == "error" for finding in report.findings)
    warnings = len(report.findings) - errors
    found = [_count(errors, "error"), _count(warnings, "warning")] if report.findings else ["nothing found"]
    return f"{', '.join(found)}; {_count(report.renders, 'render')}, {_count(report.objects, 'object')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def as_json(reports: Sequence[ChartReport], base: Path) -> str:
    """Return everything as JSON, files named as in :func:`as_text`."""
    return json.dumps(
        [
            {
                "chart": report.name,
                "path": _from(base, report.path),
                "renders": report.renders,
                "objects": report.objects,
                "findings": [{**asdict(finding), "file": _from(base, finding.file)} for finding in report.findings],
                "allowed": [
                    {**asdict(finding), "file": _from(base, finding.file), "reason": allowed.reason}
                    for finding, allowed in report.allowed
                ],
            }
            for report in reports
        ],
        indent=2,
    )


def as_github(reports: Sequence[ChartReport], base: Path) -> str:
    """Return the findings as annotations of GitHub Actions."""
    return "\n".join(_annotation(finding, base) for report in reports for finding in report.findings)


def _annotation(finding: Finding, base: Path) -> str:
    seen = " ".join(
        part for part in (_seen("with", finding.values), _seen("on Kubernetes", finding.kubernetes)) if part
    )
    return github.annotation(
        finding.severity,
        "\n".join(part for part in (finding.message, finding.hint and f"try: {finding.hint}", seen) if part),
        title=f"{finding.chart}: {finding.check}",
        file=_from(base, finding.file),
        line=finding.line,
    )


def _from(base: Path, file: str) -> str:
    """Return `file` seen from `base`, or as it is when it is elsewhere."""
    if not file:
        return ""
    path = Path(os.path.abspath(base / file))  # noqa: PTH100 - resolve() would follow the user's links
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)
