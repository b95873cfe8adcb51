"""What a Seldon model answered, by HTTP or gRPC, with the assertions a test makes on it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.errors import ScoreMismatch
from harness.scoring import assertions
from harness.scoring.assertions import Difference, listed
from harness.scoring.response import ScoreResponse
from harness.scoring.seldon import SeldonMessage

_FIRST_ERROR_STATUS = 400


class Reply(Protocol):
    """How a message came back: an HTTP answer or a gRPC one."""

    @property
    def latency_s(self) -> float:
        """Seconds from sending the request to the end of the answer."""

    def mismatch(self, what: str, details: str = "") -> ScoreMismatch:
        """Return the error for an answer that is wrong, with what came and how to ask again."""


@dataclass(frozen=True)
class SeldonResponse:
    """One answer of a Seldon model.

    The ``assert_...`` methods return the response itself, so that they can be chained, and raise
    :class:`~harness.errors.ScoreMismatch` (an ``AssertionError``). Those about content first see that the model did not
    answer FAILURE, and say the reason it gave when it did.

    Args:
        message: what it said.
        reply: how that came back.
    """

    message: SeldonMessage
    reply: Reply

    @classmethod
    def of(cls, response: ScoreResponse) -> SeldonResponse:
        """Return the Seldon message in an HTTP answer, success or FAILURE.

        Raises:
            ScoreMismatch: there is none: another program answered (a gateway without a route, a proxy), or the body is
                broken.
        """
        try:
            message = SeldonMessage.from_body(response.json())
        except ValueError as error:
            raise response.mismatch("the answer is not a Seldon message", str(error)) from error
        if response.status >= _FIRST_ERROR_STATUS and message.status is None:
            raise response.mismatch("the answer is an error without the status that a Seldon component gives")
        return cls(message, response)

    @property
    def latency_s(self) -> float:
        """Seconds from sending the request to the end of the answer."""
        return self.reply.latency_s

    def assert_success(self) -> SeldonResponse:
        """Fail if the model answered FAILURE."""
        status = self.message.status
        if status is not None and status.failed:
            raise self.reply.mismatch("the model answered a failure", str(status))
        return self

    def assert_failure(
        self, *, reason: str | None = None, code: int | None = None, info: str | None = None
    ) -> SeldonResponse:
        """Fail unless the model answered FAILURE, and with what is given here.

        Args:
            reason: the word it must have given, e.g. ``MICROSERVICE_BAD_DATA``.
            code: the code it must have given.
            info: regular expression to be found in its sentence.
        """
        status = self.message.status
        if status is None or not status.failed:
            raise self.reply.mismatch("expected a failure, and the model answered a success")
        differences = [
            Difference(f"$.status.{name}", f"expected {wanted!r}, got {got!r}")
            for name, wanted, got in (("reason", reason, status.reason), ("code", code, status.code))
            if wanted is not None and wanted != got
        ]
        if info is not None and not re.search(info, status.info):
            differences.append(Difference("$.status.info", f"expected {info!r} in it, got {status.info!r}"))
        return self._none_of(differences, "the model answered another failure")

    def assert_data(
        self,
        rows: Any,
        *,
        names: Sequence[str] | None = None,
        rel: float = assertions.DEFAULT_REL,
        abs: float = assertions.DEFAULT_ABS,  # noqa: A002 - named as in pytest.approx
    ) -> SeldonResponse:
        """Fail unless the answer's data are `rows` within a tolerance, whether they came as tensor or as ndarray.

        Args:
            rows: nested rows, e.g. ``[[0.0, 0.0], [1.0, 1.0]]``; a shape is right when the nesting is.
            names: names the columns must have; not looked at by default.
            rel: tolerance as a fraction of each expected number.
            abs: tolerance in the numbers' own unit.
        """
        self._has("data")
        differences = assertions.close_differences(rows, self.message.rows, rel=rel, abs=abs)
        if names is not None:
            differences += [
                Difference(f"names{found.path[1:]}", found.reason)
                for found in assertions.exact_differences(list(names), self.message.names)
            ]
        return self._none_of(differences, "the data are not the expected rows")

    def assert_json_data(
        self,
        expected: Any,
        *,
        rel: float = assertions.DEFAULT_REL,
        abs: float = assertions.DEFAULT_ABS,  # noqa: A002 - named as in pytest.approx
    ) -> SeldonResponse:
        """Fail unless the answer's ``jsonData`` is `expected` with numbers within a tolerance."""
        self._has("jsonData")
        differences = assertions.close_differences(expected, self.message.value, rel=rel, abs=abs)
        return self._none_of(differences, "jsonData is not the expected value")

    def assert_str_data(self, expected: str) -> SeldonResponse:
        """Fail unless the answer's ``strData`` is `expected`."""
        self._has("strData")
        differences = assertions.exact_differences(expected, self.message.value)
        return self._none_of(differences, "strData is not the expected text")

    def assert_request_path(self, expected: Mapping[str, str]) -> SeldonResponse:
        """Fail unless the request went through exactly these components.

        Args:
            expected: name of each component -> its image, e.g. ``{"classifier": "example/ml-score:latest"}``.
        """
        self.assert_success()
        differences = assertions.exact_differences(expected, self.message.request_path)
        return self._none_of(differences, "meta.requestPath is not the expected one")

    def assert_tags(self, expected: Mapping[str, Any]) -> SeldonResponse:
        """Fail unless the answer carries exactly these tags."""
        self.assert_success()
        differences = assertions.exact_differences(expected, self.message.tags)
        return self._none_of(differences, "meta.tags are not the expected ones")

    def _has(self, content: str) -> None:
        self.assert_success()
        if self.message.content != content:
            raise self.reply.mismatch(f"expected {content} in the answer, got {self.message.content or 'none'}")

    def _none_of(self, differences: Sequence[Difference], what: str) -> SeldonResponse:
        if differences:
            raise self.reply.mismatch(what, listed(differences))
        return self
