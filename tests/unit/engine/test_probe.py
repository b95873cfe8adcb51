"""Telling apart the ways in which a socket does not answer."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness.engine import probe as probe_module
from harness.engine.probe import Answer, Verdict, probe


def test_nothing_there(tmp_path: Path) -> None:
    """No file is nothing there."""
    assert probe(f"unix://{tmp_path}/docker.sock").verdict == "absent"


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket left by a dead engine is refused."""
    # A relative name: the absolute one may be too long for a socket.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("docker.sock")
    assert probe("unix://docker.sock").verdict == "refused"


def test_permission_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket of others is denied; root cannot be denied, so the kernel's answer is made up."""

    def connect(self: object, address: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(probe_module.socket.socket, "connect", connect)
    assert probe("unix:///var/run/docker.sock").verdict == "denied"


@pytest.mark.parametrize("address", ["docker", "ftp://x", "tcp://"], ids=["no scheme", "another scheme", "no host"])
def test_address_that_makes_no_sense(address: str) -> None:
    """A malformed address fails with the SDK's own words instead of raising."""
    answer = probe(address)
    assert answer.verdict == "fails"
    assert answer.detail


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("answers", "answers, version 27"),
        ("absent", "nothing there"),
        ("refused", "nobody listens"),
        ("denied", "permission denied"),
        ("fails", "does not answer: why"),
    ],
)
def test_words(verdict: Verdict, words: str) -> None:
    """Each verdict has words of its own."""
    assert words in str(Answer("unix:///x", verdict, version="27", detail="why"))
