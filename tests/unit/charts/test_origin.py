"""Earlier versions of charts: from git, and from a registry by a script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.charts.case import ChartCase, Origin
from harness.charts.origin import ChartVersions
from harness.charts.render import Renderer
from harness.errors import ChartError, HistoryError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import SubprocessRunner
from harness.testing import RecordingRunner


def git(directory: Path, *args: str) -> None:
    """Run git as nobody in particular."""
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(directory), *who, *args], check=True, capture_output=True)


def write(directory: Path, version: str, extra: str = "") -> Path:
    """Write a chart."""
    directory.mkdir(parents=True, exist_ok=True)
    text = f"apiVersion: v2\nname: {directory.name}\nversion: {version}\n{extra}"
    (directory / "Chart.yaml").write_text(text, encoding="utf-8")
    return directory


NEEDS_COMMON = "dependencies: [{name: common, version: 1.0.0, repository: 'file://../common'}]\n"


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart that takes in another: 1.0.0 and 1.1.0 are released, 2.0.0 is in the working tree."""
    root = tmp_path / "repository"
    write(root / "charts" / "common", "1.0.0")
    chart = write(root / "charts" / "app", "1.0.0", NEEDS_COMMON)
    git(root, "init", "-q")
    for version in ("1.0.0", "1.1.0"):
        write(chart, version, NEEDS_COMMON)
        git(root, "add", ".")
        git(root, "commit", "-qm", version)
        git(root, "tag", f"app-{version}")
    return write(chart, "2.0.0", NEEDS_COMMON)


@pytest.fixture
def versions(tmp_path: Path) -> ChartVersions:
    """With the real git."""
    runner = SubprocessRunner()
    return ChartVersions(Renderer(runner, Path("/bin/helm"), tmp_path / "helm"), runner, tmp_path / "earlier")


@pytest.mark.parametrize(
    ("origin", "version"),
    [(Origin(git="app-1.0.0"), "1.0.0"), (Origin(git="HEAD"), "1.1.0"), (Origin(tag="app-*"), "1.1.0")],
    ids=["a tag", "the last commit", "the latest tag"],
)
def test_a_chart_as_it_was(chart: Path, versions: ChartVersions, origin: Origin, version: str) -> None:
    """With what it takes in, as that was; the working tree stays as it is."""
    found = versions.earlier(ChartCase(chart, "x", previous=origin))
    assert f"version: {version}" in (found / "Chart.yaml").read_text(encoding="utf-8")
    assert (found / "charts" / "common" / "Chart.yaml").is_file()
    assert "version: 2.0.0" in (chart / "Chart.yaml").read_text(encoding="utf-8")
    assert versions.earlier(ChartCase(chart, "y", previous=origin)) == found


@pytest.mark.parametrize(
    ("origin", "seen"),
    [(Origin(git="nowhere"), "there is no commit 'nowhere' here"), (Origin(tag="other-*"), "No names found")],
    ids=["no such ref", "no such tag"],
)
def test_a_commit_that_is_not_there(chart: Path, versions: ChartVersions, origin: Origin, seen: str) -> None:
    """Is named, with what to do."""
    with pytest.raises(HistoryError) as caught:
        versions.earlier(ChartCase(chart, "x", previous=origin))
    assert seen in caught.value.seen
    assert caught.value.hint


def test_a_chart_that_was_not_there_yet(chart: Path, versions: ChartVersions) -> None:
    """A new chart has no earlier version; the charts of then are listed."""
    new = write(chart.parent / "new", "0.1.0")
    with pytest.raises(ChartError, match=r"no chart in 'charts/new' then; there were charts/app, charts/common"):
        versions.earlier(ChartCase(new, "x", previous=Origin(git="HEAD")))


def pull(command: Command) -> Outcome:
    """Do as `helm pull` does, without a registry."""
    into = next(Path(word.partition("=")[2]) for word in command.argv if word.startswith("--destination="))
    source = write(into.parent / "packed" / "app", "1.0.0")
    subprocess.run(["tar", "-czf", str(into / "app-1.0.0.tgz"), "-C", str(source.parent), "app"], check=True)
    return Outcome(command, 0, "", "", duration_s=0)


def test_a_chart_is_pulled_from_a_registry(chart: Path, tmp_path: Path) -> None:
    """Into a directory of the run's own, without TLS where the case says so; refusals are shown."""
    runner = RecordingRunner()
    runner.on("helm", "pull", times=1, answer=pull)
    runner.on("helm", "pull", exit_code=1, stderr="Error: not found")
    versions = ChartVersions(Renderer(runner, Path("/bin/helm"), tmp_path / "helm"), runner, tmp_path / "earlier")
    origin = Origin(oci="oci://127.0.0.1:5000/charts/app", version="1.0.0", plain_http=True)
    assert versions.earlier(ChartCase(chart, "x", previous=origin)).name == "app-1.0.0.tgz"
    assert runner.commands[0].argv[2:] == (
        "oci://127.0.0.1:5000/charts/app",
        f"--destination={tmp_path / 'earlier' / 'earlier-0'}",
        "--version=1.0.0",
        "--plain-http",
    )
    with pytest.raises(ChartError, match="not found"):
        versions.earlier(ChartCase(chart, "x", previous=Origin(oci="oci://127.0.0.1:5000/charts/none")))


def test_the_latest_version_is_pulled_where_none_is_named(chart: Path, tmp_path: Path) -> None:
    """Helm asks the registry for it: the version is left out rather than empty."""
    runner = RecordingRunner()
    runner.on("helm", "pull", answer=pull)
    versions = ChartVersions(Renderer(runner, Path("/bin/helm"), tmp_path / "helm"), runner, tmp_path / "earlier")
    versions.earlier(ChartCase(chart, "x", previous=Origin(oci="oci://127.0.0.1:5000/charts/app")))
    (command,) = runner.commands
    assert not [word for word in command.argv if word.startswith("--version")]


def test_definitions_of_the_earlier_version_count_too(chart: Path, versions: ChartVersions) -> None:
    """Helm installed them with it, and leaves them: today's chart need not have them any more."""
    (chart / "crds").mkdir()
    (chart / "crds" / "old.yaml").write_text(
        "kind: CustomResourceDefinition\nmetadata: {name: old}\n", encoding="utf-8"
    )
    git(chart, "add", ".")
    git(chart, "commit", "-qm", "with")
    (chart / "crds" / "old.yaml").rename(chart / "crds" / "new.yaml")
    (chart / "crds" / "new.yaml").write_text(
        "kind: CustomResourceDefinition\nmetadata: {name: new}\n", encoding="utf-8"
    )
    case = ChartCase(chart, "x", previous=Origin(git="HEAD"))
    versions.earlier(case)
    assert versions.definitions(case) == ("CustomResourceDefinition/new", "CustomResourceDefinition/old")


def test_definitions_of_the_chart_and_what_it_takes_in(chart: Path, versions: ChartVersions) -> None:
    """Helm installs them from every crds/ directory and removes none."""
    for directory, name in ((chart, "a.example.com"), (chart.parent / "common", "b.example.com")):
        (directory / "crds").mkdir()
        text = f"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {name}}}\n"
        (directory / "crds" / "x.yaml").write_text(text, encoding="utf-8")
    assert sorted(versions.definitions(ChartCase(chart, "x"))) == [
        "CustomResourceDefinition/a.example.com",
        "CustomResourceDefinition/b.example.com",
    ]
