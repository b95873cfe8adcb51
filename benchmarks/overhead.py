"""What Seatrial adds to the bare commands it takes the place of: per cluster, and per wait for a rollout.

- cluster: `kind create cluster` with the same node image and configuration, a registry, and readiness (nodes, service
  account, DNS), by bare commands and by a `pytest` run of one test that asks for a cluster. The run's own record tells
  its creation from Python's and pytest's start; both sides remove what they made.
- wait: `kubectl rollout status` and Seatrial's own wait, begun together on the same new deployment (the difference
  between their ends), and one after the other on a deployment that is rolled out already.

Usage: python benchmarks/overhead.py [--clusters N] [--waits N]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import rig
from child import run
from kubernetes.client import ApiClient
from report import Report, median

from harness.cluster.provider import ClusterHandle
from harness.deploy.release import ResourceRef
from harness.deploy.rollout import wait_for_rollout

# On every node that kind made: starting a pod of it pulls nothing.
PAUSE = "registry.k8s.io/pause:3.10.1"
LIMIT_S = 60


@dataclass
class Pair:
    """Seconds each way took, round by round."""

    bare: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    def row(self, what: str, scale: float = 1, digits: int = 2) -> list[str]:
        """Return a table row: both, the median of what is added in each round, the ratio."""
        bare, ours = ([value * scale for value in values] for values in (self.bare, self.ours))
        added = [own - other for own, other in zip(ours, bare, strict=True)]
        ratio = [own / other for own, other in zip(ours, bare, strict=True)]
        return [what, median(bare, digits), median(ours, digits), median(added, digits), median(ratio)]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(number: int, *works: Callable[[], object]) -> None:
    """Do the works, in the other order every second round."""
    for work in works if number % 2 == 0 else reversed(works):
        work()


def measure_clusters(bare: rig.Bare, scratch: Path, rounds: int) -> tuple[Pair, Pair]:
    """Return the seconds to create a cluster, and those of the whole of it with its removal."""
    created, whole = Pair(), Pair()
    suite = scratch / "suite"
    suite.mkdir()
    (suite / "test_cluster.py").write_text("def test_cluster(cluster):\n    pass\n", encoding="utf-8")

    def by_bare_commands() -> None:
        name, started = rig.new_name("bare"), time.perf_counter()
        try:
            bare.create_cluster(name, scratch)
            created.bare.append(time.perf_counter() - started)
        finally:
            bare.delete_cluster(name)
        whole.bare.append(time.perf_counter() - started)

    def by_seatrial() -> None:
        ended = run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", cwd=suite).check()
        record = json.loads((suite / "seatrial-evidence" / "latest" / "run.json").read_text(encoding="utf-8"))
        created.ours.append(sum(s["duration_s"] for s in record["steps"] if s["name"].startswith("create cluster")))
        whole.ours.append(ended.wall_s)

    for number in range(rounds):
        in_turn(number, by_bare_commands, by_seatrial)
    return created, whole


def measure_waits(bare: rig.Bare, scratch: Path, rounds: int) -> tuple[Pair, Pair]:
    """Return the seconds of waits for a new deployment, and of those for one that is there already."""
    new, there, name = Pair(), Pair(), rig.new_name("waits")
    try:
        kubeconfig = bare.create_cluster(name, scratch)
        handle = ClusterHandle(name, "existing", kubeconfig, f"kind-{name}", bare.kubectl_path)
        with closing(handle.api_client()) as api:
            for number in range(rounds + 1):
                if number == 1:  # the first round warms the caches
                    new, there = Pair(), Pair()
                _wait_once(bare, kubeconfig, api, number, new, there)
    finally:
        bare.delete_cluster(name)
    return new, there


def _wait_once(bare: rig.Bare, kubeconfig: Path, api: ApiClient, number: int, new: Pair, there: Pair) -> None:
    deployment = f"wait-{number}"

    def by_kubectl() -> float:
        return timed(lambda: bare.kubectl(kubeconfig, "rollout", "status", f"deployment/{deployment}"))

    def by_seatrial() -> float:
        return timed(lambda: wait_for_rollout(api, ResourceRef("Deployment", deployment, "default"), LIMIT_S))

    bare.kubectl(kubeconfig, "create", "deployment", deployment, f"--image={PAUSE}")
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(by_kubectl)
        new.ours.append(by_seatrial())
        new.bare.append(waiting.result())
    in_turn(number, lambda: there.bare.append(by_kubectl()), lambda: there.ours.append(by_seatrial()))
    bare.kubectl(kubeconfig, "delete", "deployment", deployment)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=3, help="clusters made each way")
    parser.add_argument("--waits", type=int, default=10, help="rollouts waited for each way")
    args = parser.parse_args()
    columns = ["", "bare commands", "seatrial", "added", "ratio"]
    with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as name, rig.assembly() as parts:
        bare = rig.Bare(parts)
        report = Report()
        created, whole = measure_clusters(bare, Path(name), args.clusters)
        rows = [created.row("cluster usable, s"), whole.row("whole run with removal, s")]
        report.show(f"{args.clusters} clusters each way, in turn; medians.", columns, rows)
        report = Report()
        new, there = measure_waits(bare, Path(name), args.waits)
        rows = [
            new.row("wait for a new deployment, ms", 1000, 0),
            there.row("wait for one that is rolled out, ms", 1000, 0),
        ]
        report.show(f"{args.waits} rollouts; medians.", columns, rows)


if __name__ == "__main__":
    main()
