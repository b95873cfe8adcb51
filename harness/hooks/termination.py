"""A run that was told to end: it ends as its caller expects."""

from __future__ import annotations

import signal

import pytest

# The signal that ended the run, for its exit code.
TERMINATED: pytest.StashKey[int] = pytest.StashKey()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give a run that was terminated the exit code that shells give."""
    if (number := session.config.stash.get(TERMINATED, None)) is not None:
        session.exitstatus = 128 + number


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Pass the signal that ended this run on to what it runs inside of, e.g. the run whose test called pytest.

    That one's handler was replaced meanwhile, and an exit code other than Ctrl-C's tells pytester nothing.
    """
    if (number := config.stash.get(TERMINATED, None)) is not None and callable(signal.getsignal(number)):
        signal.raise_signal(number)
