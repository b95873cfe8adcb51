"""What counts as abandoned."""

from __future__ import annotations

import pytest

from harness.engine.sweep import is_abandoned
from harness.naming import LABEL_CLUSTER, LABEL_KEPT, LABEL_OWNER, LABEL_OWNER_HOST, LABEL_RUN, Run, owner_host

OWNED = {LABEL_RUN: "1f2e3d4c", LABEL_OWNER: "7.7", LABEL_OWNER_HOST: "here"}


@pytest.mark.parametrize(
    ("labels", "alive", "expected"),
    [
        pytest.param(OWNED, False, True, id="its run has ended"),
        pytest.param(OWNED, True, False, id="its run is going on"),
        pytest.param({**OWNED, LABEL_KEPT: "yes"}, False, False, id="kept"),
        pytest.param({**OWNED, LABEL_CLUSTER: "demo"}, False, False, id="part of a cluster"),
        pytest.param({**OWNED, LABEL_OWNER_HOST: "there"}, False, False, id="of another host"),
        pytest.param({LABEL_RUN: "1", LABEL_OWNER: "7.7"}, False, False, id="of an unknown host"),
        pytest.param({LABEL_OWNER: "7.7", LABEL_OWNER_HOST: "here"}, False, False, id="no run at all"),
        pytest.param({}, False, False, id="not ours"),
    ],
)
def test_is_abandoned(labels: dict[str, str], alive: bool, expected: bool) -> None:
    """Only what a dead run of this host owns and did not keep is abandoned."""
    assert is_abandoned(labels, host="here", is_alive=lambda _: alive) == expected


def test_labels_of_a_run_are_understood() -> None:
    """What a run of this host puts on its things is judged by its owner."""
    labels = Run.begin().labels()
    assert is_abandoned(labels, host=owner_host(), is_alive=lambda _: False)
    assert not is_abandoned(labels, host=owner_host(), is_alive=lambda label: label == labels[LABEL_OWNER])
