"""Names that DNS and Kubernetes accept, and labels that say who owns what."""

from __future__ import annotations

import os
import re

import pytest

from harness.naming import LABEL_OWNER, LABEL_RUN, LABEL_STARTED, Run, dns_label, owner_is_alive, process_start_ticks

NAMES = {
    "capitals and underscores": (("Test_ML", "score/api"), "test-ml-score-api"),
    "runs of odd characters": (("a..b", "--c"), "a-b-c"),
    "nothing usable": (("", "///"), "x"),
    "letters beyond ASCII": (("größe",), "gr-e"),
    "the longest that fits": (("a" * 63,), "a" * 63),
}


@pytest.mark.parametrize(("parts", "name"), NAMES.values(), ids=NAMES.keys())
def test_dns_label(parts: tuple[str, ...], name: str) -> None:
    """Anything becomes a valid label that still resembles it."""
    assert dns_label(*parts) == name


def test_long_names_stay_distinct() -> None:
    """A name too long is cut to 63 characters, and two that differ only at the end stay different."""
    one, other = dns_label("a" * 80 + "1"), dns_label("a" * 80 + "2")
    assert one != other
    for name in (one, other):
        assert len(name) <= 63
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)


def test_cut_never_leaves_two_dashes() -> None:
    """A dash at the place of the cut does not double."""
    assert "--" not in dns_label("a" * 53 + "-" + "b" * 30)


def test_run_ids_differ() -> None:
    """Two runs of one process are two owners."""
    first, second = Run.begin(), Run.begin()
    assert first.run_id != second.run_id
    assert re.fullmatch(r"[0-9a-f]{8}", first.run_id)


def test_labels_name_the_owner() -> None:
    """Run, process and start, in characters that Kubernetes allows in label values."""
    labels = Run("1f2e3d4c", 42, 1000, 1_700_000_000).labels()
    assert labels.items() >= {LABEL_RUN: "1f2e3d4c", LABEL_OWNER: "42.1000", LABEL_STARTED: "1700000000"}.items()
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", value) for value in labels.values())


def test_own_process_is_alive() -> None:
    """What this process owns belongs to a living run."""
    assert owner_is_alive(Run.begin().labels()[LABEL_OWNER])


@pytest.mark.parametrize(
    "label",
    [f"{os.getpid()}.1", "4194305.1", "", "42", "a.b", "-1.5"],
    ids=["a recycled pid", "a pid beyond any", "nothing", "no start", "words", "a negative pid"],
)
def test_others_are_not(label: str) -> None:
    """A recycled pid, a dead process and a malformed label all mean that nobody is left."""
    assert not owner_is_alive(label)


def test_start_of_a_process_that_is_gone() -> None:
    """There is no start to tell."""
    assert process_start_ticks(4194305) is None


def test_parallel_workers_are_one_run_and_owners_of_their_own() -> None:
    """They share the run's id and start; what one of them alone uses has its name."""
    controller = Run.begin()
    worker = Run.begin(run_id=controller.run_id, started=controller.started, worker="gw1")
    assert (worker.run_id, worker.started) == (controller.run_id, controller.started)
    assert controller.own_id == controller.run_id
    assert worker.own_id == f"{controller.run_id}-gw1"
    assert worker.labels()[LABEL_RUN] == controller.run_id
