"""``seatrial init``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``init`` to the command line's `commands`; it has no settings."""
    purpose = "write the first tests and the GitHub workflow of a repository of charts"
    parser = commands.add_parser("init", help=purpose, description=f"{purpose}; nothing is overwritten")
    parser.add_argument("directory", nargs="?", default=".", metavar="DIRECTORY", help="default: the working directory")


def run(args: argparse.Namespace, out: TextIO, *, version: str, kubernetes: Sequence[str]) -> int:
    """Write the files, say which and what next, and return the exit code.

    Args:
        args: parsed by the parser of :func:`register`.
        out: is printed to.
        version: of Seatrial.
        kubernetes: the minor versions the workflow tests on.

    Raises:
        SeatrialError: it could not be done.
    """
    from harness.scaffold.scaffold import scaffold  # noqa: PLC0415 - so that `seatrial --help` stays quick

    directory = Path(args.directory)
    written = scaffold(directory, version=version, kubernetes=tuple(kubernetes))
    lines = [f"wrote {directory / name}" for name in written.files]
    lines += ["", "next:"]
    if not (directory / ".git").exists():
        lines.append("  git init")
    if not written.charts:
        lines.append("  helm create charts/NAME                   # there is no chart yet")
    lines += [
        "  echo seatrial-evidence/ >> .gitignore     # what runs leave behind",
        "  python3 -m pip install -r tests/requirements.txt",
        "  seatrial charts check                     # without a cluster",
        "  pytest -k renders --snapshot-update       # keep what the charts render to, then look at it and commit it",
        "  pytest                                    # with a cluster: each case of each seatrial.yaml",
    ]
    out.write("\n".join(lines) + "\n")
    return 0
