"""A chart that changed needs a new version: what was released under a version stays what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from harness.charts import declaration, yaml_text
from harness.charts.chart import METADATA, Chart
from harness.charts.checks.context import Context
from harness.charts.finding import Finding
from harness.charts.render import Render

VERSION = "version-bump"

# What does not change what the chart does when it is installed.
_IRRELEVANT_DIRECTORIES = frozenset({"ci"})
_IRRELEVANT_NAMES = frozenset({declaration.FILE, ".helmignore"})


def check(chart: Chart, renders: Sequence[Render], context: Context) -> list[Finding]:
    """Report a changed chart whose version stayed or went back."""
    del renders
    before = context.before
    if before is None:
        return []
    changed = [name for name in before.changed if matters(name)]
    old, new = before.chart.metadata.version, chart.metadata.version
    if new > old or not (changed or new < old):
        return []
    path = chart.path / METADATA
    line = yaml_text.key_lines(path.read_text(encoding="utf-8")).get(("version",), 0) if path.is_file() else 0
    if new < old:
        message = f"version went back from {old} ({before.ref}) to {new}"
    else:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        message = f"{changed[0]}{more} changed since {before.ref} and the version is still {new}"
    return [
        Finding(VERSION, chart.name, message, str(path), line, "version", f"raise it, at least to {old.next_patch()}")
    ]


def matters(name: str) -> bool:
    """Whether a change of this file, of the chart or of a library it packs, changes what is released."""
    path = PurePosixPath(name)
    return not (path.parent.name in _IRRELEVANT_DIRECTORIES or path.name in _IRRELEVANT_NAMES or path.suffix == ".md")
