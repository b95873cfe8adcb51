"""The command `seatrial supply`: its arguments, and what each verb does."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from harness.supply.resolver import Supply


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add `supply` with its verbs to the command line's `commands`; return its parser."""
    parser = commands.add_parser("supply", help="programs and images: list, get, verify, prune")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="show each artifact's source, version, digest, size and age")
    listing.add_argument("--long", action="store_true", help="show digests in full")
    get = verbs.add_parser("get", help="fetch or build artifacts now")
    get.add_argument("names", nargs="*", metavar="NAME", help="artifacts to get; all of them when none is named")
    verbs.add_parser("verify", help="read every artifact in full and compare digests")
    prune = verbs.add_parser("prune", help="remove what Seatrial downloaded and built")
    prune.add_argument("--stale", action="store_true", help="remove only what today's pins and recipes do not ask for")
    return parser


def run(args: argparse.Namespace, supply: Supply, out: TextIO) -> int:
    """Do what the parsed `args` say, print to `out`, and return the exit code.

    Raises:
        SeatrialError: it could not be done; the caller prints it.
    """
    from harness.supply import report  # noqa: PLC0415 - only when a verb runs, so that `seatrial --help` stays quick

    status = 0
    if args.verb == "list":
        text = report.items_table(supply.items(), now=time.time(), long=args.long)
    elif args.verb == "get":
        names = args.names or supply.names()
        supply.require(names)
        got = [supply.program(name) if supply.is_program(name) else supply.image(name) for name in names]
        text = "\n".join(map(report.supplied_line, got))
    elif args.verb == "verify":
        checked = supply.verify()
        text = report.verified_report(checked)
        status = 1 if any(problem for _, problem in checked) else 0
    else:
        pruned = supply.prune(stale_only=args.stale)
        text = report.pruned_report(pruned)
        status = 1 if pruned.kept else 0
    print(text, file=out)
    return status
