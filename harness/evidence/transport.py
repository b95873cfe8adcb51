"""A scoring transport that leaves a trace of every request."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.errors import tail
from harness.evidence.model import Exchange
from harness.evidence.recorder import Recorder
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.transport import Transport
from harness.wait import SYSTEM_CLOCK, Clock


class RecordedTransport:
    """A scoring transport whose every exchange is recorded.

    Args:
        inner: sends the requests.
        recorder: is told of each.
        clock: measures how long a request without an answer took.
        wall_clock: returns seconds since the epoch.
    """

    def __init__(
        self,
        inner: Transport,
        recorder: Recorder,
        *,
        clock: Clock = SYSTEM_CLOCK,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._inner = inner
        self._recorder = recorder
        self._clock = clock
        self._wall_clock = wall_clock

    def send(self, request: ScoreRequest) -> ScoreResponse:
        """See :meth:`harness.scoring.transport.Transport.send`."""
        self._recorder.keep_secret(*request.secrets, *request.endpoint.secrets)
        started_at, began = self._wall_clock(), self._clock.now()
        try:
            response = self._inner.send(request)
        except Exception as error:
            seen = tail(request.masked(str(error)))
            duration_s = self._clock.now() - began
            self._recorder.exchange(Exchange(request.as_curl(), started_at, duration_s, seen=seen))
            raise
        self._recorder.exchange(Exchange(request.as_curl(), started_at, response.latency_s, status=response.status))
        return response
