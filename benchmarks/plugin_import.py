"""What having Seatrial installed costs runs that do not use it: `pytest` in an empty project.

In each round every way runs in turn. pytest-kind, which Seatrial brings along, has a plugin of its own; Seatrial keeps
it from loading when it is loaded first, but which of the two comes first is up to the file system. So Seatrial is
measured without that plugin and with it as it comes here. Tells which heavy modules each way has imported at the end.

Usage: python benchmarks/plugin_import.py [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from child import run
from report import Report

WAYS = {
    "neither": ("-p", "no:seatrial", "-p", "no:pytest-kind"),
    "seatrial": ("-p", "no:pytest-kind"),
    "seatrial, and pytest-kind as it comes": (),
    "pytest-kind alone": ("-p", "no:seatrial"),
}
COMMANDS = {"pytest --version": ("--version",), "pytest --collect-only": ("--collect-only", "-q")}
HEAVY = ("docker", "jsonschema", "kubernetes", "pykube", "requests", "yaml")
NO_TESTS = 5
# Told by a conftest file at the end of a collection.
CONFTEST = f"""\
import sys

def pytest_unconfigure():
    print("imported:", *[name for name in {HEAVY!r} if name in sys.modules])
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    report = Report()
    taken: dict[tuple[str, str], list[float]] = {(what, way): [] for what in COMMANDS for way in WAYS}
    imported: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as name:
        for number in range(rounds + 1):
            for (what, way), times in taken.items():
                ended = run(sys.executable, "-m", "pytest", *COMMANDS[what], *WAYS[way], cwd=Path(name))
                ended.check(NO_TESTS)
                if number:  # the first round warms the caches
                    times.append(ended.wall_s * 1000)
        (Path(name) / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        for way, flags in WAYS.items():
            output = run(sys.executable, "-m", "pytest", "-q", *flags, cwd=Path(name)).check(NO_TESTS).output
            imported[way] = output.partition("imported:")[2].splitlines()[0].strip() or "none"
    medians = {key: statistics.median(values) for key, values in taken.items()}
    rows = []
    for way in WAYS:
        figures = [
            f"{medians[what, way]:.0f} ({medians[what, way] - medians[what, 'neither']:+.0f})" for what in COMMANDS
        ]
        rows.append([way, *figures, imported[way]])
    columns = ["plugin", *(f"{what}, ms (added)" for what in COMMANDS), "heavy modules imported"]
    report.show(f"{rounds} rounds, medians.", columns, rows)


if __name__ == "__main__":
    main()
