"""The `seatrial` command: supply, engine, kept clusters and charts by hand, outside any test run; the first tests."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from harness.charts import cli as charts_cli
from harness.cleanup import terminated_like_ctrl_c, undisturbed
from harness.cluster import cli as cluster_cli
from harness.engine import cli as engine_cli
from harness.errors import SeatrialError, SettingsError
from harness.scaffold import cli as scaffold_cli
from harness.settings import options
from harness.supply import cli as supply_cli

if TYPE_CHECKING:
    from harness.assembly import Assembly
    from harness.settings.model import Settings
    from harness.supply.resolver import Supply

# Charts are held to what clusters commonly run: older API servers know fewer of today's kinds.
_CURRENT_VERSIONS = 3


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="seatrial",
        description="End-to-end deployment tests for model-scoring services. The tests themselves run with pytest.",
    )
    parser.add_argument("--version", action="version", version=f"seatrial {version('seatrial')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    settings = argparse.ArgumentParser(add_help=False)
    options.add_to_argparse(settings, ("supply", "engine"))
    for room in (supply_cli, engine_cli, cluster_cli, charts_cli):
        room.register(commands, (settings,))
    scaffold_cli.register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 it could not be done, 2 the command line is wrong."""
    args = build_parser().parse_args(argv)
    terminated: list[signal.Signals] = []
    try:
        with terminated_like_ctrl_c(terminated.append):
            status = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read the output has seen enough; what Python still holds of it must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except SettingsError as error:
        print(f"seatrial: {error}", file=sys.stderr)
        return 2
    except SeatrialError as error:
        print(f"seatrial: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"seatrial: {'terminated' if terminated else 'interrupted'}", file=sys.stderr)
        return 128 + (terminated[0] if terminated else signal.SIGINT)
    return status


def _run(args: argparse.Namespace) -> int:
    from harness.settings.resolve import Sources, resolve
    from harness.settings.values import known_kubernetes_versions

    if args.command == "init":
        kubernetes = known_kubernetes_versions()[-_CURRENT_VERSIONS:]
        return scaffold_cli.run(args, sys.stdout, version=version("seatrial"), kubernetes=kubernetes)
    settings = resolve(Sources.from_argparse(args), kubernetes_versions=known_kubernetes_versions())
    if args.command == "charts":
        return _run_charts(args, settings, known_kubernetes_versions()[-_CURRENT_VERSIONS:])
    if args.command == "supply" and not supply_cli.may_start_engine(args):
        settings = replace(settings, engine=replace(settings.engine, managed=False))
    with _assembled(settings) as assembly:
        if args.command == "supply":
            return supply_cli.run(args, assembly.supply, sys.stdout, prune=assembly.prune)
        if args.command == "cluster":
            return cluster_cli.run(args, assembly.clusters, lambda: assembly.engine, sys.stdout)
        return engine_cli.run(
            args,
            settings,
            assembly.runner,
            assembly.supply,
            assembly.progress("engine"),
            environ=dict(os.environ),
        )


@contextmanager
def _assembled(settings: Settings) -> Iterator[Assembly]:
    """Give the parts of one command, and remove what they made, whatever signal arrives meanwhile."""
    from harness.assembly import Assembly

    assembly = Assembly(settings, environ=dict(os.environ), stream=sys.stderr)
    try:
        yield assembly
    finally:
        # Not with print: a signal may arrive in the middle of one.
        with undisturbed(lambda text: os.write(sys.stderr.fileno(), f"\n{text}\n".encode())):
            assembly.close()


def _run_charts(args: argparse.Namespace, settings: Settings, kubernetes: Sequence[str]) -> int:
    """Do without an assembly: checks take a second, of which the clients of Docker and Kubernetes would be a half."""
    from harness.process.runner import SubprocessRunner

    runner = SubprocessRunner()

    def supply() -> Supply:
        from harness.progress import LiveProgress
        from harness.supply.assembly import make_engineless_supply

        return make_engineless_supply(settings.supply, runner=runner, progress=LiveProgress(sys.stderr))

    return charts_cli.run(args, runner, supply, sys.stdout, directory=Path.cwd(), kubernetes=kubernetes)


if __name__ == "__main__":
    sys.exit(main())
