"""The figures of traffic and the error budget, from samples written by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from harness.errors import ErrorBudgetExceeded
from harness.scoring.verdict import ErrorBudget, FailedRequest, Phase, Sample, Verdict


def sample(due_s: float, latency_s: float = 0.01, failure: str = "", late_s: float = 0.0) -> Sample:
    """One request; `late_s` of its latency passed before it was sent."""
    return Sample(due_s, due_s + late_s, due_s + latency_s, failure)


def verdict(*samples: Sample, **facts: Any) -> Verdict:
    """Traffic of one request per second."""
    defaults: dict[str, Any] = {"duration_s": float(len(samples))}
    return Verdict("upgrade", "curl http://h/score", 1.0, True, 100.0, samples=samples, **{**defaults, **facts})


STEADY = verdict(*(sample(number) for number in range(10)))
BROKEN = verdict(
    *(sample(number) for number in range(4)),
    sample(4, failure="connection refused"),
    sample(5, failure="status 503"),
    sample(6, failure="connection refused"),
    *(sample(number, latency_s=0.5) for number in range(7, 10)),
    phases=(Phase("rollout", 3.5, 6.5),),
    first_failure=FailedRequest(4.01, "connection refused", "Connection refused"),
    last_failure=FailedRequest(6.01, "connection refused", "Connection refused again"),
)


def test_failures_are_counted_by_kind() -> None:
    """Each failure counts once, the most frequent kind first; good answers are the rest."""
    assert (BROKEN.requests, BROKEN.failed) == (10, 3)
    assert list(BROKEN.failures.items()) == [("connection refused", 2), ("status 503", 1)]


def test_requests_that_could_not_be_sent_count_as_failed() -> None:
    """A probe whose senders all hang has not found the service well."""
    hung = replace(STEADY, unsent=5)
    assert (hung.requests, hung.failed, hung.failures) == (15, 5, {"not sent": 5})


@pytest.mark.parametrize(
    ("of", "gap"),
    [
        pytest.param(verdict(sample(0), sample(1), sample(4), duration_s=5.0), (1.01, 4.01), id="between two answers"),
        pytest.param(verdict(sample(3), sample(4), duration_s=5.0), (0.0, 3.01), id="from the beginning"),
        pytest.param(verdict(sample(0), sample(1), duration_s=9.0), (1.01, 9.0), id="until the end"),
        pytest.param(verdict(sample(0, failure="timeout"), duration_s=2.0), (0.0, 2.0), id="no good answer at all"),
        pytest.param(verdict(sample(0, latency_s=3.0), sample(2), duration_s=3.0), (0.0, 2.01), id="an overtaken one"),
        pytest.param(
            verdict(sample(0), sample(1, latency_s=6.0), duration_s=2.0), (0.01, 7.0), id="an answer too late"
        ),
        pytest.param(verdict(duration_s=2.0), (0.0, 2.0), id="no request at all"),
    ],
)
def test_longest_gap_is_between_good_answers(of: Verdict, gap: tuple[float, float]) -> None:
    """Failures do not fill a gap; the begin and the end of the traffic bound one."""
    assert of.longest_gap == pytest.approx(gap)
    assert of.longest_gap_s == pytest.approx(gap[1] - gap[0])


def test_percentiles_are_of_good_answers_by_nearest_rank() -> None:
    """A fast refusal does not make the service look fast; each figure is one that was measured."""
    good = [sample(number, latency_s=number / 1000) for number in range(1, 101)]
    refused = [sample(200 + number, latency_s=0.0, failure="connection refused") for number in range(100)]
    figures = verdict(*good, *refused)
    assert [figures.p50_ms, figures.p95_ms, figures.p99_ms] == pytest.approx([50, 95, 99])
    assert figures.percentile_ms(100) == pytest.approx(100)
    assert figures.percentile_ms(0) == pytest.approx(1)
    assert verdict(sample(0, failure="timeout")).p99_ms is None


def test_latency_counts_from_when_the_request_was_due() -> None:
    """A request that had to wait for a free sender is as late as its client would have seen it."""
    late = sample(1, latency_s=2.0, late_s=1.9)
    assert late.latency_s == pytest.approx(2.0)
    assert late.service_s == pytest.approx(0.1)
    assert verdict(late).p50_ms == pytest.approx(2000)


def test_phase_has_the_requests_that_were_due_in_it() -> None:
    """Its begin belongs to it, its end to the next one."""
    assert [one.due_s for one in STEADY.during(Phase("x", 2.0, 5.0))] == [2, 3, 4]


@pytest.mark.parametrize(
    ("of", "budget"),
    [
        pytest.param(STEADY, ErrorBudget(max_gap_s=1.1, p50_ms=11, p95_ms=11, p99_ms=11, min_requests=10), id="steady"),
        pytest.param(BROKEN, ErrorBudget(max_failed=3), id="as many failures as allowed"),
        pytest.param(BROKEN, ErrorBudget(max_failed=3, max_gap_s=5), id="no longer silent than allowed"),
    ],
)
def test_traffic_within_its_budget(of: Verdict, budget: ErrorBudget) -> None:
    """The verdict is returned, to be looked at further."""
    assert of.assert_within(budget) is of


@pytest.mark.parametrize(
    ("of", "budget", "says"),
    [
        pytest.param(
            BROKEN,
            ErrorBudget(),
            r"failed: 3 of 10, allowed 0 \(connection refused 2, status 503 1\)",
            id="a failed request",
        ),
        pytest.param(
            BROKEN,
            ErrorBudget(max_failed=3, max_gap_s=1.2),
            r"longest time without a good answer: 4\.49 s, from 3\.01 s on, allowed 1\.2 s",
            id="silent for too long",
        ),
        pytest.param(STEADY, ErrorBudget(p50_ms=9), r"p50 latency: 10\.0 ms, allowed 9 ms", id="slow at the median"),
        pytest.param(BROKEN, ErrorBudget(max_failed=3, p95_ms=499), r"p95 latency: 500\.0 ms", id="slow at 95"),
        pytest.param(BROKEN, ErrorBudget(max_failed=3, p99_ms=499), r"p99 latency: 500\.0 ms", id="slow at 99"),
        pytest.param(STEADY, ErrorBudget(min_requests=11), "requests: 10, at least 11 were to be", id="too few"),
        pytest.param(verdict(), ErrorBudget(), "requests: 0, at least 1", id="no request at all"),
        pytest.param(
            verdict(sample(0, failure="timeout")),
            ErrorBudget(max_failed=1, p99_ms=9),
            "p99 latency: none",
            id="no answer",
        ),
    ],
)
def test_traffic_beyond_its_budget(of: Verdict, budget: ErrorBudget, says: str) -> None:
    """The error says what was seen and what was allowed."""
    with pytest.raises(ErrorBudgetExceeded, match=says):
        of.assert_within(budget)


def test_error_tells_the_whole_story() -> None:
    """All excesses at once, what happened meanwhile, the first and last failure, and how to ask again."""
    with pytest.raises(ErrorBudgetExceeded) as caught:
        BROKEN.assert_within(ErrorBudget(max_gap_s=0.1, p50_ms=1))
    text = str(caught.value)
    for part in (
        "upgrade exceeded its error budget",
        "failed: 3 of 10",
        "longest time without",
        "p50 latency",
        "rollout: 3.50 s to 6.50 s, 3 requests, 3 failed",
        "first failure: connection refused at 4.01 s\n    Connection refused\n",
        "last failure: connection refused at 6.01 s\n    Connection refused again",
        "again: curl http://h/score",
    ):
        assert part in text


def test_figures_are_json() -> None:
    """The evidence has the figures, the phases with their counts and both failures, and no single request."""
    document = json.loads(json.dumps(BROKEN.to_json()))
    assert (document["requests"], document["failed"]) == (10, 3)
    assert document["failures"] == {"connection refused": 2, "status 503": 1}
    assert document["phases"] == [{"name": "rollout", "began_s": 3.5, "ended_s": 6.5, "requests": 3, "failed": 3}]
    assert document["first_failure"]["at_s"] == 4.01
    assert document["longest_gap_at_s"] == pytest.approx(3.01)
    assert "samples" not in document
