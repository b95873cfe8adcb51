"""Tests that run with every declared case of a chart, those of changed charts only, and with several versions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

CASES = "cases:\n  - name: plain\n  - name: many\n    set: {replicas: 3}\n    steps: [install, score, uninstall]\n"


def write_chart(directory: Path, cases: str = CASES) -> Path:
    """Write a chart with a declaration."""
    directory.mkdir(parents=True)
    text = f"apiVersion: v2\nname: {directory.name}\nversion: 1.0.0\n"
    (directory / "Chart.yaml").write_text(text, encoding="utf-8")
    (directory / "values.yaml").write_text("replicas: 1\n", encoding="utf-8")
    (directory / "seatrial.yaml").write_text(cases, encoding="utf-8")
    return directory


def git(directory: Path, *args: str) -> None:
    """Run git as nobody in particular."""
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(directory), *who, *args], check=True, capture_output=True)


def test_a_test_runs_with_every_declared_case(pytester: pytest.Pytester) -> None:
    """Charts are found below the root; the ids are CHART/CASE and the values are the declared ones."""
    write_chart(pytester.path / "charts" / "app")
    write_chart(pytester.path / "charts" / "other", "cases: [{name: only}]\n")
    pytester.makepyfile("def test_it(chart_case): assert chart_case.release in ('app', 'other')")
    result = pytester.runpytest("-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test_it?app/plain?*", "*test_it?app/many?*", "*test_it?other/only?*"])


def test_a_marker_names_the_charts(pytester: pytest.Pytester) -> None:
    """Only the named chart's cases are run; its path starts from the test's file."""
    write_chart(pytester.path / "charts" / "app")
    write_chart(pytester.path / "charts" / "other")
    tests = pytester.mkdir("suite")
    (tests / "test_it.py").write_text(
        "import pytest\n@pytest.mark.chart('../charts/other')\ndef test_it(chart_case): assert chart_case.values == ()"
    )
    result = pytester.runpytest("-v")
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*app/plain*")


def test_charts_that_the_project_excludes_are_left_out(pytester: pytest.Pytester) -> None:
    """`[tool.seatrial.charts] exclude` holds here too."""
    write_chart(pytester.path / "charts" / "app")
    write_chart(pytester.path / "attic" / "old")
    pytester.makepyprojecttoml("[tool.seatrial.charts]\nexclude = ['attic/*']\n")
    pytester.makepyfile("def test_it(chart_case): pass")
    pytester.runpytest().assert_outcomes(passed=2)


def test_a_test_may_bring_cases_of_its_own(pytester: pytest.Pytester) -> None:
    """A parametrisation in the test's own words wins over the declared cases."""
    chart = write_chart(pytester.path / "app")
    pytester.makepyfile(
        f"""
        from pathlib import Path
        import pytest
        from harness.charts.case import ChartCase

        @pytest.mark.parametrize("chart_case", [ChartCase(Path({str(chart)!r}), "mine")])
        def test_it(chart_case):
            assert chart_case.id == "app/mine"
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_a_declaration_with_a_mistake_is_a_collection_error(pytester: pytest.Pytester) -> None:
    """File, line and what is wrong are named; there is no traceback."""
    write_chart(pytester.path / "app", "cases:\n  - name: x\n    steps: [install, sail]\n")
    pytester.makepyfile("def test_it(chart_case): pass")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*cases.0.steps.1: 'sail' is not one of*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.fixture
def repository(pytester: pytest.Pytester) -> Path:
    """Two charts with a test each, and one test of no chart, committed as `base`."""
    for name in ("app", "other"):
        write_chart(pytester.path / "charts" / name, "cases: [{name: only}]\n")
    pytester.makepyfile(
        test_charts="def test_case(chart_case): pass",
        test_named="import pytest\n@pytest.mark.chart('charts/app')\ndef test_named(): pass",
        test_else="def test_else(): pass",
    )
    git(pytester.path, "init", "-q", "-b", "main")
    git(pytester.path, "add", "charts", "test_charts.py", "test_named.py", "test_else.py")
    git(pytester.path, "commit", "-qm", "base")
    git(pytester.path, "tag", "base")
    return pytester.path


def test_only_tests_of_changed_charts_are_run(pytester: pytest.Pytester, repository: Path) -> None:
    """Those that run with its cases and those that name it; the others are deselected."""
    (repository / "charts" / "app" / "values.yaml").write_text("replicas: 2\n", encoding="utf-8")
    result = pytester.runpytest("-v", "--changed-since=base")
    result.assert_outcomes(passed=2, deselected=2)
    result.stdout.fnmatch_lines(["*test_case?app/only?*", "*test_named*"])


def test_a_test_that_changed_itself_is_run(pytester: pytest.Pytester, repository: Path) -> None:
    """Whatever it is about."""
    (repository / "test_else.py").write_text("def test_else(): assert True\n", encoding="utf-8")
    pytester.runpytest("--changed-since=base").assert_outcomes(passed=1, deselected=3)


@pytest.mark.parametrize(
    "file", ["conftest.py", "__snapshots__/test_else/test_else[default].yaml"], ids=["its conftest.py", "its golden"]
)
def test_a_test_whose_surroundings_changed_is_run(pytester: pytest.Pytester, repository: Path, file: str) -> None:
    """A conftest.py belongs to every test below it, a golden to the tests of one file."""
    (repository / file).parent.mkdir(parents=True, exist_ok=True)
    (repository / file).write_text("", encoding="utf-8")
    run = {"conftest.py": 4}.get(file, 1)
    pytester.runpytest("--changed-since=base").assert_outcomes(passed=run, deselected=4 - run)


def test_nothing_changed_runs_nothing(pytester: pytest.Pytester, repository: Path) -> None:
    """All tests are deselected: exit code 5, as pytest has it."""
    result = pytester.runpytest("--changed-since=base")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_only_tests_of_one_chart_are_run(pytester: pytest.Pytester, repository: Path) -> None:
    """Whether they run with its cases or name it; tests of other charts and of none are deselected."""
    result = pytester.runpytest("-v", "--chart=charts/app/")
    result.assert_outcomes(passed=2, deselected=2)
    result.stdout.fnmatch_lines(["*test_case?app/only?*", "*test_named*"])


def test_a_chart_that_is_not_there_is_a_usage_error(pytester: pytest.Pytester, repository: Path) -> None:
    """Rather than a run of no tests."""
    result = pytester.runpytest("--chart=charts/none")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--chart 'charts/none': there is no directory '*/charts/none'*"])


def test_history_that_cannot_be_had_is_a_usage_error(pytester: pytest.Pytester, repository: Path) -> None:
    """What git does not know is said in one message, not in a traceback."""
    result = pytester.runpytest("--changed-since=origin/nowhere")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*there is no commit 'origin/nowhere' here*"])


MATRIX = """
    import pytest
    from concurrent.futures import Future

    made = []

    @pytest.fixture(scope="session")
    def _pending_cluster(cluster_spec):
        made.append(cluster_spec.kubernetes)
        future = Future()
        future.set_result(cluster_spec)
        yield future
        made.append(f"end {cluster_spec.kubernetes}")

    def pytest_unconfigure():
        print("made:", *made)
"""


def test_every_test_with_a_cluster_runs_with_every_version(pytester: pytest.Pytester) -> None:
    """Grouped by version, each cluster made once; a test without a cluster runs once, first."""
    pytester.makeconftest(MATRIX)
    pytester.makepyfile(
        """
        def test_a(cluster, kubernetes_version): assert cluster.kubernetes == kubernetes_version
        def test_none(): pass
        def test_b(cluster): pass
        """
    )
    result = pytester.runpytest("-v", "-s", "--kubernetes=1.34,1.21")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(
        [
            "*::test_none*",
            "*::test_a?kubernetes-1.34?*",
            "*::test_b?kubernetes-1.34?*",
            "*::test_a?kubernetes-1.21?*",
            "*::test_b?kubernetes-1.21?*",
            "*made: 1.34 end 1.34 1.21 end 1.21*",
        ]
    )


def test_versions_and_cases_multiply(pytester: pytest.Pytester) -> None:
    """Two versions and two cases are four tests, still grouped by version."""
    write_chart(pytester.path / "app")
    pytester.makeconftest(MATRIX)
    pytester.makepyfile("def test_it(chart_case, cluster): pass")
    result = pytester.runpytest("-v", "-s", "--kubernetes=1.34,1.21")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*made: 1.34 end 1.34 1.21 end 1.21*"])


def test_one_version_changes_no_id(pytester: pytest.Pytester) -> None:
    """A run with one version is as it always was."""
    pytester.makeconftest(MATRIX)
    pytester.makepyfile("def test_a(cluster): pass")
    result = pytester.runpytest("-v", "--kubernetes=1.21")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*::test_a PASSED*"])
