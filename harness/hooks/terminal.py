"""The terminal of the run, kept hold of while the output of tests is captured."""

from __future__ import annotations

import os

import pytest

# The name it is registered under.
TERMINAL = "seatrial-terminal"


class Terminal:
    """The standard error of the run itself, where progress is shown while the output of tests is captured."""

    def __init__(self) -> None:
        self.stream = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")

    def say_at_once(self, text: str) -> None:
        """Show a line from a signal handler, where no lock may be taken and no buffer be used."""
        os.write(self.stream.fileno(), f"\n{text}\n".encode())

    def pytest_unconfigure(self) -> None:
        """Let go of it."""
        self.stream.close()


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Keep hold of the terminal: the next hook comes after output is captured."""
    pluginmanager.register(Terminal(), TERMINAL)


def terminal_of(config: pytest.Config) -> Terminal:
    """Return the terminal of this run."""
    terminal: Terminal = config.pluginmanager.get_plugin(TERMINAL)  # type: ignore[assignment] # registered above
    return terminal
