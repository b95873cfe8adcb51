"""Waiting until an endpoint answers at all, which is not yet answering well."""

from __future__ import annotations

import itertools

from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, retry_if_result

from harness.errors import EndpointNotReadyError
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.transport import Transport
from harness.wait import SYSTEM_CLOCK, Clock, Deadline

# What a proxy or a balancer says while nothing stands behind it (RFC 9110, sections 15.6.3 to 15.6.5). Any other status
# is the service's own word.
NOT_READY_STATUSES = frozenset({502, 503, 504})

# Pauses double from 50 ms to 1 s: an endpoint that is about to answer is found quickly, a dead one is not hammered.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
# A packet sent to a balancer before it announces its address is lost, and the kernel sends it again after 1 s, then 2 s
# (RFC 6298): a new connection is quicker. Longer with each attempt, for services that are far away.
FIRST_CONNECT_S = 0.25
# Looking at what serves takes some requests to the API server: not more often than an endpoint usually needs to start.
HOPELESS_INTERVAL_S = 1.0


def wait_until_answers(
    transport: Transport, request: ScoreRequest, *, timeout_s: float, clock: Clock = SYSTEM_CLOCK
) -> ScoreResponse:
    """Send `request` until something answers it, and return that answer.

    Connection errors, time-outs and the statuses 502, 503 and 504 are tried again. Any other answer is returned as it
    is, right or wrong: judging it is the test's business, and a wrong answer does not become right by asking again.

    Args:
        transport: sends the request.
        request: what to ask; each attempt is limited to its own ``timeout_s`` or to what is left, if that is less.
        timeout_s: seconds until the endpoint must have answered.
        clock: the clock to wait on.

    Raises:
        EndpointNotReadyError: nothing answered in time; it says what was seen last, after how long and how often.
        SeatrialError: what the endpoint's ``hopeless`` says: what serves has crashed and will not answer.
        AccessError: no attempt can ever succeed; raised by the first one.
    """
    deadline = Deadline(timeout_s, clock)
    retrying = Retrying(
        retry=retry_if_exception_type(EndpointNotReadyError) | retry_if_result(_is_not_ready),
        # The last attempt is made one short pause before the deadline, so that it has time to see something.
        stop=lambda _: deadline.remaining_s() <= FIRST_PAUSE_S,
        wait=lambda state: min(_pause_s(state), deadline.remaining_s() - FIRST_PAUSE_S),
        sleep=clock.sleep,
    )

    looked_at = clock.now()

    connecting = itertools.count()

    def attempt() -> ScoreResponse:
        nonlocal looked_at
        if clock.now() - looked_at >= HOPELESS_INTERVAL_S:
            if (error := request.endpoint.hopeless()) is not None:
                raise error
            looked_at = clock.now()
        timeout_s = min(request.timeout_s, deadline.remaining_s(at_least=FIRST_PAUSE_S))
        connect_timeout_s = min(timeout_s, FIRST_CONNECT_S * 2.0 ** min(next(connecting), 10))
        return transport.send(request.with_timeout(timeout_s, connect_timeout_s=connect_timeout_s))

    try:
        return retrying(attempt)
    except RetryError as error:
        last = error.last_attempt
        failure = last.exception()
        raise EndpointNotReadyError(
            f"get an answer to {request} within {timeout_s:g} s",
            seen=f"after {deadline.elapsed_s():.1f} s and {last.attempt_number} attempts, last: "
            + (getattr(failure, "seen", "") or str(failure) if failure else last.result().summary()),
            hint=f"see whether the service's pods are ready and listen on the port, then by hand: {request.again()}",
            elapsed_s=deadline.elapsed_s(),
            attempts=last.attempt_number,
        ) from failure


def _is_not_ready(response: ScoreResponse) -> bool:
    return response.status in NOT_READY_STATUSES


def _pause_s(state: RetryCallState) -> float:
    # The exponent is bounded because a float overflows long before a deadline of hours does.
    return min(FIRST_PAUSE_S * 2.0 ** min(state.attempt_number - 1, 10), LONGEST_PAUSE_S)
