"""SIGTERM to a run that has further runs inside: pytester's, or an application's that calls `pytest.main`."""

from __future__ import annotations

import signal

import pytest

OUTER = """
    import signal

    import pytest

    pytest_plugins = ["pytester"]

    INNER = '''
        import signal

        import pytest

        @pytest.fixture(scope="session")
        def ended(seatrial):
            yield
            seatrial.cleanup.push("it", lambda: {teardown})

        def test_inner(seatrial, ended):
            {body}

        def test_more_of_the_inner(seatrial):
            print("the inner run went on")
    '''

    def test_outer(seatrial, pytester):
        pytester.makepyfile(INNER)
        pytester.runpytest({options})
        {after}
        print("the outer test went on")

    def test_more_of_the_outer():
        print("the outer run went on")
"""
TERMINATE = "signal.raise_signal(signal.SIGTERM)"


@pytest.mark.parametrize(
    ("body", "teardown", "after", "options"),
    [
        pytest.param(TERMINATE, "None", "", "", id="in a test of the inner run"),
        pytest.param("pass", TERMINATE, "", "", id="while the inner run removes what it made"),
        pytest.param("assert False", TERMINATE, "", '"-x"', id="while an inner run that failed removes what it made"),
        pytest.param("pass", "None", TERMINATE, "", id="after the inner run"),
    ],
)
def test_the_outer_run_ends_too(pytester: pytest.Pytester, body: str, teardown: str, after: str, options: str) -> None:
    """The signal was meant for the process: whichever run hears it, none of them goes on, and the exit code says so."""
    pytester.makepyfile(OUTER.format(body=body, teardown=teardown, after=after or "pass", options=options))
    result = pytester.runpytest_subprocess("-s", "-p", "no:cacheprovider")
    assert result.ret == 128 + signal.SIGTERM
    result.stdout.no_fnmatch_line("*the outer * went on*")
    result.stdout.fnmatch_lines(["*KeyboardInterrupt*"])


def test_a_run_on_its_own_ends_with_the_code_of_shells(pytester: pytest.Pytester) -> None:
    """Nobody else hears the signal, and the summary is still written."""
    pytester.makepyfile(f"import signal\n\ndef test_it(seatrial):\n    {TERMINATE}\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert result.ret == 128 + signal.SIGTERM
    result.stdout.fnmatch_lines(["*KeyboardInterrupt: received SIGTERM*", "*no tests ran*"])
