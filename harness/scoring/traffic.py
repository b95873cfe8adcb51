"""Scoring requests at a steady rate, each answer checked, while something happens to the service."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from harness.errors import EndpointNotReadyError, SeatrialError, WaitTimeoutError
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.transport import RequestsTransport, Transport
from harness.scoring.verdict import FailedRequest, Phase, Sample, Verdict

Check = Callable[[ScoreResponse], object]
"""Judges one answer: raises an ``AssertionError`` for a wrong one, as the ``assert_...`` methods do."""

# Enough to tell a deployment that drops one connection in a hundred, little enough for two cores that also run the
# cluster under test: one request costs this process about a millisecond of processor time.
DEFAULT_RATE_PER_S = 50.0
# So many requests may wait for an answer at once. At the default rate they all do after 0.3 s of silence; what becomes
# due later is sent late, and its latency counts from when it was due.
DEFAULT_SENDERS = 16
# Half an hour, and an hour and a half at the default rate: a block that hangs is not to fill the memory.
DEFAULT_MAX_DURATION_S = 1800.0
DEFAULT_MAX_REQUESTS = 300_000

_FIRST_ERROR_STATUS = 400


class TrafficProbe:
    """Sends one request again and again, at set moments, from a pool of threads; :func:`traffic` runs it.

    Args:
        request: what is asked each time; its ``timeout_s`` limits each answer.
        check: judges each answer.
        rate_per_s: requests per second.
        name: what the traffic is for.
        keep_alive: whether each sender keeps its connection.
        senders: threads that send, and so requests that may be under way at once.
        max_requests: requests after which it stops.
        max_duration_s: seconds after which it stops.
        variant: tells which variant of the service gave a good answer.
        make_transport: makes what a sender sends with.
    """

    def __init__(
        self,
        request: ScoreRequest,
        *,
        check: Check,
        rate_per_s: float,
        name: str,
        keep_alive: bool,
        senders: int,
        max_requests: int,
        max_duration_s: float,
        variant: Callable[[ScoreResponse], str] | None,
        make_transport: Callable[[], AbstractContextManager[Transport]],
    ) -> None:
        for argument, value in (("rate_per_s", rate_per_s), ("max_duration_s", max_duration_s)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{argument} must be a positive number, got {value!r}")
        for argument, count in (("senders", senders), ("max_requests", max_requests)):
            if count < 1:
                raise ValueError(f"{argument} must be at least 1, got {count!r}")
        self._request = request
        self._check = check
        self._rate_per_s = rate_per_s
        self._name = name or f"traffic to {request}"
        self._keep_alive = keep_alive
        self._max_requests = max_requests
        self._variant = variant
        self._make_transport = make_transport
        self._progress = threading.Condition()  # guards all that follows
        self._stopping = threading.Event()
        self._ends_s = min(max_duration_s, max_requests / rate_per_s)
        self._gives_up_s = math.inf
        self._taken = 0
        self._samples: list[Sample] = []
        self._phases: list[Phase] = []
        self._variants: Counter[str] = Counter()
        self._first_failure: FailedRequest | None = None
        self._last_failure: FailedRequest | None = None
        self._broken: BaseException | None = None
        self._verdict: Verdict | None = None
        self._began = 0.0
        self._started_at = 0.0
        self._threads = [
            threading.Thread(target=self._send_until_the_end, name=f"traffic-{number}", daemon=True)
            for number in range(senders)
        ]

    @property
    def answered(self) -> int:
        """How many requests were sent and judged so far, good or not."""
        with self._progress:
            return len(self._samples)

    @property
    def has_ended(self) -> bool:
        """Whether there is a verdict: not while it runs, nor when its end was interrupted."""
        return self._verdict is not None

    @property
    def verdict(self) -> Verdict:
        """What it showed; to be asked for after its block.

        Raises:
            ValueError: the traffic still runs.
        """
        if self._verdict is None:
            raise ValueError("the traffic still runs: ask for its verdict after the block")
        return self._verdict

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Name what happens in the block, e.g. ``upgrade``: the verdict counts its requests, the picture shows it."""
        began_s = self._now_s()
        try:
            yield
        finally:
            with self._progress:
                self._phases.append(Phase(name, began_s, self._now_s()))

    def at_least(self, requests: int, *, timeout_s: float | None = None) -> None:
        """Wait until so many requests were sent and judged, counted from the traffic's begin.

        Args:
            requests: how many.
            timeout_s: seconds until they must have been; by default what the rate needs for them, doubled, and twice a
                request's own time limit.

        Raises:
            WaitTimeoutError: they were not, or the traffic's own bounds come first.
        """
        limit_s = timeout_s
        if limit_s is None:
            limit_s = 2 * max(0, requests - self.answered) / self._rate_per_s + 2 * self._request.timeout_s
        what = f"send {requests} requests of {self._name}"
        with self._progress:
            self._progress.wait_for(lambda: len(self._samples) >= requests or not self._can_reach(requests), limit_s)
            answered = len(self._samples)
            if answered >= requests:
                return
            if self._broken is not None:
                raise WaitTimeoutError(
                    what,
                    timeout_s=limit_s,
                    last=answered,
                    seen=f"it broke off: {self._broken}",
                    hint="correct the check or the request: traffic ends where either raises what is no answer's fault",
                )
            bound = self._bound()
        hint = "give traffic more max_requests, more max_duration_s or a higher rate" if bound < requests else ""
        raise WaitTimeoutError(
            what,
            timeout_s=limit_s,
            last=answered,
            seen=f"{answered} were sent, the traffic's bound is {bound}",
            hint=hint,
        )

    def start(self) -> None:
        """Begin to send."""
        self._began, self._started_at = time.monotonic(), time.time()
        for thread in self._threads:
            thread.start()

    def stop(self, *, drain: bool = True) -> None:
        """Stop sending and make the verdict.

        It takes three times a request's time limit at most: one until the last request that is due is sent, one for its
        connection and one for its answer.

        Args:
            drain: whether requests that are due and not yet sent still are, for as long as one request may take.

        Raises:
            Exception: what the check raised that was no assertion: the check itself is broken.
        """
        with self._progress:
            self._ends_s = min(self._ends_s, self._now_s())
            self._gives_up_s = min(self._gives_up_s, self._now_s() + (self._request.timeout_s if drain else 0.0))
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        with self._progress:
            self._verdict = Verdict(
                self._name,
                self._request.as_curl(),
                self._rate_per_s,
                self._keep_alive,
                self._started_at,
                self._ends_s,
                tuple(sorted(self._samples, key=lambda sample: sample.due_s)),
                unsent=self._bound() - len(self._samples) if drain else 0,
                phases=tuple(sorted(self._phases, key=lambda phase: phase.began_s)),
                variants=dict(sorted(self._variants.items())),
                first_failure=self._first_failure,
                last_failure=self._last_failure,
            )
        if self._broken is not None and drain:
            raise self._broken

    # -- what the threads do

    def _send_until_the_end(self) -> None:
        try:
            with self._make_transport() as transport:
                while (number := self._take()) is not None:
                    due_s = number / self._rate_per_s
                    self._stopping.wait(max(0.0, due_s - self._now_s()))
                    if self._is_to_be_sent(number):
                        self._send(transport, due_s)
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to: stop() does it
            with self._progress:
                self._broken = self._broken or error
                self._gives_up_s = 0.0
                self._progress.notify_all()

    def _take(self) -> int | None:
        """Return the number of the next request, ``None`` when there is to be none."""
        with self._progress:
            if not self._is_to_be_sent(self._taken):
                return None
            self._taken += 1
            return self._taken - 1

    def _is_to_be_sent(self, number: int) -> bool:
        with self._progress:
            return number < self._bound() and self._now_s() < self._gives_up_s

    def _send(self, transport: Transport, due_s: float) -> None:
        sent_s = self._now_s()
        kind, seen, variant = "", "", ""
        try:
            response = transport.send(self._request)
        except EndpointNotReadyError as error:
            done_s = self._now_s()
            kind, seen = str(error.facts.get("kind", "no answer")), error.seen
        except SeatrialError as error:
            done_s = self._now_s()
            kind, seen = "no answer", error.seen
        else:
            done_s = self._now_s()
            if response.status >= _FIRST_ERROR_STATUS:
                # Whatever the check looks at: a proxy may send an error with a body that looks right.
                kind, seen = f"status {response.status}", response.summary()
            else:
                try:
                    self._check(response)
                    variant = self._variant(response) if self._variant else ""
                except AssertionError as error:
                    kind, seen = "wrong answer", str(error)
        self._note(Sample(due_s, sent_s, done_s, kind), self._request.masked(seen), variant)

    def _note(self, sample: Sample, seen: str, variant: str) -> None:
        with self._progress:
            self._samples.append(sample)
            if variant:
                self._variants[variant] += 1
            if sample.failure:
                failed = FailedRequest(sample.done_s, sample.failure, seen)
                self._first_failure = self._first_failure or failed
                self._last_failure = failed
            self._progress.notify_all()

    def _now_s(self) -> float:
        return time.monotonic() - self._began

    def _bound(self) -> int:
        """How many requests are due until the end; the first is due at 0."""
        return min(self._max_requests, math.floor(self._ends_s * self._rate_per_s) + 1)

    def _can_reach(self, requests: int) -> bool:
        return self._broken is None and self._bound() >= requests


@contextlib.contextmanager
def traffic(
    request: ScoreRequest,
    *,
    check: Check | None = None,
    rate_per_s: float = DEFAULT_RATE_PER_S,
    name: str = "",
    keep_alive: bool = True,
    senders: int = DEFAULT_SENDERS,
    max_requests: int = DEFAULT_MAX_REQUESTS,
    max_duration_s: float = DEFAULT_MAX_DURATION_S,
    variant: Callable[[ScoreResponse], str] | None = None,
    make_transport: Callable[[], AbstractContextManager[Transport]] | None = None,
) -> Iterator[TrafficProbe]:
    """Send `request` at a steady rate while the block runs, and judge each answer.

    The schedule is open: the moments at which requests are due are set beforehand and do not wait for answers, so that
    a service that stops is not asked less (no coordinated omission). Requests that no sender was free for are sent as
    soon as one is. When the block ends, requests that are due are still sent and answers under way awaited, for three
    times the request's time limit at most; when it ends in an error, nothing more is sent.

    This is load. Send it to services of your own only: in a test's cluster, on loopback, in containers of the run.

    Args:
        request: what is asked each time.
        check: judges each answer; status 200 is enough by default. A status of 400 or more is a failure anyway.
        rate_per_s: requests per second.
        name: what the traffic is for, in messages and in the evidence.
        keep_alive: ``True`` keeps one connection per sender, as clients with a pool do: a kept connection leads to the
            same pod until it is cut. ``False`` opens one per request: each is routed anew. A rollout can drop either.
        senders: requests that may be under way at once.
        max_requests: requests after which nothing more is sent, though the block goes on.
        max_duration_s: seconds after which nothing more is sent.
        variant: tells which variant of the service gave a good answer; the verdict counts them.
        make_transport: makes what each sender sends with; HTTP connections of its own by default.

    >>> with traffic(request, check=lambda answer: answer.assert_json({"score": [1, 2]})) as probe:  # doctest: +SKIP
    ...     helm.upgrade(release, chart)
    ...     probe.at_least(1000)
    >>> probe.verdict.assert_within(ErrorBudget(max_failed=0, max_gap_s=1.0))  # doctest: +SKIP
    """
    probe = TrafficProbe(
        request,
        check=check or (lambda response: response.assert_status(200)),
        rate_per_s=rate_per_s,
        name=name,
        keep_alive=keep_alive,
        senders=senders,
        max_requests=max_requests,
        max_duration_s=max_duration_s,
        variant=variant,
        make_transport=make_transport or (lambda: RequestsTransport(keep_alive=keep_alive)),
    )
    probe.start()
    try:
        yield probe
    except BaseException:
        probe.stop(drain=False)
        raise
    probe.stop()
