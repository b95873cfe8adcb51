"""The value that says what a scoring service answered, with the assertions a test makes on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from http import HTTPStatus
from typing import Any

from harness.errors import TAIL_CHARS, ScoreMismatch, tail
from harness.scoring import assertions
from harness.scoring.assertions import Difference, listed
from harness.scoring.request import ScoreRequest


@dataclass(frozen=True)
class ScoreResponse:
    """One answer of a scoring service.

    The ``assert_...`` methods return the response itself, so that they can be chained, and raise
    :class:`~harness.errors.ScoreMismatch` (an ``AssertionError``) with what differs, the body, and the curl command
    that sends the same request.

    Args:
        request: what was asked.
        status: HTTP status code.
        headers: response headers; names are looked up whatever their case.
        body: the body's bytes, decompressed.
        latency_s: seconds from sending the request to the last byte of the answer.
    """

    request: ScoreRequest
    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_s: float

    @property
    def content_type(self) -> str:
        """The media type in lower case without its parameters, e.g. ``application/json``; empty when there is none."""
        return self._header("content-type").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body decoded with the charset of its content type, UTF-8 without one; bad bytes are replaced."""
        charset = "utf-8"
        for parameter in self._header("content-type").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                charset = value.strip().strip("\"'")
        try:
            return self.body.decode(charset, errors="replace")
        except LookupError:
            return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """Return the body parsed as JSON, whatever its content type says.

        Raises:
            ScoreMismatch: the body is not JSON.
        """
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise self.mismatch("the body is not JSON", str(error)) from error

    def assert_status(self, *expected: int) -> ScoreResponse:
        """Fail unless the status is one of `expected`."""
        if self.status not in expected:
            wanted = " or ".join(_status(code) for code in expected)
            raise self.mismatch(f"expected status {wanted}, got {_status(self.status)}")
        return self

    def assert_content_type(self, expected: str) -> ScoreResponse:
        """Fail unless the media type is `expected`; parameters such as ``charset`` and letter case do not matter."""
        if self.content_type != expected.partition(";")[0].strip().lower():
            raise self.mismatch(f"expected content type {expected}, got {self.content_type or 'none'}")
        return self

    def assert_json(self, expected: Any) -> ScoreResponse:
        """Fail unless the body is the JSON value `expected`; see :func:`.assertions.exact_differences`."""
        return self._none_of(assertions.exact_differences(expected, self.json()), "the answer is not the expected one")

    def assert_close(
        self,
        expected: Any,
        *,
        rel: float = assertions.DEFAULT_REL,
        abs: float = assertions.DEFAULT_ABS,  # noqa: A002 - named as in pytest.approx
    ) -> ScoreResponse:
        """Fail unless the body is `expected` with numbers within a tolerance, at any depth.

        Args:
            expected: the value, e.g. ``{"score": [0.1, 0.9]}``.
            rel: tolerance as a fraction of each expected number.
            abs: tolerance in the numbers' own unit.
        """
        differences = assertions.close_differences(expected, self.json(), rel=rel, abs=abs)
        return self._none_of(differences, "the answer is not close to the expected one")

    def assert_schema(self, schema: dict[str, Any]) -> ScoreResponse:
        """Fail unless the body satisfies a JSON Schema; see :func:`.assertions.schema_differences`."""
        differences = assertions.schema_differences(schema, self.json())
        return self._none_of(differences, "the answer does not satisfy the schema")

    def assert_latency_under(self, seconds: float) -> ScoreResponse:
        """Fail unless the answer was complete in less than `seconds`."""
        if not self.latency_s < seconds:
            raise self.mismatch(f"expected an answer in under {seconds:g} s, got one after {self.latency_s:.3f} s")
        return self

    def summary(self) -> str:
        """Return status, latency and a readable form of the body, for messages."""
        return f"{_status(self.status)} after {self.latency_s:.3f} s, {self.readable_body()}"

    def readable_body(self) -> str:
        """Return the body as a person wants to read it: text cut to a screen, HTML without its tags, bytes counted."""
        if not self.body:
            return "an empty body"
        if b"\0" in self.body:
            return f"{len(self.body)} bytes of {self.content_type or 'unknown content'}"
        text = self.text
        if self.content_type == "text/html" or text.lstrip()[:15].lower().startswith(("<!doctype html", "<html")):
            words = _html_text(text)
            # An HTML error page says what happened at its top, unlike a program's output.
            text = f"an HTML page: {words[:TAIL_CHARS]}"
        return self.request.masked(tail(text))

    def _header(self, name: str) -> str:
        return next((value for key, value in self.headers.items() if key.lower() == name), "")

    def _none_of(self, differences: Sequence[Difference], what: str) -> ScoreResponse:
        if differences:
            raise self.mismatch(what, listed(differences))
        return self

    def mismatch(self, what: str, details: str = "") -> ScoreMismatch:
        """Return the error for an answer that is wrong, with the body and the curl command that asks again.

        Args:
            what: what is wrong, in a few words.
            details: where, one line each.
        """
        parts = [what]
        if details:
            parts.append(_indented(self.request.masked(details)))
        parts.append(f"status: {_status(self.status)}")
        parts.append(f"body:   {self.readable_body()}")
        parts.append(f"again:  {self.request.again()}")
        return ScoreMismatch("\n".join(parts))


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


class _TextOfPage(HTMLParser):
    """Collects the words a reader of an HTML page would see, its title first."""

    _UNSEEN = frozenset({"script", "style", "head"})

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - HTMLParser's
        if tag in self._UNSEEN or tag == "title":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            del self._open[self._open.index(tag) :]

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] == "title":
            self.words += data.split()
            if self._open:
                self.words.append("|")


def _html_text(page: str) -> str:
    parser = _TextOfPage()
    parser.feed(page)
    parser.close()
    return " ".join(parser.words) or "without text"
