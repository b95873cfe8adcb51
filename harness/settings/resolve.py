"""From what the user wrote in several places to one frozen value, or to the list of everything that is wrong."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import SettingsError
from harness.settings.model import (
    ChartSettings,
    ClusterSettings,
    DeploySettings,
    EngineSettings,
    EvidenceSettings,
    ImageSettings,
    ScoringSettings,
    Settings,
    SupplySettings,
)
from harness.settings.options import OPTIONS, Derived, Option
from harness.settings.values import Pairs, Surroundings, Switch

if TYPE_CHECKING:
    import pytest

DEFAULT = "default"
COMMAND_LINE = "command line"

_SLICES: Mapping[str, Callable[..., Any]] = {
    "supply": SupplySettings,
    "engine": EngineSettings,
    "cluster": ClusterSettings,
    "images": ImageSettings,
    "deploy": DeploySettings,
    "charts": ChartSettings,
    "scoring": ScoringSettings,
    "evidence": EvidenceSettings,
}


@dataclass(frozen=True)
class Sources:
    """Everywhere a setting may come from.

    Args:
        command_line: option name -> what was written; missing or ``None`` when not given.
        environment: the process's environment.
        ini: option name -> what the ini file says, likewise.
        invocation_dir: directory that paths of the command line and the environment start from.
        ini_dir: directory that the ini file's paths start from.
        ini_problems: what was wrong with the ini file already when it was read.
    """

    command_line: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    ini: Mapping[str, object] = field(default_factory=dict)
    invocation_dir: Path = field(default_factory=Path.cwd)
    ini_dir: Path = field(default_factory=Path.cwd)
    ini_problems: tuple[str, ...] = ()

    @classmethod
    def from_pytest(cls, config: pytest.Config, environment: Mapping[str, str] | None = None) -> Sources:
        """Read pytest's command line and ini file, and the environment (the process's own by default)."""
        command_line = {option.name: config.getoption(option.dest, default=None) for option in OPTIONS}
        ini, problems = _read_ini(config)
        return cls(
            command_line,
            dict(os.environ if environment is None else environment),
            ini,
            invocation_dir=Path(config.invocation_params.dir),
            ini_dir=config.inipath.parent if config.inipath is not None else config.rootpath,
            ini_problems=problems,
        )

    @classmethod
    def from_argparse(cls, values: argparse.Namespace, environment: Mapping[str, str] | None = None) -> Sources:
        """Read the ``seatrial`` command's line, and the environment (the process's own by default)."""
        command_line = {option.name: getattr(values, option.dest, None) for option in OPTIONS}
        return cls(command_line, dict(os.environ if environment is None else environment))


def _read_ini(config: pytest.Config) -> tuple[dict[str, object], tuple[str, ...]]:
    import pytest  # noqa: PLC0415 - the seatrial command resolves settings without pytest

    found: dict[str, object] = {}
    problems = []
    for option in OPTIONS:
        try:
            found[option.name] = config.getini(option.ini_key)
        except (ValueError, TypeError, pytest.UsageError) as error:  # noqa: PERF203 - all problems are reported together
            # Which of them depends on pytest's version and on the ini file's format.
            problems.append(f"ini {option.ini_key}: {error}")
    return found, tuple(problems)


@dataclass(frozen=True)
class _Found:
    """What was written for one option, and where."""

    raw: object
    origin: str
    written: str
    base: Path


def resolve(sources: Sources, *, kubernetes_versions: Sequence[str]) -> Settings:
    """Return the settings: command line before environment before ini before default.

    Args:
        sources: everywhere a setting may come from.
        kubernetes_versions: minor versions there are recipes for, oldest first.

    Raises:
        SettingsError: with every problem found, each naming the place it was written in.
    """
    problems = [*sources.ini_problems, *_unknown_variables(sources.environment)]
    home = Path(sources.environment.get("HOME") or Path.home())
    settled: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for option in OPTIONS:
        found = _find(option, sources, settled)
        if found is None:
            settled[option.name], origins[option.name] = None, DEFAULT
            continue
        around = Surroundings(found.base, home, kubernetes_versions)
        origins[option.name] = found.origin
        try:
            settled[option.name] = option.type.parse(found.raw, around)
        except ValueError as error:
            settled[option.name] = None
            problems.append(f"{found.written}: {error}")
    problems += _conflicts(settled, origins, home, sources.environment)
    if problems:
        raise SettingsError(problems)
    return _build(settled, origins)


def _find(option: Option, sources: Sources, settled: Mapping[str, object]) -> _Found | None:
    """Return the first answer of the sources in order, ``None`` when there is not even a default."""
    raw = sources.command_line.get(option.name)
    if _is_given(option, raw):
        written = option.flag if isinstance(option.type, Switch) else f"{option.flag} {_shown(raw)}"
        return _Found(raw, COMMAND_LINE, written, sources.invocation_dir)
    for variable in (option.variable, *option.variables):
        # An empty variable is how shells and CI systems spell "not set".
        if text := sources.environment.get(variable, "").strip():
            return _Found(text, f"environment {variable}", f"{variable}={text}", sources.invocation_dir)
    raw = sources.ini.get(option.name)
    if raw is not None and raw not in ("", []):
        written = f"ini {option.ini_key} = {_shown(raw)}"
        return _Found(raw, f"ini {option.ini_key}", written, sources.ini_dir)
    if isinstance(option.default, Derived):
        text, origin = option.default.of(sources.environment, settled)
        return _Found(text, origin, f"default of {option.flag} '{text}'", sources.invocation_dir)
    if option.default is not None:
        return _Found(option.default, DEFAULT, f"default of {option.flag} '{option.default}'", sources.invocation_dir)
    return None


def _is_given(option: Option, raw: object) -> bool:
    if isinstance(option.type, Switch):
        return bool(raw)
    return raw is not None and raw != []


def _shown(raw: object) -> str:
    return " ".join(map(str, raw)) if isinstance(raw, (list, tuple)) else f"'{raw}'"


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Name variables that look like settings and are none: most often a typing mistake."""
    known = {option.variable for option in OPTIONS}
    problems = []
    for name in sorted(environment):
        if name.startswith("SEATRIAL_") and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            problems.append(f"{name}: no such setting" + (f"; did you mean {close[0]}?" if close else ""))
    return problems


def _conflicts(
    settled: Mapping[str, Any], origins: Mapping[str, str], home: Path, environment: Mapping[str, str]
) -> list[str]:
    """Name the settings that cannot hold together."""
    problems: list[str] = []
    provider = settled["cluster-provider"]
    if provider == "existing":
        problems += [
            f"--cluster-provider existing: {flag} is missing; say {what}"
            for name, flag, what in (
                ("kubeconfig", "--kubeconfig", "which kubeconfig file to read"),
                ("kube-context", "--kube-context", "which of its contexts to use"),
            )
            if origins[name] == DEFAULT
        ]
        if (path := settled["kubeconfig"]) is not None and not path.exists():
            problems.append(f"--kubeconfig: there is no file '{path}'")
    if provider == "kind" and (path := settled["kubeconfig"]) in _own_kubeconfigs(home, environment):
        problems.append(f"--kubeconfig: '{path}' is your own; name another file for the kind cluster to write to")
    if provider is not None:
        problems += _meant_for_the_other_provider(provider, origins)
    for name in ("kind", "kubectl", "helm"):
        option = next(option for option in OPTIONS if option.key == name)
        one, other = settled[option.name], (settled["supply"] or {}).get(name)
        if one is not None and other is not None and str(one) != other:
            problems.append(f"{option.flag} '{one}' and --supply {name}={other} name different files; keep one")
    return problems


def _own_kubeconfigs(home: Path, environment: Mapping[str, str]) -> set[Path]:
    """The files kubectl uses when it is told nothing: Seatrial writes to none of them."""
    listed = [Path(part) for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return {home / ".kube" / "config", *listed}


def _meant_for_the_other_provider(provider: str, origins: Mapping[str, str]) -> list[str]:
    """Refuse what was asked of this very run and cannot be done.

    The ini file is the project's choice for either provider: what does not apply there is left unused.
    """
    return [
        f"{option.flag} ({origins[option.name]}) goes with --cluster-provider {option.only_for}, not with {provider}"
        for option in OPTIONS
        if option.only_for not in (None, provider) and origins[option.name].startswith((COMMAND_LINE, "environment"))
    ]


def _build(settled: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    """Put every value into its slice."""
    slices: dict[str, dict[str, Any]] = {name: {} for name in _SLICES}
    for option in OPTIONS:
        name, _, attribute = option.target.partition(".")
        value = settled[option.name]
        if isinstance(option.type, Switch):
            slices[name][attribute] = bool(value) != option.inverted
        elif option.key is not None or isinstance(option.type, Pairs):
            given = slices[name].setdefault(attribute, {})
            given.update({option.key: str(value)} if option.key and value is not None else value or {})
        else:
            slices[name][attribute] = value
    slices["engine"]["docker_host_origin"] = origins["docker-host"]
    return Settings(**{name: _SLICES[name](**fields) for name, fields in slices.items()}, origins=dict(origins))


def shown_value(option: Option, settings: Settings) -> str:
    """Return an option's value as a user would write it; empty when it has none."""
    name, _, attribute = option.target.partition(".")
    value = getattr(getattr(settings, name), attribute)
    if isinstance(option.type, Switch):
        return "yes" if value != option.inverted else "no"
    if option.key is not None:
        value = value.get(option.key)
    if isinstance(value, Mapping):
        return " ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return f"{value:g}s"
    return "" if value is None else str(value)


# What a reader of a run's first lines wants to know even when nobody chose it.
_ALWAYS_SHOWN = frozenset({"cluster-provider", "kubernetes"})


def header_lines(settings: Settings) -> list[str]:
    """Return the lines for pytest's header: each value somebody chose, with where it came from."""
    return [
        f"seatrial: {option.name}={shown_value(option, settings)} ({origin})"
        for option in OPTIONS
        if (origin := settings.origins[option.name]) != DEFAULT or option.name in _ALWAYS_SHOWN
    ]
