"""Traffic against a real server on loopback that fails on purpose: the verdict counts exactly."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from harness.access.endpoint import Endpoint
from harness.errors import EndpointNotReadyError, WaitTimeoutError
from harness.scoring.request import ScoreRequest
from harness.scoring.traffic import TrafficProbe, traffic
from harness.scoring.transport import RequestsTransport
from harness.scoring.verdict import ErrorBudget
from harness.testing import ScriptedTransport

FAST = 500.0
"""Requests per second: the tests are about counts, and are to be over soon."""

Behaviour = Callable[[BaseHTTPRequestHandler], None]


def reply(status: int = 200, body: bytes = b'{"score": [1, 2]}') -> Behaviour:
    """Answer with a status and a body."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Cut the connection without a word (SO_LINGER of 0 seconds sends a reset)."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    """Promise more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.close_connection = True


def one_after_another(*behaviours: Behaviour) -> Behaviour:
    """Behave differently to each request, then well."""
    turns = itertools.chain(behaviours, itertools.repeat(reply()))
    lock = threading.Lock()

    def behave(handler: BaseHTTPRequestHandler) -> None:
        with lock:
            turn = next(turns)
        turn(handler)

    return behave


def score(server: Any, **options: Any) -> ScoreRequest:
    """The request of the plain service."""
    return ScoreRequest(server.endpoint, "/score", {"X": [1, 2]}, **options)


def is_right(answer: Any) -> None:
    """The answer is the one of the identity model."""
    answer.assert_status(200).assert_json({"score": [1, 2]})


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "new connections"])
def test_good_service_passes(server: Any, keep_alive: bool) -> None:
    """Every request is sent once, answered well and counted; the schedule's number is met exactly."""
    with traffic(score(server), check=is_right, rate_per_s=FAST, max_requests=300, keep_alive=keep_alive) as probe:
        probe.at_least(300)
    verdict = probe.verdict
    assert len(server.asked) == verdict.requests == 300
    assert (verdict.failed, verdict.failures, verdict.first_failure) == (0, {}, None)
    assert verdict.keep_alive is keep_alive
    assert verdict.curl == score(server).as_curl()
    verdict.assert_within(ErrorBudget(max_failed=0, min_requests=300))


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "new connections"])
def test_each_failure_is_counted_by_its_kind(server: Any, keep_alive: bool) -> None:
    """No failure is lost, none is counted twice or under another name, whatever the connections are."""
    failing = [
        *[reply(503, b"no healthy upstream")] * 7,
        *[reply(500)] * 2,
        *[reset] * 5,
        *[cut_short] * 4,
        *[reply(200, b'{"score": [2, 1]}')] * 3,
        *[reply(200, b"not json")] * 1,
    ]
    server.script = one_after_another(*failing)
    with traffic(score(server), check=is_right, rate_per_s=FAST, max_requests=200, keep_alive=keep_alive) as probe:
        probe.at_least(200)
    assert probe.verdict.requests == len(server.asked) == 200
    assert probe.verdict.failures == {"connection reset": 9, "status 503": 7, "wrong answer": 4, "status 500": 2}


def test_failures_are_kept_with_what_was_seen(server: Any) -> None:
    """The first and the last failure say what came, when, and how to ask again."""
    server.script = one_after_another(
        reply(), reply(503, b"no healthy upstream"), reply(404, b"x"), reply(200, b'{"score": [9, 9]}')
    )
    with traffic(score(server), check=is_right, rate_per_s=FAST, max_requests=50, senders=1) as probe:
        probe.at_least(50)
    first, last = probe.verdict.first_failure, probe.verdict.last_failure
    assert first is not None
    assert last is not None
    assert (first.kind, last.kind) == ("status 503", "wrong answer")
    assert "no healthy upstream" in first.seen
    assert "$.score[0]: expected 1, got 9" in last.seen
    assert first.at_s <= last.at_s


def test_error_status_is_a_failure_whatever_is_checked(server: Any) -> None:
    """A check that looks at the body only does not let an error pass."""
    server.status = 503
    check = lambda answer: answer.assert_json({"score": [1, 2]})  # noqa: E731 - as tests write it
    with traffic(score(server), check=check, rate_per_s=FAST, max_requests=5) as probe:
        probe.at_least(5)
    assert probe.verdict.failures == {"status 503": 5}


def test_refused_connections() -> None:
    """A port where nobody listens refuses every request."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = Endpoint(f"http://127.0.0.1:{unused.getsockname()[1]}")
        with traffic(ScoreRequest(endpoint), rate_per_s=FAST, max_requests=20) as probe:
            probe.at_least(20)
    assert probe.verdict.failures == {"connection refused": 20}


def test_time_outs(server: Any) -> None:
    """An answer that does not come within the request's limit is a time-out; the others are good."""
    over = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        over.wait(30)
        handler.close_connection = True

    server.script = one_after_another(hang, hang, hang)
    try:
        with traffic(score(server, timeout_s=1.0), rate_per_s=FAST, max_requests=40) as probe:
            probe.at_least(40)
    finally:
        over.set()
    assert probe.verdict.failures == {"timeout": 3}


def test_schedule_does_not_wait_for_answers(server: Any) -> None:
    """With its one sender held up, requests fall due all the same, are sent late, and are late by what they waited."""

    def hold(handler: BaseHTTPRequestHandler) -> None:
        # The whole schedule passes meanwhile: 100 requests at 500/s are due within 0.2 s.
        threading.Event().wait(0.25)
        reply()(handler)

    server.script = one_after_another(hold)
    with traffic(score(server), rate_per_s=FAST, senders=1, max_requests=100) as probe:
        probe.at_least(100)
    first, *others = probe.verdict.samples
    assert probe.verdict.failed == 0
    assert [sample.due_s for sample in probe.verdict.samples] == pytest.approx([n / FAST for n in range(100)])
    assert all(sample.sent_s >= first.done_s for sample in others)
    assert all(sample.latency_s > sample.service_s for sample in others)


def test_requests_nobody_could_send_count_as_failed(server: Any) -> None:
    """With all senders hung until the end, what was due and not sent is a failure, not an omission."""
    over = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        over.wait(30)
        handler.close_connection = True

    server.script = hang
    try:
        with traffic(score(server, timeout_s=0.2), rate_per_s=100.0, senders=2, max_requests=100) as probe:
            probe.at_least(4)  # 0.4 s, and so some 40 requests are due
    finally:
        over.set()
    verdict = probe.verdict
    assert verdict.unsent > 0
    assert verdict.failed == verdict.requests
    assert verdict.failures == {"timeout": len(verdict.samples), "not sent": verdict.unsent}


def test_end_of_the_block_ends_the_traffic(server: Any) -> None:
    """What was due is sent, nothing after it: the server is asked exactly what the verdict counts."""
    with traffic(score(server), rate_per_s=FAST) as probe:
        probe.at_least(25)
    asked = len(server.asked)
    assert asked == probe.verdict.requests >= 25
    assert probe.verdict.unsent == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("traffic-")]


def test_error_in_the_block_passes_through(server: Any) -> None:
    """The block's own error is what is raised; the traffic has ended and its verdict is there for the evidence."""

    def upgrade(probe: TrafficProbe) -> None:
        probe.at_least(5)
        raise RuntimeError("the upgrade failed")

    with pytest.raises(RuntimeError, match="the upgrade failed"), traffic(score(server), rate_per_s=FAST) as probe:
        upgrade(probe)
    assert probe.verdict.requests >= 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("traffic-")]


def test_check_that_is_broken_itself_is_an_error(server: Any) -> None:
    """A mistake in the test is raised as it is: it says nothing about the service."""

    def broken(answer: Any) -> None:
        raise KeyError("no such thing")

    with pytest.raises(KeyError, match="no such thing"), traffic(score(server), check=broken, rate_per_s=FAST):
        pass


def test_waiting_for_broken_traffic_ends_at_once(server: Any) -> None:
    """Requests that will never come are not waited for, and the reason is said."""

    def broken(answer: Any) -> None:
        raise KeyError("no such thing")

    with (
        pytest.raises(WaitTimeoutError, match="it broke off: 'no such thing'"),
        traffic(score(server), check=broken, rate_per_s=FAST) as probe,
    ):
        probe.at_least(1000, timeout_s=600)


def test_more_requests_than_the_bounds_allow_are_not_waited_for(server: Any) -> None:
    """The wait ends at once and says which bounds to raise."""
    with (
        traffic(score(server), rate_per_s=FAST, max_requests=10) as probe,
        pytest.raises(WaitTimeoutError, match=r"the traffic's bound is 10\n.*max_requests"),
    ):
        probe.at_least(11, timeout_s=600)


def test_traffic_ends_by_itself_at_its_bounds(server: Any) -> None:
    """No request is due after the bound, and the traffic's duration ends there."""
    with traffic(score(server), rate_per_s=100.0, max_duration_s=0.1) as probe:
        probe.at_least(11)
    assert probe.verdict.requests == len(server.asked) == 11
    assert probe.verdict.duration_s == pytest.approx(0.1)


def test_phases_are_named(server: Any) -> None:
    """What happens meanwhile is in the verdict, in its order, and lies within the traffic."""
    with traffic(score(server), rate_per_s=FAST, name="two steps") as probe:
        with probe.phase("upgrade"):
            probe.at_least(20)
        with probe.phase("rollback"):
            probe.at_least(40)
    upgrade, rollback = probe.verdict.phases
    assert (upgrade.name, rollback.name) == ("upgrade", "rollback")
    assert 0 <= upgrade.began_s < upgrade.ended_s <= rollback.began_s < rollback.ended_s <= probe.verdict.duration_s
    assert probe.verdict.summary().startswith("two steps: ")


def test_variants_are_counted_among_good_answers(server: Any) -> None:
    """A failed request belongs to no variant."""
    server.script = one_after_another(*[reply(503)] * 5, *[reply(200, b'{"score": [1, 2], "variant": "canary"}')] * 10)
    with traffic(
        score(server),
        rate_per_s=FAST,
        max_requests=60,
        variant=lambda answer: str(answer.json().get("variant", "stable")),
    ) as probe:
        probe.at_least(60)
    assert probe.verdict.variants == {"canary": 10, "stable": 45}


def test_connections_are_kept_or_new(server: Any) -> None:
    """One kept connection carries all requests of a sender; without keeping, each request has its own and says so."""
    connections: dict[bool, set[Any]] = {}
    for keep_alive in (True, False):
        seen = connections[keep_alive] = set()

        def note(handler: BaseHTTPRequestHandler, seen: set[Any] = seen) -> None:
            seen.add(handler.client_address)
            reply()(handler)

        server.script = note
        with traffic(score(server), rate_per_s=FAST, senders=1, max_requests=30, keep_alive=keep_alive) as probe:
            probe.at_least(30)
        assert probe.verdict.failed == 0
    assert (len(connections[True]), len(connections[False])) == (1, 30)
    assert {asked.headers.get("connection") for asked in server.asked[30:]} == {"close"}


def test_verdict_is_there_after_the_block_only(server: Any) -> None:
    """Half a verdict is none."""
    with traffic(score(server), rate_per_s=FAST) as probe, pytest.raises(ValueError, match="still runs"):
        _ = probe.verdict


def test_secrets_do_not_show(server: Any) -> None:
    """Neither the command nor what was seen holds one."""
    server.script = reply(500, b"bad token hunter2")
    request = score(server, headers={"X-Token": "hunter2"})
    with traffic(request, rate_per_s=FAST, max_requests=3) as probe:
        probe.at_least(3)
    assert "hunter2" not in str(probe.verdict.to_json())
    assert "bad token ****" in probe.verdict.story()


def test_transport_can_be_another() -> None:
    """Anything that sends scoring requests can be put under traffic."""
    scripted = ScriptedTransport(*[{"score": [1]}] * 5)

    @contextmanager
    def make() -> Any:
        yield scripted

    with traffic(ScoreRequest(Endpoint("http://h")), rate_per_s=FAST, max_requests=5, make_transport=make) as probe:
        probe.at_least(5)
    assert (probe.verdict.requests, len(scripted.requests)) == (5, 5)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"rate_per_s": 0}, id="no rate"),
        pytest.param({"rate_per_s": float("inf")}, id="an endless rate"),
        pytest.param({"senders": 0}, id="nobody to send"),
        pytest.param({"max_requests": 0}, id="no request"),
        pytest.param({"max_duration_s": float("nan")}, id="no duration"),
    ],
)
def test_bounds_make_sense(options: dict[str, Any]) -> None:
    """Traffic without bounds, or without anything, is refused by name."""
    with (
        pytest.raises(ValueError, match=next(iter(options))),
        traffic(ScoreRequest(Endpoint("http://h")), **options),
    ):
        pass


def test_a_transport_says_how_an_attempt_ended(server: Any) -> None:
    """The kind is a fact of the error, for callers other than traffic too."""
    server.script = cut_short
    with closing(RequestsTransport(keep_alive=False)) as transport, pytest.raises(EndpointNotReadyError) as caught:
        transport.send(score(server))
    assert caught.value.facts["kind"] == "connection reset"
