"""`[tool.seatrial.charts]` in pyproject.toml: which charts a repository has, and what belongs to them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "pyproject.toml"


@dataclass(frozen=True)
class Project:
    """What a repository says of its charts; paths are relative to its root.

    Args:
        exclude: patterns of charts that are none of its own, e.g. ``tests/*``.
        sources: by chart, files and directories whose change touches it.
    """

    exclude: tuple[str, ...] = ()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def load(cls, root: Path) -> Project:
        """Read the repository's pyproject.toml, if there is one.

        Raises:
            SettingsError: it is malformed.
        """
        file = root / FILE
        if not file.is_file():
            return cls()
        try:
            body = tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise SettingsError([f"{file}: {error}"]) from None
        tool = body.get("tool", {})
        table = tool.get("seatrial", {}).get("charts", {}) if isinstance(tool.get("seatrial"), dict) else {}
        problems = list(_problems(table))
        if problems:
            raise SettingsError([f"{file} [tool.seatrial.charts]: {problem}" for problem in problems])
        return cls(
            tuple(table.get("exclude", ())),
            {chart.strip("/"): tuple(paths) for chart, paths in table.get("sources", {}).items()},
        )

    def has(self, chart: str) -> bool:
        """Whether the chart at this path is one of the repository's own."""
        return not any(fnmatchcase(chart, pattern) for pattern in self.exclude)


def _problems(table: Any) -> list[str]:
    if not isinstance(table, dict):
        return ["must be a table"]
    problems = [
        f"unknown key '{key}'; there are exclude and sources" for key in table if key not in ("exclude", "sources")
    ]
    if not _is_strings(table.get("exclude", [])):
        problems.append("exclude must be a list of patterns")
    sources = table.get("sources", {})
    if not (isinstance(sources, dict) and all(_is_strings(paths) for paths in sources.values())):
        problems.append("sources must map each chart's path to a list of paths")
    return problems


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
