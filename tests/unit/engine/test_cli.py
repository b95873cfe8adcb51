"""What `seatrial engine` prints."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from harness.engine.cli import disk_usage, owners, register, size_text, used_text
from harness.naming import LABEL_CLUSTER, LABEL_KEPT, LABEL_OWNER, LABEL_RUN, Run


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["up"], {"engine_verb": "up"}),
        (["status"], {"engine_verb": "status"}),
        (["down"], {"engine_verb": "down", "force": False, "delete_data": False}),
        (["down", "--force", "--delete-data"], {"engine_verb": "down", "force": True, "delete_data": True}),
    ],
    ids=" ".join,
)
def test_verbs(argv: list[str], expected: dict[str, object]) -> None:
    """Every verb is parsed with its options."""
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    assert vars(parser.parse_args(["engine", *argv])) == expected


@pytest.mark.parametrize("argv", [[], ["start"], ["up", "--force"]], ids=["no verb", "unknown verb", "wrong option"])
def test_refused_arguments(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A verb is needed, and only the known ones are taken."""
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["engine", *argv])
    assert "usage" in capsys.readouterr().err


def test_owners() -> None:
    """Containers are counted by who owns them, and whether that run still goes on."""
    mine = {**Run.begin().labels(), LABEL_RUN: "aaaa"}
    dead = {LABEL_RUN: "bbbb", LABEL_OWNER: "1.1"}
    listed = [
        mine,
        mine,
        {**dead, LABEL_KEPT: "yes", LABEL_CLUSTER: "demo"},
        dead,
        {"io.x-k8s.kind.cluster": "k"},
        None,
    ]
    assert owners({"Labels": labels} for labels in listed) == [
        "kind cluster k: 1",
        "not Seatrial's: 1",
        "run aaaa (alive): 2",
        "run bbbb (ended): 1",
        "run bbbb (ended, kept, cluster demo): 1",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (2_000_000, "2 MB"), (1_250_000_000_000, "1250.0 GB")],
)
def test_size_text(size: int, text: str) -> None:
    """Sizes are in powers of 1000, and gigabytes the largest unit."""
    assert size_text(size) == text


def test_used_text() -> None:
    """The engine's figures are added up; -1 (not counted) and missing lists are nothing."""
    usage = {
        "LayersSize": 3_000_000,
        "Volumes": [{"UsageData": {"Size": 1000}}, {"UsageData": {"Size": -1}}, {"UsageData": None}],
        "Containers": [{"SizeRw": 7}, {}],
    }
    assert used_text(usage) == "images 3 MB, volumes 1 kB, containers 7 B"
    assert used_text({"LayersSize": None, "Volumes": None, "Containers": None}).startswith("images 0 B")


def test_disk_usage(tmp_path: Path) -> None:
    """A file with two names counts once."""
    (tmp_path / "sub").mkdir()
    before = disk_usage(tmp_path)
    (tmp_path / "sub/file").write_bytes(b"x" * 100_000)
    once = disk_usage(tmp_path)
    (tmp_path / "again").hardlink_to(tmp_path / "sub/file")
    assert once - before >= 100_000
    assert disk_usage(tmp_path) == once
