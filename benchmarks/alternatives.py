"""Seatrial beside pytest-kind 22.11.1 and a plain shell script: the YAML scenario, told three times.

Same engine, kind, kubectl, node image and application. Each way gets a directory and a cluster of its own:

- first run: no cluster yet, one line of the application is new (the image's other layers are cached);
- second run: the cluster was kept, nothing has changed;
- after a change: the cluster was kept, one line of the application is new.

The time to the first answer counts from the start of the run to the answer that the test compares; the whole run
includes the deletion of what was deployed. pytest-kind is installed from PyPI into a throwaway environment.

Usage: python benchmarks/alternatives.py [--rounds N]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import tokenize
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import rig
from child import run
from report import Report, median

STORIES = Path(__file__).parent / "yaml_scenario"
RUNS = ("first run", "second run", "after a change")
# The network that kind uses when it is not told another.
KIND_NETWORK = "kind"


@dataclass
class Way:
    """One way to tell the story.

    Args:
        name: for the table.
        story: the file its user writes.
        argv: how it is run, in a directory with `app/` and `score.yaml`.
        cluster: its cluster.
        answers: seconds to the first answer by kind of run.
        wholes: seconds of the whole run, likewise.
    """

    name: str
    story: Path
    argv: Sequence[str]
    cluster: str
    answers: dict[str, list[float]] = field(default_factory=lambda: {one: [] for one in RUNS})
    wholes: dict[str, list[float]] = field(default_factory=lambda: {one: [] for one in RUNS})


def ways(bare: rig.Bare, scratch: Path) -> tuple[Way, ...]:
    """Return the three ways, ready to run."""
    pytest_kind = scratch / "pytest-kind"
    run(sys.executable, "-m", "venv", pytest_kind).check()
    wanted = (f"pytest=={version('pytest')}", "pytest-kind==22.11.1")
    run(pytest_kind / "bin" / "python", "-m", "pip", "install", "--quiet", *wanted).check()
    programs = (f"--kind-bin={bare.kind}", f"--kind-kubectl-bin={bare.kubectl_path}", f"--kind-image={bare.node_image}")
    names = [rig.new_name(purpose) for purpose in ("shell", "pytest-kind", "seatrial")]
    pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--keep-cluster")
    shell, theirs, ours = STORIES / "plain.sh", STORIES / "with_pytest_kind.py", STORIES / "with_seatrial.py"
    return (
        Way("shell script", shell, ("sh", shell.name), names[0]),
        Way(
            "pytest-kind",
            theirs,
            (str(pytest_kind / "bin" / "python"), *pytest, f"--cluster-name={names[1]}", *programs, theirs.name),
            names[1],
        ),
        Way("seatrial", ours, (sys.executable, *pytest, f"--cluster-name={names[2]}", ours.name), names[2]),
    )


def prepare(way: Way, directory: Path) -> None:
    """Fill the directory the story is told in; its manifest names a tag that kind's loaded images can have."""
    directory.mkdir()
    shutil.copytree(rig.APP, directory / "app")
    shutil.copy(way.story, directory)
    text = rig.MANIFEST.read_text(encoding="utf-8").replace(rig.IMAGE, rig.IMAGE.replace(":latest", ":dev"))
    (directory / "score.yaml").write_text(text, encoding="utf-8")


def change(directory: Path) -> None:
    """Change one line of the application."""
    with (directory / "app" / "api.py").open("a", encoding="utf-8") as file:
        file.write(f"# {time.time_ns()}\n")


def measure(way: Way, directory: Path, env: dict[str, str], kind_of_run: str) -> None:
    """Tell the story once."""
    (directory / "answered").unlink(missing_ok=True)
    ended = run(*way.argv, cwd=directory, env={**env, "CLUSTER": way.cluster}).check()
    way.answers[kind_of_run].append((directory / "answered").stat().st_mtime - ended.started)
    way.wholes[kind_of_run].append(ended.wall_s)


def lines_of(story: Path) -> int:
    """Return how many lines of code a user has written."""
    if story.suffix != ".py":
        lines = [line.strip() for line in story.read_text(encoding="utf-8").splitlines()]
        return sum(1 for line in lines if line and not line.startswith("#") and "# timed" not in line)
    with story.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    left_out = {one.start[0] for one in tokens if one.string == "# timed" or one.string.startswith('"""')}
    blank = (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.ENCODING, tokenize.INDENT, tokenize.DEDENT)
    code = {one.start[0] for one in tokens if one.type not in blank and one.string}
    return len(code - left_out)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="times that each run is made, with new clusters")
    rounds = parser.parse_args().rounds
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seatrial-bench-")))
        bare = rig.Bare(stack.enter_context(rig.assembly()))
        had_network = bool(bare.docker("network", "ls", "--quiet", "--filter", f"name=^{KIND_NETWORK}$").output)
        env = {**bare.env, "KIND": str(bare.kind), "KUBECTL": str(bare.kubectl_path)}
        env |= {"BASE_IMAGE": bare.base_image, "NODE_IMAGE": bare.node_image}
        bare.build(rig.APP)  # the layers that seldom change
        told = ways(bare, scratch)
        report = Report()
        try:
            for number in range(rounds):
                for way in told:
                    directory = scratch / f"{way.name}-{number}"
                    prepare(way, directory)
                    change(directory)
                    measure(way, directory, env, RUNS[0])
                    measure(way, directory, env, RUNS[1])
                    change(directory)
                    measure(way, directory, env, RUNS[2])
                    _delete(bare, way)
        finally:
            for way in told:
                _delete(bare, way)
            run("docker", "rmi", rig.IMAGE.replace(":latest", ":dev"), env=bare.env)
            if not had_network:
                run("docker", "network", "rm", KIND_NETWORK, env=bare.env)
    rows = []
    for way in told:
        figures = [f"{median(way.answers[one], 1)} / {median(way.wholes[one], 1)}" for one in RUNS]
        rows.append([way.name, *figures, str(lines_of(way.story))])
    columns = ["", *(f"{one}, s" for one in RUNS), "lines of user code"]
    report.show(f"Seconds to the first answer / of the whole run; {rounds} of each.", columns, rows)


def _delete(bare: rig.Bare, way: Way) -> None:
    """Delete the way's cluster: Seatrial's knows what else belongs to it, kind knows the others'."""
    run(Path(sys.executable).with_name("seatrial"), "cluster", "delete", way.cluster, env=bare.env)
    bare.delete_cluster(way.cluster)


if __name__ == "__main__":
    main()
