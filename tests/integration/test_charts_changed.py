"""What a branch touches, with the real git."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.charts import cli
from harness.charts.changed import Changed, as_github_matrix, as_json, as_list, find_changed
from harness.charts.repository import Repository
from harness.errors import HistoryError, SettingsError
from harness.process.command import Command
from harness.process.runner import Runner
from harness.supply.resolver import Supply
from tests.integration.chart_faults import write_chart

FILES = {
    "charts/common/Chart.yaml": "apiVersion: v2\nname: common\nversion: 1.0.0\ntype: library\n",
    "charts/common/templates/_x.tpl": "",
    "charts/base/Chart.yaml": "apiVersion: v2\nname: base\nversion: 1.0.0\ndependencies:\n"
    "  - {name: common, version: 1.x.x, repository: file://../common}\n",
    "charts/scorer/Chart.yaml": "apiVersion: v2\nname: scorer\nversion: 1.0.0\ndependencies:\n"
    "  - {name: base, version: 1.x.x, repository: file://../base}\n",
    "charts/scorer/values.yaml": "a: 1\n",
    "charts/scorer/ci/one.yaml": "a: 2\n",
    "charts/scorer/seatrial.yaml": "sources: [../../apps/scorer]\ncases:\n  - name: staged\n"
    "    values: [../../stages/one.yaml]\n    steps: [install, upgrade: {values: [../../stages/two.yaml]}]\n",
    "stages/one.yaml": "a: 3\n",
    "stages/two.yaml": "a: 4\n",
    "charts/other/Chart.yaml": "apiVersion: v2\nname: other-name\nversion: 2.0.0\n",
    "charts/other/charts/part/Chart.yaml": "apiVersion: v2\nname: part\nversion: 1.0.0\n",
    "apps/scorer/Dockerfile": "FROM scratch\n",
    "docker/Dockerfile": "FROM scratch\n",
    "pyproject.toml": '[tool.seatrial.charts]\nexclude = ["tests/*"]\nsources = {"charts/other" = ["docker"]}\n',
    "tests/broken/Chart.yaml": "apiVersion: v2\nname: broken\nversion: 1.0.0\n",
    "README.md": "",
}


class Project:
    """A repository with a branch `main` and one that is worked on."""

    def __init__(self, root: Path, runner: Runner) -> None:
        self.root = root
        self.runner = runner

    def git(self, *args: str) -> None:
        """Run git as nobody in particular."""
        who = ("-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false")
        self.runner.run(Command(("git", "-C", str(self.root), *who, *args))).check()

    def commit(self, files: Mapping[str, str] | None = None) -> None:
        """Commit everything, with these files changed."""
        write_chart(self.root, files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=x")

    def changed(self, since: str = "main") -> Changed:
        """Return what is touched."""
        return find_changed(Repository.find(self.root, self.runner), since)


@pytest.fixture
def project(tmp_path: Path, runner: Runner) -> Project:
    """The repository, a branch `work` checked out on top of `main`."""
    root = tmp_path / "project"
    root.mkdir()
    made = Project(root, runner)
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit(FILES)
    made.git("checkout", "--quiet", "-b", "work")
    return made


@pytest.mark.parametrize(
    ("file", "touched"),
    [
        pytest.param("README.md", [], id="nothing of a chart"),
        pytest.param("charts/scorer/values.yaml", ["charts/scorer"], id="values"),
        pytest.param("charts/scorer/ci/one.yaml", ["charts/scorer"], id="CI values"),
        pytest.param("charts/scorer/templates/new.yaml", ["charts/scorer"], id="a new template"),
        pytest.param("charts/base/values.yaml", ["charts/base", "charts/scorer"], id="a dependency"),
        pytest.param(
            "charts/common/templates/_x.tpl",
            ["charts/base", "charts/common", "charts/scorer"],
            id="a library, two steps away",
        ),
        pytest.param("charts/other/charts/part/values.yaml", ["charts/other"], id="a chart inside a chart"),
        pytest.param("apps/scorer/Dockerfile", ["charts/scorer"], id="the application, mapped beside the chart"),
        pytest.param("stages/one.yaml", ["charts/scorer"], id="a values file of a case"),
        pytest.param("stages/two.yaml", ["charts/scorer"], id="a values file of a case's step"),
        pytest.param("docker/Dockerfile", ["charts/other"], id="a Dockerfile, mapped in pyproject.toml"),
        pytest.param("tests/broken/values.yaml", [], id="a chart that is none of one's own"),
        pytest.param("charts/scorer-2/values.yaml", [], id="a directory whose name begins alike"),
    ],
)
@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not yet added"])
def test_a_change_touches_what_is_made_of_it(file: str, touched: list[str], committed: bool, project: Project) -> None:
    """By the chart's own files, by dependencies however deep, and by what is mapped to it."""
    if committed:
        project.commit({file: "# changed\n"})
    else:
        write_chart(project.root, {file: "# changed\n"})
    assert [one.path for one in project.changed().charts] == touched


def test_what_main_did_meanwhile_does_not_count(project: Project) -> None:
    """The merge base is compared with, not the tip."""
    project.git("checkout", "--quiet", "main")
    project.commit({"charts/other/values.yaml": "b: 1\n"})
    project.git("checkout", "--quiet", "work")
    project.commit({"charts/scorer/values.yaml": "a: 3\n"})
    assert [one.path for one in project.changed().charts] == ["charts/scorer"]


def test_a_deleted_chart_is_listed_and_needs_no_job(project: Project) -> None:
    """Marked in the list and in the JSON; those made of it are touched; the matrix leaves it out."""
    project.git("rm", "-r", "--quiet", "charts/common")
    project.commit()
    changed = project.changed()
    assert as_list(changed).splitlines() == ["charts/base", "charts/common (deleted)", "charts/scorer"]
    assert [one["deleted"] for one in json.loads(as_json(changed))["charts"]] == [False, True, False]
    assert [job["name"] for job in json.loads(as_github_matrix(changed))["include"]] == ["base", "scorer"]


def test_the_matrix_is_one_line_with_a_job_per_version(project: Project) -> None:
    """What a workflow's fromJSON reads."""
    project.commit({"charts/other/values.yaml": "b: 1\n"})
    text = as_github_matrix(project.changed(), ("1.34", "1.33"))
    assert text == (
        '{"include":[{"chart":"charts/other","name":"other-name","kubernetes":"1.34"},'
        '{"chart":"charts/other","name":"other-name","kubernetes":"1.33"}]}'
    )


def test_an_untouched_branch_gives_an_empty_matrix(project: Project) -> None:
    """A workflow can ask whether there is anything to do."""
    assert as_github_matrix(project.changed(), ("1.34",)) == '{"include":[]}'


def test_the_json_says_why(project: Project) -> None:
    """Each file with how it belongs to the chart."""
    project.commit({"charts/common/values.yaml": "a: 1\n", "apps/scorer/Dockerfile": "FROM x\n"})
    scorer = json.loads(as_json(project.changed()))["charts"][-1]
    assert scorer["because"] == [
        {"file": "apps/scorer/Dockerfile", "role": "source"},
        {"file": "charts/common/values.yaml", "role": "dependency"},
    ]


def test_a_chart_that_cannot_be_read_does_not_hide_the_others(project: Project) -> None:
    """It is touched by its own files, and named with file and line."""
    project.commit({"charts/other/Chart.yaml": "name: [\n", "charts/base/values.yaml": "a: 1\n"})
    changed = project.changed()
    assert [one.path for one in changed.charts] == ["charts/base", "charts/other", "charts/scorer"]
    assert len(changed.problems) == 1
    assert changed.problems[0].startswith("charts/other/Chart.yaml:2: ")


@pytest.mark.parametrize(
    ("test_file", "charts", "selected"),
    [
        ("tests/test_a.py", ["charts/scorer"], True),
        ("tests/test_a.py", ["charts/other"], False),
        ("tests/test_a.py", ["charts/other", "charts/scorer"], True),
        ("tests/test_a.py", [], False),
        ("tests/test_new.py", [], True),
    ],
    ids=["of a touched chart", "of another", "of both", "of none", "changed itself"],
)
def test_tests_are_selected_by_their_charts(
    test_file: str, charts: list[str], selected: bool, project: Project
) -> None:
    """Tests of touched charts and tests that changed are kept."""
    project.commit({"charts/scorer/values.yaml": "a: 3\n", "tests/test_new.py": ""})
    changed = project.changed()
    assert changed.selects(project.root / test_file, [project.root / chart for chart in charts]) is selected


def test_a_directory_outside_any_repository_is_refused(tmp_path: Path, runner: Runner) -> None:
    """By its own error, with what to do."""
    with pytest.raises(HistoryError, match="not a git repository"):
        Repository.find(tmp_path, runner)


def test_a_first_push_touches_everything(project: Project, supply: Supply, capsys: pytest.CaptureFixture[str]) -> None:
    """A ref of zeros, which `github.event.before` is then, means that there was nothing before."""
    changed = project.changed("0" * 40)
    assert [one.path for one in changed.charts] == ["charts/base", "charts/common", "charts/other", "charts/scorer"]
    assert {"README.md", "apps/scorer/Dockerfile"} <= changed.files
    _checked(project, supply, "--since=" + "0" * 40, "charts/scorer")
    told = capsys.readouterr().out
    assert "unused-value" in told
    assert "version-bump" not in told, "there is nothing to compare with"


def test_an_unknown_ref_is_refused(project: Project) -> None:
    """The hint says how to get it."""
    with pytest.raises(HistoryError, match="there is no commit 'origin/main' here") as error:
        project.changed("origin/main")
    assert error.value.hint.startswith("`git fetch origin main`")


def test_unrelated_histories_are_refused(project: Project) -> None:
    """There is no merge base to compare with."""
    project.git("checkout", "--quiet", "--orphan", "alone")
    project.commit({"README.md": "another beginning"})
    with pytest.raises(HistoryError, match="no merge base"):
        project.changed()


@pytest.mark.parametrize("since", ["main", "origin/nowhere"], ids=["an ancestor cut off", "a ref left out"])
def test_history_that_is_cut_short_is_refused(since: str, project: Project, tmp_path: Path) -> None:
    """The hint says how to get the rest."""
    project.commit({"README.md": "1"})
    project.commit({"README.md": "2"})
    clone = Project(tmp_path / "clone", project.runner)
    project.git("clone", "--quiet", "--depth=1", "--no-single-branch", f"file://{project.root}", str(clone.root))
    clone.git("branch", "main", "origin/main")
    with pytest.raises(HistoryError, match="shallow: its history is cut short") as error:
        clone.changed(since)
    assert "git fetch --unshallow" in error.value.hint


def test_an_empty_repository_is_refused(tmp_path: Path, runner: Runner) -> None:
    """There is nothing to compare."""
    project = Project(tmp_path, runner)
    project.git("init", "--quiet", "--initial-branch=main")
    with pytest.raises(HistoryError, match="nothing has been committed yet"):
        project.changed()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[tool.seatrial.charts]\nexcludes = []\n", "unknown key 'excludes'"),
        ("[tool.seatrial.charts]\nexclude = 'x'\n", "exclude must be a list"),
        ("[tool.seatrial.charts]\nsources = ['x']\n", "sources must map"),
        ("[tool.seatrial\n", "pyproject.toml: "),
    ],
    ids=["a misspelt key", "a text for a list", "a list for a table", "no TOML"],
)
def test_a_malformed_pyproject_is_refused(text: str, problem: str, project: Project) -> None:
    """Each problem names the file."""
    write_chart(project.root, {"pyproject.toml": text})
    with pytest.raises(SettingsError, match=r"pyproject\.toml") as error:
        project.changed()
    assert problem in str(error.value)


def test_files_come_back_as_they_were(project: Project, tmp_path: Path) -> None:
    """What is extracted is the commit's, not the working tree's."""
    project.commit({"charts/scorer/values.yaml": "a: 3\n"})
    repository = Repository.find(project.root, project.runner)
    repository.extract(repository.merge_base("main"), ["charts/scorer"], tmp_path / "then")
    assert (tmp_path / "then/charts/scorer/values.yaml").read_text(encoding="utf-8") == "a: 1\n"


def _checked(project: Project, supply: Supply, *words: str) -> int:
    """Run `charts check` in the project and return its exit code."""
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers())
    args = parser.parse_args(["charts", "check", "--kubernetes=1.34", *words])
    return cli.run(args, project.runner, lambda: supply, sys.stdout, directory=project.root, kubernetes=())


def test_the_command_compares_with_the_charts_as_they_were(
    project: Project, supply: Supply, capsys: pytest.CaptureFixture[str]
) -> None:
    """`charts check --since` finds the forgotten version of a chart whose library changed."""
    project.commit({"charts/common/templates/_x.tpl": "{{/* changed */}}\n"})
    status = _checked(project, supply, "charts/scorer", "--since=main", "--output=github")
    told = capsys.readouterr().out
    assert status == 1
    assert "::error file=charts/scorer/Chart.yaml,line=3,title=scorer%3A version-bump::" in told
    assert "charts/common/templates/_x.tpl changed since main and the version is still 1.0.0" in told
