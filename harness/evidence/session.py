"""The evidence of one run, from its first step to the files on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.cluster.provider import ClusterHandle
from harness.deploy.deployer import Log, Witness
from harness.deploy.release import Release
from harness.errors import BuildError, ClusterError, EngineError, ImageBuildError, SeatrialError
from harness.evidence.collect import cluster_collectors, collect
from harness.evidence.directory import RunDirectory
from harness.evidence.job_summary import job_summary
from harness.evidence.model import ChosenSetting, Evidence, Failure, TrafficRecord
from harness.evidence.prune import prune
from harness.evidence.recorder import Recorder
from harness.evidence.summary import summary_lines
from harness.evidence.traffic_picture import draw
from harness.evidence.write_json import merge, write_json
from harness.process.runner import Runner
from harness.scoring.verdict import Verdict
from harness.settings.model import Settings
from harness.settings.options import OPTIONS
from harness.settings.resolve import shown_value

Diagnose = Callable[[ClusterHandle], str]
CollectLogs = Callable[[ClusterHandle, Path], Sequence[Path]]

# Sections added to pytest's report of a failed test: a title and a text.
Section = tuple[str, str]


@dataclass
class Scene:
    """Where a test does things: what a failure's evidence is collected from.

    Args:
        namespaces: each with the cluster it is in, in the order they came into use.
        releases: what was deployed there, the latest last.
        files: what was collected about releases before they were taken back.
        known: the clusters of the run, of use to the test or not.
    """

    namespaces: list[tuple[ClusterHandle, str]] = field(default_factory=list)
    releases: list[tuple[ClusterHandle, Release]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    known: list[ClusterHandle] = field(default_factory=list)

    @contextmanager
    def watching(self, handle: ClusterHandle, namespace: str) -> Iterator[None]:
        """Have `namespace` in the scene while the block runs."""
        self.namespaces.append((handle, namespace))
        try:
            yield
        finally:
            self.namespaces.remove((handle, namespace))

    def clusters(self) -> list[ClusterHandle]:
        """The clusters of the run and those in the scene, each once."""
        used = [handle for handle, _ in (*self.namespaces, *self.releases)]
        return list({handle.name: handle for handle in (*self.known, *used)}.values())

    def namespaces_in(self, handle: ClusterHandle) -> list[str]:
        """The namespaces of one cluster that are watched or deployed to, each once."""
        watched = [namespace for where, namespace in self.namespaces if where == handle]
        return list(dict.fromkeys((*watched, *_namespaces_of(self.releases_in(handle)))))

    def releases_in(self, handle: ClusterHandle) -> list[Release]:
        """What was deployed to one cluster."""
        return [release for where, release in self.releases if where == handle]


def _namespaces_of(releases: Iterable[Release]) -> list[str]:
    return [
        namespace
        for release in releases
        for namespace in (release.namespace, *(ref.namespace for ref in release.resources))
        if namespace
    ]


class _DeployerWitness:
    """A :class:`~harness.deploy.deployer.Witness` that keeps a scene.

    Args:
        scene: where the releases of its deployer are until that is closed.
        handle: the deployer's cluster.
        look: collects what there is to see of a release now and returns the files.
        recorder: records what is waited for.
        log: gives a log to what runs for long.
    """

    def __init__(
        self,
        scene: Scene,
        handle: ClusterHandle,
        look: Callable[[ClusterHandle, Release], Sequence[Path]],
        recorder: Recorder,
        log: Callable[[str], AbstractContextManager[Log]],
    ) -> None:
        self._scene = scene
        self._handle = handle
        self._look = look
        self._recorder = recorder
        self._log = log
        self._releases: list[tuple[ClusterHandle, Release]] = []
        self._files: list[Path] = []

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """See :meth:`harness.deploy.deployer.Witness.waiting`."""
        return self._recorder.step(what, phase="deploy")

    def log(self, name: str) -> AbstractContextManager[Log]:
        """See :meth:`harness.deploy.deployer.Witness.log`."""
        return self._log(name)

    def deployed(self, release: Release) -> None:
        """See :meth:`harness.deploy.deployer.Witness.deployed`."""
        self._releases.append((self._handle, release))
        self._scene.releases.append((self._handle, release))

    def leaving(self, release: Release) -> None:
        """See :meth:`harness.deploy.deployer.Witness.leaving`."""
        files = self._look(self._handle, release)
        self._files += files
        self._scene.files += files

    def closed(self) -> None:
        """See :meth:`harness.deploy.deployer.Witness.closed`."""
        self._scene.releases = [one for one in self._scene.releases if one not in self._releases]
        self._scene.files = [path for path in self._scene.files if path not in self._files]


class EvidenceSession:
    """Records a run, collects what its failures need and writes it all down.

    Args:
        recorder: what is told everything.
        directory: where it goes.
        runner: runs kubectl for the collectors, unrecorded: they are not steps of the run.
        diagnose: says what is wrong with a cluster, empty when nothing is.
        collect_logs: writes the logs of a cluster's nodes below a directory, as far as they can be had.
        log_tail_lines: container log lines kept per container.
    """

    def __init__(
        self,
        recorder: Recorder,
        directory: RunDirectory,
        *,
        runner: Runner,
        diagnose: Diagnose,
        collect_logs: CollectLogs,
        log_tail_lines: int,
    ) -> None:
        self._recorder = recorder
        self._directory = directory
        self._runner = runner
        self._diagnose = diagnose
        self._collect_logs = collect_logs
        self._log_tail_lines = log_tail_lines
        self._node_logs_kept: set[str] = set()
        self._logs_kept: set[Path] = set()
        self.scene = Scene()

    def of_failure(self, test: str, when: str, message: str, error: BaseException | None = None) -> list[Section]:
        """Collect evidence for a test that failed and return what pytest's report should show of it.

        What cannot be collected, or written, is a note: the test's own failure stays the one reported.

        Args:
            test: the test's node id.
            when: ``setup``, ``call`` or ``teardown``.
            message: the failure in the test's words.
            error: what it failed with; logs that it names are kept, as the cache they are in may be gone tomorrow.
        """
        directory = self._directory.of_failure(test, when)
        sections: list[Section] = []
        files: list[Path] = [*self.scene.files]
        for log in named_logs(error):
            files += self._log_of_error(log, directory / "logs")
        for handle in self.scene.clusters():
            if trouble := self._trouble_of(handle):
                # A cluster that is gone cannot be asked anything, and waiting for its answers helps nobody: what is
                # left of its nodes can.
                sections.append(("seatrial cluster", trouble))
                self._recorder.note(trouble)
                files += self._node_logs(handle, directory)
                continue
            files += self._collect(handle, self.scene.namespaces_in(handle), self.scene.releases_in(handle), directory)
        relative = tuple(str(path.relative_to(self._directory.path)) for path in files)
        self._recorder.failure(Failure(test, when, self._recorder.redact(message), relative))
        if files:
            sections.append(("seatrial evidence", str(directory)))
        return sections

    def traffic(self, verdict: Verdict) -> None:
        """Record what traffic showed, with a picture of it; a picture that cannot be drawn is noted."""
        picture = ""
        try:
            path = self._directory.of_traffic(verdict.name)
            path.write_text(self._recorder.redact(draw(verdict)), encoding="utf-8")
            picture = str(path.relative_to(self._directory.path))
        except (OSError, ValueError, ArithmeticError) as error:
            self._recorder.note(f"the traffic '{verdict.name}' could not be drawn: {error}")
        self._recorder.traffic(TrafficRecord(verdict.to_json(), picture))

    def witness(self, handle: ClusterHandle) -> Witness:
        """Return what one deployer tells of its releases."""
        return _DeployerWitness(self.scene, handle, self._look_at, self._recorder, self.log)

    @contextmanager
    def log(self, name: str) -> Iterator[Log]:
        """Have what a program writes kept, secrets masked, line by line while the block runs.

        Where it cannot be kept the program runs all the same, and the reason is noted.

        Args:
            name: what it is the log of.
        """
        try:
            path = self._directory.of_log(name)
            # Unbuffered: each line is on disk at once, and one that does not fit is not tried again at the end.
            file = path.open("wb", buffering=0)
        except OSError as error:
            self._recorder.note(f"the log of '{name}' is not kept: {error}")
            yield Log("", lambda _: None)
            return
        lost: list[OSError] = []

        def write(line: str) -> None:
            if lost:
                return
            try:
                # In one piece: standard output and error come from a thread each.
                file.write(f"{self._recorder.redact(line)}\n".encode())
            except OSError as error:
                lost.append(error)
                self._recorder.note(f"the log of '{name}' in '{path}' is cut short: {error}")

        with file:
            yield Log(str(path), write)

    def _look_at(self, handle: ClusterHandle, release: Release) -> tuple[Path, ...]:
        try:
            directory = self._directory.of_release(release.name)
        except OSError as error:
            self._recorder.note(f"could not collect what there was to see of release '{release.name}': {error}")
            return ()
        return self._collect(handle, list(dict.fromkeys(_namespaces_of([release]))), [release], directory)

    def _trouble_of(self, handle: ClusterHandle) -> str:
        try:
            return self._diagnose(handle)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test's own failure must stay the one reported
            self._recorder.note(f"could not see what is wrong with cluster '{handle.name}': {error}")
            return ""

    def _collect(
        self, handle: ClusterHandle, namespaces: Sequence[str], releases: Sequence[Release], directory: Path
    ) -> tuple[Path, ...]:
        collectors = cluster_collectors(self._runner, handle, namespaces, releases, log_tail_lines=self._log_tail_lines)
        return collect(collectors, directory, redact=self._recorder.redact, note=self._recorder.note)

    def _node_logs(self, handle: ClusterHandle, directory: Path) -> Sequence[Path]:
        """Keep the logs of a dead cluster's nodes, secrets masked; the tests that fail after the first know no more."""
        if handle.name in self._node_logs_kept:
            return ()
        self._node_logs_kept.add(handle.name)
        try:
            files = self._collect_logs(handle, directory / "nodes" / handle.name)
            for path in files:
                text = path.read_text(encoding="utf-8", errors="replace")
                path.write_text(self._recorder.redact(text), encoding="utf-8")
        except Exception as error:  # noqa: BLE001 - whatever it is, the test's own failure must stay the one reported
            self._recorder.note(f"could not collect the node logs of cluster '{handle.name}': {error}")
            return ()
        return files

    def _log_of_error(self, log: Path, directory: Path) -> tuple[Path, ...]:
        """Copy a log, or a directory of logs, secrets masked; the same error may fail many tests: once is enough."""
        if log in self._logs_kept:
            return ()
        self._logs_kept.add(log)
        copies = []
        try:
            for path in filter(Path.is_file, sorted(log.rglob("*")) if log.is_dir() else [log]):
                copy = directory / path.relative_to(log.parent)
                copy.parent.mkdir(parents=True, exist_ok=True)
                text = path.read_text(encoding="utf-8", errors="replace")
                copy.write_text(self._recorder.redact(text), encoding="utf-8")
                copies.append(copy)
        except OSError as error:
            self._recorder.note(f"could not keep '{log}' with the evidence: {error}")
        return tuple(copies)

    def write(self) -> None:
        """Write what is recorded so far; that it cannot be written is noted."""
        if missing := _missing(self._recorder.evidence(), self._directory.record):
            self._recorder.note(missing)

    def finish(self) -> Account:
        """Write the final record and return it."""
        return finish(self._recorder, self._directory)


# The errors that say where a log of theirs is, and the fact that holds it.
_LOGS: tuple[tuple[type[SeatrialError], str], ...] = (
    (ImageBuildError, "log"),
    (BuildError, "log"),
    (EngineError, "log"),
    (ClusterError, "node_logs"),
)


def named_logs(error: BaseException | None) -> tuple[Path, ...]:
    """Return the files and directories of logs that an error, or one that it came from, names."""
    found: list[Path] = []
    while error is not None:
        for kind, fact in _LOGS:
            if isinstance(error, kind) and (log := error.facts.get(fact)):
                found.append(Path(str(log)))
        error = error.__cause__
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Account:
    """A run that is over.

    Args:
        evidence: all of it, its parallel workers' part included.
        directory: where it was written.
    """

    evidence: Evidence
    directory: Path

    def lines(self) -> list[str]:
        """Return the lines for the terminal."""
        return summary_lines(self.evidence, self.directory)

    def markdown(self, outcomes: Mapping[str, int]) -> str:
        """Return the page for a CI system; see :func:`~harness.evidence.job_summary.job_summary`."""
        return job_summary(self.evidence, outcomes, self.directory)


def finish(recorder: Recorder, directory: RunDirectory) -> Account:
    """Write the final record of a run, its parallel workers' records included, and return it.

    A record that cannot be written is one note more: what there is to tell is told in the terminal all the same.
    """
    whole = merge(recorder.evidence(), directory.worker_records())
    missing = _missing(whole, directory.record)
    if missing and missing not in whole.notes:
        whole = replace(whole, notes=(*whole.notes, missing))
    return Account(whole, directory.path)


def _missing(evidence: Evidence, path: Path) -> str:
    """Write `evidence` to `path`; return why that could not be done, an empty string when it was."""
    try:
        write_json(evidence, path)
    except (OSError, ValueError) as error:
        return f"the account of the run could not be written to '{path}': {getattr(error, 'strerror', '') or error}"
    return ""


def finish_workers(recorder: Recorder, settings: Settings) -> Account | None:
    """Do the same in a controller that ran no test itself; ``None`` when none of its workers left anything."""
    directory = RunDirectory.of_run(settings.evidence.directory, recorder.run)
    if not directory.path.is_dir():
        return None
    recorder.settings(chosen_settings(settings))
    try:
        directory.create()
    except SeatrialError as error:
        recorder.note(str(error))
    prune(settings.evidence.directory, keep=settings.evidence.kept_runs)
    return finish(recorder, directory)


def chosen_settings(settings: Settings) -> dict[str, ChosenSetting]:
    """Return every setting as a user would write it, with where it came from."""
    return {one.name: ChosenSetting(shown_value(one, settings), settings.origins[one.name]) for one in OPTIONS}
