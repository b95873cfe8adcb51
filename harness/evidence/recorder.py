"""Takes down what happens while it happens."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import tail
from harness.evidence.model import ChosenSetting, Evidence, Exchange, Failure, Phase, Step, StepOutcome, TrafficRecord
from harness.naming import Run
from harness.process.outcome import Outcome
from harness.process.redact import redact
from harness.supply.artifact import Provenance
from harness.wait import SYSTEM_CLOCK, Clock

# Name of a command in lists: enough words to tell `kubectl rollout status` from `kubectl rollout undo`.
_NAME_WORDS = 3


@dataclass(frozen=True)
class _OpenStep:
    number: int
    phase: Phase


class Recorder:
    """Collects the facts of one run; may be told from several threads at once.

    What it is told is masked when it is asked: a secret that becomes known late is masked in what was told before.

    Args:
        run: the run it records.
        clock: measures durations.
        wall_clock: returns seconds since the epoch.
    """

    def __init__(self, run: Run, *, clock: Clock = SYSTEM_CLOCK, wall_clock: Callable[[], float] = time.time) -> None:
        self._run = run
        self._clock = clock
        self._wall_clock = wall_clock
        self._began = clock.now()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._open = threading.local()
        self._secrets: set[str] = set()
        self._settings: dict[str, ChosenSetting] = {}
        self._versions: dict[str, str] = {}
        self._artifacts: dict[str, Provenance] = {}
        self._steps: list[Step] = []
        self._exchanges: list[Exchange] = []
        self._traffic: list[TrafficRecord] = []
        self._failures: list[Failure] = []
        self._notes: list[str] = []

    @property
    def run(self) -> Run:
        """The run that is recorded."""
        return self._run

    @contextlib.contextmanager
    def step(self, name: str, *, phase: Phase) -> Iterator[None]:
        """Record the block as one step; commands and steps of the same thread inside it become its children."""
        parent = self._enclosing()
        here = _OpenStep(self._next_number(), phase)
        started_at, began = self._wall_clock(), self._clock.now()
        outcome: StepOutcome = "passed"
        seen = ""
        self._open.step = here
        try:
            yield
        except Exception as error:
            outcome, seen = "failed", tail(str(error) or type(error).__name__)
            raise
        except BaseException as error:
            outcome, seen = "interrupted", type(error).__name__
            raise
        finally:
            self._open.step = parent
            duration_s = self._clock.now() - began
            number = parent.number if parent else None
            self._add_step(Step(here.number, name, phase, started_at, duration_s, outcome, parent=number, seen=seen))

    def on_outcome(self, outcome: Outcome) -> None:
        """Record a command that ended: the ``on_outcome`` of :class:`~harness.process.runner.SubprocessRunner`."""
        command = outcome.command
        self.keep_secret(*command.secrets)
        around = self._enclosing()
        words = [word for word in command.argv[1:] if not word.startswith("-")]
        self._add_step(
            Step(
                self._next_number(),
                " ".join([command.program, *words[: _NAME_WORDS - 1]]),
                around.phase if around else None,
                outcome.started_at,
                outcome.duration_s,
                "passed" if outcome.succeeded else "failed",
                parent=around.number if around else None,
                argv=command.pasteable(),
                exit_code=outcome.exit_code,
                seen="" if outcome.succeeded else tail(outcome.stderr.strip() or outcome.stdout),
            )
        )

    def exchange(self, exchange: Exchange) -> None:
        """Record a scoring request that was answered or was not."""
        with self._lock:
            self._exchanges.append(exchange)

    def traffic(self, record: TrafficRecord) -> None:
        """Record what traffic to a service showed."""
        with self._lock:
            self._traffic.append(record)

    def artifact(self, provenance: Provenance) -> None:
        """Record where a program or an image came from; told again, the last word counts."""
        with self._lock:
            self._artifacts[provenance.name] = provenance

    def version(self, name: str, version: str) -> None:
        """Record the version of something that took part."""
        with self._lock:
            self._versions[name] = version

    def settings(self, chosen: Mapping[str, ChosenSetting]) -> None:
        """Record the settings of the run."""
        with self._lock:
            self._settings.update(chosen)

    def failure(self, failure: Failure) -> None:
        """Record a test that failed."""
        with self._lock:
            self._failures.append(failure)

    def note(self, text: str) -> None:
        """Record a sentence for the reader."""
        with self._lock:
            self._notes.append(text)

    def keep_secret(self, *values: str) -> None:
        """Mask `values` in everything recorded before and after."""
        with self._lock:
            self._secrets.update(value for value in values if value)

    def redact(self, text: str) -> str:
        """Return `text` with every secret known so far masked."""
        with self._lock:
            # Longest first: a secret that holds another one must not be left half masked.
            secrets = sorted(self._secrets, key=len, reverse=True)
        return redact(text, secrets)

    def evidence(self) -> Evidence:
        """Return an account of the run up to now, secrets masked."""
        with self._lock:
            whole = Evidence(
                run_id=self._run.run_id,
                worker=self._run.worker,
                started_at=float(self._run.started),
                duration_s=self._clock.now() - self._began,
                settings=dict(self._settings),
                versions=dict(sorted(self._versions.items())),
                artifacts=tuple(self._artifacts[name] for name in sorted(self._artifacts)),
                steps=tuple(sorted(self._steps, key=lambda step: step.number)),
                exchanges=tuple(self._exchanges),
                traffic=tuple(self._traffic),
                failures=tuple(self._failures),
                notes=tuple(self._notes),
            )
        return self._masked(whole)

    def _masked(self, evidence: Evidence) -> Evidence:
        mask = self.redact
        return replace(
            evidence,
            settings={name: replace(one, value=mask(one.value)) for name, one in evidence.settings.items()},
            artifacts=tuple(replace(one, origin=mask(one.origin), how=mask(one.how)) for one in evidence.artifacts),
            steps=tuple(
                replace(one, name=mask(one.name), argv=mask(one.argv), seen=mask(one.seen)) for one in evidence.steps
            ),
            exchanges=tuple(replace(one, curl=mask(one.curl), seen=mask(one.seen)) for one in evidence.exchanges),
            traffic=tuple(replace(one, figures=_each_text(one.figures, mask)) for one in evidence.traffic),
            failures=tuple(replace(one, message=mask(one.message)) for one in evidence.failures),
            notes=tuple(mask(note) for note in evidence.notes),
        )

    def _enclosing(self) -> _OpenStep | None:
        step: _OpenStep | None = getattr(self._open, "step", None)
        return step

    def _next_number(self) -> int:
        with self._lock:
            return next(self._numbers)

    def _add_step(self, step: Step) -> None:
        with self._lock:
            self._steps.append(step)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON value with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each_text(item, change) for key, item in value.items()}
    return [_each_text(item, change) for item in value] if isinstance(value, list) else value
