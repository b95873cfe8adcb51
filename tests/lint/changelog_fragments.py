"""Check that every changelog fragment is named so that towncrier finds it, and says something."""

from __future__ import annotations

import re
import sys
from pathlib import Path

# towncrier ignores a fragment whose type it does not know, silently: a typo would lose the entry.
NAME = re.compile(r"^[+a-z0-9-]+\.(feature|bugfix|breaking|doc|misc)\.md$")


def problems(directory: Path) -> list[str]:
    """Return one sentence per fragment in `directory` that towncrier would miss or that is empty."""
    found = []
    for fragment in sorted(directory.iterdir()):
        if fragment.name in {"README.md", ".gitkeep"}:
            continue
        if not NAME.match(fragment.name):
            found.append(f"{fragment}: name it <slug>.<feature|bugfix|breaking|doc|misc>.md")
        elif not fragment.read_text(encoding="utf-8").strip():
            found.append(f"{fragment}: is empty")
    return found


if __name__ == "__main__":
    found = problems(Path(__file__).parents[2] / "changelog.d")
    sys.exit("\n".join(found) or 0)
