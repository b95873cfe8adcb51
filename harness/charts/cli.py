"""``seatrial charts changed|check``."""

from __future__ import annotations

import argparse
import posixpath
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from harness.errors import SettingsError
from harness.settings.options import add_verb

if TYPE_CHECKING:
    from harness.charts.changed import Changed
    from harness.charts.check import Baseline
    from harness.charts.kubernetes_schema import KubernetesSchema
    from harness.charts.repository import Repository
    from harness.process.runner import Runner

_MINOR = re.compile(r"\d+\.\d+")
_SCHEMA_FILE = "swagger.json"


class OnDisk(Protocol):
    """A program or a directory of files that supply hands out."""

    @property
    def path(self) -> Path:
        """Where it is."""


class ChartSupply(Protocol):
    """Where Helm and the schemas of Kubernetes come from."""

    def program(self, name: str) -> OnDisk:
        """Return the program called `name`."""

    def files(self, name: str) -> OnDisk:
        """Return the directory of files called `name`."""


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], parents: Sequence[argparse.ArgumentParser] = ()
) -> None:
    """Add ``charts`` with its verbs; the parsed verb is ``args.charts_verb``.

    Args:
        commands: the command line's commands.
        parents: hold the options that may stand before the verb and after it.
    """
    parser = add_verb(commands, "charts", "charts: what a branch touches, and static checks", parents)
    verbs = parser.add_subparsers(dest="charts_verb", metavar="VERB", required=True)
    changed = add_verb(
        verbs, "changed", "name the charts that this branch touches, with what they are made of", parents
    )
    changed.add_argument("--since", metavar="REF", required=True, help="compare with where HEAD left REF")
    changed.add_argument(
        "--output", choices=("list", "json", "github-matrix"), default="list", help="how (default: list)"
    )
    check = add_verb(verbs, "check", "check charts without a cluster; exit code 1 when there are errors", parents)
    check.add_argument(
        "charts", nargs="*", metavar="CHART", help="directory or archive; by default all, or those touched since REF"
    )
    check.add_argument("--since", metavar="REF", help="compare with the charts as they were where HEAD left REF")
    check.add_argument(
        "--output", choices=("text", "json", "github"), default="text", help="how findings are shown (default: text)"
    )
    check.add_argument("--strict", action="store_true", help="let warnings count as errors")
    for verb in (changed, check):
        verb.add_argument(
            "--kubernetes",
            dest="charts_kubernetes",
            metavar="VERSIONS",
            help="Kubernetes minor versions, separated by commas, e.g. 1.34,1.33",
        )


def run(
    args: argparse.Namespace,
    runner: Runner,
    supply: Callable[[], ChartSupply],
    out: TextIO,
    *,
    directory: Path,
    kubernetes: Sequence[str],
) -> int:
    """Do what the command line asked for and return the exit code.

    Args:
        args: parsed by the parser of :func:`register`.
        runner: runs git and helm.
        supply: gives, when charts are checked, where Helm and the schemas come from.
        out: is printed to.
        directory: the working directory.
        kubernetes: the minor versions to check for when none are named.

    Raises:
        SeatrialError: it could not be done.
    """
    named = _versions(args.charts_kubernetes)
    if args.charts_verb == "changed":
        return _changed(args, runner, out, directory, named)
    return _check(args, runner, supply(), out, directory, named or kubernetes)


def _versions(text: str | None) -> tuple[str, ...]:
    versions = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    wrong = [version for version in versions if not _MINOR.fullmatch(version)]
    if wrong:
        raise SettingsError([f"--kubernetes: '{version}' is no minor version such as 1.34" for version in wrong])
    return tuple(dict.fromkeys(versions))


def _changed(args: argparse.Namespace, runner: Runner, out: TextIO, directory: Path, versions: Sequence[str]) -> int:
    from harness.charts import changed as view  # noqa: PLC0415 - so that `seatrial --help` stays quick
    from harness.charts.repository import Repository  # noqa: PLC0415

    found = view.find_changed(Repository.find(directory, runner), args.since)
    for problem in found.problems:
        print(f"seatrial: {problem}", file=sys.stderr)  # noqa: T201 - a command line prints
    shows: Mapping[str, Callable[[], str]] = {
        "list": lambda: view.as_list(found),
        "json": lambda: view.as_json(found),
        "github-matrix": lambda: view.as_github_matrix(found, versions),
    }
    if text := shows[args.output]():
        out.write(f"{text}\n")
    return 0


def _check(
    args: argparse.Namespace,
    runner: Runner,
    supply: ChartSupply,
    out: TextIO,
    directory: Path,
    versions: Sequence[str],
) -> int:
    from harness.charts import report  # noqa: PLC0415 - so that `seatrial --help` stays quick
    from harness.charts.changed import charts_below, find_changed  # noqa: PLC0415
    from harness.charts.check import ChartChecker  # noqa: PLC0415
    from harness.charts.render import Renderer  # noqa: PLC0415
    from harness.charts.repository import Repository  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="seatrial-charts-") as scratch:
        renderer = Renderer(runner, supply.program("helm").path, Path(scratch) / "helm")
        checker = ChartChecker(renderer, lambda version: _schema(supply, version), versions)
        named = [directory / chart for chart in args.charts]
        if args.since:
            repository = Repository.find(directory, runner)
            changed = find_changed(repository, args.since)
            charts = named or [repository.root / one.path for one in changed.charts if not one.deleted]
            baselines = _baselines(repository, changed, Path(scratch) / "before")
        else:
            charts, baselines = named or charts_below(directory), {}
        reports = [checker.check(chart, baselines.get(chart.resolve())) for chart in charts]
    show = {"text": report.as_text, "json": report.as_json, "github": report.as_github}[args.output]
    if text := show(reports, directory):
        out.write(f"{text}\n")
    failed = any(one.has_errors or (args.strict and one.findings) for one in reports)
    return 1 if failed else 0


def _schema(supply: ChartSupply, version: str) -> KubernetesSchema:
    from harness.charts.kubernetes_schema import KubernetesSchema  # noqa: PLC0415 - as above

    return KubernetesSchema.from_file(version, supply.files(f"kubernetes-schema-{version}").path / _SCHEMA_FILE)


def _baselines(repository: Repository, changed: Changed, into: Path) -> dict[Path, Baseline]:
    """Return the charts as they were, by their directories of today."""
    from harness.charts.changed import extract_charts  # noqa: PLC0415 - so that `seatrial --help` stays quick
    from harness.charts.check import Baseline  # noqa: PLC0415

    before = extract_charts(repository, changed.base, into)
    touched = {one.path: one for one in changed.charts}
    found = {}
    for chart in before:
        touches = touched[chart].touches if chart in touched else ()
        files = tuple(
            posixpath.relpath(touch.file, chart) if touch.role == "own" else touch.file
            for touch in touches
            if touch.role != "source"
        )
        found[(repository.root / chart).resolve()] = Baseline(changed.since, into / chart, files)
    return found
