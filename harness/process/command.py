"""The value that describes a program to run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.process.redact import redact

# A program that says nothing about its own limit gets two minutes: longer than any kubectl or docker call of a
# healthy cluster, short enough that a hung one is noticed.
DEFAULT_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Command:
    """A program with its arguments, ready to run.

    Args:
        argv: program and arguments, never a shell string.
        env: variables added to (or, with value ``None``, removed from) a copy of the caller's environment.
        cwd: working directory; ``None`` keeps the caller's.
        timeout_s: seconds after which the program and its children are stopped.
        stdin: text given on standard input; ``None`` closes it.
        secrets: values masked wherever the command or its output is shown.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str | None] = field(default_factory=dict)
    cwd: Path | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    stdin: str | None = None
    secrets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.argv or not all(isinstance(part, str) for part in self.argv):
            raise TypeError(f"argv must be a non-empty tuple of strings, got {self.argv!r}")

    @property
    def program(self) -> str:
        """The last component of the program's path, e.g. ``kubectl``."""
        return Path(self.argv[0]).name

    def with_timeout(self, timeout_s: float) -> Command:
        """Return the same command with another time limit in seconds."""
        return replace(self, timeout_s=timeout_s)

    def pasteable(self) -> str:
        """Return the command as a person would type it, secrets masked."""
        # Values are masked before they are quoted: quoting changes the spelling of those with a quote in them.
        added = [
            f"{name}={shlex.quote(redact(value, self.secrets))}"
            for name, value in self.env.items()
            if value is not None
        ]
        words = [redact(word, self.secrets) for word in self.argv]
        # Once more over the whole: some flags carry their secret in the word after them.
        return redact(" ".join([*added, shlex.join(words)]))
