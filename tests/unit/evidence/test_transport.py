"""Every scoring request leaves a trace."""

from __future__ import annotations

import pytest

from harness.access.endpoint import Endpoint
from harness.errors import EndpointNotReadyError
from harness.evidence.recorder import Recorder
from harness.evidence.transport import RecordedTransport
from harness.naming import Run
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.testing import ManualClock

REQUEST = ScoreRequest(
    Endpoint("http://127.0.0.1:5000", secrets=("hunter2",)),
    "/score",
    {"X": [1, 2]},
    headers={"X-Team": "hunter2"},
)


class Answering:
    """Answers every request with a score, or not at all."""

    def __init__(self, clock: ManualClock, error: Exception | None = None) -> None:
        self._clock = clock
        self._error = error

    def send(self, request: ScoreRequest) -> ScoreResponse:
        """Answer after three seconds."""
        self._clock.advance(3.0)
        if self._error is not None:
            raise self._error
        return ScoreResponse(request, 200, {}, b'{"score": [1, 2]}', 0.004)


def test_answer_is_recorded_and_passed_on() -> None:
    """The exchange keeps a command that sends the same, the status and the latency the response measured."""
    clock = ManualClock()
    recorder = Recorder(Run.begin(), clock=clock)
    transport = RecordedTransport(Answering(clock), recorder, clock=clock, wall_clock=lambda: 7.0)
    response = transport.send(REQUEST)
    assert response.status == 200
    (exchange,) = recorder.evidence().exchanges
    assert exchange.curl == REQUEST.as_curl()
    assert (exchange.status, exchange.duration_s, exchange.started_at) == (200, 0.004, 7.0)
    assert "hunter2" not in str(recorder.evidence())


def test_missing_answer_is_recorded_and_raised() -> None:
    """No answer is an exchange without a status that says why; the error passes on unchanged."""
    clock = ManualClock()
    recorder = Recorder(Run.begin(), clock=clock)
    error = EndpointNotReadyError("get an answer", seen="connection refused by hunter2")
    with pytest.raises(EndpointNotReadyError) as caught:
        RecordedTransport(Answering(clock, error), recorder, clock=clock).send(REQUEST)
    assert caught.value is error
    (exchange,) = recorder.evidence().exchanges
    assert (exchange.status, exchange.duration_s) == (None, 3.0)
    assert "connection refused by ****" in exchange.seen
