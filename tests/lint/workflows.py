"""Check the workflows and the action: actionlint (with shellcheck for what they run), zizmor and the action's schema.

actionlint is compiled from its Go module with Seatrial's own supply, once; the others come with the environment. What
`seatrial init` writes is checked with them. Likewise what other systems read: the hooks that pre-commit is offered, and
the documentation's example for GitLab, by GitLab's own schema.
"""

from __future__ import annotations

import re
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


def check_gitlab_example(directory: Path) -> bool:
    """Check the example in docs/ci.md and return whether anything was found."""
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^## GitLab CI\n+```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    file = directory / ".gitlab-ci.yml"
    file.write_text(example, encoding="utf-8")
    return failed(directory, PROGRAMS / "check-jsonschema", "--builtin-schema=vendor.gitlab-ci", file)


def check_hooks() -> bool:
    """Check what pre-commit reads here and return whether anything was found."""
    pre_commit = PROGRAMS / "pre-commit"
    offered = failed(ROOT, pre_commit, "validate-manifest", ".pre-commit-hooks.yaml")
    return failed(ROOT, pre_commit, "validate-config", ".pre-commit-config.yaml") or offered


def main() -> int:
    """Check this repository and a fresh one."""
    with tempfile.TemporaryDirectory(prefix="seatrial-lint-") as name:
        fresh = Path(name)
        # actionlint looks for a repository.
        subprocess.run(["git", "init", "--quiet", fresh], check=True)
        scaffold(fresh, version=version("seatrial"), kubernetes=known_kubernetes_versions())
        found = [check(ROOT, action=True), check(fresh, action=False), check_gitlab_example(fresh), check_hooks()]
        return 1 if any(found) else 0


if __name__ == "__main__":
    sys.exit(main())
