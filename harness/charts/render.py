"""Charts rendered and linted with Helm: every values set, for every Kubernetes version that can make a difference."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.charts import yaml_text
from harness.charts.chart import Chart, ValuesSet
from harness.commands import helm
from harness.commands.helm import ChartProblem, Values
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import Runner

# Rendering a large chart takes Helm a second; a template that does not end would otherwise keep a run waiting.
TIMEOUT_S = 60.0
_SOURCE = re.compile(r"^---\n# Source: (.+)\n", re.MULTILINE)


@dataclass(frozen=True)
class RenderedObject:
    """One Kubernetes object a chart rendered to.

    Args:
        body: the object.
        source: the template it comes from, relative to the chart.
    """

    body: Mapping[str, Any]
    source: str

    @property
    def name(self) -> str:
        """E.g. ``Deployment/scorer``."""
        metadata = self.body.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, Mapping) else ""
        return f"{self.body.get('kind', '?')}/{name}"

    @property
    def is_hook(self) -> bool:
        """Whether Helm runs it as a hook: such objects are made anew each time."""
        return helm.is_hook(self.body)


@dataclass(frozen=True)
class Render:
    """What a chart rendered to with one values set.

    Args:
        values: the values set's name.
        kubernetes: the minor versions for which it renders to this; empty when none was asked for.
        objects: in Helm's order, CRDs and hooks included.
        problem: why it did not render; then there are no objects.
    """

    values: str
    kubernetes: tuple[str, ...]
    objects: tuple[RenderedObject, ...] = ()
    problem: ChartProblem | None = None


@dataclass(frozen=True)
class Lint:
    """What ``helm lint`` said of one values set.

    Args:
        values: the values set's name.
        warnings: its warnings and errors.
        failed: whether it found errors.
    """

    values: str
    messages: tuple[helm.LintMessage, ...]
    failed: bool


@dataclass
class Renderer:
    """Runs Helm on charts; nothing of the user's Helm is read or written.

    Args:
        runner: runs helm.
        program: path of helm.
        home: directory of the run's own for Helm's files and for charts put together here.
        workers: how many may run side by side.
    """

    runner: Runner
    program: Path
    home: Path
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    _parsed: dict[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    _staged: dict[Path, Path] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def render_all(self, chart: Chart, kubernetes: Sequence[str] = ()) -> tuple[Render, ...]:
        """Render `chart` with each of its values sets.

        Args:
            chart: the chart; a library renders to nothing.
            kubernetes: minor versions to render for.
        """
        if chart.is_library:
            return ()
        path = self.staged(chart)
        # Most charts do not ask for the version: one render is as good as another.
        groups = [(one,) for one in kubernetes] if _depends_on_version(chart) else [tuple(kubernetes)]
        wanted = [(values, group) for values in chart.sets for group in groups]
        with ThreadPoolExecutor(self.workers) as pool:
            return tuple(pool.map(lambda one: self._render(path, chart, *one), wanted))

    def lint_all(self, chart: Chart) -> tuple[Lint, ...]:
        """Lint `chart` with each of its values sets."""
        path = self.staged(chart)
        with ThreadPoolExecutor(self.workers) as pool:
            return tuple(pool.map(lambda values: self._lint(path, values), chart.sets))

    def check_all(self, chart: Chart, kubernetes: Sequence[str] = ()) -> tuple[tuple[Render, ...], tuple[Lint, ...]]:
        """Do both side by side."""
        self.staged(chart)
        with ThreadPoolExecutor(1) as pool:
            lints = pool.submit(self.lint_all, chart)
            return self.render_all(chart, kubernetes), lints.result()

    def staged(self, chart: Chart) -> Path:
        """Return a directory in which Helm finds the chart with what it depends on.

        Helm takes dependencies from charts/ only. Those that a ``file://`` repository has are put there in a copy, so
        that the author's directory stays as it is and need not be built before each look at it.
        """
        if not any(one.unvendored for one in chart.all_charts()):
            return chart.path
        with self._lock:
            if chart.path not in self._staged:
                directory = self.home / "staged" / str(len(self._staged)) / chart.path.name
                _stage(chart, directory)
                self._staged[chart.path] = directory
            return self._staged[chart.path]

    def _render(self, path: Path, chart: Chart, values: ValuesSet, kubernetes: tuple[str, ...]) -> Render:
        given = _values(values)
        args = helm.template(
            values.release,
            path,
            namespace=values.namespace,
            values=given,
            include_crds=True,
            kube_version=kubernetes[-1] if kubernetes else "",
            api_versions=values.api_versions,
        )
        outcome = self._run(args, given)
        if not outcome.succeeded:
            return Render(values.name, kubernetes, problem=_problem(outcome, outcome.stderr))
        try:
            return Render(values.name, kubernetes, tuple(self._objects(outcome.stdout, chart.name)))
        except yaml_text.YamlError as error:
            return Render(
                values.name, kubernetes, problem=ChartProblem("template", f"what it renders to is no YAML: {error}")
            )

    def _lint(self, path: Path, values: ValuesSet) -> Lint:
        given = _values(values)
        outcome = self._run(helm.lint(path, values=given), given)
        return Lint(values.name, helm.parse_lint_messages(outcome.stdout), not outcome.succeeded)

    def _run(self, args: helm.Args, values: Values) -> Outcome:
        env = helm.environment(self.home)
        outcome = self.runner.run(
            Command((str(self.program), *args), env=env, timeout_s=TIMEOUT_S, stdin=values.stdin())
        )
        if outcome.not_found or outcome.timed_out:
            outcome.check()
        return outcome

    def _objects(self, text: str, chart: str) -> Iterator[RenderedObject]:
        parts = _SOURCE.split(text)
        for source, content in zip(parts[1::2], parts[2::2], strict=True):
            # The same document is the same in most values sets.
            if content not in self._parsed:
                self._parsed[content] = tuple(_flat(yaml_text.load_all(content)))
            for body in self._parsed[content]:
                yield RenderedObject(body, source.removeprefix(f"{chart}/"))


def _flat(bodies: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects, those of a List one by one."""
    for body in bodies:
        if isinstance(body, Mapping):
            if body.get("kind") == "List" and isinstance(body.get("items"), list):
                yield from _flat(body["items"])
            else:
                yield body


def _values(values: ValuesSet) -> Values:
    return Values(files=values.files, inline=values.inline)


def _problem(outcome: Outcome, told: str) -> ChartProblem:
    return helm.parse_chart_problem(told) or ChartProblem(
        "template", told.strip().removeprefix("Error: ") or f"helm ended with exit code {outcome.exit_code}"
    )


def _depends_on_version(chart: Chart) -> bool:
    return any(
        one.metadata.kube_version or any("Capabilities" in file.text for file in (*one.templates, *one.others))
        for one in chart.all_charts()
    )


def _stage(chart: Chart, directory: Path) -> None:
    """Copy a chart with what it depends on to `directory`; values files it is tried with stay where they are."""
    if chart.path.is_file():
        directory.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(chart.path, directory.with_suffix(".tgz"))
        return
    shutil.copytree(chart.path, directory, symlinks=False, ignore=shutil.ignore_patterns(".git"))
    names = {dependency.key: dependency.name for dependency in chart.metadata.dependencies}
    for key, subchart in chart.subcharts.items():
        inner = directory / "charts" / names.get(key, subchart.name)
        if key in chart.unvendored and not inner.exists():
            _stage(subchart, inner)
