"""What GitHub Actions reads."""

from __future__ import annotations

import pytest

from harness.commands.github import annotation, code, code_block, table


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, "::error::it broke", id="only a message"),
        pytest.param({"file": "a.py", "line": 3}, "::error file=a.py,line=3::it broke", id="a line"),
        pytest.param({"file": "a.py"}, "::error file=a.py::it broke", id="a file without a line"),
        pytest.param({"title": "a: b, c"}, "::error title=a%3A b%2C c::it broke", id="what ends a property"),
    ],
)
def test_places(given: dict[str, str | int], expected: str) -> None:
    """What is known of the place is named, what is not is left out."""
    assert annotation("error", "it broke", **given) == expected  # type: ignore[arg-type] # a row's own mapping


def test_a_message_of_several_lines_stays_one() -> None:
    """A line feed would end the annotation, and a percent sign is how it is written."""
    assert annotation("warning", "50%\r\nworse: a, b") == "::warning::50%25%0D%0Aworse: a, b"


@pytest.mark.parametrize(
    ("text", "block"),
    [
        pytest.param("plain", "```text\nplain\n```", id="plain"),
        pytest.param("a ```` b", "`````text\na ```` b\n`````", id="what would end it"),
    ],
)
def test_blocks_hold_anything(text: str, block: str) -> None:
    """The fence is longer than any in the text."""
    assert code_block(text) == block


@pytest.mark.parametrize(
    ("text", "shown"), [("a", "`a`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("a\nb", "`a b`")], ids=repr
)
def test_code_within_a_line(text: str, shown: str) -> None:
    """Backticks in it are no end, lines are joined."""
    assert code(text) == shown


def test_a_table_keeps_its_columns() -> None:
    """Neither a pipe nor a line feed in a cell makes another one."""
    assert table(("a", "b"), [("x|y", "1\n2")]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 2 |"
