"""The Bodywork scenario as a whole, and its first workflow beside the work that its stages do.

- whole: `pytest scenarios/bodywork/test_tutorial.py scenarios/bodywork/test_clean_up.py` from the start of the process
  to its end, cluster included, everything built before;
- workflow: `bodywork workflow` from the start of its container to its end, beside the sum of its stages' own work: they
  install packages and run, from the first line in a stage's log to its last. What lies between is Bodywork's own:
  5 s before it looks at a stage for the first time, and of a service max_startup_time_seconds from when its pods run,
  whatever they do.

Both come from the logs that a run keeps as evidence.

Usage: python benchmarks/bodywork.py [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from child import run
from report import Report, median

from harness.commands.bodywork import parse_stage_logs

ROOT = Path(__file__).parent.parent
TARGET_S, TARGET_RATIO = 240, 1.3
STORIES = ("scenarios/bodywork/test_tutorial.py", "scenarios/bodywork/test_clean_up.py")
# Bodywork's own: k8s/batch_jobs.py and k8s/service_deployments.py of 2.1.3, and the project's bodywork.yaml.
PAUSES_S = {"before each stage": 2 * 5.0, "max_startup_time_seconds": 30.0}

_TIME = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})", re.MULTILINE)


def span_s(text: str) -> float:
    """Return the seconds from the first to the last time that a log tells."""
    times = [datetime.strptime(found, "%Y-%m-%d %H:%M:%S,%f") for found in _TIME.findall(text)]  # noqa: DTZ007 - UTC both
    return (times[-1] - times[0]).total_seconds()


def one_round(directory: Path) -> tuple[float, float, float]:
    """Return the seconds of the whole, of the workflow and of its stages' own work."""
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--evidence-dir={directory}", *STORIES)
    ended = run(*command, cwd=ROOT, limit_s=900).check()
    record = json.loads((directory / "latest" / "run.json").read_text(encoding="utf-8"))
    workflow_s = next(step["duration_s"] for step in record["steps"] if step["name"].startswith("run the workflow of "))
    log = (directory / "latest" / "logs" / "bodywork-workflow-1.log").read_text(encoding="utf-8")
    return ended.wall_s, workflow_s, sum(span_s(stage.text) for stage in parse_stage_logs(log))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args().rounds
    report = Report()
    with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as name:
        found = [one_round(Path(name) / str(number)) for number in range(rounds)]
    wholes, workflows, works = (list(values) for values in zip(*found, strict=True))
    pauses_s = sum(PAUSES_S.values())
    report.show(
        f"{rounds} rounds, medians. Bodywork's own pauses: {pauses_s:g} s.",
        ["", "target", "measured"],
        [
            ["whole, s", str(TARGET_S), median(wholes, 0)],
            ["workflow, s", "", median(workflows, 1)],
            ["its stages' own work, s", "", median(works, 1)],
            ["ratio", str(TARGET_RATIO), median([a / b for a, b in zip(workflows, works, strict=True)])],
            [
                "ratio without Bodywork's pauses",
                "",
                median([(a - pauses_s) / b for a, b in zip(workflows, works, strict=True)]),
            ],
        ],
    )


if __name__ == "__main__":
    main()
