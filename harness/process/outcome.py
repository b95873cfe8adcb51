"""The value that says how a program ended."""

from __future__ import annotations

import json
from dataclasses import dataclass

from harness.errors import CommandError, CommandTimeoutError, ProgramNotFoundError
from harness.process.command import Command


@dataclass(frozen=True)
class Outcome:
    """How a command ended: data first, an error only when the caller asks for one with :meth:`check`.

    Args:
        command: what was run.
        exit_code: the program's exit code; negative for a signal; 127 when it could not be started.
        stdout: standard output, decoded as UTF-8 with replacement.
        stderr: standard error, likewise.
        started_at: wall-clock start, seconds since the epoch.
        duration_s: seconds it took.
        timed_out: whether it was stopped at its time limit.
        not_found: whether it could not be started.
    """

    command: Command
    exit_code: int
    stdout: str = ""
    stderr: str = ""
    started_at: float = 0.0
    duration_s: float = 0.0
    timed_out: bool = False
    not_found: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the exit code is zero."""
        return self.exit_code == 0

    def check(self, *, hint: str = "") -> Outcome:
        """Return self, or raise the matching :class:`~harness.errors.CommandError` when the program failed."""
        if self.succeeded:
            return self
        if self.not_found:
            raise ProgramNotFoundError(self, hint=hint)
        if self.timed_out:
            raise CommandTimeoutError(self, hint=hint)
        raise CommandError(self, hint=hint)

    def json(self) -> object:
        """Return standard output parsed as JSON."""
        parsed: object = json.loads(self.stdout)
        return parsed
