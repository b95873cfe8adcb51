"""The table of settings: every option once, with its names, its type, its default and its meaning.

From one row follow the command-line flag, the environment variable (``SEATRIAL_`` + name), the ini key (``seatrial_`` +
name), the help text and the line in docs/settings.md. The same rows serve pytest and the ``seatrial`` command.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.settings.values import (
    Address,
    Choice,
    ClusterName,
    Count,
    DirectoryPath,
    Duration,
    FilePath,
    ImageName,
    KubernetesVersions,
    Pairs,
    RegistryName,
    Switch,
    Text,
    ValueType,
)

if TYPE_CHECKING:
    import pytest

Group = Literal["supply", "engine", "cluster", "images", "deploy", "charts", "scoring", "evidence"]

GROUPS: Mapping[Group, str] = {
    "supply": "where programs and images come from",
    "engine": "the Docker engine",
    "cluster": "the Kubernetes cluster",
    "images": "building images and getting them to the nodes",
    "deploy": "deployments",
    "charts": "charts under regression",
    "scoring": "scoring requests",
    "evidence": "what a run leaves behind",
}

# pytest-kind registers its options in this group; the same names go into the same group, so that pytest itself says
# when they are there already.
PYTEST_KIND_GROUP = "kind"
# The names its plugin is known by: by entry point, and by module when given to `-p` or `pytest_plugins`.
PYTEST_KIND_PLUGINS = ("pytest-kind", "pytest_kind.plugin")
# Travels to parallel workers with the options and says that pytest-kind's defaults were taken out already.
_DEFAULTS_TAKEN_OUT = "seatrial_defaults_taken_out"


@dataclass(frozen=True)
class Derived:
    """A default that depends on something else.

    Args:
        words: what it is, for the documentation.
        of: called with the environment and the values settled so far by option name; returns the value as a user
            would write it, with its origin.
    """

    words: str
    of: Callable[[Mapping[str, str], Mapping[str, object]], tuple[str, str]]


@dataclass(frozen=True)
class Option:
    """One setting.

    Args:
        name: the flag without its dashes, e.g. ``keep-cluster``; environment name and ini key follow from it.
        group: which part of Seatrial it concerns.
        target: the field of :class:`~harness.settings.model.Settings` it fills, e.g. ``cluster.keep``.
        type: turns what the user wrote into the field's value, or says what is wrong with it.
        default: value when nobody gave one, as a user would write it; ``None`` leaves the field ``None`` (or false).
        help: one sentence.
        key: for fields that are mappings, the key this option fills.
        inverted: the flag says "no": giving it makes the field false.
        variables: further environment variables that give the value, asked after Seatrial's own.
        only_for: the cluster provider the option has a meaning for; ``None`` for both.
        pytest_kind: whether pytest-kind declares the same flag.
    """

    name: str
    group: Group
    target: str
    type: ValueType
    help: str
    default: str | Derived | None = None
    key: str | None = None
    inverted: bool = False
    variables: tuple[str, ...] = ()
    only_for: Literal["kind", "existing"] | None = None
    pytest_kind: bool = field(default=False, kw_only=True)

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return f"--{self.name}"

    @property
    def ini_key(self) -> str:
        """The key in pytest's ini file or ``[tool.pytest.ini_options]``."""
        return "seatrial_" + self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "SEATRIAL_" + self.name.replace("-", "_").upper()

    @property
    def dest(self) -> str:
        """The name under which the command line's value is kept; pytest-kind's own for its options."""
        return self.name.replace("-", "_") if self.pytest_kind else self.ini_key

    def arguments(self) -> dict[str, object]:
        """Return what argparse needs to know: values stay plain, so that they survive the way to parallel workers."""
        if isinstance(self.type, Switch):
            return {"action": "store_const", "const": True, "default": None, "help": self.help}
        action = "append" if isinstance(self.type, Pairs) else "store"
        return {"action": action, "default": None, "metavar": self.type.metavar, "help": self._help_with_default()}

    def _help_with_default(self) -> str:
        default = self.default.words if isinstance(self.default, Derived) else self.default
        text = f"{self.help} (default: {default})" if default else self.help
        return text.replace("%", "%%")


def _cache_dir(environment: Mapping[str, str], _: Mapping[str, object]) -> tuple[str, str]:
    # The XDG base directory specification (0.8) says that relative paths are to be ignored.
    base = environment.get("XDG_CACHE_HOME", "")
    if Path(base).is_absolute():
        return f"{base}/seatrial", "environment XDG_CACHE_HOME"
    home = environment.get("HOME") or str(Path.home())
    return f"{home}/.cache/seatrial", "default"


def _annotations(environment: Mapping[str, str], _: Mapping[str, object]) -> tuple[str, str]:
    if environment.get("GITHUB_ACTIONS") == "true":
        return "github", "environment GITHUB_ACTIONS"
    return "none", "default"


def _engine_data_dir(_: Mapping[str, str], settled: Mapping[str, object]) -> tuple[str, str]:
    return f"{settled['supply-cache']}/engine", "default"


OPTIONS: tuple[Option, ...] = (
    Option(
        "supply-cache",
        "supply",
        "supply.cache_dir",
        DirectoryPath(),
        "directory of downloaded and built programs, their logs and locks",
        default=Derived("$XDG_CACHE_HOME/seatrial, else ~/.cache/seatrial", _cache_dir),
    ),
    Option(
        "supply",
        "supply",
        "supply.given",
        Pairs(),
        "use this file for a program, this directory for files or a chart, or this image for an image, "
        "e.g. helm=/usr/bin/helm; may be given several times",
    ),
    Option(
        "kind-bin",
        "supply",
        "supply.given",
        FilePath(executable=True),
        "the kind program to use",
        key="kind",
        pytest_kind=True,
    ),
    Option(
        "kind-kubectl-bin",
        "supply",
        "supply.given",
        FilePath(executable=True),
        "the kubectl program to use",
        key="kubectl",
        pytest_kind=True,
    ),
    Option(
        "helm-bin",
        "supply",
        "supply.given",
        FilePath(executable=True),
        "the helm program to use",
        key="helm",
    ),
    Option(
        "offline", "supply", "supply.offline", Switch(), "never ask the network for programs, images or Debian packages"
    ),
    Option(
        "no-download",
        "supply",
        "supply.download",
        Switch(),
        "do not download or pull what others publish",
        inverted=True,
    ),
    Option(
        "no-build",
        "supply",
        "supply.build",
        Switch(),
        "do not build programs and images from package registries",
        inverted=True,
    ),
    Option(
        "docker-host",
        "engine",
        "engine.docker_host",
        Address(),
        "address of the Docker engine, e.g. unix:///var/run/docker.sock",
        variables=("DOCKER_HOST",),
    ),
    Option(
        "no-managed-engine",
        "engine",
        "engine.managed",
        Switch(),
        "do not start a Docker engine where none answers",
        inverted=True,
    ),
    Option(
        "no-install",
        "engine",
        "engine.install",
        Switch(),
        "do not install Debian packages, neither the managed engine's nor mmdebstrap, which builds base images",
        inverted=True,
    ),
    Option(
        "engine-state-dir",
        "engine",
        "engine.state_dir",
        DirectoryPath(),
        "the managed engine's socket, pid file and log",
        default="/run/seatrial",
    ),
    Option(
        "engine-data-dir",
        "engine",
        "engine.data_dir",
        DirectoryPath(),
        "the managed engine's images, containers and volumes",
        default=Derived("engine/ below the supply cache", _engine_data_dir),
    ),
    Option(
        "cluster-provider",
        "cluster",
        "cluster.provider",
        Choice(("kind", "existing")),
        "kind makes clusters, existing uses one that is there",
        default="kind",
    ),
    Option(
        "cluster-name",
        "cluster",
        "cluster.name",
        ClusterName(),
        "name of the cluster; a unique one per run when not given",
        only_for="kind",
        pytest_kind=True,
    ),
    Option(
        "keep-cluster",
        "cluster",
        "cluster.keep",
        Switch(),
        "keep the cluster after the run and use it again in the next",
        only_for="kind",
        pytest_kind=True,
    ),
    Option(
        "kubeconfig",
        "cluster",
        "cluster.kubeconfig",
        FilePath(must_exist=False),
        "kubeconfig file: written for kind, read for existing",
        pytest_kind=True,
    ),
    Option(
        "kube-context",
        "cluster",
        "cluster.context",
        Text("NAME"),
        "context of the existing cluster; the current context is never used by accident",
        only_for="existing",
    ),
    Option(
        "allow-production",
        "cluster",
        "cluster.allow_production",
        Switch(),
        "permit a context whose name looks like production",
        only_for="existing",
    ),
    Option(
        "kubernetes",
        "cluster",
        "cluster.kubernetes_versions",
        KubernetesVersions(),
        "Kubernetes minor version of new clusters; several, separated by commas, run every test that needs a cluster "
        "with each",
        # Chosen, not simply the newest: the version that all scenarios and figures are of, and that a first run builds.
        default="1.34",
        only_for="kind",
    ),
    Option(
        "clusters-at-once",
        "cluster",
        "cluster.at_once",
        Count(),
        "how many clusters of different Kubernetes versions may be there at a time",
        # Two need twice the memory; with two the next is made while the first is worked with.
        default="1",
        only_for="kind",
    ),
    Option(
        "kind-image",
        "cluster",
        "cluster.node_image",
        ImageName(),
        "node image of new clusters, e.g. kindest/node:v1.34.0",
        only_for="kind",
        pytest_kind=True,
    ),
    Option(
        "cluster-create-timeout",
        "cluster",
        "cluster.create_timeout_s",
        Duration(),
        "limit for making a cluster until it is usable",
        # Ten times what an idle two-core machine takes.
        default="5m",
    ),
    Option(
        "cluster-delete-timeout",
        "cluster",
        "cluster.delete_timeout_s",
        Duration(),
        "limit for deleting a cluster",
        default="2m",
    ),
    Option(
        "image-build-timeout",
        "images",
        "images.build_timeout_s",
        Duration(),
        "limit for building one image",
        default="10m",
    ),
    Option(
        "image-registry",
        "images",
        "images.registry",
        RegistryName(),
        "registry an existing cluster pulls from, as HOST[:PORT][/PREFIX]",
        only_for="existing",
    ),
    Option(
        "rollout-timeout",
        "deploy",
        "deploy.rollout_timeout_s",
        Duration(),
        "limit for one rollout",
        default="2m",
    ),
    Option(
        "helm-timeout",
        "deploy",
        "deploy.helm_timeout_s",
        Duration(),
        "limit for one helm call that waits",
        # Helm's own default for --timeout (v3.20).
        default="5m",
    ),
    Option(
        "changed-since",
        "charts",
        "charts.changed_since",
        Text("REF"),
        "run only the tests of charts that changed since HEAD left this git ref, and tests that changed themselves",
    ),
    Option(
        "chart",
        "charts",
        "charts.only",
        DirectoryPath(must_exist=True),
        "run only the tests of the chart in this directory",
    ),
    Option(
        "request-timeout",
        "scoring",
        "scoring.request_timeout_s",
        Duration(),
        "limit for one scoring request",
        default="10s",
    ),
    Option(
        "ready-timeout",
        "scoring",
        "scoring.ready_timeout_s",
        Duration(),
        "limit for a service to answer at all",
        default="60s",
    ),
    Option(
        "evidence-dir",
        "evidence",
        "evidence.directory",
        DirectoryPath(),
        "parent of the runs' evidence directories",
        default="seatrial-evidence",
    ),
    Option(
        "evidence-runs",
        "evidence",
        "evidence.kept_runs",
        Count(),
        "for how many runs evidence is kept, the current one included",
        default="20",
    ),
    Option(
        "evidence-log-lines",
        "evidence",
        "evidence.log_tail_lines",
        Count(),
        "container log lines kept per container",
        default="500",
    ),
    Option(
        "job-summary",
        "evidence",
        "evidence.job_summary",
        FilePath(must_exist=False),
        "append what the run showed to this Markdown file",
        # GitHub Actions shows that file on the page of the workflow's run.
        variables=("GITHUB_STEP_SUMMARY",),
    ),
    Option(
        "annotations",
        "evidence",
        "evidence.annotations",
        Choice(("none", "github")),
        "print failed tests so that a CI system shows them beside the code",
        default=Derived("github where GITHUB_ACTIONS is true, else none", _annotations),
    ),
)


def add_to_pytest(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare every option and ini key.

    pytest-kind's plugin declares some of the same flags and may be loaded before or after Seatrial's: loaded before,
    its declarations stand and it is taken out; otherwise it is kept from loading, because pytest refuses a flag
    declared twice. Either way Seatrial's ``kind_cluster`` fixture takes the place of its own.
    """
    for plugin in PYTEST_KIND_PLUGINS:
        pluginmanager.set_blocked(plugin)
    for option in OPTIONS:
        group = PYTEST_KIND_GROUP if option.pytest_kind else f"seatrial {option.group}"
        section = parser.getgroup(group, "" if option.pytest_kind else f"seatrial: {GROUPS[option.group]}")
        try:
            section.addoption(option.flag, dest=option.dest, **option.arguments())
        except ValueError:
            if not option.pytest_kind:
                raise
        parser.addini(option.ini_key, option.help, type=_ini_type(option), default=None)


def _ini_type(option: Option) -> Literal["bool", "linelist", "string"]:
    if isinstance(option.type, Switch):
        return "bool"
    return "linelist" if isinstance(option.type, Pairs) else "string"


def take_out_foreign_defaults(values: argparse.Namespace) -> None:
    """Make "not given" visible where pytest-kind declared the flag with a default of its own.

    Called with ``config.option`` from ``pytest_load_initial_conftests``, before pytest parses the command line for the
    last time: what is still ``None`` afterwards was not given. A parallel worker receives the controller's values
    instead of a command line and keeps them.
    """
    if hasattr(values, _DEFAULTS_TAKEN_OUT):
        return
    setattr(values, _DEFAULTS_TAKEN_OUT, True)
    for option in OPTIONS:
        if option.pytest_kind:
            setattr(values, option.dest, None)


def add_to_argparse(parser: argparse.ArgumentParser, groups: Iterable[Group]) -> None:
    """Declare the options of some groups on a parser that is the parent of others.

    An option may then stand before or after the verb, since one that is not given leaves no trace: argparse would
    otherwise let the default behind the verb win over the value before it.
    """
    for group in groups:
        section = parser.add_argument_group(GROUPS[group])
        for option in OPTIONS:
            if option.group == group:
                arguments = {**option.arguments(), "default": argparse.SUPPRESS}
                if isinstance(option.type, Pairs):
                    arguments["action"] = _Collect
                section.add_argument(option.flag, dest=option.dest, **arguments)  # type: ignore[arg-type] # a row's own mapping


def add_verb(
    to: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    purpose: str,
    parents: Sequence[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add a command, or a verb of one, that takes the options of `parents` before it and after it."""
    return to.add_parser(name, help=purpose, description=purpose, parents=parents)


class _Collect(argparse.Action):
    """Collects what an option was given, before the verb and after it: parsers share their parents' actions."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._given: list[object] = []

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """See :class:`argparse.Action`."""
        del parser, option_string
        self._given.append(values)
        setattr(namespace, self.dest, list(self._given))
