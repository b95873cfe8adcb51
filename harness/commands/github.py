"""What GitHub Actions reads from the output of a step, and the Markdown it shows; nothing here runs anything.

Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions (setting an error message, adding
a job summary).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

Severity = Literal["error", "warning", "notice"]

_PIPE = r"\|"


def annotation(severity: Severity, message: str, *, title: str = "", file: str = "", line: int = 0) -> str:
    """Return the line that has GitHub show `message` beside the code.

    Args:
        severity: how it is shown.
        message: any text, lines included.
        title: its heading.
        file: the file it is about, relative to the repository's root.
        line: 1-based, 0 when there is none to name.
    """
    properties = {"file": file, "line": str(line) if line else "", "title": title}
    given = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    return f"::{severity}{f' {given}' if given else ''}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def code_block(text: str) -> str:
    """Return `text` as a block of Markdown that shows it as it is, whatever is in it."""
    longest = max((len(ticks) for ticks in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def code(text: str) -> str:
    """Return `text` as code within a line of Markdown."""
    longest = max((len(ticks) for ticks in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{' '.join(text.split())}{space}{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown; what would end a cell is escaped."""
    return "\n".join(_row(cells) for cells in (head, ["---"] * len(head), *rows))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', _PIPE) for cell in cells)} |"
