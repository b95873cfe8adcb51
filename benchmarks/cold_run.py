"""A run that starts with no cluster, beside the sum of its parts by bare commands.

The story is `yaml_scenario/with_seatrial.py`: build the image, make the cluster, load, deploy, wait, score, remove
everything. The parts are a usable cluster (with its registry), `docker build`, and the slowest rollout (`kubectl apply`
to the end of `kubectl rollout status`, the image being there), one after the other. Measured twice:

- one line of the application is new: the other layers of the image are cached;
- no layer of the image is cached: its Python packages are installed anew.

The run's own record tells when its parts began and ended: the image is built and pushed while the cluster is made.

Usage: python benchmarks/cold_run.py [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import rig
from alternatives import STORIES, change
from child import run
from report import Report, median

from harness.outside.registry import CERTS_DIR

STORY = STORIES / "with_seatrial.py"
# A run's steps, as its record names them.
PARTS = {
    "make the cluster": "create cluster",
    "build the image": "build image",
    "load the image": "load image",
    "apply and roll out": "apply",
    "remove everything": "remove what",
}


def change_all(directory: Path) -> None:
    """Have no layer of the image be cached."""
    dockerfile = directory / "app" / "Dockerfile"
    lines = dockerfile.read_text(encoding="utf-8").splitlines()
    lines.insert(lines.index("FROM ${BASE_IMAGE}") + 1, f"LABEL changed={time.time_ns()}")
    dockerfile.write_text("\n".join(lines) + "\n", encoding="utf-8")


def prepare(directory: Path) -> Path:
    """Fill a directory with the story."""
    directory.mkdir()
    shutil.copytree(rig.APP, directory / "app")
    shutil.copy(STORY, directory)
    shutil.copy(rig.MANIFEST, directory / "score.yaml")
    text = (directory / STORY.name).read_text(encoding="utf-8")
    (directory / STORY.name).write_text(text.replace("test-ml-score-api:dev", "test-ml-score-api:latest"))
    return directory


def by_bare_commands(bare: rig.Bare, directory: Path) -> dict[str, float]:
    """Return the seconds of each part."""
    name, taken = rig.new_name("cold"), {}
    try:
        started = time.perf_counter()
        kubeconfig = bare.create_cluster(name, directory)
        taken["cluster"] = time.perf_counter() - started
        taken["image"] = bare.build(directory / "app").wall_s
        # Where the nodes look for it; not counted.
        registry = bare.docker("port", f"{name}-registry", "5000").output.strip()
        bare.docker("tag", rig.IMAGE, f"{registry}/{rig.IMAGE}")
        bare.docker("push", "--quiet", f"{registry}/{rig.IMAGE}")
        pull = ("ctr", "--namespace", "k8s.io", "images", "pull", "--hosts-dir", CERTS_DIR, f"docker.io/{rig.IMAGE}")
        bare.docker("exec", f"{name}-control-plane", *pull)
        bare.docker("rmi", f"{registry}/{rig.IMAGE}")
        started = time.perf_counter()
        bare.kubectl(kubeconfig, "apply", "-f", directory / "score.yaml")
        status = ("rollout", "status", "deployment/test-ml-score-api", "--namespace", "test-ml-app")
        bare.kubectl(kubeconfig, *status, "--timeout=120s")
        taken["rollout"] = time.perf_counter() - started
    finally:
        bare.delete_cluster(name)
    return taken


def by_seatrial(directory: Path) -> tuple[float, float, dict[str, tuple[float, float]]]:
    """Return the seconds to the first answer and of the whole run, and when each part began and ended."""
    ended = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", STORY.name, cwd=directory).check()
    answered = (directory / "answered").stat().st_mtime - ended.started
    record = json.loads((directory / "seatrial-evidence" / "latest" / "run.json").read_text(encoding="utf-8"))
    spans: dict[str, tuple[float, float]] = {}
    for what, beginning in PARTS.items():
        steps = [step for step in record["steps"] if step["name"].startswith(beginning)]
        if steps:
            begun = min(step["started_at"] for step in steps) - ended.started
            spans[what] = begun, max(s["started_at"] + s["duration_s"] for s in steps) - ended.started
    return answered, ended.wall_s, spans


def measure(
    bare: rig.Bare, scratch: Path, renew: Callable[[Path], None], rounds: int
) -> tuple[list[str], dict[str, tuple[float, float]]]:
    """Return a row of the table, and the parts of the last run."""
    parts, answers, wholes = [], [], []
    spans: dict[str, tuple[float, float]] = {}
    for number in range(rounds):
        directory = prepare(scratch / f"{renew.__name__}-{number}")
        renew(directory)
        parts.append(by_bare_commands(bare, directory))
        renew(directory)
        answered, whole, spans = by_seatrial(directory)
        answers.append(answered)
        wholes.append(whole)
    sums = [sum(part.values()) for part in parts]
    figures = [median([part[what] for part in parts], 1) for what in ("cluster", "image", "rollout")]
    ratio = median([whole / total for whole, total in zip(wholes, sums, strict=True)])
    return [*figures, median(sums, 1), median(answers, 1), median(wholes, 1), ratio], spans


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as name, rig.assembly() as parts:
        bare = rig.Bare(parts)
        bare.build(rig.APP)  # the layers that seldom change
        report = Report()
        rows, timelines = [], []
        for what, renew in {"one line is new": change, "no layer is cached": change_all}.items():
            row, spans = measure(bare, Path(name), renew, rounds)
            rows.append([what, *row])
            timelines += [[what, part, f"{begun:.1f}", f"{ended:.1f}"] for part, (begun, ended) in spans.items()]
    columns = ["", "cluster", "image", "rollout", "their sum", "seatrial: first answer", "seatrial: whole run", "ratio"]
    report.show(f"Seconds; {rounds} of each in turn; medians. Ratio: whole run to sum.", columns, rows)
    report.show("When the parts of the last runs began and ended.", ["", "part", "from, s", "to, s"], timelines)


if __name__ == "__main__":
    main()
