"""From several sources to one value, its origin, or all that is wrong."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import SettingsError
from harness.settings.model import Settings
from harness.settings.options import OPTIONS, add_to_argparse
from harness.settings.resolve import Sources, header_lines, resolve

VERSIONS = ("1.21", "1.34")

Given = dict[str, object]
Resolve = Callable[..., Settings]
Refuse = Callable[..., tuple[str, ...]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with nothing in it."""
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


@pytest.fixture
def settings_of(tmp_path: Path, home: Path) -> Resolve:
    """Resolve the given command line, environment and ini file in a directory of their own."""

    def resolve_them(
        command_line: Given | None = None, environment: dict[str, str] | None = None, ini: Given | None = None
    ) -> Settings:
        return resolve(
            Sources(
                command_line or {},
                {"HOME": str(home), **(environment or {})},
                ini or {},
                invocation_dir=tmp_path / "here",
                ini_dir=tmp_path / "project",
            ),
            kubernetes_versions=VERSIONS,
        )

    return resolve_them


@pytest.fixture
def problems_of(settings_of: Resolve) -> Refuse:
    """Resolve likewise and return the problems."""

    def refuse(
        command_line: Given | None = None, environment: dict[str, str] | None = None, ini: Given | None = None
    ) -> tuple[str, ...]:
        with pytest.raises(SettingsError) as caught:
            settings_of(command_line, environment, ini)
        return caught.value.problems

    return refuse


def test_defaults(settings_of: Resolve, home: Path, tmp_path: Path) -> None:
    """With nothing said, a run makes a kind cluster of the usual Kubernetes and may fetch and build all it needs."""
    settings = settings_of()
    cache = home / ".cache" / "seatrial"
    assert settings.supply.cache_dir == cache
    assert (settings.supply.offline, settings.supply.build, settings.supply.download) == (False, True, True)
    assert settings.supply.given == {}
    assert (settings.engine.docker_host, settings.engine.managed, settings.engine.install) == (None, True, True)
    assert (settings.engine.state_dir, settings.engine.data_dir) == (Path("/run/seatrial"), cache / "engine")
    assert (settings.cluster.provider, settings.cluster.name, settings.cluster.keep) == ("kind", None, False)
    assert settings.cluster.kubernetes == "1.34"
    assert settings.deploy.rollout_timeout_s == 120.0
    assert settings.evidence.directory == tmp_path / "here" / "seatrial-evidence"
    assert set(settings.origins.values()) == {"default"}


def test_sources_are_asked_in_order(settings_of: Resolve) -> None:
    """Command line before environment before ini before default, and the origin says which it was."""
    ini = {"rollout-timeout": "3m"}
    environment = {"SEATRIAL_ROLLOUT_TIMEOUT": "2s"}
    command_line = {"rollout-timeout": "1s"}

    def seen(*sources: Any) -> tuple[float, str]:
        settings = settings_of(*sources)
        return settings.deploy.rollout_timeout_s, settings.origins["rollout-timeout"]

    assert seen(command_line, environment, ini) == (1.0, "command line")
    assert seen({}, environment, ini) == (2.0, "environment SEATRIAL_ROLLOUT_TIMEOUT")
    assert seen({}, {}, ini) == (180.0, "ini seatrial_rollout_timeout")
    assert seen() == (120.0, "default")


@pytest.mark.parametrize(
    ("name", "field"),
    [("no-build", "build"), ("no-download", "download")],
    ids=["--no-build", "--no-download"],
)
def test_flags_that_say_no(settings_of: Resolve, name: str, field: str) -> None:
    """A flag that says no makes the setting false, and a later source that says no to the no is overruled."""
    assert getattr(settings_of({name: True}).supply, field) is False
    assert getattr(settings_of({}, {}, {name: True}).supply, field) is False
    variable = "SEATRIAL_" + name.replace("-", "_").upper()
    assert getattr(settings_of({}, {variable: "0"}, {name: True}).supply, field) is True


def test_empty_variable_is_not_given(settings_of: Resolve) -> None:
    """An empty variable is how shells spell "not set"."""
    settings = settings_of({}, {"SEATRIAL_CLUSTER_NAME": "", "DOCKER_HOST": " "})
    assert settings.cluster.name is None
    assert settings.engine.docker_host is None


def test_docker_host_comes_in_by_its_usual_name(settings_of: Resolve) -> None:
    """DOCKER_HOST is heard, Seatrial's own variable is heard first, and the engine's slice knows who spoke."""
    engine = settings_of({}, {"DOCKER_HOST": "unix:///a"}).engine
    assert (engine.docker_host, engine.docker_host_origin) == ("unix:///a", "environment DOCKER_HOST")
    engine = settings_of({}, {"DOCKER_HOST": "unix:///a", "SEATRIAL_DOCKER_HOST": "unix:///b"}).engine
    assert (engine.docker_host, engine.docker_host_origin) == ("unix:///b", "environment SEATRIAL_DOCKER_HOST")


def test_cache_follows_the_base_directory_specification(settings_of: Resolve, home: Path) -> None:
    """XDG_CACHE_HOME moves the cache and what lies in it; a relative one is ignored."""
    settings = settings_of({}, {"XDG_CACHE_HOME": "/var/cache"})
    assert settings.supply.cache_dir == Path("/var/cache/seatrial")
    assert settings.engine.data_dir == Path("/var/cache/seatrial/engine")
    assert settings.origins["supply-cache"] == "environment XDG_CACHE_HOME"
    assert settings_of({}, {"XDG_CACHE_HOME": "cache"}).supply.cache_dir == home / ".cache" / "seatrial"


def test_paths_start_where_they_were_written(settings_of: Resolve, tmp_path: Path) -> None:
    """A path in the ini file starts from the ini file, all others from the working directory."""
    assert settings_of({}, {}, {"evidence-dir": "out"}).evidence.directory == tmp_path / "project" / "out"
    assert settings_of({"evidence-dir": "out"}).evidence.directory == tmp_path / "here" / "out"


def test_given_programs_meet_in_one_mapping(settings_of: Resolve, tmp_path: Path) -> None:
    """--kind-bin and --supply fill the same mapping, keyed by the artifact's name."""
    kind = tmp_path / "kind"
    kind.write_text("")
    kind.chmod(0o755)
    settings = settings_of({"kind-bin": str(kind), "supply": ["python-3.11=python:3.11-slim"]})
    assert settings.supply.given == {"kind": str(kind), "python-3.11": "python:3.11-slim"}


def test_all_problems_are_reported_together(problems_of: Refuse) -> None:
    """One run tells everything that is wrong, each with the place it was written in."""
    problems = problems_of(
        {"cluster-provider": "minikube", "rollout-timeout": "soon"},
        {"SEATRIAL_KUBERNETES": "1.99", "DOCKER_HOST": "here"},
        {"evidence-log-lines": "none"},
    )
    assert len(problems) == 5
    for written in (
        "--cluster-provider 'minikube': unknown; choose kind or existing",
        "--rollout-timeout 'soon': not a length of time",
        "SEATRIAL_KUBERNETES=1.99: unknown Kubernetes version; known: 1.21, 1.34",
        "DOCKER_HOST=here: not an engine's address",
        "ini seatrial_evidence_log_lines = 'none': not a whole number",
    ):
        assert any(problem.startswith(written) for problem in problems), written


def test_problems_found_while_reading_the_ini_file_are_kept(tmp_path: Path) -> None:
    """What pytest says about the ini file stands beside what the resolver finds."""
    sources = Sources({"rollout-timeout": "soon"}, {}, ini_problems=("ini seatrial_offline: invalid truth value",))
    with pytest.raises(SettingsError) as caught:
        resolve(sources, kubernetes_versions=VERSIONS)
    assert len(caught.value.problems) == 2


def test_unknown_variable_is_a_typing_mistake(problems_of: Refuse) -> None:
    """A variable that only looks like a setting is refused with the nearest real one."""
    assert problems_of({}, {"SEATRIAL_KEEP_CLUSTERS": "1"}) == (
        "SEATRIAL_KEEP_CLUSTERS: no such setting; did you mean SEATRIAL_KEEP_CLUSTER?",
    )


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    """A kubeconfig file that is there."""
    path = tmp_path / "kubeconfig"
    path.write_text("apiVersion: v1\n")
    return str(path)


def test_existing_cluster(settings_of: Resolve, kubeconfig: str) -> None:
    """An existing cluster needs a file and a context, both said out loud."""
    cluster = settings_of({"cluster-provider": "existing", "kubeconfig": kubeconfig, "kube-context": "staging"}).cluster
    assert (cluster.provider, cluster.kubeconfig, cluster.context) == ("existing", Path(kubeconfig), "staging")


def test_existing_cluster_without_its_address(problems_of: Refuse) -> None:
    """Neither the file nor the context is ever guessed, and both are asked for at once."""
    assert problems_of({"cluster-provider": "existing"}, {"KUBECONFIG": "/somewhere"}) == (
        "--cluster-provider existing: --kubeconfig is missing; say which kubeconfig file to read",
        "--cluster-provider existing: --kube-context is missing; say which of its contexts to use",
    )


def test_existing_cluster_with_a_file_that_is_not_there(problems_of: Refuse, tmp_path: Path) -> None:
    """A kubeconfig to read must be there."""
    path = tmp_path / "nowhere"
    assert problems_of({"cluster-provider": "existing", "kubeconfig": str(path), "kube-context": "a"}) == (
        f"--kubeconfig: there is no file '{path}'",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("kind-image", "kindest/node:v1.34.0"), ("keep-cluster", True), ("cluster-name", "a"), ("kubernetes", "1.21")],
)
def test_existing_cluster_is_not_made(problems_of: Refuse, kubeconfig: str, name: str, value: object) -> None:
    """What only makes sense for a new cluster is refused for one that is there."""
    command_line = {"cluster-provider": "existing", "kubeconfig": kubeconfig, "kube-context": "a", name: value}
    assert problems_of(command_line) == (
        f"--{name} (command line) goes with --cluster-provider kind, not with existing",
    )


@pytest.mark.parametrize(
    ("name", "value"), [("kube-context", "a"), ("allow-production", True), ("image-registry", "example.com")]
)
def test_new_cluster_is_not_existing(problems_of: Refuse, settings_of: Resolve, name: str, value: object) -> None:
    """What only makes sense for an existing cluster is refused for a new one when asked of this run.

    In the ini file it is the project's choice for the other provider, and stays unused.
    """
    assert problems_of({name: value}) == (
        f"--{name} (command line) goes with --cluster-provider existing, not with kind",
    )
    assert settings_of({}, {}, {name: value}).cluster.provider == "kind"


@pytest.mark.parametrize("variable", [None, "KUBECONFIG"], ids=["~/.kube/config", "a file of $KUBECONFIG"])
def test_own_kubeconfig_is_never_written(problems_of: Refuse, home: Path, tmp_path: Path, variable: str | None) -> None:
    """A kind cluster writes its kubeconfig anywhere but into the user's own."""
    path = tmp_path / "mine" if variable else home / ".kube" / "config"
    environment = {variable: f"/other:{path}"} if variable else {}
    (problem,) = problems_of({"kubeconfig": str(path)}, environment)
    assert problem.startswith(f"--kubeconfig: '{path}' is your own")


def test_two_programs_for_one_name(problems_of: Refuse, tmp_path: Path) -> None:
    """The same program given in two ways with two answers is refused."""
    for name in ("one", "two"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    (problem,) = problems_of({"helm-bin": str(tmp_path / "one"), "supply": [f"helm={tmp_path / 'two'}"]})
    assert "name different files; keep one" in problem


def test_header_shows_values_with_their_origins(settings_of: Resolve) -> None:
    """The header names what somebody chose and where, and the cluster in any case."""
    settings = settings_of({"keep-cluster": True}, {"SEATRIAL_ROLLOUT_TIMEOUT": "90s"}, {"no-build": True})
    assert header_lines(settings) == [
        "seatrial: no-build=yes (ini seatrial_no_build)",
        "seatrial: cluster-provider=kind (default)",
        "seatrial: keep-cluster=yes (command line)",
        "seatrial: kubernetes=1.34 (default)",
        "seatrial: rollout-timeout=90s (environment SEATRIAL_ROLLOUT_TIMEOUT)",
    ]


def test_command_line_of_seatrial_has_the_same_options(home: Path) -> None:
    """A subcommand that declares some groups understands their flags and leaves the rest at their defaults."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_to_argparse(parser, ["supply", "engine"])
    values = parser.parse_args(["--offline", "--docker-host", "unix:///a", "--supply", "a=b", "--supply", "c=d"])
    settings = resolve(Sources.from_argparse(values, {"HOME": str(home)}), kubernetes_versions=VERSIONS)
    assert settings.supply.offline
    assert settings.supply.given == {"a": "b", "c": "d"}
    assert settings.engine.docker_host == "unix:///a"
    assert settings.origins["docker-host"] == "command line"
    assert settings.cluster.provider == "kind"


def test_every_field_has_an_option() -> None:
    """No field of the settings is without a row in the table, and no row fills a field that is not there."""
    slices = {
        f"{part.name}.{field.name}"
        for part in dataclasses.fields(Settings)
        if part.name != "origins"
        for field in dataclasses.fields(_slice_type(part.name))
    }
    assert {option.target for option in OPTIONS} == slices - {"engine.docker_host_origin"}


def _slice_type(name: str) -> Any:
    return typing.get_type_hints(Settings)[name]
