"""The evidence of one run, from its first step to the files on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster.provider import ClusterHandle
from harness.deploy.deployer import Release
from harness.evidence.collect import cluster_collectors, collect
from harness.evidence.directory import RunDirectory
from harness.evidence.model import ChosenSetting, Failure
from harness.evidence.recorder import Recorder
from harness.evidence.summary import summary_lines
from harness.evidence.write_json import merge, write_json
from harness.process.runner import Runner
from harness.settings.model import Settings
from harness.settings.options import OPTIONS
from harness.settings.resolve import shown_value

Diagnose = Callable[[ClusterHandle], str]

# Sections added to pytest's report of a failed test: a title and a text.
Section = tuple[str, str]


@dataclass
class Scene:
    """Where a test does things: what a failure's evidence is collected from.

    Args:
        namespaces: each with the cluster it is in, in the order they came into use.
        releases: what was deployed there, the latest last.
    """

    namespaces: list[tuple[ClusterHandle, str]] = field(default_factory=list)
    releases: list[tuple[ClusterHandle, Release]] = field(default_factory=list)

    @contextmanager
    def watching(self, handle: ClusterHandle, namespace: str) -> Iterator[None]:
        """Have `namespace` in the scene while the block runs."""
        self.namespaces.append((handle, namespace))
        try:
            yield
        finally:
            self.namespaces.remove((handle, namespace))
            self.releases = [(where, one) for where, one in self.releases if one.namespace != namespace]

    def deployed(self, handle: ClusterHandle, release: Release) -> None:
        """Have `release` in the scene until its namespace leaves it."""
        self.releases.append((handle, release))

    def clusters(self) -> list[ClusterHandle]:
        """The clusters in the scene, each once."""
        return list({handle.name: handle for handle, _ in self.namespaces}.values())


class EvidenceSession:
    """Records a run, collects what its failures need and writes it all down.

    Args:
        recorder: what is told everything.
        directory: where it goes.
        runner: runs kubectl for the collectors, unrecorded: they are not steps of the run.
        diagnose: says what is wrong with a cluster, empty when nothing is.
        log_tail_lines: container log lines kept per container.
    """

    def __init__(
        self, recorder: Recorder, directory: RunDirectory, *, runner: Runner, diagnose: Diagnose, log_tail_lines: int
    ) -> None:
        self._recorder = recorder
        self._directory = directory
        self._runner = runner
        self._diagnose = diagnose
        self._log_tail_lines = log_tail_lines
        self.scene = Scene()

    def of_failure(self, test: str, when: str, message: str) -> list[Section]:
        """Collect evidence for a test that failed and return what pytest's report should show of it.

        Args:
            test: the test's node id.
            when: ``setup``, ``call`` or ``teardown``.
            message: the failure in the test's words.
        """
        directory = self._directory.of_failure(test, when)
        sections: list[Section] = []
        files: list[Path] = []
        for handle in self.scene.clusters():
            if trouble := self._diagnose(handle):
                # A cluster that is gone cannot be asked anything, and waiting for its answers helps nobody.
                sections.append(("seatrial cluster", trouble))
                self._recorder.note(trouble)
                continue
            namespaces = [namespace for where, namespace in self.scene.namespaces if where == handle]
            releases = [release for where, release in self.scene.releases if where == handle]
            collectors = cluster_collectors(
                self._runner, handle, namespaces, releases, log_tail_lines=self._log_tail_lines
            )
            files += collect(collectors, directory, redact=self._recorder.redact, note=self._recorder.note)
        relative = tuple(str(path.relative_to(self._directory.path)) for path in files)
        self._recorder.failure(Failure(test, when, self._recorder.redact(message), relative))
        if files:
            sections.append(("seatrial evidence", str(directory)))
        return sections

    def write(self) -> None:
        """Write what is recorded so far."""
        write_json(self._recorder.evidence(), self._directory.record)

    def summary(self) -> list[str]:
        """Write the final record and return the lines for the terminal."""
        return finish(self._recorder, self._directory)


def finish(recorder: Recorder, directory: RunDirectory) -> list[str]:
    """Write the final record of a run, its parallel workers' records included, and return the terminal's lines."""
    whole = merge(recorder.evidence(), directory.worker_records())
    write_json(whole, directory.record)
    return summary_lines(whole, directory.path)


def finish_workers(recorder: Recorder, settings: Settings) -> list[str]:
    """Do the same in a controller that ran no test itself; no lines when none of its workers left anything."""
    directory = RunDirectory.of_run(settings.evidence.directory, recorder.run)
    if not directory.path.is_dir():
        return []
    recorder.settings(chosen_settings(settings))
    return finish(recorder, directory.create())


def chosen_settings(settings: Settings) -> dict[str, ChosenSetting]:
    """Return every setting as a user would write it, with where it came from."""
    return {one.name: ChosenSetting(shown_value(one, settings), settings.origins[one.name]) for one in OPTIONS}
