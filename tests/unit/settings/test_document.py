"""The page that describes the settings."""

from __future__ import annotations

from pathlib import Path

from harness.settings.document import settings_page
from harness.settings.options import OPTIONS

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_page_is_up_to_date() -> None:
    """`python -m harness.settings.document > docs/settings.md` was run after the last change of the table."""
    assert PAGE.read_text(encoding="utf-8") == settings_page()


def test_every_option_has_a_row() -> None:
    """No setting is undocumented, and none stands in the page twice."""
    rows = [line.split("`")[1].partition("=")[0] for line in settings_page().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(option.flag for option in OPTIONS)
