"""What the OCI runtime wrapper costs per exec: ``runc exec`` behind it and without it, side by side, in one container.

Usage (as root, with runc and go installed): python benchmarks/oci_runtime.py [--rounds N]

One container is made with runc itself, no Docker engine is involved. Then each round measures the ways one after the
other, in an order that rotates, so that what else the machine does hits all alike. Prints milliseconds (median, mean,
90th percentile, processor time), the ratio of the means and the difference; the wrapper may add about 10 ms. runc
takes either about 35 or 65 ms here, as the kernel's control groups happen to lock: compare means, not medians.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from report import Report

from harness.engine.capabilities import CAPABILITIES, missing_capabilities

RECIPE = Path(__file__).resolve().parents[1] / "harness/supply/recipes/oci-runtime"
DEFAULT_ROUNDS = 100
LIMIT_S = 60

SLEEPER = """
package main

import (
	"os"
	"time"
)

func main() {
	if len(os.Args) == 1 {
		time.Sleep(time.Hour)
	}
}
"""


def build(folder: Path, target: Path) -> Path:
    """Build the program in `folder`, static and stripped as supply builds programs."""
    argv = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(target), "."]
    subprocess.run(argv, cwd=folder, env={**os.environ, "CGO_ENABLED": "0"}, check=True, timeout=600)
    return target


def make_bundle(folder: Path) -> Path:
    """Make a bundle whose root file system holds one program that sleeps, or ends when given an argument."""
    source = folder / "source"
    source.mkdir()
    (source / "main.go").write_text(SLEEPER)
    (source / "go.mod").write_text("module sleeper\n\ngo 1.21\n")
    bundle = folder / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    build(source, bundle / "rootfs/sleeper")
    subprocess.run(["runc", "spec", "--bundle", str(bundle)], check=True, timeout=LIMIT_S)
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(args=["/sleeper"], terminal=False)
    config["root"]["readonly"] = True
    # A network namespace takes time and is not what is measured.
    config["linux"]["namespaces"] = [item for item in config["linux"]["namespaces"] if item["type"] != "network"]
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


def exec_once(runtime: str, root: Path, request: Path, wanted: dict[str, object]) -> tuple[float, float]:
    """Run one exec the way Docker's shim does, with a request file; return milliseconds of wall and processor time."""
    # Written anew each time, as the shim does: the wrapper changes it.
    request.write_text(json.dumps(wanted))
    argv = [runtime, "--root", str(root), "exec", "--process", str(request), "bench"]
    started, cpu = time.perf_counter(), _cpu_s()
    subprocess.run(argv, check=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)
    return (time.perf_counter() - started) * 1000, (_cpu_s() - cpu) * 1000


def _cpu_s() -> float:
    """Seconds of processor time that all children have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return the milliseconds of each exec, plain and behind the wrapper (both its ways)."""
    with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as name:
        folder = Path(name)
        wrapper = build(RECIPE, folder / "oci-runtime")
        bundle, root = make_bundle(folder), folder / "root"
        runc = shutil.which("runc", path=f"{os.environ['PATH']}:/usr/sbin") or "runc"
        lacking = missing_capabilities()
        able = [name for name in CAPABILITIES if name not in lacking]
        process = {"args": ["/sleeper", "end"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "terminal": False}

        def asking(capabilities: list[str]) -> dict[str, object]:
            sets = ("bounding", "effective", "inheritable", "permitted")
            return {**process, "capabilities": dict.fromkeys(sets, capabilities)}

        ways = {
            "runc": (runc, asking(able)),
            "wrapper, nothing to remove": (str(wrapper), asking(able)),
            "wrapper, every capability asked for": (str(wrapper), asking(list(CAPABILITIES))),
        }
        argv = [runc, "--root", str(root), "run", "--detach", "--bundle", str(bundle), "bench"]
        subprocess.run(argv, check=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            for number in range(rounds + 1):
                order = list(ways)
                for way in order[number % len(order) :] + order[: number % len(order)]:
                    milliseconds = exec_once(ways[way][0], root, folder / "process.json", ways[way][1])
                    # The first round warms the caches.
                    if number:
                        taken[way].append(milliseconds)
            return taken
        finally:
            subprocess.run([runc, "--root", str(root), "delete", "--force", "bench"], check=True, timeout=LIMIT_S)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    rounds = parser.parse_args().rounds
    report = Report()
    taken = measure(rounds)
    base = statistics.mean(wall for wall, _ in taken["runc"])
    rows = []
    for way, pairs in taken.items():
        values, cpu = [wall for wall, _ in pairs], statistics.median(cpu for _, cpu in pairs)
        mean = statistics.mean(values)
        figures = (statistics.median(values), mean, statistics.quantiles(values, n=10)[-1], cpu)
        rows.append([way, *(f"{figure:.1f}" for figure in figures), f"{mean / base:.2f}", f"{mean - base:+.1f}"])
    columns = ["", "median", "mean", "90th percentile", "processor", "ratio of means", "added"]
    lacking = ", ".join(missing_capabilities()) or "none"
    report.show(f"Milliseconds per exec; {rounds} rounds; the host lacks {lacking}.", columns, rows)


if __name__ == "__main__":
    main()
