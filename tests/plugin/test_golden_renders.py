"""Goldens of charts in a user's suite: written, compared, and missed when nobody asks for them."""

from __future__ import annotations

import pytest

pytest.importorskip("syrupy", reason="goldens need the extra seatrial[charts]")

SUITE = """
    from pathlib import Path

    import pytest

    from harness.charts.render import Renderer
    from harness.charts.snapshot import GoldenRenders
    from harness.testing import RecordingRunner

    @pytest.fixture
    def golden_renders(snapshot, tmp_path):
        runner = RecordingRunner()
        runner.on("helm", "template", stdout=Path("rendered.yaml").read_text())
        return GoldenRenders(snapshot, Renderer(runner, Path("/bin/helm"), tmp_path))

    def test_app(golden_renders):
        golden_renders("app")
"""
RENDERED = "---\n# Source: app/templates/x.yaml\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  replicas: '2'\n"


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite with one chart, whose goldens are written."""
    # A run of its own, also where this one's tests are spread over workers: in a worker, syrupy judges nothing.
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    chart = pytester.mkdir("app")
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: app\nversion: 1.0.0\n", encoding="utf-8")
    (chart / "ci").mkdir()
    (chart / "ci" / "small.yaml").write_text("a: 1\n", encoding="utf-8")
    (pytester.path / "rendered.yaml").write_text(RENDERED, encoding="utf-8")
    pytester.makepyfile(SUITE)
    pytester.runpytest_subprocess("--snapshot-update").assert_outcomes(passed=1)
    return pytester


def test_an_unchanged_chart_passes(suite: pytest.Pytester) -> None:
    """One golden per values set, which a person can read."""
    suite.runpytest_subprocess().assert_outcomes(passed=1)
    goldens = sorted(path.name for path in suite.path.rglob("__snapshots__/**/*.yaml"))
    assert goldens == ["test_app[ci-small].yaml", "test_app[default].yaml"]


def test_a_change_is_shown_line_by_line_for_every_values_set(suite: pytest.Pytester) -> None:
    """The test fails with what was and what is, and says how to accept it."""
    (suite.path / "rendered.yaml").write_text(RENDERED.replace("'2'", "'1'"), encoding="utf-8")
    result = suite.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*chart 'app' no longer renders to its goldens (--snapshot-update takes it as it is now)*"]
    )
    result.stdout.fnmatch_lines(["*values set 'default':*", "*replicas: '2'*", "*replicas: '1'*"])
    result.stdout.fnmatch_lines(["*values set 'ci/small.yaml':*", "*replicas: '2'*", "*replicas: '1'*"])


def test_an_update_takes_the_chart_as_it_is(suite: pytest.Pytester) -> None:
    """After it the suite passes."""
    (suite.path / "rendered.yaml").write_text(RENDERED.replace("'2'", "'1'"), encoding="utf-8")
    suite.runpytest_subprocess("--snapshot-update").assert_outcomes(passed=1)
    suite.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_golden_that_no_test_asks_for_fails_the_run(suite: pytest.Pytester) -> None:
    """A values set that is gone leaves its golden behind: the run says so."""
    (suite.path / "app" / "ci" / "small.yaml").unlink()
    result = suite.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*1 snapshot unused*"])
