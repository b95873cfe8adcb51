"""Charts and repositories on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Write = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files below a directory and return it."""

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def chart(write: Write) -> Callable[..., Path]:
    """Write a chart: its values, its templates by name, and further files."""

    def chart(
        values: str = "", templates: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None
    ) -> Path:
        made = {"app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n", "app/values.yaml": values}
        made |= {f"app/templates/{name}": text for name, text in (templates or {}).items()}
        made |= {f"app/{name}": text for name, text in (files or {}).items()}
        return write(made) / "app"

    return chart
