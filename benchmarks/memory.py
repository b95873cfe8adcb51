"""How much memory the harness process itself holds at most: `pytest` for the kubectl scenario, and less than that.

The peak is the kernel's own high-water mark of resident memory, of the pytest process without its children (kubectl,
kind and helm come and go). Beside it: Python alone, pytest without and with the plugin in an empty project, and Python
that has imported the Kubernetes client and Docker's, which every user of those holds.

Usage: python benchmarks/memory.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import rig
from child import run
from report import Report

NO_TESTS = 5
# Long enough for the peak to be read.
LINGER = "import time; time.sleep(0.3)"
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as name:
        empty = Path(name) / "empty"
        empty.mkdir()
        (empty / "conftest.py").write_text(f"def pytest_unconfigure():\n    {LINGER}\n", encoding="utf-8")
        bare = ("-p", "no:seatrial", "-p", "no:pytest-kind")
        evidence = f"--evidence-dir={Path(name) / 'evidence'}"
        runs = {
            "Python": run(sys.executable, "-c", LINGER),
            "Python, having imported kubernetes and docker": run(
                sys.executable, "-c", f"import docker, kubernetes.client; {LINGER}"
            ),
            "pytest in an empty project": run(*PYTEST, *bare, cwd=empty),
            "pytest in an empty project, with Seatrial": run(*PYTEST, "-p", "no:pytest-kind", cwd=empty),
            "pytest, the kubectl scenario on a new cluster": run(
                *PYTEST, "-m", "kubectl", evidence, "scenarios", cwd=rig.ROOT
            ),
        }
    rows = [[what, f"{ended.check(NO_TESTS).peak_mb:.0f}"] for what, ended in runs.items()]
    report.show("Peak of the process itself.", ["", "MB"], rows)


if __name__ == "__main__":
    main()
