"""The command `seatrial supply`: its arguments, and what each verb does."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from harness.settings.options import add_verb

if TYPE_CHECKING:
    from harness.supply.inventory import Pruned
    from harness.supply.resolver import Supply


class Prune(Protocol):
    """Removes what Seatrial keeps between runs."""

    def __call__(self, *, stale_only: bool) -> Pruned:
        """Remove it, or only what nobody asks for any more."""


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], parents: Sequence[argparse.ArgumentParser] = ()
) -> None:
    """Add `supply` with its verbs to the command line's `commands`.

    Args:
        commands: the command line's commands.
        parents: hold the options that may stand before the verb and after it.
    """
    parser = add_verb(commands, "supply", "programs, files and images: list, get, verify, prune, key", parents)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = add_verb(verbs, "list", "show each artifact's source, version, digest, size and age", parents)
    listing.add_argument("--long", action="store_true", help="show digests in full")
    get = add_verb(verbs, "get", "fetch or build artifacts now", parents)
    get.add_argument("names", nargs="*", metavar="NAME", help="artifacts to get; all of them when none is named")
    add_verb(verbs, "verify", "read every artifact in full and compare digests", parents)
    add_verb(verbs, "key", "print what changes with any pin or recipe: the key of a CI system's cache", parents)
    prune = add_verb(verbs, "prune", "remove what Seatrial downloaded and built", parents)
    prune.add_argument("--stale", action="store_true", help="remove only what today's pins and recipes do not ask for")


def may_start_engine(args: argparse.Namespace) -> bool:
    """Whether what `args` ask for is worth starting an engine: looking and removing are not."""
    return bool(args.verb == "get")


def run(args: argparse.Namespace, supply: Supply, out: TextIO, *, prune: Prune) -> int:
    """Do what the parsed `args` say and return the exit code.

    Args:
        args: parsed by the parser of :func:`register`.
        supply: lists, gets and verifies.
        out: is printed to.
        prune: removes what supply made, with what was built from it.

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
        text = "\n".join(report.supplied_line(supply.get(name)) for name in names)
    elif args.verb == "key":
        text = supply.key()
    elif args.verb == "verify":
        checked = supply.verify()
        text = report.verified_report(checked)
        status = 1 if any(problem for _, problem in checked) else 0
    else:
        pruned = prune(stale_only=args.stale)
        text = report.pruned_report(pruned)
        status = 1 if pruned.kept else 0
    print(text, file=out)
    return status
