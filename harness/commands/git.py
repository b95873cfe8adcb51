"""Git: argument builders and output parsers; nothing here runs anything. Checked against git 2.39.

Paths are asked for with NUL between them: git quotes unusual names otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Args = tuple[str, ...]


def describe() -> Args:
    """Ask for the top directory, and whether history is cut short."""
    return ("rev-parse", "--show-toplevel", "--is-shallow-repository")


def parse_describe(stdout: str) -> tuple[Path, bool]:
    """Read what :func:`describe` printed."""
    top, shallow = stdout.splitlines()[:2]
    return Path(top), shallow == "true"


def verify(ref: str) -> Args:
    """Ask for the commit that `ref` names."""
    return ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")


def latest_tag(pattern: str) -> Args:
    """Ask for the latest tag that fits `pattern` and that HEAD has behind it."""
    return ("describe", "--tags", "--abbrev=0", f"--match={pattern}", "HEAD")


def merge_base(ref: str) -> Args:
    """Ask where HEAD left `ref`."""
    return ("merge-base", "--", ref, "HEAD")


# What a tree without files is called in every repository, by the length of its names: SHA-1 and SHA-256.
_EMPTY_TREE = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}


def empty_tree(ref: str) -> str:
    """Return the empty tree when `ref` is all zeros, as hooks and CI systems name "there was nothing", else nothing."""
    return _EMPTY_TREE.get(len(ref), "") if ref and not ref.strip("0") else ""


def changed_since(commit: str) -> Args:
    """Ask for the paths in which the working tree differs from `commit`; a rename is a deletion and an addition."""
    return ("diff", "--name-status", "--no-renames", "--no-ext-diff", "-z", commit, "--")


@dataclass(frozen=True)
class Change:
    """One path that changed, relative to the top directory."""

    path: str
    deleted: bool = False


def parse_changes(stdout: str) -> tuple[Change, ...]:
    """Read what :func:`changed_since` printed."""
    words = stdout.rstrip("\0").split("\0") if stdout else []
    return tuple(Change(path, status == "D") for status, path in zip(words[0::2], words[1::2], strict=True))


def files() -> Args:
    """Ask for every file that is tracked, or neither tracked nor ignored; untracked ones are marked with ``?``."""
    return ("ls-files", "-t", "-z", "--cached", "--others", "--exclude-standard")


def parse_files(stdout: str) -> tuple[tuple[str, bool], ...]:
    """Read what :func:`files` printed: each path with whether it is untracked."""
    return tuple((line[2:], line.startswith("?")) for line in stdout.split("\0") if line)


def archive(commit: str, paths: Sequence[str], *, into: Path) -> Args:
    """Write the files below `paths` as they were at `commit` to the tar file `into`."""
    return ("archive", "--format=tar", f"--output={into}", commit, "--", *paths)


def list_tree(commit: str) -> Args:
    """Ask for every file there was at `commit`."""
    return ("ls-tree", "-r", "--name-only", "--full-tree", "-z", commit)


def parse_tree(stdout: str) -> tuple[str, ...]:
    """Read what :func:`list_tree` printed."""
    return tuple(path for path in stdout.split("\0") if path)
