"""Writes the first tests and the workflow of a repository of charts; what is there already stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.charts import declaration
from harness.charts.changed import charts_below
from harness.errors import SeatrialError

_FILES = Path(__file__).with_name("files")
_SCHEMA = "tests/seatrial.schema.json"


@dataclass(frozen=True)
class Scaffolded:
    """What was written.

    Args:
        directory: the repository.
        files: relative to it, in the order they were written.
        charts: directories of its charts, relative to it.
    """

    directory: Path
    files: tuple[str, ...]
    charts: tuple[str, ...]


def scaffold(directory: Path, *, version: str, kubernetes: tuple[str, ...]) -> Scaffolded:
    """Write tests, a workflow and, beside each chart that has none, a declaration of its cases.

    Args:
        directory: the repository's top directory.
        version: of Seatrial, which the tests are to run with.
        kubernetes: the minor versions the workflow tests on.

    Raises:
        SeatrialError: there is no such directory, or files are there already, and nothing was written; or one could
            not be written.
        SettingsError: pyproject.toml is malformed.
    """
    attempted = f"write the first tests of '{directory}'"
    if not directory.is_dir():
        raise SeatrialError(attempted, seen="there is no such directory", hint="make it, or name another")
    charts = tuple(sorted(chart.relative_to(directory).as_posix() for chart in charts_below(directory)))
    texts = {
        "tests/test_charts.py": _filled("test_charts.py.in"),
        "tests/requirements.txt": _filled("requirements.txt.in", VERSION=version),
        _SCHEMA: declaration.SCHEMA.read_text(encoding="utf-8"),
        ".github/workflows/charts.yml": _filled("charts.yml.in", KUBERNETES=",".join(kubernetes)),
        **dict(_declarations(directory, charts)),
    }
    if present := [name for name in texts if os.path.lexists(directory / name)]:
        raise SeatrialError(
            attempted,
            seen=f"there already: {', '.join(present)}",
            hint="move them away, or write what is missing by hand: docs/ci.md shows it",
        )
    try:
        for name, text in texts.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            with (directory / name).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        hint = "may this user write there, and is there room on the disk?"
        raise SeatrialError(attempted, seen=f"{error.filename}: {error.strerror}", hint=hint) from error
    return Scaffolded(directory, tuple(texts), charts)


def _declarations(directory: Path, charts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for chart in charts:
        if (directory / chart / declaration.FILE).exists():
            continue
        schema = os.path.relpath(_SCHEMA, chart)
        name = PurePosixPath(chart).name or directory.resolve().name
        yield (
            (PurePosixPath(chart) / declaration.FILE).as_posix(),
            _filled("seatrial.yaml.in", SCHEMA=schema, NAME=name),
        )


def _filled(file: str, **words: str) -> str:
    text = (_FILES / file).read_text(encoding="utf-8")
    for name, word in words.items():
        text = text.replace(f"@{name}@", word)
    return text
