"""What the user chose: the options declared, their values resolved or refused, and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.errors import SettingsError
from harness.settings import options

if TYPE_CHECKING:
    from harness.settings.model import Settings

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the settings."""
    options.add_to_pytest(parser, pluginmanager)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """See which of pytest-kind's options were really given."""
    options.take_out_foreign_defaults(early_config.option)


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the settings, or refuse all that is wrong with them before anything starts."""
    from harness.settings.resolve import Sources, resolve
    from harness.settings.values import known_kubernetes_versions

    config.addinivalue_line("markers", "chart(path, ...): the charts that the test is about, relative to its file")
    config.addinivalue_line("markers", "scenario: a whole voyage: real cluster, real deployment, real score")
    try:
        config.stash[SETTINGS] = resolve(Sources.from_pytest(config), kubernetes_versions=known_kubernetes_versions())
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Show the settings somebody chose, with where they came from."""
    from harness.settings.resolve import header_lines

    return header_lines(config.stash[SETTINGS])
