"""Which charts a branch touches: its own files, the charts they depend on, and the applications they deploy."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from harness.charts import declaration
from harness.charts.chart import METADATA, Metadata, read_metadata
from harness.charts.project import Project
from harness.charts.repository import Repository
from harness.errors import ChartError

Role = Literal["own", "dependency", "source"]


@dataclass(frozen=True)
class Touch:
    """A file that changed, and how it belongs to a chart."""

    file: str
    role: Role


@dataclass(frozen=True)
class TouchedChart:
    """A chart that a branch touches.

    Args:
        path: its directory, relative to the repository's root; ``.`` for the root itself.
        name: its name; its directory's when Chart.yaml cannot be read.
        version: its version, empty when it cannot be read.
        deleted: whether the branch deletes it.
        touches: the files that changed.
    """

    path: str
    name: str
    version: str = ""
    deleted: bool = False
    touches: tuple[Touch, ...] = ()


@dataclass(frozen=True)
class Changed:
    """What a branch touches.

    Args:
        since: the ref it is compared with.
        base: the commit where it left that ref.
        root: the repository's top directory.
        charts: the charts it touches, by path.
        files: every file it changes, relative to the root.
        problems: charts whose Chart.yaml cannot be read, so that what they depend on is not known.
    """

    since: str
    base: str
    root: Path
    charts: tuple[TouchedChart, ...]
    files: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()

    def touches(self, chart: Path) -> bool:
        """Whether the chart in this directory is touched."""
        path = _relative(chart, self.root)
        return any(one.path == path and not one.deleted for one in self.charts)

    def selects(self, test_file: Path, charts: Collection[Path]) -> bool:
        """Whether a test is to run under ``--changed-since``.

        Args:
            test_file: the file the test is in.
            charts: the directories of the charts it is about.

        Returns:
            Whether one of its charts is touched, or its own file, its goldens or a conftest.py that it has.
        """
        test = PurePosixPath(_relative(test_file, self.root))
        return any(_makes(file, test) for file in self.files) or any(self.touches(chart) for chart in charts)


def _makes(file: str, test: PurePosixPath) -> bool:
    """Whether a file is a test's own, or one of those that decide on what it does."""
    path = PurePosixPath(file)
    if path.name == "conftest.py":
        return test.is_relative_to(path.parent)
    # Where syrupy keeps the goldens of a file of tests.
    return path == test or path.is_relative_to(test.parent / "__snapshots__" / test.stem)


def find_changed(repository: Repository, since: str, project: Project | None = None) -> Changed:
    """Return the charts that the working tree touches, compared with where HEAD left `since`.

    Raises:
        HistoryError: git cannot tell.
        SettingsError: pyproject.toml is malformed.
    """
    project = project or Project.load(repository.root)
    base = repository.merge_base(since)
    changes = repository.changes(base)
    listed = repository.files()
    deleted = {change.path for change in changes if change.deleted}
    present = [path for path, _ in listed if path not in deleted]
    files = frozenset({change.path for change in changes} | {path for path, untracked in listed if untracked})
    charts = [path for path in charts_among(present) if project.has(path)]
    watched: dict[str, list[tuple[str, Role]]] = {}
    named: dict[str, Metadata] = {}
    problems = []
    for chart in charts:
        try:
            named[chart] = _metadata(repository.root, chart)
        except ChartError as error:  # noqa: PERF203 - the others are still to be read
            problems.append(error.seen)
    for chart in charts:
        for path, role in _watch(repository.root, chart, project, problems):
            watched.setdefault(path, []).append((chart, role))
    touches: dict[str, dict[Touch, None]] = {}
    for file in sorted(files):
        for chart, role in _watchers(file, watched):
            touches.setdefault(chart, {})[Touch(file, role)] = None
    found = [
        TouchedChart(
            chart,
            named[chart].name if chart in named else _directory_name(repository.root, chart),
            str(named[chart].version) if chart in named else "",
            touches=tuple(touches[chart]),
        )
        for chart in charts
        if chart in touches
    ]
    found += [
        TouchedChart(
            chart, _directory_name(repository.root, chart), deleted=True, touches=(Touch(f"{chart}/{METADATA}", "own"),)
        )
        for chart in charts_among(deleted)
        if project.has(chart) and not _is_within(chart, charts)
    ]
    return Changed(
        since,
        base,
        repository.root,
        tuple(sorted(found, key=lambda one: one.path)),
        files,
        tuple(dict.fromkeys(problems)),
    )


def charts_among(files: Iterable[str]) -> list[str]:
    """Return the directories of the charts among `files`; a chart in another's charts/ is a part of that one."""
    found = {posixpath.dirname(file) or "." for file in files if posixpath.basename(file) == METADATA}
    return sorted(chart for chart in found if not _is_within(chart, found))


def extract_charts(repository: Repository, commit: str, into: Path) -> list[str]:
    """Write all charts as they were at `commit` to `into` and return their directories.

    All of them, because one may be made of others; and the values files outside them that their cases name.
    """
    files = repository.files_at(commit)
    charts = charts_among(files)
    if not charts:
        return []
    repository.extract(commit, charts, into)
    values = set()
    for chart in charts:
        file = into / chart / declaration.FILE
        try:
            declared = declaration.parse(file.read_text(encoding="utf-8"), str(file)) if file.is_file() else None
        except ChartError:
            continue  # whoever reads the chart is told
        for case in declared.cases if declared else ():
            values |= {posixpath.normpath(posixpath.join(chart, path)) for path in case.values_files()}
    if outside := sorted(path for path in values & set(files) if not (into / path).exists()):
        repository.extract(commit, outside, into)
    return charts


def charts_below(directory: Path) -> list[Path]:
    """Return the charts below a directory that its pyproject.toml does not leave out; hidden directories hold none.

    Raises:
        SettingsError: pyproject.toml is malformed.
    """
    project = Project.load(directory)
    files = []
    for folder, folders, names in os.walk(directory):
        folders[:] = [one for one in folders if not one.startswith(".")]
        if METADATA in names:
            files.append(Path(folder, METADATA).relative_to(directory).as_posix())
    return [directory / chart for chart in charts_among(files) if project.has(chart)]


def _is_within(chart: str, charts: Collection[str]) -> bool:
    """Whether `chart` is in the charts/ directory of one of `charts`, however deep."""
    parts = PurePosixPath(chart).parts
    return any(
        parts[index] == "charts" and ("/".join(parts[:index]) or ".") in charts for index in range(len(parts) - 1)
    )


def _metadata(root: Path, chart: str) -> Metadata:
    file = root / chart / METADATA
    return read_metadata(file.read_text(encoding="utf-8", errors="replace"), posixpath.join(chart, METADATA))


def _watch(root: Path, chart: str, project: Project, problems: list[str]) -> Iterator[tuple[str, Role]]:
    """Yield each file or directory whose change touches `chart`, relative to the root."""
    yield chart, "own"
    for source in project.sources.get(chart, ()):
        yield posixpath.normpath(source), "source"
    seen = {chart}
    pending = [chart]
    while pending:
        current = pending.pop()
        if (root / current / declaration.FILE).is_file():
            file = posixpath.join(current, declaration.FILE)
            try:
                declared = declaration.parse((root / file).read_text(encoding="utf-8"), file)
            except ChartError as error:
                problems.append(error.seen)
            else:
                values = (path for case in declared.cases for path in case.values_files())
                for path in (*declared.sources, *values):
                    yield posixpath.normpath(posixpath.join(current, path)), "source"
        for inner in _local_dependencies(root, current):
            if inner not in seen:
                seen.add(inner)
                yield inner, "dependency"
                pending.append(inner)


def _local_dependencies(root: Path, chart: str) -> list[str]:
    """Return the directories of the charts that a chart takes from ``file://``, or has in charts/."""
    found = []
    if (root / chart / METADATA).is_file():
        try:
            dependencies = _metadata(root, chart).dependencies
        except ChartError:
            dependencies = ()
        directories = (one.directory(root / chart) for one in dependencies)
        found += [_relative(directory, root) for directory in directories if directory is not None]
    charts = root / chart / "charts"
    if charts.is_dir():
        found += [posixpath.join(chart, "charts", one.name) for one in charts.iterdir() if (one / METADATA).is_file()]
    return found


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _watchers(file: str, watched: dict[str, list[tuple[str, Role]]]) -> Iterator[tuple[str, Role]]:
    path = file
    while True:
        yield from watched.get(path, ())
        if path == ".":
            return
        path = posixpath.dirname(path) or "."


def _directory_name(root: Path, chart: str) -> str:
    return posixpath.basename(chart) if chart != "." else root.name


# --- output -----------------------------------------------------------------------------------------------------------


def as_list(changed: Changed) -> str:
    """Return one path per line, deleted charts marked."""
    return "\n".join(f"{one.path} (deleted)" if one.deleted else one.path for one in changed.charts)


def as_json(changed: Changed) -> str:
    """Return everything as JSON."""
    return json.dumps(
        {
            "since": changed.since,
            "merge_base": changed.base,
            "charts": [
                {
                    "path": one.path,
                    "name": one.name,
                    "version": one.version,
                    "deleted": one.deleted,
                    "because": [{"file": touch.file, "role": touch.role} for touch in one.touches],
                }
                for one in changed.charts
            ],
        },
        indent=2,
    )


def as_github_matrix(changed: Changed, kubernetes: Sequence[str] = ()) -> str:
    """Return a matrix for GitHub Actions, as ``fromJSON`` reads it: one line, one job per chart and version.

    GitHub refuses a matrix of no jobs: a workflow asks first whether ``include`` is empty. Deleted charts need no job.
    """
    versions: Sequence[str | None] = kubernetes or (None,)
    jobs = [
        {"chart": one.path, "name": one.name, **({"kubernetes": version} if version else {})}
        for one in changed.charts
        if not one.deleted
        for version in versions
    ]
    return json.dumps({"include": jobs}, separators=(",", ":"))
