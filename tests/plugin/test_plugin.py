"""The installed plugin in a project of somebody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.conftest import DEMO, FakeCluster

QUIET = ("-p", "no:cacheprovider")


def run_json(project: Path) -> dict[str, Any]:
    """Return the record of the only run."""
    (path,) = project.glob("seatrial-evidence/*Z-*/run.json")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


# -- being there


def test_header(pytester: pytest.Pytester) -> None:
    """The first lines of a run say which provider and version it would use, and what somebody chose."""
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest("--keep-cluster")
    result.stdout.fnmatch_lines(
        [
            "seatrial: cluster-provider=kind (default)",
            "seatrial: keep-cluster=yes (command line)",
            "seatrial: kubernetes=1.34 (default)",
        ]
    )
    result.assert_outcomes(passed=1)


def test_switched_off(pytester: pytest.Pytester) -> None:
    """`-p no:seatrial` takes all of it away: options, fixtures, header."""
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest("-p", "no:seatrial")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("seatrial: *")
    assert pytester.runpytest("-p", "no:seatrial", "--offline").ret == pytest.ExitCode.USAGE_ERROR


def test_scenario_is_a_known_marker(pytester: pytest.Pytester) -> None:
    """A project that is strict about markers may use ours without declaring it."""
    pytester.makepyfile("import pytest\n@pytest.mark.scenario\ndef test_nothing(): pass")
    pytester.runpytest("--strict-markers", "-m", "scenario").assert_outcomes(passed=1)


def test_all_that_is_wrong_is_told_before_anything_starts(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that cannot hold end the run with pytest's code for a wrong command line, all of them named."""
    monkeypatch.setenv("SEATRIAL_KUBERNETES", "1.2")
    pytester.makepyfile("def test_nothing(cluster): pass")
    result = pytester.runpytest("--kube-context=x", "--rollout-timeout=soon", "--docker-host=nowhere")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str()
    assert "SEATRIAL_KUBERNETES=1.2" in text
    assert "--rollout-timeout 'soon'" in text
    assert "--docker-host 'nowhere'" in text
    assert "--kube-context (command line) goes with --cluster-provider existing" in text
    assert "Traceback" not in text
    assert not (pytester.path / "seatrial-evidence").exists()


# -- costing nothing

HEAVY = ("docker", "jsonschema", "kubernetes", "pykube", "requests", "yaml", "harness.assembly")


def test_a_run_without_our_fixtures_costs_nothing(pytester: pytest.Pytester, home: Path) -> None:
    """No client library is imported, no directory made, nobody asked."""
    pytester.makepyfile(
        f"""
        import sys

        def test_light():
            assert [name for name in {HEAVY!r} if name in sys.modules] == []
        """
    )
    result = pytester.runpytest_subprocess(*QUIET, "-p", "no:pytest-kind")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*evidence:*")
    assert not (pytester.path / "seatrial-evidence").exists()
    assert list(home.iterdir()) == []


# -- fixtures


def test_documented_fixtures_are_those_there_are(pytester: pytest.Pytester) -> None:
    """docs/fixtures.md lists what `pytest --fixtures` offers, with the right scopes."""
    import re

    from harness import plugin

    result = pytester.runpytest("--fixtures")
    offered = {
        match["name"]: match["scope"] or "function"
        for line in result.stdout.lines
        if (match := re.match(r"(?P<name>\w+)(?: \[(?P<scope>\w+) scope\])? -- .*harness/plugin\.py:\d+$", line))
    }
    document = Path(plugin.__file__).parent.parent / "docs" / "fixtures.md"
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == offered
    assert len(rows) == len(offered)
    result.stdout.no_fnmatch_line("*no docstring available*plugin.py*")


def test_cluster_spec_is_overridden(pytester: pytest.Pytester) -> None:
    """A project declares its cluster by a fixture of the same name."""
    pytester.makeconftest(
        """
        from concurrent.futures import Future

        import pytest

        from harness import ClusterSpec

        class Parts:
            def begin_cluster(self, spec):
                future = Future()
                future.set_result(spec)
                return future

        @pytest.fixture(scope="session")
        def seatrial():
            return Parts()

        @pytest.fixture(scope="session")
        def cluster_spec(cluster_spec):
            return ClusterSpec.of_size(cluster_spec.kubernetes, workers=2)
        """
    )
    pytester.makepyfile(
        """
        def test_nodes(cluster):
            assert cluster.kubernetes == "1.34"
            assert [node.role for node in cluster.nodes] == ["control-plane", "worker", "worker"]
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


SOME_NEED_A_CLUSTER = """
    def test_first(seatrial):
        assert len(seatrial._pending) == 1, "begun before the first test"

    def test_second(kind_cluster_user):
        assert kind_cluster_user == "v1.34.4"

    def test_without():
        pass
"""
USER = """
    import pytest

    @pytest.fixture
    def kind_cluster_user(cluster):
        return cluster.kubernetes
"""


def test_cluster_is_begun_ahead(pytester: pytest.Pytester, fake_cluster: FakeCluster) -> None:
    """A cluster that any selected test needs, however indirectly, is begun before the first test runs."""
    pytester.makeconftest(USER)
    pytester.makepyfile(SOME_NEED_A_CLUSTER)
    pytester.runpytest(*fake_cluster.arguments).assert_outcomes(passed=3)
    assert [path for path in fake_cluster.asked if path.startswith("/version")]


def test_no_cluster_is_begun_for_tests_that_need_none(pytester: pytest.Pytester, fake_cluster: FakeCluster) -> None:
    """Tests that were deselected need nothing."""
    pytester.makeconftest(USER)
    pytester.makepyfile(SOME_NEED_A_CLUSTER)
    pytester.runpytest(*fake_cluster.arguments, "-k", "without").assert_outcomes(passed=1, deselected=2)
    assert fake_cluster.asked == []
    assert not (pytester.path / "seatrial-evidence").exists()


# -- evidence


def test_a_failed_test_shows_where_its_evidence_is(pytester: pytest.Pytester, fake_cluster: FakeCluster) -> None:
    """What the cluster says is collected while the test's namespace is there, and the report points at it."""
    pytester.makeconftest(DEMO)
    pytester.makepyfile("def test_fails(demo):\n    assert demo == 'other', 'not the one'")
    result = pytester.runpytest(*fake_cluster.arguments)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*- seatrial evidence -*", "*/failures/test-a-failed-test*", "*= seatrial =*", "run *", "evidence: *"]
    )
    record = run_json(pytester.path)
    (failure,) = record["failures"]
    assert failure["test"].endswith("::test_fails")
    assert "not the one" in failure["message"]
    files = [pytester.path / "seatrial-evidence" / "latest" / name for name in failure["files"]]
    assert files
    assert all(path.is_file() for path in files)
    assert "answer to: " in "".join(path.read_text() for path in files)


def test_the_log_that_a_failure_names_is_kept(pytester: pytest.Pytester, fake_cluster: FakeCluster) -> None:
    """The error's own facts say where it is."""
    pytester.makeconftest(DEMO)
    pytester.makepyfile(
        """
        from pathlib import Path
        from harness.errors import ImageBuildError

        def test_fails(demo):
            log = Path("build.log").absolute()
            log.write_text("Step 1/2 : FROM scratch")
            raise ImageBuildError("build image 'app'", log=str(log))
        """
    )
    pytester.runpytest(*fake_cluster.arguments).assert_outcomes(failed=1)
    (failure,) = run_json(pytester.path)["failures"]
    (copy,) = [name for name in failure["files"] if name.endswith("/logs/build.log")]
    assert (pytester.path / "seatrial-evidence" / "latest" / copy).read_text() == "Step 1/2 : FROM scratch"


def test_a_failed_test_without_room_for_its_evidence(pytester: pytest.Pytester, fake_cluster: FakeCluster) -> None:
    """The test's own failure is what is reported; what could not be kept is told in the summary."""
    pytester.makeconftest(DEMO)
    pytester.makepyfile(
        """
        from pathlib import Path

        def test_fails(demo):
            (directory,) = Path("seatrial-evidence").glob("*Z-*")
            (directory / "failures").write_text("")
            (directory / "run.json").mkdir()
            assert demo == 'other', 'not the one'
        """
    )
    result = pytester.runpytest(*fake_cluster.arguments)
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "E *not the one*",
            "note: could not collect events of namespace 'demo': *",
            "note: the account of the run could not be written to '*/run.json': *",
            "evidence: *",
        ]
    )


def test_a_passed_test_leaves_its_record(pytester: pytest.Pytester, fake_cluster: FakeCluster) -> None:
    """Nothing is collected, but what was done is on record, secrets masked."""
    pytester.makeconftest(DEMO)
    pytester.makepyfile("def test_passes(demo): pass")
    pytester.runpytest(*fake_cluster.arguments).assert_outcomes(passed=1)
    record = run_json(pytester.path)
    assert record["failures"] == []
    assert "get cluster '1.34'" in str(record["steps"])
    assert "t0p-secret" not in str(record)


def test_a_cluster_that_is_gone_is_said_instead(pytester: pytest.Pytester, fake_cluster: FakeCluster) -> None:
    """A cluster that no longer answers is the finding; nobody waits for its pods' logs."""
    pytester.makeconftest(
        DEMO
        + """
    @pytest.fixture
    def dying(seatrial, cluster, monkeypatch):
        monkeypatch.setattr(type(seatrial.provider), "diagnose", lambda *_: "the node is not running: exit code 137")
        """
    )
    pytester.makepyfile("def test_fails(demo, dying):\n    raise OSError('reset by peer')")
    result = pytester.runpytest(*fake_cluster.arguments)
    # The patch is undone when the fixture is: the report is made before that.
    result.stdout.fnmatch_lines(["*- seatrial cluster -*", "the node is not running: exit code 137"])


# -- for a CI system


def test_github_shows_a_failed_test(
    pytester: pytest.Pytester, fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On GitHub a failure is an annotation at the test's line, and the job's page tells of it; secrets stay masked."""
    page = pytester.path / "summary.md"
    page.write_text("what another step said\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    pytester.makeconftest(DEMO)
    pytester.makepyfile(
        test_it="""
        def test_passes(demo):
            pass

        def test_fails(demo, seatrial):
            seatrial.recorder.keep_secret("hush-hush")
            raise OSError("reset by hush-hush")
        """
    )
    result = pytester.runpytest(*fake_cluster.arguments)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["seatrial: job-summary=*summary.md (environment GITHUB_STEP_SUMMARY)"])
    (line,) = (line for line in result.stdout.lines if line.startswith("::"))
    assert line == "::error file=test_it.py,line=4,title=test_it.py%3A%3Atest_fails::reset by ****"
    text = page.read_text(encoding="utf-8")
    assert text.startswith("what another step said\n## Seatrial: 1 failed, 1 passed\n\n### `test_it.py::test_fails`\n")
    assert "evidence: " in text
    assert "hush-hush" not in text


def test_elsewhere_nothing_is_printed_for_github(pytester: pytest.Pytester, fake_cluster: FakeCluster) -> None:
    """On a machine of one's own a failure is told once."""
    pytester.makeconftest(DEMO)
    pytester.makepyfile("def test_fails(demo):\n    raise OSError('reset by peer')")
    result = pytester.runpytest(*fake_cluster.arguments)
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("::error*")


def test_a_page_that_cannot_be_written_breaks_nothing(pytester: pytest.Pytester, fake_cluster: FakeCluster) -> None:
    """The run ends as it would, and says why there is no page."""
    pytester.makeconftest(DEMO)
    pytester.makepyfile("def test_passes(demo): pass")
    result = pytester.runpytest(*fake_cluster.arguments, "--job-summary=absent/summary.md")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["no job summary in '*absent/summary.md': No such file or directory"])


# -- beside other plugins

LOADS = """
    def pytest_addoption(parser, pluginmanager):
        for name in {names}:
            pluginmanager.load_setuptools_entrypoints("pytest11", name=name)
"""
ORDERS = {"pytest-kind first": ["pytest-kind", "seatrial"], "seatrial first": ["seatrial", "pytest-kind"]}


@pytest.mark.parametrize("names", ORDERS.values(), ids=ORDERS.keys())
def test_kind_cluster_is_ours_in_either_order(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    """Installed plugins are loaded in the order of directory entries; which comes first must not matter."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(loads=LOADS.format(names=names))
    pytester.syspathinsert()
    pytester.makepyfile(
        """
        def test_nothing(request, pytestconfig):
            assert pytestconfig.getoption("cluster_name") is None
            assert not pytestconfig.pluginmanager.has_plugin("pytest-kind")
            definitions = request._fixturemanager.getfixturedefs("kind_cluster", request.node)
            assert definitions[-1].func.__module__ == "harness.plugin", "the last one counts"
        """
    )
    pytester.runpytest("-p", "loads").assert_outcomes(passed=1)


def test_in_whichever_order_the_environment_has(pytester: pytest.Pytester) -> None:
    """All installed plugins together."""
    result = pytester.runpytest("--fixtures")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["kind_cluster *harness/plugin.py:*"])


def test_what_tests_use_is_known_before_they_run(pytester: pytest.Pytester) -> None:
    """Fixtures of the plugin count, those of fixtures too; what a project calls by the same name does not."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def registry():
            return "another"

        @pytest.fixture
        def mine(golden_renders):
            pass

        def test_asks(seatrial, registry):
            assert {"golden_renders", "score"} <= set(seatrial._fixtures)
            assert not {"registry", "mine", "tmp_path_factory"} & set(seatrial._fixtures)

        @pytest.mark.skip
        def test_later(mine, score):
            pass
        """
    )
    pytester.runpytest(*QUIET).assert_outcomes(passed=1, skipped=1)
