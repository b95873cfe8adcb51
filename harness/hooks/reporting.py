"""How it went: evidence of failures, the summary on the terminal, CI's page and annotations."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from harness.hooks.configuration import SETTINGS
from harness.hooks.workers import WORKERS

if TYPE_CHECKING:
    from harness.evidence.session import Account, EvidenceSession

EVIDENCE: pytest.StashKey[EvidenceSession] = pytest.StashKey()

# The outcomes of tests that pytest keeps reports of, among other things that it counts.
_OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Have evidence collected for a test that failed, before its fixtures are torn down."""
    report = yield
    if report.failed and (evidence := item.config.stash.get(EVIDENCE, None)) is not None:
        error = call.excinfo.value if call.excinfo else None
        report.sections.extend(evidence.of_failure(item.nodeid, report.when, _words(error), error))
    return report


def _words(error: BaseException | None) -> str:
    return "" if error is None else str(error)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the time went and where the evidence is; parallel workers leave that to their controller."""
    if hasattr(config, "workerinput") or (account := _account(config)) is None:
        return
    terminalreporter.section("seatrial")
    for line in account.lines():
        terminalreporter.write_line(line)
    evidence = config.stash[SETTINGS].evidence
    if evidence.job_summary is not None:
        outcomes = {name: len(reports) for name, reports in terminalreporter.stats.items() if name in _OUTCOMES}
        try:
            with evidence.job_summary.open("a", encoding="utf-8") as page:
                page.write(account.markdown(outcomes))
        except OSError as error:
            terminalreporter.write_line(f"no job summary in '{evidence.job_summary}': {error.strerror}")
    if evidence.annotations == "github":
        for line in _annotations(terminalreporter, config, account):
            terminalreporter.write_line(line)


def _account(config: pytest.Config) -> Account | None:
    if (evidence := config.stash.get(EVIDENCE, None)) is not None:
        return evidence.finish()
    if (recorder := config.stash.get(WORKERS, None)) is not None:
        from harness.evidence.session import finish_workers

        return finish_workers(recorder, config.stash[SETTINGS])
    return None


def _annotations(terminalreporter: pytest.TerminalReporter, config: pytest.Config, account: Account) -> Iterator[str]:
    """Yield what has GitHub show each failed test beside its code, files named from the working directory."""
    from harness.commands.github import annotation

    masked = {(failure.test, failure.when): failure.message for failure in account.evidence.failures}
    for report in (*terminalreporter.stats.get("error", ()), *terminalreporter.stats.get("failed", ())):
        if isinstance(report, pytest.TestReport):
            name, line, _ = report.location
            file = os.path.relpath(config.rootpath / name, config.invocation_params.dir)
            message = masked.get((report.nodeid, report.when)) or report.longreprtext
            yield annotation("error", message, title=report.nodeid, file=file, line=0 if line is None else line + 1)
