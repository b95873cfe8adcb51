"""This project's own conftest.py: what becomes of skipped tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SUITE = """
    import pytest

    @pytest.mark.skipif(True, reason="no go on PATH")
    def test_without_a_program():
        pass

    def test_skips_itself():
        pytest.skip("no such program")

    @pytest.mark.skipif(True, reason="the managed engine needs root")
    def test_without_root():
        pass

    @pytest.mark.xfail(reason="no go on PATH", strict=True)
    def test_is_known_to_fail():
        assert False

    def test_passes():
        pass
"""


@pytest.mark.parametrize(
    ("ci", "outcomes"),
    [
        pytest.param("true", {"failed": 1, "errors": 1, "skipped": 1, "xfailed": 1, "passed": 1}, id="in CI"),
        pytest.param("false", {"skipped": 3, "xfailed": 1, "passed": 1}, id="CI switched off"),
        pytest.param("", {"skipped": 3, "xfailed": 1, "passed": 1}, id="elsewhere"),
    ],
)
def test_a_skip_is_a_failure_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, outcomes: dict[str, int]
) -> None:
    """A missing program fails by name there; the exceptions are those that conftest.py names."""
    shutil.copy(Path(__file__).parents[2] / "conftest.py", pytester.path)
    pytester.makeini("[pytest]\nmarkers = integration")
    (pytester.path / "tests" / "integration").mkdir(parents=True)
    pytester.makepyfile(**{"tests/integration/test_suite": SUITE})
    monkeypatch.setenv("CI", ci)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(**outcomes)
    if ci == "true":
        result.stdout.fnmatch_lines(["*no go on PATH: skipped, which in CI is a failure*"])
