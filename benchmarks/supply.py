"""How long supply takes when everything is there, and how soon it says that something is missing.

- cached: a fresh `Supply` finds kind, kubectl and helm, and the images of the node, the registry and Python, as a run
  does at its start; the sum over all, and each program by itself;
- missing: `seatrial supply get --offline` with an empty cache and nothing on PATH, from the start of the process to its
  refusal, beside `seatrial --version`, which is the start of the process alone.

Usage: python benchmarks/supply.py [--rounds N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import rig
from child import run
from report import Report, median

PROGRAMS = ("kind", "kubectl", "helm")
SEATRIAL = Path(sys.executable).with_name("seatrial")
REFUSED = 1


def resolve_all() -> dict[str, float]:
    """Return the milliseconds that a fresh run takes to find each thing."""
    taken: dict[str, float] = {}
    with rig.assembly() as parts:
        parts.engine.client().close()  # finding the engine is not supply's work
        supply, node = parts.supply, f"node-{parts.settings.cluster.kubernetes}"
        finders = dict.fromkeys(PROGRAMS, supply.program)
        for name, find in {**finders, **dict.fromkeys((node, "registry", "python-3.11"), supply.image)}.items():
            started = time.perf_counter()
            find(name)
            taken[name] = (time.perf_counter() - started) * 1000
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    report = Report()
    resolve_all()  # warms the caches
    found = [resolve_all() for _ in range(rounds)]
    rows = [[f"cached: {name}", median([taken[name] for taken in found], 0)] for name in found[0]]
    rows.append(["cached: all of these", median([sum(taken.values()) for taken in found], 0)])
    with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as empty:
        env = {"XDG_CACHE_HOME": empty, "PATH": empty}
        refusals = [run(SEATRIAL, "supply", "get", "--offline", *PROGRAMS, env=env) for _ in range(rounds)]
        starts = [run(SEATRIAL, "--version", env=env).check() for _ in range(rounds)]
    if {ended.exit_code for ended in refusals} != {REFUSED}:
        sys.exit(f"not refused:\n{refusals[0].output}")
    rows.append(["missing, offline: refused after", median([ended.wall_s * 1000 for ended in refusals], 0)])
    rows.append(["`seatrial --version`", median([ended.wall_s * 1000 for ended in starts], 0)])
    report.show(f"{rounds} rounds, medians.", ["", "ms"], rows)


if __name__ == "__main__":
    main()
