"""Which engine to use: the user's where one answers, else ours.

The user's places are asked in Docker's own order (docker CLI reference, "docker context": DOCKER_HOST, then
DOCKER_CONTEXT, then the current context of the configuration file, then the default socket).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.engine.engine import Engine
from harness.engine.probe import Answer, Probe, probe
from harness.errors import EngineError
from harness.settings.model import EngineSettings

DEFAULT_DOCKER_HOST = "unix:///var/run/docker.sock"
DENIED_HINT = (
    "your user may not use that socket: `sudo usermod -aG docker $USER`, log in again, and check with `docker info`; "
    "or run as root"
)


class OwnEngine(Protocol):
    """The engine Seatrial manages, as far as looking for one needs it."""

    docker_host: str

    def running(self) -> Engine | None:
        """Return it when it answers; never starts it."""

    def up(self) -> Engine:
        """Return it, started if need be; raises EngineError with the reason when that cannot be."""


@dataclass(frozen=True)
class Place:
    """An address at which the user may have an engine.

    Args:
        what: where the address came from, in the user's words.
        docker_host: the address; empty when the place itself is broken.
        tls_dir: TLS files for it.
        binding: the user named it, so that it must answer: another engine instead would be a surprise.
        problem: what is wrong with the place itself.
    """

    what: str
    docker_host: str
    tls_dir: Path | None = None
    binding: bool = False
    problem: str = ""


def find_engine(settings: EngineSettings, environ: Mapping[str, str], own: OwnEngine, *, ask: Probe = probe) -> Engine:
    """Return the engine to use, starting ours when nothing of the user's answers and that is allowed.

    Args:
        settings: the engine's slice of the settings.
        environ: the environment; read are Docker's own variables, HOME and XDG_RUNTIME_DIR.
        own: the managed engine.
        ask: asks one address.

    Raises:
        EngineError: none answers and none may be started; it names every place and what was seen there.
    """
    seen: list[tuple[Place, Answer]] = []
    found = _first_that_answers(settings, environ, own, ask, seen)
    if found is not None:
        return found
    if not settings.managed:
        raise _nothing_answers(seen, "Seatrial may not start one of its own (that is switched off)")
    try:
        return own.up()
    except EngineError as error:
        raise _nothing_answers(seen, str(error), error.hint) from error


def look_for_engine(
    settings: EngineSettings, environ: Mapping[str, str], own: OwnEngine, *, ask: Probe = probe
) -> tuple[Engine | None, tuple[str, ...]]:
    """Return the engine that a run would use now, if any answers, and one line per place that was asked.

    Starts nothing. An explicitly named engine that does not answer is reported like the others.
    """
    seen: list[tuple[Place, Answer]] = []
    try:
        found = _first_that_answers(settings, environ, own, ask, seen)
    except EngineError:
        found = None
    return found, tuple(_line(place, answer) for place, answer in seen)


def _first_that_answers(
    settings: EngineSettings,
    environ: Mapping[str, str],
    own: OwnEngine,
    ask: Probe,
    seen: list[tuple[Place, Answer]],
) -> Engine | None:
    for place in places(settings, environ):
        answer = _ask(place, ask)
        seen.append((place, answer))
        if answer.answers:
            return Engine(place.docker_host, answer.version, place.docker_host == own.docker_host, place.tls_dir)
        if place.binding:
            hint = DENIED_HINT if answer.verdict == "denied" else f"start that engine, or unset {place.what}"
            raise EngineError(
                f"use the Docker engine named by {place.what}", seen=_line(place, answer), hint=hint, answer=answer
            )
    engine = own.running()
    if engine is None:
        place = Place("Seatrial's own engine", own.docker_host)
        seen.append((place, ask(own.docker_host, None)))
    return engine


def _ask(place: Place, ask: Probe) -> Answer:
    if place.problem:
        return Answer(place.docker_host, "fails", detail=place.problem)
    return ask(place.docker_host, place.tls_dir)


def _line(place: Place, answer: Answer) -> str:
    return f"{place.what} ({place.docker_host or 'no address'}): {answer}"


def _nothing_answers(seen: list[tuple[Place, Answer]], why_not_ours: str, hint: str = "") -> EngineError:
    denied = [place for place, answer in seen if answer.verdict == "denied"]
    hints = [DENIED_HINT] if denied else []
    if hint:
        hints.append(hint)
    hints.append("or start Docker, or name a reachable engine with DOCKER_HOST")
    return EngineError(
        "find a Docker engine",
        seen="\n".join([*(_line(place, answer) for place, answer in seen), why_not_ours]),
        hint="\n".join(hints),
        answers=tuple(answer for _, answer in seen),
    )


def places(settings: EngineSettings, environ: Mapping[str, str]) -> Iterator[Place]:
    """Yield where the user may have an engine, best first; nothing follows a place the user named."""
    if settings.docker_host:
        yield Place("--docker-host or DOCKER_HOST", settings.docker_host, _tls_of(environ), binding=True)
        return
    if environ.get("DOCKER_HOST"):
        yield Place("DOCKER_HOST", environ["DOCKER_HOST"], _tls_of(environ), binding=True)
        return
    if environ.get("DOCKER_CONTEXT", "default") != "default":
        name = environ["DOCKER_CONTEXT"]
        yield _context(name, f"DOCKER_CONTEXT (context '{name}')", _config_dir(environ), binding=True)
        return
    config_dir = _config_dir(environ)
    current = _current_context(config_dir)
    if current:
        yield _context(current, f"docker's current context '{current}'", config_dir, binding=False)
    yield Place("Docker's default socket", DEFAULT_DOCKER_HOST)
    if environ.get("XDG_RUNTIME_DIR"):
        yield Place("the rootless engine's socket", f"unix://{environ['XDG_RUNTIME_DIR']}/docker.sock")


def _tls_of(environ: Mapping[str, str]) -> Path | None:
    if not environ.get("DOCKER_TLS_VERIFY"):
        return None
    return Path(environ["DOCKER_CERT_PATH"]) if environ.get("DOCKER_CERT_PATH") else _config_dir(environ)


def _config_dir(environ: Mapping[str, str]) -> Path:
    if environ.get("DOCKER_CONFIG"):
        return Path(environ["DOCKER_CONFIG"])
    return Path(environ.get("HOME", "/")) / ".docker"


def _current_context(config_dir: Path) -> str:
    """Return the name of the current context, empty for the default one or when none can be read."""
    try:
        config = json.loads((config_dir / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    name = config.get("currentContext") if isinstance(config, dict) else None
    return name if isinstance(name, str) and name != "default" else ""


def _context(name: str, what: str, config_dir: Path, *, binding: bool) -> Place:
    """Read a context as the docker CLI stores it (docker/cli, cli/context/store: directories named by SHA-256)."""
    folder = hashlib.sha256(name.encode()).hexdigest()
    meta = config_dir / "contexts" / "meta" / folder / "meta.json"
    try:
        docker_host = json.loads(meta.read_text(encoding="utf-8"))["Endpoints"]["docker"]["Host"]
    except OSError:
        return Place(what, "", binding=binding, problem=f"there is no such context ({meta} cannot be read)")
    except (ValueError, KeyError, TypeError):
        return Place(what, "", binding=binding, problem=f"{meta} does not describe a Docker endpoint")
    tls_dir = config_dir / "contexts" / "tls" / folder / "docker"
    return Place(what, str(docker_host), tls_dir if tls_dir.is_dir() else None, binding=binding)
