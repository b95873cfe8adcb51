"""Check the workflows and the action: actionlint (with shellcheck for what they run), zizmor and the action's schema.

actionlint is compiled from its Go module with Seatrial's own supply, once; the others come with the environment. What
`seatrial init` writes is checked with them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from harness.process.runner import SubprocessRunner
from harness.progress import LiveProgress
from harness.scaffold.scaffold import scaffold
from harness.settings.resolve import Sources, resolve
from harness.settings.values import known_kubernetes_versions
from harness.supply.assembly import make_engineless_supply
from harness.supply.pins import Pins, host_arch
from harness.supply.recipe import Recipes

ROOT = Path(__file__).parents[2]
RECIPES = Path(__file__).with_name("recipes")
# Where the environment's programs are.
PROGRAMS = Path(sys.executable).parent


def actionlint() -> Path:
    """Return the program, compiled at the first call."""
    pins = Pins.load()
    supply = make_engineless_supply(
        resolve(Sources(), kubernetes_versions=known_kubernetes_versions()).supply,
        runner=SubprocessRunner(),
        progress=LiveProgress(sys.stderr),
        pins=pins,
        recipes=Recipes(pins, host_arch(), RECIPES),
    )
    return supply.program("actionlint").path


def failed(directory: Path, *argv: str | Path) -> bool:
    """Run a check in `directory`, its output shown, and return whether it found something."""
    return subprocess.run([str(word) for word in argv], cwd=directory, check=False).returncode != 0


def check(directory: Path, *, action: bool) -> bool:
    """Run all checks on the workflows of a repository and return whether any found something."""
    workflows = sorted(directory.glob(".github/workflows/*.yml"))
    zizmor = (PROGRAMS / "zizmor", "--offline", "--pedantic", "--quiet", "--strict-collection", ".")
    schema = (PROGRAMS / "check-jsonschema", "--builtin-schema=vendor.github-actions", "action.yml")
    found = [
        failed(directory, actionlint(), f"-shellcheck={PROGRAMS / 'shellcheck'}", *workflows),
        failed(directory, *zizmor),
        action and failed(directory, *schema),
    ]
    return any(found)


def main() -> int:
    """Check this repository and a fresh one."""
    with tempfile.TemporaryDirectory(prefix="seatrial-lint-") as name:
        fresh = Path(name)
        # actionlint looks for a repository.
        subprocess.run(["git", "init", "--quiet", fresh], check=True)
        scaffold(fresh, version=version("seatrial"), kubernetes=known_kubernetes_versions())
        return 1 if any([check(ROOT, action=True), check(fresh, action=False)]) else 0


if __name__ == "__main__":
    sys.exit(main())
