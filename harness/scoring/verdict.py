"""What traffic showed: its judged requests, their figures, and the error budget held against them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from harness.errors import ErrorBudgetExceeded, tail

_MS = 1000.0


@dataclass(frozen=True, slots=True)  # there may be hundreds of thousands
class Sample:
    """One request of the traffic. Times are seconds since the traffic began.

    Args:
        due_s: when it was to be sent.
        sent_s: when it was sent: later, where all senders still waited for earlier answers.
        done_s: when it was answered or given up.
        failure: how it failed, empty for a good answer: ``connection refused``, ``connection reset``, ``timeout``,
            ``no answer``, ``status NNN``, ``wrong answer``.
    """

    due_s: float
    sent_s: float
    done_s: float
    failure: str = ""

    @property
    def latency_s(self) -> float:
        """Seconds from when it was to be sent: what a client that does not wait for others would have waited."""
        return self.done_s - self.due_s

    @property
    def service_s(self) -> float:
        """Seconds from when it was sent."""
        return self.done_s - self.sent_s


@dataclass(frozen=True)
class Phase:
    """A named stretch of the traffic, e.g. an upgrade. Times are seconds since the traffic began."""

    name: str
    began_s: float
    ended_s: float


@dataclass(frozen=True)
class FailedRequest:
    """One request that failed.

    Args:
        at_s: seconds since the traffic began when it was answered or given up.
        kind: as :attr:`Sample.failure`.
        seen: what was seen instead of a good answer.
    """

    at_s: float
    kind: str
    seen: str


@dataclass(frozen=True)
class ErrorBudget:
    """How much a service may fail while something happens to it; ``None`` sets no limit.

    Args:
        max_failed: requests that may fail, of whatever kind.
        max_gap_s: seconds that may pass between two good answers. Traffic at 50 requests/s has gaps of 0.02 s anyway.
        p50_ms: limit of the median latency of good answers, in milliseconds.
        p95_ms: the same of the 95th percentile.
        p99_ms: the same of the 99th percentile.
        min_requests: requests without which the rest proves nothing.
    """

    max_failed: int = 0
    max_gap_s: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    min_requests: int = 1


@dataclass(frozen=True)
class Verdict:
    """What traffic showed.

    Latencies are those of good answers, measured from when each request was *to be* sent: a service that stops
    answering for a second shows it in the requests that had to queue behind the stopped one, too.

    Args:
        name: what the traffic was for.
        curl: the command that sends the same request, secrets masked.
        rate_per_s: requests per second that were to be sent.
        keep_alive: whether connections were kept between requests.
        started_at: seconds since the epoch.
        duration_s: seconds from the first request to the end.
        samples: the requests, in the order they were due.
        unsent: requests that were due and could not be sent because all senders still waited; they count as failed.
        phases: what happened meanwhile.
        variants: how many good answers each variant gave.
        first_failure: the request that failed first.
        last_failure: the request that failed last.
    """

    name: str
    curl: str
    rate_per_s: float
    keep_alive: bool
    started_at: float
    duration_s: float
    samples: tuple[Sample, ...] = field(repr=False)
    unsent: int = 0
    phases: tuple[Phase, ...] = ()
    variants: Mapping[str, int] = field(default_factory=dict)
    first_failure: FailedRequest | None = None
    last_failure: FailedRequest | None = None

    @property
    def requests(self) -> int:
        """How many requests there were, sent or not."""
        return len(self.samples) + self.unsent

    @property
    def failures(self) -> dict[str, int]:
        """How many requests failed, by kind, the most frequent first."""
        kinds = Counter(sample.failure for sample in self.samples if sample.failure)
        if self.unsent:
            kinds["not sent"] = self.unsent
        return dict(kinds.most_common())

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(self.failures.values())

    @property
    def longest_gap(self) -> tuple[float, float]:
        """Begin and end, in seconds since the traffic began, of the longest time without a good answer.

        Traffic that ends in failures ends in a gap, and so it begins.
        """
        moments = [0.0, *sorted(sample.done_s for sample in self.samples if not sample.failure)]
        # A request that was in flight when the traffic ended was answered after its end.
        moments.append(max(self.duration_s, moments[-1]))
        return max(pairwise(moments), key=lambda gap: gap[1] - gap[0])

    @property
    def longest_gap_s(self) -> float:
        """Seconds of the longest time without a good answer."""
        began, ended = self.longest_gap
        return ended - began

    def percentile_ms(self, percent: float) -> float | None:
        """Return the latency in milliseconds that `percent` of the good answers did not exceed; ``None`` without any.

        It is one of the latencies that were measured (nearest rank), never a value between two.
        """
        latencies = sorted(sample.latency_s for sample in self.samples if not sample.failure)
        if not latencies:
            return None
        return latencies[max(0, math.ceil(percent / 100 * len(latencies)) - 1)] * _MS

    @property
    def p50_ms(self) -> float | None:
        """The median latency."""
        return self.percentile_ms(50)

    @property
    def p95_ms(self) -> float | None:
        """The 95th percentile of latency."""
        return self.percentile_ms(95)

    @property
    def p99_ms(self) -> float | None:
        """The 99th percentile of latency."""
        return self.percentile_ms(99)

    def during(self, phase: Phase) -> Sequence[Sample]:
        """Return the requests that were due in a phase."""
        return [sample for sample in self.samples if phase.began_s <= sample.due_s < phase.ended_s]

    def assert_within(self, budget: ErrorBudget) -> Verdict:
        """Fail unless the traffic kept within `budget`; says everything that did not.

        Raises:
            ErrorBudgetExceeded: it did not.
        """
        excesses = [*self._failures_beyond(budget), *self._slowness_beyond(budget)]
        if excesses:
            raise ErrorBudgetExceeded(
                "\n".join([f"{self.name} exceeded its error budget", *(f"  {line}" for line in excesses), self.story()])
            )
        return self

    def summary(self) -> str:
        """Return the figures in one line."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.failures.items())
        percentiles = "/".join(_ms(value) for value in (self.p50_ms, self.p95_ms, self.p99_ms))
        return (
            f"{self.name}: {self.requests} requests in {self.duration_s:.1f} s, {self.failed} failed"
            f"{f' ({kinds})' if kinds else ''}, longest gap {self.longest_gap_s:.2f} s, "
            f"p50/p95/p99 {percentiles} ms"
        )

    def story(self) -> str:
        """Return the figures, what happened when, and the first and the last failure."""
        lines = [self.summary()]
        for phase in self.phases:
            samples = self.during(phase)
            failed = sum(bool(sample.failure) for sample in samples)
            when = f"{phase.began_s:.2f} s to {phase.ended_s:.2f} s"
            lines.append(f"  {phase.name}: {when}, {len(samples)} requests, {failed} failed")
        for word, failure in (("first", self.first_failure), ("last", self.last_failure)):
            if failure is not None:
                seen = tail(failure.seen).replace("\n", "\n    ")
                lines.append(f"{word} failure: {failure.kind} at {failure.at_s:.2f} s\n    {seen}")
        lines.append(f"again: {self.curl}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object; of the single requests only the first and the last failure."""
        began, ended = self.longest_gap
        return {
            "name": self.name,
            "curl": self.curl,
            "rate_per_s": self.rate_per_s,
            "keep_alive": self.keep_alive,
            "started_at": self.started_at,
            "duration_s": self.duration_s,
            "requests": self.requests,
            "failed": self.failed,
            "failures": self.failures,
            "longest_gap_s": ended - began,
            "longest_gap_at_s": began,
            "p50_ms": self.p50_ms,
            "p95_ms": self.p95_ms,
            "p99_ms": self.p99_ms,
            "variants": dict(self.variants),
            "phases": [
                {
                    **asdict(phase),
                    "requests": len(self.during(phase)),
                    "failed": sum(bool(sample.failure) for sample in self.during(phase)),
                }
                for phase in self.phases
            ],
            "first_failure": None if self.first_failure is None else asdict(self.first_failure),
            "last_failure": None if self.last_failure is None else asdict(self.last_failure),
        }

    def _failures_beyond(self, budget: ErrorBudget) -> list[str]:
        excesses = []
        if self.requests < budget.min_requests:
            excesses.append(f"requests: {self.requests}, at least {budget.min_requests} were to be made")
        if self.failed > budget.max_failed:
            kinds = ", ".join(f"{kind} {count}" for kind, count in self.failures.items())
            excesses.append(f"failed: {self.failed} of {self.requests}, allowed {budget.max_failed} ({kinds})")
        return excesses

    def _slowness_beyond(self, budget: ErrorBudget) -> list[str]:
        excesses = []
        if budget.max_gap_s is not None and self.longest_gap_s > budget.max_gap_s:
            excesses.append(
                f"longest time without a good answer: {self.longest_gap_s:.2f} s, from {self.longest_gap[0]:.2f} s on, "
                f"allowed {budget.max_gap_s:g} s"
            )
        for name, limit, seen in (
            ("p50", budget.p50_ms, self.p50_ms),
            ("p95", budget.p95_ms, self.p95_ms),
            ("p99", budget.p99_ms, self.p99_ms),
        ):
            # Without one good answer there is no latency that could have kept within a limit.
            if limit is not None and (seen is None or seen > limit):
                excesses.append(f"{name} latency: {_ms(seen)} ms, allowed {limit:g} ms")
        return excesses


def _ms(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"
