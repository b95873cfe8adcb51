"""How long a chart's case takes on a kept cluster: installed, upgraded, rolled back and scored each time.

The first round makes the cluster and is not counted. Nothing is left is part of each round.

Usage: python benchmarks/charts_live.py [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import closing

import rig
from report import Report, median

from harness.charts.case import Answer, ChartCase, Origin, Step
from harness.charts.voyage import Log
from harness.cluster.provider import ClusterSpec
from harness.site import Site

CHARTS = rig.ROOT / "fixtures" / "charts"
NAMESPACE = "test-ml-app"
LIMIT_S = 20.0


def make_case() -> ChartCase:
    """Return the scoring chart's way from its released version to the next and back."""
    answer = Answer("test-ml-score-api-lb", NAMESPACE, path="/score", request={"X": [1, 2]}, response={"score": [1, 2]})
    return ChartCase(
        CHARTS / "helm-ml-score-app-next",
        "bench",
        namespace="default",
        makes=(NAMESPACE,),
        # Draining is a wait of the chart's own choice.
        set={"drainSeconds": 0},
        previous=Origin(path=CHARTS / "helm-ml-score-app"),
        answers=(answer,),
        steps=(
            Step("install", previous=True),
            Step("score"),
            Step("upgrade"),
            Step("score"),
            Step("rollback"),
            Step("score"),
            Step("uninstall"),
        ),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cluster", default=rig.new_name("charts"), help="a kept cluster to use")
    args = parser.parse_args()
    logs: list[Log] = []
    with rig.assembly(f"--cluster-name={args.cluster}", "--keep-cluster") as parts:
        handle = parts.cluster(ClusterSpec(parts.settings.cluster.kubernetes))
        site = Site(parts, handle)
        base = parts.supply.image("python-3.11").reference
        site.load_image(parts.build_image(rig.APP, name=rig.IMAGE, build_args={"BASE_IMAGE": base}))
        for number in range(args.rounds + 1):
            with closing(site.helm()) as helm:
                log = site.voyage(helm).run(make_case())
            if number:
                logs.append(log)
    report = Report()
    ways = [[one.duration_s for one in log.steps] for log in logs]
    until_rolled_back = [sum(times[:-1]) for times in ways]
    rows = [["install, upgrade, rollback, scored each time", median(until_rolled_back)]]
    rows += [
        [f"  {step}", f"{statistics.median(times[place] for times in ways):.1f}"]
        for place, step in enumerate(make_case().steps)
    ]
    report.show(f"{args.rounds} rounds on a kept cluster; limit {LIMIT_S:g} s", ("case", "seconds"), rows)


if __name__ == "__main__":
    main()
