"""How long it takes to find the charts a branch touches: 50 charts in a repository of 10,000 files.

Ten charts are libraries; each of the others takes one in by `file://`. The branch changes one library, one values file
and one application. Each round is a process of its own, as a workflow runs it.

Usage: python benchmarks/charts_changed.py [--rounds N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from child import run
from report import Report, median

CHARTS, LIBRARIES, FILES = 50, 10, 10_000
LIMIT_S = 1.0


def make_repository(root: Path) -> None:
    """Write the repository, with a branch that touches some of its charts."""

    def write(name: str, text: str) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")

    def git(*args: str) -> None:
        run("git", "-C", root, "-c", "user.name=n", "-c", "user.email=n@example.org", *args).check()

    for number in range(CHARTS):
        library = number < LIBRARIES
        metadata = (
            f"apiVersion: v2\nname: chart-{number}\nversion: 1.0.0\ntype: {'library' if library else 'application'}\n"
        )
        if not library:
            target = number % LIBRARIES
            metadata += (
                "dependencies:\n"
                f"  - name: chart-{target}\n    version: 1.0.0\n    repository: file://../chart-{target}\n"
            )
            write(f"charts/chart-{number}/seatrial.yaml", f"sources: [../../apps/app-{number}]\n")
        write(f"charts/chart-{number}/Chart.yaml", metadata)
        write(f"charts/chart-{number}/values.yaml", "a: 1\n")
        for template in range(20):
            write(f"charts/chart-{number}/templates/t{template}.yaml", "kind: ConfigMap\n")
    for number in range(FILES - CHARTS * 23 + LIBRARIES):
        write(f"apps/app-{number % CHARTS}/src/package_{number % 97}/module_{number}.py", f"x = {number}\n")
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "--message=x")
    git("checkout", "--quiet", "-b", "work")
    write("charts/chart-3/templates/t1.yaml", "kind: Secret\n")
    write("charts/chart-20/values.yaml", "a: 2\n")
    write("apps/app-31/src/new.py", "")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    report = Report()
    with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as name:
        root = Path(name)
        make_repository(root)
        times, touched = [], 0
        for number in range(rounds + 1):
            argv = (sys.executable, "-m", "harness.cli", "charts", "changed", "--since=main")
            ended = run(*argv, cwd=root).check()
            touched = len(ended.output.split())
            if number:  # the first round warms the caches
                times.append(ended.wall_s)
    what = f"{CHARTS} charts, {FILES} files, {touched} charts touched; limit {LIMIT_S:g} s"
    report.show(what, ("command", "seconds"), [("seatrial charts changed", median(times))])


if __name__ == "__main__":
    main()
