"""``seatrial engine up|status|down``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.engine.engine import Engine
from harness.engine.find import find_engine, look_for_engine
from harness.engine.managed import ManagedEngine
from harness.naming import LABEL_CLUSTER, LABEL_KEPT, LABEL_OWNER, LABEL_RUN, owner_is_alive
from harness.process.runner import Runner
from harness.progress import Progress, spoken_duration
from harness.settings.model import Settings
from harness.settings.options import add_verb


class ProgramFile(Protocol):
    """A program that supply hands out."""

    @property
    def path(self) -> Path:
        """Its executable file."""


class ProgramSupply(Protocol):
    """Where programs come from."""

    def program(self, name: str) -> ProgramFile:
        """Return the program called `name`."""


def managed_engine(
    settings: Settings, runner: Runner, supply: ProgramSupply, progress: Progress, environ: Mapping[str, str]
) -> ManagedEngine:
    """Return the managed engine of these settings, its OCI runtime wrapper to come from `supply`."""
    return ManagedEngine(
        settings.engine,
        runner,
        lambda: supply.program("oci-runtime").path,
        progress=progress,
        environ=environ,
        offline=settings.supply.offline,
    )


def register(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser], parents: Sequence[argparse.ArgumentParser] = ()
) -> None:
    """Add ``engine`` with its verbs; the parsed verb is ``args.engine_verb``.

    Args:
        subparsers: the command line's commands.
        parents: hold the options that may stand before the verb and after it.
    """
    parser = add_verb(subparsers, "engine", "the Docker engine: start Seatrial's own, show it, stop it", parents)
    verbs = parser.add_subparsers(dest="engine_verb", metavar="VERB", required=True)
    add_verb(
        verbs, "up", "see to it that an engine answers: the user's, else Seatrial's own, started if need be", parents
    )
    add_verb(verbs, "status", "show which engine would be used and what is in it; starts nothing", parents)
    down = add_verb(verbs, "down", "stop Seatrial's own engine and leave the host as it was found", parents)
    down.add_argument("--force", action="store_true", help="even while a run that is still going uses it")
    down.add_argument("--delete-data", action="store_true", help="delete its images, volumes and containers too")


def run(
    args: argparse.Namespace,
    settings: Settings,
    runner: Runner,
    supply: ProgramSupply,
    progress: Progress,
    *,
    environ: Mapping[str, str],
) -> int:
    """Do what the command line asked for and return the exit code.

    Args:
        args: parsed by the parser of :func:`register`.
        settings: the resolved settings.
        runner: runs programs.
        supply: where the OCI runtime wrapper comes from.
        progress: told what takes time.
        environ: the environment, for Docker's own variables and PATH.

    Raises:
        SeatrialError: it could not be done.
    """
    own = managed_engine(settings, runner, supply, progress, environ)
    if args.engine_verb == "up":
        engine = find_engine(settings.engine, environ, own)
        _show([f"{_whose(engine)} {engine.version} answers at {engine.docker_host}"])
        return 0
    if args.engine_verb == "status":
        engine_now, looked_at = look_for_engine(settings.engine, environ, own)
        _show(_status(engine_now, own) if engine_now is not None else _no_engine(looked_at, own))
        return 0 if engine_now is not None else 1
    _show(_down(own, force=args.force, delete_data=args.delete_data))
    return 0


def _show(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _whose(engine: Engine) -> str:
    return "Seatrial's own engine" if engine.managed else "the user's engine"


def _down(own: ManagedEngine, *, force: bool, delete_data: bool) -> list[str]:
    data_root = own.data_root()
    lines = []
    if own.down(force=force):
        lines.append("Seatrial's own engine is down and the host is as it was found")
    else:
        lines.append("Seatrial's own engine is not running: nothing to stop")
    if delete_data:
        gone = own.delete_data()
        lines.append(f"deleted {data_root}" if gone else f"there was no data at {data_root}")
    elif data_root.exists():
        size = size_text(disk_usage(data_root))
        lines.append(f"kept {data_root} ({size}) for the next start; `seatrial engine down --delete-data` deletes it")
    return lines


def _no_engine(looked_at: tuple[str, ...], own: ManagedEngine) -> list[str]:
    data_root = own.data_root()
    size = size_text(disk_usage(data_root)) if data_root.exists() else "not there"
    return ["no Docker engine answers", *(f"  {line}" for line in looked_at), f"own data root: {data_root} ({size})"]


def _status(engine: Engine, own: ManagedEngine) -> list[str]:
    client = engine.client()
    try:
        info = client.info()
        usage = client.df()
        containers = client.api.containers(all=True)
    finally:
        client.close()
    rows = [("address", engine.docker_host), ("version", engine.version), ("whose", _whose(engine))]
    state = own.state() if engine.managed else None
    if state is not None:
        rows += [("pid", str(state.pid)), ("uptime", spoken_duration(time.time() - state.started))]
    if engine.managed:
        rows.append(("log", str(own.log)))
    rows += [
        ("data root", str(info.get("DockerRootDir", "unknown"))),
        ("size", used_text(usage)),
        ("containers", "; ".join(owners(containers)) or "none"),
    ]
    return [f"{name + ':':<12}{value}" for name, value in rows]


def owners(containers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one phrase per owner of these containers (as the engine lists them), e.g. ``run 1f2e3d4c (alive): 2``."""
    count = Counter(_owner(container.get("Labels") or {}) for container in containers)
    return [f"{owner}: {number}" for owner, number in sorted(count.items())]


def _owner(labels: Mapping[str, str]) -> str:
    if LABEL_RUN not in labels:
        cluster = labels.get("io.x-k8s.kind.cluster")
        return f"kind cluster {cluster}" if cluster else "not Seatrial's"
    alive = "alive" if owner_is_alive(labels.get(LABEL_OWNER, "")) else "ended"
    kept = ", kept" if LABEL_KEPT in labels else ""
    cluster = f", cluster {labels[LABEL_CLUSTER]}" if LABEL_CLUSTER in labels else ""
    return f"run {labels[LABEL_RUN]} ({alive}{kept}{cluster})"


def used_text(usage: Mapping[str, Any]) -> str:
    """Return what the engine says it uses (its API's ``/system/df``), in words."""
    volumes = sum(max(0, (v.get("UsageData") or {}).get("Size", 0)) for v in usage.get("Volumes") or ())
    containers = sum(c.get("SizeRw", 0) for c in usage.get("Containers") or ())
    parts = {"images": usage.get("LayersSize") or 0, "volumes": volumes, "containers": containers}
    return ", ".join(f"{name} {size_text(size)}" for name, size in parts.items())


def size_text(size_bytes: int) -> str:
    """Return a size for people, in powers of 1000 as docker prints them.

    >>> size_text(1_234_567_890)
    '1.2 GB'
    """
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004 - the step between units
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def disk_usage(folder: Path) -> int:
    """Return the bytes that the files below `folder` take on disk, each file once; what cannot be read counts nothing.

    Mounts below it are not entered: overlays show the same files again.
    """
    seen: set[int] = set()
    total = 0
    device = folder.stat().st_dev
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if status.st_dev != device or status.st_ino in seen:
                        continue
                    seen.add(status.st_ino)
                    total += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
        except OSError:
            continue
    return total
