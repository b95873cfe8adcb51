"""What is known about a run: values only; this module knows no file format and no Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.supply.artifact import Provenance

Phase = Literal["supply", "engine", "cluster", "images", "deploy", "access", "scoring", "cleanup"]
PHASES: tuple[Phase, ...] = ("supply", "engine", "cluster", "images", "deploy", "access", "scoring", "cleanup")

StepOutcome = Literal["passed", "failed", "interrupted"]


@dataclass(frozen=True)
class Step:
    """One thing that was done.

    Args:
        number: order in which steps began, from 1; unique within one process of a run.
        name: what was done, e.g. ``create cluster 'demo'``, or the program's words for a command.
        phase: part of the voyage it belongs to; ``None`` for a command outside any step.
        started_at: seconds since the epoch.
        duration_s: seconds it took.
        outcome: how it ended.
        parent: number of the step it happened in.
        argv: the command as a person would paste it, secrets masked; empty when the step is no command.
        exit_code: the command's exit code.
        seen: the error, or the end of a failed command's output.
    """

    number: int
    name: str
    phase: Phase | None
    started_at: float
    duration_s: float
    outcome: StepOutcome
    parent: int | None = None
    argv: str = ""
    exit_code: int | None = None
    seen: str = ""


@dataclass(frozen=True)
class Exchange:
    """One scoring request and how it was answered.

    Args:
        curl: the equivalent command, pasteable, secrets masked.
        started_at: seconds since the epoch.
        duration_s: seconds until the whole answer was there, or until there was none.
        status: HTTP status; ``None`` when no answer came.
        seen: the error when no answer came.
    """

    curl: str
    started_at: float
    duration_s: float
    status: int | None = None
    seen: str = ""


@dataclass(frozen=True)
class TrafficRecord:
    """What traffic to a service showed.

    Args:
        figures: what :meth:`harness.scoring.verdict.Verdict.to_json` returns.
        picture: the picture of it, relative to the run's directory; empty when it could not be drawn.
    """

    figures: Mapping[str, Any]
    picture: str = ""


@dataclass(frozen=True)
class Failure:
    """A test that failed, with what was collected about it.

    Args:
        test: the test's node id.
        when: ``setup``, ``call`` or ``teardown``.
        message: the end of its error.
        files: what was collected, relative to the run's directory.
    """

    test: str
    when: str
    message: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChosenSetting:
    """One setting as it was resolved.

    Args:
        value: as a user would write it, secrets masked.
        origin: where it came from.
    """

    value: str
    origin: str


@dataclass(frozen=True)
class Evidence:
    """Everything recorded about a run, or about the part of it that one parallel worker did.

    Args:
        run_id: the run's id, as on the labels of what it made.
        worker: the parallel worker's name, empty for the controller and for runs without workers.
        started_at: seconds since the epoch.
        duration_s: seconds from the run's start to this account of it.
        settings: option name -> value and origin.
        versions: what took part -> its version.
        artifacts: where each program and image came from.
        steps: what was done, in the order it began.
        exchanges: the scoring requests, in the order they were sent; those of traffic are not among them.
        traffic: what each stretch of traffic showed, in the order they ended.
        failures: the tests that failed.
        notes: sentences for the reader, e.g. about what could not be collected.
    """

    run_id: str
    worker: str
    started_at: float
    duration_s: float
    settings: Mapping[str, ChosenSetting] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[Provenance, ...] = ()
    steps: tuple[Step, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    traffic: tuple[TrafficRecord, ...] = ()
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing of Seatrial took part in the run."""
        return not (self.steps or self.exchanges or self.traffic or self.failures or self.notes or self.artifacts)
