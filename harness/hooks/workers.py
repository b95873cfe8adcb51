"""Parallel workers of pytest-xdist: they take part in one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.naming import Run

if TYPE_CHECKING:
    from harness.evidence.recorder import Recorder

# Of a controller of parallel workers: it runs no test, so it has no session fixtures.
WORKERS: pytest.StashKey[Recorder] = pytest.StashKey()

# What a controller of parallel workers tells each: which run it takes part in.
WORKER_RUN = "seatrial_run"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Have the parallel workers of pytest-xdist take part in one run: they share its clusters and its evidence."""
    from harness.evidence.recorder import Recorder

    stash = node.config.stash
    if WORKERS not in stash:
        stash[WORKERS] = Recorder(Run.begin())
    recorder = stash[WORKERS]
    node.workerinput[WORKER_RUN] = {"run_id": recorder.run.run_id, "started": recorder.run.started}


def begin_run(config: pytest.Config) -> Run:
    """Return the run that this process owns: a parallel worker's is its controller's."""
    worker = getattr(config, "workerinput", {})
    return Run.begin(**worker.get(WORKER_RUN, {}), worker=worker.get("workerid", ""))
