"""Responses: assertions that chain, and failures that say what a person needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.access.endpoint import Endpoint
from harness.errors import ScoreMismatch
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse

REQUEST = ScoreRequest(Endpoint("http://127.0.0.1:5000"), "/score", {"X": [1, 2]}, secrets=("hunter2",))


def answer(
    body: bytes = b'{"score": [1, 2]}',
    status: int = 200,
    content_type: str = "application/json",
    latency_s: float = 0.01,
) -> ScoreResponse:
    """Return a response to the tutorial's request."""
    return ScoreResponse(REQUEST, status, {"Content-Type": content_type} if content_type else {}, body, latency_s)


def test_assertions_chain() -> None:
    """Each assertion returns the response, so that a test reads as one sentence."""
    response = answer()
    assert (
        response.assert_status(200)
        .assert_status(200, 201)
        .assert_content_type("application/json")
        .assert_json({"score": [1, 2]})
        .assert_close({"score": [1.0000001, 2]})
        .assert_schema({"required": ["score"]})
        .assert_latency_under(0.02)
        is response
    )


def test_a_mismatch_shows_paths_status_body_and_curl() -> None:
    """The whole story is in the message, in this order."""
    with pytest.raises(ScoreMismatch) as caught:
        answer(b'{"score": [1, 3]}').assert_json({"score": [1, 2]})
    assert str(caught.value).splitlines() == [
        "the answer is not the expected one",
        "  $.score[1]: expected 2, got 3",
        "status: 200 OK",
        'body:   {"score": [1, 3]}',
        "again:  curl http://127.0.0.1:5000/score --request POST --header 'Content-Type: application/json' "
        """--data '{"X": [1, 2]}'""",
    ]


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        pytest.param(lambda: answer(status=500).assert_status(200), "expected status 200 OK, got 500", id="status"),
        pytest.param(
            lambda: answer(status=404).assert_status(200, 201), "200 OK or 201 Created", id="several statuses"
        ),
        pytest.param(lambda: answer(status=799).assert_status(200), "got 799\n", id="a status nobody named"),
        pytest.param(
            lambda: answer(content_type="text/html").assert_content_type("application/json"),
            "expected content type application/json, got text/html",
            id="content type",
        ),
        pytest.param(
            lambda: answer(content_type="").assert_content_type("application/json"), "got none", id="no content type"
        ),
        pytest.param(
            lambda: answer(latency_s=0.5).assert_latency_under(0.5),
            "expected an answer in under 0.5 s, got one after 0.500 s",
            id="latency",
        ),
        pytest.param(lambda: answer(b"").assert_json({}), "the body is not JSON", id="an empty body"),
        pytest.param(lambda: answer(b'{"score": [1').assert_json({}), "the body is not JSON", id="half a body"),
        pytest.param(lambda: answer().assert_close({"score": [5, 2]}, rel=0.1), r"$.score[0]: expected 5", id="close"),
        pytest.param(
            lambda: answer().assert_schema({"properties": {"score": {"maxItems": 1}}}), "$.score: [1, 2]", id="schema"
        ),
    ],
)
def test_each_assertion_fails_as_an_assertion(fails: Callable[[], Any], says: str) -> None:
    """A wrong answer is an ``AssertionError`` that says what was expected and what came."""
    with pytest.raises(AssertionError) as caught:
        fails()
    assert says in str(caught.value)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_parameters_and_case_of_the_content_type_do_not_matter(content_type: str) -> None:
    """The media type alone is compared."""
    answer(content_type=content_type).assert_content_type("application/json")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("text/plain; charset=latin-1", b"\xe9t\xe9", id="the charset that was named"),
        pytest.param("text/plain", "été".encode(), id="utf-8 when none was"),
        pytest.param("text/plain; charset=nonsense", "été".encode(), id="utf-8 for one nobody knows"),
    ],
)
def test_text_is_decoded_as_the_service_says(content_type: str, body: bytes) -> None:
    """The charset parameter counts, and its absence means UTF-8."""
    assert answer(body, content_type=content_type).text == "été"


def test_an_html_error_page_is_shown_as_its_words() -> None:
    """The reader sees title and text, not tags, styles or scripts."""
    page = (
        b"<!doctype html><html><head><title>500 Internal Server Error</title><style>p {color: red}</style></head>"
        b"<body><h1>Oops</h1><script>alert(1)</script><p>No model &amp; no score</p></body></html>"
    )
    shown = answer(page, 500, "text/html; charset=utf-8").readable_body()
    assert shown.startswith("an HTML page: 500 Internal Server Error")
    assert shown.endswith("Oops No model & no score")
    assert not any(word in shown for word in ("<", "alert", "color"))


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [
        pytest.param(b"", "application/json", "an empty body", id="empty"),
        pytest.param(b"\x89PNG\x00\x01", "image/png", "6 bytes of image/png", id="binary"),
        pytest.param(b"password is hunter2", "text/plain", "password is ****", id="a secret that came back"),
    ],
)
def test_other_bodies_are_readable(body: bytes, content_type: str, shown: str) -> None:
    """Nothing unreadable and nothing secret is printed."""
    assert answer(body, content_type=content_type).readable_body() == shown


def test_a_long_body_is_cut_from_the_front() -> None:
    """A traceback keeps its last line, which holds the reason."""
    shown = answer(b"x" * 100_000 + b"\nValueError: no model", 500, "text/plain").readable_body()
    assert shown.endswith("ValueError: no model")
    assert "characters cut" in shown
    assert len(shown) < 5_000


def test_a_long_request_does_not_fill_the_message() -> None:
    """A request with a large body is named, not printed."""
    large = ScoreResponse(ScoreRequest(REQUEST.endpoint, "/score", b"x" * 100_000), 500, {}, b"", 0.1)
    with pytest.raises(ScoreMismatch) as caught:
        large.assert_status(200)
    assert "with its body of 100000 bytes" in str(caught.value)
    assert len(str(caught.value)) < 1_000
