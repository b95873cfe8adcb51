"""How long `pytest` takes on a kept cluster, and how much memory: the kubectl, YAML and Helm scenarios together.

The first run makes the cluster, the others find it. Three choices of stories: the three that deploy and score (one per
scenario), all that must succeed, and all with those that must fail, which wait for Kubernetes to show the failure.
Per choice, the sum of its tests' own times tells what is left for pytest, imports and the run's beginning and end.

Usage: python benchmarks/kept_cluster.py [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import rig
from child import Ended, run
from report import Report, median

DEPLOYS = {
    "test_deploy_score_and_delete",
    "test_one_file_makes_everything_and_takes_it_away",
    "test_a_chart_is_installed_scores_and_is_uninstalled",
}
SUCCEEDS = DEPLOYS | {
    "test_a_context_remembers_its_namespace",
    "test_the_tutorials_chart_ignores_its_replicas",
}
CHOICES = {
    "the three that deploy and score": f"({' or '.join(sorted(DEPLOYS))})",
    "all that must succeed": f"({' or '.join(sorted(SUCCEEDS))})",
    "all, failures too": "test_",
}


class Bench:
    """Runs of the scenarios on one kept cluster.

    Args:
        scratch: where evidence and reports go.
        cluster: the cluster's name.
    """

    def __init__(self, scratch: Path, cluster: str) -> None:
        self.report = scratch / "report.xml"
        self.argv = (
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "scenarios"),
            *("-m", "kubectl or manifest or helm", f"--cluster-name={cluster}", "--keep-cluster"),
            *(f"--evidence-dir={scratch / 'evidence'}", f"--junit-xml={self.report}"),
        )

    def run(self, choice: str) -> tuple[Ended, dict[str, float]]:
        """Run a choice of stories; return how it ended and the seconds of each with its set-up and tear-down."""
        ended = run(*self.argv, "-k", CHOICES[choice], cwd=rig.ROOT).check()
        cases = ET.parse(self.report).iter("testcase")  # noqa: S314 - pytest wrote it a moment ago
        return ended, {str(case.get("name")): float(case.get("time", 0)) for case in cases}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each choice after the first")
    rounds = parser.parse_args().rounds
    cluster = rig.new_name("kept")
    report = Report()
    rows, stories = [], {}
    try:
        with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as scratch:
            bench = Bench(Path(scratch), cluster)
            first, _ = bench.run("the three that deploy and score")
            rows.append(
                ["first run, makes the cluster: the same three", "3", f"{first.wall_s:.1f}", "", f"{first.peak_mb:.0f}"]
            )
            for choice in CHOICES:
                runs = [bench.run(choice) for _ in range(rounds)]
                stories = {name: statistics.median(times[name] for _, times in runs) for name in runs[0][1]}
                walls = median([ended.wall_s for ended, _ in runs], 1)
                own = f"{statistics.median(sum(times.values()) for _, times in runs):.1f}"
                peak = f"{max(ended.peak_mb for ended, _ in runs):.0f}"
                rows.append([f"kept cluster: {choice}", str(len(stories)), walls, own, peak])
    finally:
        run(Path(sys.executable).with_name("seatrial"), "cluster", "delete", cluster)
    columns = ["stories", "number", "whole run, s", "in the stories, s", "peak of the pytest process, MB"]
    report.show(f"{rounds} runs of each choice; medians, of peaks the largest.", columns, rows)
    parts = [[name, "succeeds" if name in SUCCEEDS else "fails", f"{s:.1f}"] for name, s in stories.items()]
    report.show("Each story with set-up and tear-down.", ["story", "must", "s"], parts)


if __name__ == "__main__":
    main()
