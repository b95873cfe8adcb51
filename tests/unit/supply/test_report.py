"""What the command line prints, and what it asks for."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any, cast

import pytest

from harness.supply import cli
from harness.supply.artifact import Files, Image, Program, Provenance
from harness.supply.inventory import Item, Pruned
from harness.supply.report import age, items_table, pruned_report, size, supplied_line, verified_report

KIND = Item(
    name="kind",
    kind="program",
    state="current",
    version="v0.32.0",
    source="build",
    digest="sha256:0123456789abcdef",
    size_bytes=15_532_194,
    made_at=1_000.0,
    location="/cache/kind",
)
NODE = Item("node-1.34", "image", "missing", "v1.34.4", usual_s=384.0)


def test_table_shows_source_version_digest_size_and_age() -> None:
    """Each artifact is one line; what is missing says how long it would take."""
    table = items_table([KIND, NODE], now=8_300.0)
    assert table.splitlines() == [
        "NAME       STATE    SOURCE  VERSION  DIGEST        SIZE     AGE  WHERE",
        "kind       current  build   v0.32.0  0123456789ab  15.5 MB  2 h  /cache/kind",
        "node-1.34  missing  -       v1.34.4  -             -        -    takes about 6 min 24 s to build",
    ]


def test_long_table_shows_whole_digests() -> None:
    """Whole digests can be compared by machines."""
    assert "sha256:0123456789abcdef" in items_table([KIND], now=0.0, long=True)


def test_verified_report_counts_the_damaged() -> None:
    """Each artifact is judged, and the last line counts."""
    report = verified_report([(KIND, ""), (NODE, "it is gone")])
    assert report.splitlines()[0] == "ok       /cache/kind"
    assert report.endswith("it is gone\n2 checked, 1 damaged")


def test_pruned_report_names_what_stayed() -> None:
    """What could not be removed is told with its reason."""
    report = pruned_report(Pruned(["/cache/kind"], 2_500_000_000, [("seatrial/node:1", "used by a container")]))
    assert report.splitlines() == [
        "removed /cache/kind",
        "kept    seatrial/node:1: used by a container",
        "1 artifacts removed, 2.5 GB freed",
    ]


def test_pruned_report_says_when_images_were_not_looked_at() -> None:
    """Without an engine nobody knows what is in it."""
    report = pruned_report(Pruned(unseen="nothing answers"))
    assert report.splitlines() == ["images were not looked at: nothing answers", "0 artifacts removed, 0 B freed"]


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (151_000_000, "151.0 MB"), (3e9, "3.0 GB")]
)
def test_sizes(size_bytes: int, text: str) -> None:
    """Sizes are in the unit that suits them."""
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3.0, "0 s"), (59.0, "59 s"), (61.0, "1 min"), (7_300.0, "2 h"), (200_000.0, "2 d")]
)
def test_ages(seconds: float, text: str) -> None:
    """Ages are in their largest unit; a clock that went back does not make them negative."""
    assert age(seconds) == text


class RecordingSupply:
    """Answers as a resolver would and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        made = Provenance("kind", "v0.32.0", "build", "", "", "", 0.0, "")
        self.kind = Program(cast("Any", "/cache/kind"), made)
        self.node = Image("seatrial/node:1", made)
        self.problem = ""
        self.pruned = Pruned()

    def items(self) -> list[Item]:
        """Return one item."""
        return [KIND]

    def names(self) -> list[str]:
        """Return all names."""
        return ["kind", "node"]

    def require(self, names: list[str]) -> None:
        """Note that."""
        self.asked.append(("require", names))

    def get(self, name: str) -> Program | Image:
        """Note that."""
        self.asked.append(name)
        return self.kind if name == "kind" else self.node

    def verify(self) -> list[tuple[Item, str]]:
        """Return one judgement."""
        return [(KIND, self.problem)]

    def prune(self, *, stale_only: bool) -> Pruned:
        """Note that."""
        self.asked.append(("prune", stale_only))
        return self.pruned


@pytest.fixture
def supply() -> RecordingSupply:
    """Return a resolver to be asked."""
    return RecordingSupply()


def _run(supply: RecordingSupply, *argv: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers(dest="command"))
    out = io.StringIO()
    status = cli.run(parser.parse_args(["supply", *argv]), cast("Any", supply), out, prune=supply.prune)
    return status, out.getvalue()


def test_list_prints_the_table(supply: RecordingSupply) -> None:
    """`list` shows the items and succeeds."""
    status, text = _run(supply, "list")
    assert status == 0
    assert "15.5 MB" in text


@pytest.mark.parametrize(("argv", "names"), [((), ["kind", "node"]), (("kind",), ["kind"])], ids=["all", "named"])
def test_get_checks_before_it_fetches(argv: tuple[str, ...], names: list[str], supply: RecordingSupply) -> None:
    """`get` finds out first whether everything can be had, then gets each."""
    status, text = _run(supply, "get", *argv)
    assert status == 0
    assert supply.asked == [("require", names), *names]
    assert "/cache/kind" in text


@pytest.mark.parametrize(("problem", "expected"), [("", 0), ("changed", 1)])
def test_verify_fails_when_something_is_damaged(problem: str, expected: int, supply: RecordingSupply) -> None:
    """The exit code tells scripts whether all is sound."""
    supply.problem = problem
    assert _run(supply, "verify")[0] == expected


@pytest.mark.parametrize(("argv", "stale"), [(("prune",), False), (("prune", "--stale"), True)])
def test_prune_passes_its_scope_on(argv: tuple[str, ...], stale: bool, supply: RecordingSupply) -> None:
    """`--stale` limits the removal."""
    assert _run(supply, *argv)[0] == 0
    assert supply.asked == [("prune", stale)]


def test_prune_fails_when_something_stays(supply: RecordingSupply) -> None:
    """The exit code tells scripts that the machine is not yet as found."""
    supply.pruned = Pruned([], 0, [("x", "in use")])
    assert _run(supply, "prune")[0] == 1


def test_supplied_line_names_the_source(supply: RecordingSupply) -> None:
    """One line tells what, which version, from where, and where it is."""
    assert supplied_line(supply.kind) == "kind v0.32.0 (build): /cache/kind"
    assert supplied_line(supply.node).endswith("seatrial/node:1")
    assert supplied_line(Files(Path("/cache/crds"), supply.kind.provenance)).endswith(": /cache/crds")


def test_a_verb_is_required(supply: RecordingSupply) -> None:
    """`seatrial supply` alone is a usage error."""
    with pytest.raises(SystemExit):
        _run(supply)
