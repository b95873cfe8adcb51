"""Waiting for an endpoint: what is tried again, what is returned, and when it gives up."""

from __future__ import annotations

import pytest

from harness.access.endpoint import Endpoint
from harness.errors import AccessError, EndpointNotReadyError, RolloutError
from harness.scoring.readiness import LONGEST_PAUSE_S, wait_until_answers
from harness.scoring.request import ScoreRequest
from harness.testing import ManualClock, ScriptedTransport

REQUEST = ScoreRequest(Endpoint("http://127.0.0.1:5000"), "/score", {"X": [1, 2]})
REFUSED = EndpointNotReadyError("get an answer", seen="connection refused")


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(REFUSED, id="no connection"),
        pytest.param(502, id="bad gateway"),
        pytest.param(503, id="service unavailable"),
        pytest.param(504, id="gateway time-out"),
    ],
)
def test_an_endpoint_that_is_not_there_yet_is_asked_again(trouble: EndpointNotReadyError | int) -> None:
    """Connection errors and what proxies say in front of nothing are tried again until an answer comes."""
    clock = ManualClock()
    transport = ScriptedTransport(trouble, trouble, {"score": [1, 2]})
    response = wait_until_answers(transport, REQUEST, timeout_s=10, clock=clock)
    response.assert_status(200).assert_json({"score": [1, 2]})
    assert len(transport.requests) == 3
    assert clock.slept == [0.05, 0.1]


def test_connecting_is_given_more_time_with_each_attempt() -> None:
    """A lost first packet costs a new connection, not the kernel's pauses; one far away still gets through."""
    transport = ScriptedTransport(REFUSED, REFUSED, REFUSED, {"score": [1, 2]})
    wait_until_answers(transport, REQUEST.with_timeout(1.5), timeout_s=10, clock=ManualClock())
    assert [one.connect_timeout_s for one in transport.requests] == [0.25, 0.5, 1.0, 1.5]


def test_what_is_hopeless_ends_the_wait() -> None:
    """When what serves has crashed, its reason is raised instead of waiting for the deadline."""
    crashed = RolloutError("serve", reason="CrashLoopBackOff")
    endpoint = Endpoint("http://127.0.0.1:5000", hopeless=lambda: crashed)
    with pytest.raises(RolloutError, match="CrashLoopBackOff"):
        wait_until_answers(
            ScriptedTransport(*[REFUSED] * 100), ScoreRequest(endpoint), timeout_s=60, clock=ManualClock()
        )


@pytest.mark.parametrize("status", [200, 201, 400, 401, 404, 405, 418, 429, 500, 501])
def test_any_other_answer_is_returned_at_once(status: int) -> None:
    """A wrong answer is an answer: it is never asked for again."""
    transport = ScriptedTransport(status)
    assert wait_until_answers(transport, REQUEST, timeout_s=10, clock=ManualClock()).status == status
    assert len(transport.requests) == 1


def test_a_wrong_body_is_returned_at_once() -> None:
    """The body plays no part in readiness."""
    transport = ScriptedTransport({"score": "nonsense"})
    assert wait_until_answers(transport, REQUEST, timeout_s=10, clock=ManualClock()).json() == {"score": "nonsense"}


@pytest.mark.parametrize(
    ("last", "seen"),
    [pytest.param(REFUSED, "connection refused", id="no connection"), pytest.param(503, "503 Service Una", id="503")],
)
def test_giving_up_tells_what_was_seen_last(last: EndpointNotReadyError | int, seen: str) -> None:
    """The error names the request, the deadline, the attempts and the last sight of the endpoint."""
    clock = ManualClock()
    with pytest.raises(EndpointNotReadyError) as caught:
        wait_until_answers(ScriptedTransport(*[last] * 100), REQUEST, timeout_s=5, clock=clock)
    text = str(caught.value)
    assert "could not get an answer to POST http://127.0.0.1:5000/score within 5 s" in text
    assert seen in text
    assert f"{caught.value.facts['attempts']} attempts" in text
    assert 4.9 <= clock.now() <= 5
    assert max(clock.slept) <= LONGEST_PAUSE_S


def test_what_can_never_work_is_not_tried_again() -> None:
    """An access error ends the wait at once."""
    transport = ScriptedTransport(AccessError("send", seen="certificate"))
    with pytest.raises(AccessError, match="certificate"):
        wait_until_answers(transport, REQUEST, timeout_s=10, clock=ManualClock())
    assert len(transport.requests) == 1


def test_an_attempt_gets_no_more_time_than_is_left() -> None:
    """Each attempt has its own limit or what the deadline leaves, whichever is less."""
    transport = ScriptedTransport(*[REFUSED] * 100)
    with pytest.raises(EndpointNotReadyError):
        wait_until_answers(transport, REQUEST.with_timeout(3), timeout_s=5, clock=ManualClock())
    limits = [request.timeout_s for request in transport.requests]
    assert limits[0] == 3
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] < 1
