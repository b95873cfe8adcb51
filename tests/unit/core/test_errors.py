"""Errors say what was attempted, what was seen and what to try."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import errors
from harness.errors import (
    TAIL_CHARS,
    CleanupError,
    MissingArtifactsError,
    RolloutError,
    ScoreMismatch,
    SeatrialError,
    SettingsError,
    WaitTimeoutError,
    tail,
)


def test_message_has_three_parts() -> None:
    """Attempt, observation and advice, each on a line of its own, further lines indented below the first."""
    error = SeatrialError("load image 'a'", seen="one\ntwo", hint="build it first", node="n1")
    assert str(error) == "could not load image 'a'\n  seen: one\n        two\n  try:  build it first"
    assert error.facts == {"node": "n1"}


def test_message_without_details() -> None:
    """Parts nobody knows leave no empty lines."""
    assert str(SeatrialError("load image 'a'")) == "could not load image 'a'"


def test_long_output_is_cut_from_the_front() -> None:
    """Programs print the reason last, so the end is kept, and the cut is admitted."""
    text = "x" * TAIL_CHARS + "the reason"
    assert tail(text) == f"[... 10 characters cut ...]\n{'x' * (TAIL_CHARS - 10)}the reason"
    assert "the reason" in str(SeatrialError("a", seen=text))


def test_short_output_stays_whole() -> None:
    """Nothing is cut at the limit itself."""
    assert tail("x" * TAIL_CHARS) == "x" * TAIL_CHARS


def test_settings_error_lists_every_problem() -> None:
    """All problems, one per line."""
    assert str(SettingsError(["one", "two"])) == "one\ntwo"


def test_wait_timeout_names_its_limit_and_the_last_observation() -> None:
    """How long, and what was seen last."""
    error = WaitTimeoutError("see 'a' ready", timeout_s=90.0, last="Pending")
    assert str(error) == "could not see 'a' ready within 90 s\n  seen: last: Pending"


def test_missing_artifacts_say_how_to_get_each() -> None:
    """Several at once, each with a way to get it."""
    text = str(MissingArtifactsError([("kind", "seatrial supply get kind"), ("helm", "install it")], because="offline"))
    assert "could not supply kind, helm (offline)" in text
    assert "kind: seatrial supply get kind" in text
    assert "helm: install it" in text


def test_rollout_error_leads_with_the_reason() -> None:
    """Kubernetes' own word for it comes first."""
    assert "seen: ImagePullBackOff: no such image" in str(
        RolloutError("roll out 'a'", reason="ImagePullBackOff", seen="no such image")
    )


def test_cleanup_error_lists_what_is_left() -> None:
    """Every removal that failed is named with its cause."""
    assert "network: busy" in str(CleanupError([("network", OSError("busy"))]))


def test_wrong_score_is_a_failed_assertion() -> None:
    """A wrong answer is the test's finding, not a broken platform."""
    assert issubclass(ScoreMismatch, AssertionError)
    assert not issubclass(ScoreMismatch, SeatrialError)


def _raised_on_purpose() -> list[type[BaseException]]:
    classes = (one for _, one in inspect.getmembers(errors, inspect.isclass) if one.__module__ == errors.__name__)
    return [one for one in classes if issubclass(one, BaseException)]


@pytest.mark.parametrize("kind", _raised_on_purpose())
def test_tree_is_drawn_as_it_is(kind: type[BaseException]) -> None:
    """The drawing at the top of the module names every error."""
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__


PACKAGE = Path(errors.__file__).parent
# Errors that need no hint, by module and class.
WITHOUT_HINT = {
    ("evidence/collect.py", "SeatrialError"): "ends as a note of the evidence: nobody is asked to do anything",
}
# Those that can be told what to try; the others say it themselves (what is wrong with a setting, what is missing).
TAKE_A_HINT = {
    name
    for name, error in vars(errors).items()
    if inspect.isclass(error)
    and issubclass(error, SeatrialError)
    and "hint" in inspect.signature(error.__init__).parameters
}


def constructions() -> Iterator[tuple[str, ast.Call, str]]:
    """Every place that makes an error which takes a hint: the module, the call, and the error's name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in TAKE_A_HINT:
                yield str(path.relative_to(PACKAGE)), node, name


def test_every_error_says_what_to_try() -> None:
    """Who makes a typed error gives its hint, but where a reason stands for not doing so."""
    found = list(constructions())
    assert len(found) > len(TAKE_A_HINT)
    silent = {
        (module, name): call.lineno
        for module, call, name in found
        if not any(keyword.arg == "hint" and ast.unparse(keyword.value) != "''" for keyword in call.keywords)
    }
    assert silent.keys() == WITHOUT_HINT.keys(), silent
