"""The shipped transport fake keeps the promises of the real one."""

from __future__ import annotations

import pytest

from harness.access.endpoint import Endpoint
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.testing import ScriptedTransport

REQUEST = ScoreRequest(Endpoint("http://127.0.0.1:5000"), "/score", {"X": [1, 2]})


def test_answers_come_in_turn_and_requests_are_kept() -> None:
    """JSON, status and computed answers follow one another; an unscripted request fails the test."""
    transport = ScriptedTransport(
        {"score": [1]}, 503, lambda request: ScoreResponse(request, 200, {}, request.body or b"", 0.5)
    )
    transport.send(REQUEST).assert_status(200).assert_content_type("application/json").assert_json({"score": [1]})
    transport.send(REQUEST).assert_status(503)
    transport.send(REQUEST).assert_json({"X": [1, 2]})
    with pytest.raises(AssertionError, match="no answer is scripted for request 4"):
        transport.send(REQUEST)
    assert transport.requests == [REQUEST] * 4
