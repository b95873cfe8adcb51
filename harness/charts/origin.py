"""Earlier versions of charts: from git, from a packaged archive, from an OCI registry."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from pathlib import Path

from harness.charts import yaml_text
from harness.charts.case import ChartCase, Origin
from harness.charts.changed import extract_charts
from harness.charts.chart import Chart
from harness.charts.render import Renderer
from harness.charts.repository import Repository
from harness.commands import helm
from harness.errors import ChartError
from harness.process.command import Command
from harness.process.runner import Runner

PULL_TIMEOUT_S = 60.0


@dataclass
class ChartVersions:
    """Gives a case's chart as Helm can install it, today's and the earlier version.

    Args:
        renderer: puts charts together with what they depend on; its program and home are used for pulling.
        runner: runs git and helm.
        directory: of the run's own, where earlier versions go.
    """

    renderer: Renderer
    runner: Runner
    directory: Path
    _earlier: dict[tuple[Path, Origin], Path] = field(default_factory=dict)

    def current(self, case: ChartCase) -> Path:
        """Return today's chart.

        Raises:
            ChartError: it cannot be read.
        """
        return self.renderer.staged(Chart.load(case.chart))

    def earlier(self, case: ChartCase) -> Path:
        """Return the earlier version that the case comes from.

        Raises:
            ChartError: it cannot be read, there was none at that commit, or the registry does not give it.
            HistoryError: git does not know the commit.
        """
        origin = case.previous
        if origin is None:
            raise ValueError(f"case '{case.id}' has no earlier version")
        key = (case.chart, origin)
        if key not in self._earlier:
            into = self.directory / f"earlier-{len(self._earlier)}"
            into.mkdir(parents=True)
            found = self._pulled(origin, into) if origin.oci else origin.path or self._from_git(case, origin, into)
            self._earlier[key] = self.renderer.staged(Chart.load(found))
        return self._earlier[key]

    def definitions(self, case: ChartCase) -> tuple[str, ...]:
        """Name the definitions of custom kinds in the crds/ directories of the chart as it is and was, as KIND/NAME."""
        earlier = self._earlier.get((case.chart, case.previous)) if case.previous else None
        charts = [Chart.load(path) for path in (case.chart, earlier) if path is not None]
        texts = [file.text for chart in charts for one in chart.all_charts() for file in one.crds]
        names = [
            f"{body['kind']}/{body['metadata']['name']}"
            for text in texts
            for body in yaml_text.load_all(text)
            if isinstance(body, dict) and "metadata" in body
        ]
        return tuple(dict.fromkeys(names))

    def _from_git(self, case: ChartCase, origin: Origin, into: Path) -> Path:
        repository = Repository.find(case.chart if case.chart.is_dir() else case.chart.parent, self.runner)
        ref = origin.git or repository.latest_tag(origin.tag)
        commit = repository.commit(ref)
        charts = extract_charts(repository, commit, into)
        path = posixpath.normpath(case.chart.resolve().relative_to(repository.root.resolve()).as_posix())
        if path not in charts:
            raise ChartError(
                f"take chart '{case.chart}' as it was at '{ref}'",
                problem="missing",
                file=path,
                seen=f"there was no chart in '{path}' then; there were {', '.join(charts) or 'none'}",
                hint="name a ref that has it, or its directory then: from: {path: ...}",
            )
        return into / path

    def _pulled(self, origin: Origin, into: Path) -> Path:
        args = helm.pull(origin.oci, into=into, version=origin.version, plain_http=origin.plain_http)
        environment = helm.environment(self.renderer.home)
        outcome = self.runner.run(
            Command((str(self.renderer.program), *args), env=environment, timeout_s=PULL_TIMEOUT_S)
        )
        if outcome.not_found or outcome.timed_out:
            outcome.check()
        archives = sorted(into.glob("*.tgz"))
        if not outcome.succeeded or not archives:
            raise ChartError(
                f"pull chart '{origin}'",
                problem="missing",
                file=str(origin),
                seen=outcome.stderr.strip() or "helm fetched nothing",
                hint="see whether the registry has that version; without TLS say plain-http: true",
            )
        return archives[0]
