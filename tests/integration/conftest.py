"""What several integration tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.assembly import Assembly
from tests.integration.child_run import ChildProject
from tests.integration.volumes import noted_volumes


@pytest.fixture
def child(seatrial: Assembly, tmp_path: Path) -> Iterator[ChildProject]:
    """A foreign project, whose runs use this run's engine, programs and images."""
    for program in ("kind", "kubectl", "helm"):
        seatrial.supply.program(program)
    for image in ("node-1.34", "registry", "python-3.11"):
        seatrial.supply.image(image)
    with noted_volumes(seatrial.engine) as volumes:
        artifacts = seatrial.settings.supply.cache_dir / "artifacts"
        project = ChildProject(tmp_path, seatrial.engine, artifacts, volumes=volumes)
        yield project
    if (last := sorted(tmp_path.glob("*.log"), key=lambda path: path.stat().st_mtime_ns)) and project.project.exists():
        print(last[-1].read_text(encoding="utf-8", errors="replace"))  # noqa: T201 - shown when the test fails
