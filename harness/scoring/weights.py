"""Whether a canary's variants answered in the proportion of their weights, judged with a stated confidence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import TypeVar

from harness.errors import WeightMismatch

T = TypeVar("T")

# One false alarm in a thousand runs of a test: seldom enough to believe an alarm.
DEFAULT_CONFIDENCE = 0.999


def count_variants(answers: Iterable[T], variant: Callable[[T], str]) -> Counter[str]:
    """Return how many of `answers` each variant gave.

    Args:
        answers: e.g. :class:`~harness.scoring.seldon_response.SeldonResponse` values.
        variant: tells which variant gave an answer, by a tag, a header or the image in ``meta.requestPath``.
    """
    return Counter(variant(answer) for answer in answers)


def expected_counts(
    requests: int, weights: Mapping[str, float], *, confidence: float = DEFAULT_CONFIDENCE
) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest count of answers that still agrees with each variant's weight.

    If a gateway picks a variant for each request independently, the number of a variant's answers is binomially
    distributed. A count is outside when so few, or so many, have a probability of at most half of ``1 - confidence``.
    This is exact (no normal approximation), so weights near 0 and few requests are judged rightly;
    the interval is that of Clopper and Pearson (Biometrika 26, 1934) seen from the other side. With more than two
    variants ``1 - confidence`` is shared among them (Bonferroni), so that it stays the chance of *any* false alarm.

    Args:
        requests: how many answers there are.
        weights: of each variant; any numbers that are not negative, 75 and 25 mean the same as 0.75 and 0.25.
        confidence: chance, between 0 and 1, that a gateway that is right passes.

    Raises:
        ValueError: the confidence is not between 0 and 1, a weight is negative or not finite, or all are 0.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is a chance between 0 and 1 such as 0.999, got {confidence!r}")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights.values()) or not any(weights.values()):
        raise ValueError(f"weights are numbers that are not negative and not all 0, got {dict(weights)!r}")
    # The count of one of two variants is that of the other: judging both is one judgement.
    judgements = len(weights) if len(weights) > 2 else 1  # noqa: PLR2004 - the comment above explains it
    alarm = (1 - confidence) / judgements
    whole = math.fsum(weights.values())
    return {name: _accepted(requests, weight / whole, alarm) for name, weight in weights.items()}


def assert_weights(
    counts: Mapping[str, int], weights: Mapping[str, float], *, confidence: float = DEFAULT_CONFIDENCE
) -> None:
    """Fail unless the counts agree with the weights.

    A gateway that is right fails this with a probability of at most ``1 - confidence``. What is caught depends on the
    number of requests: with the default confidence, 400 of them tell 75/25 from any split that is at least 15 points
    off, 4,000 from one that is 5 points off, in more than 99 of 100 runs.

    Args:
        counts: how many answers each variant gave, e.g. of :func:`count_variants`; one that is not there gave none.
        weights: of each variant, e.g. ``{"stable": 75, "canary": 25}``.
        confidence: chance, between 0 and 1, that a gateway that is right passes.

    Raises:
        WeightMismatch: a count is outside, a variant without a weight answered, or nothing was counted.
        ValueError: weights or confidence make no sense.
    """
    requests = sum(counts.values())
    accepted = expected_counts(requests, weights, confidence=confidence)
    whole = math.fsum(weights.values())
    wrong = not requests
    lines = []
    for name, (lowest, highest) in accepted.items():
        count = counts.get(name, 0)
        is_outside = not lowest <= count <= highest
        wrong = wrong or is_outside
        lines.append(
            f"  {name}: {count} answers ({_percent(count, requests)}), weight {weights[name] / whole:.1%} allows "
            f"{lowest} to {highest}{', outside' if is_outside else ''}"
        )
    strangers = {name: count for name, count in counts.items() if name not in weights and count}
    lines += [f"  {name}: {count} answers, and it has no weight" for name, count in strangers.items()]
    if wrong or strangers:
        raise WeightMismatch(
            f"{requests} requests were not split as the weights say (confidence {confidence:.4g})\n" + "\n".join(lines)
        )


def _percent(count: int, requests: int) -> str:
    return f"{count / requests:.1%}" if requests else "none"


def _accepted(n: int, p: float, alarm: float) -> tuple[int, int]:
    """Return the smallest and largest count whose lower and upper tail are both likelier than half of `alarm`."""
    if p in (0, 1):
        return (n if p else 0), (n if p else 0)
    chances = [
        math.exp(
            math.lgamma(n + 1)
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * math.log(p)
            + (n - k) * math.log1p(-p)
        )
        for k in range(n + 1)
    ]
    # Each tail is summed from its far end, where the terms are smallest, so that none is lost to rounding.
    lowest = next((k for k, tail in enumerate(accumulate(chances)) if tail > alarm / 2), 0)
    highest = n - next((k for k, tail in enumerate(accumulate(reversed(chances))) if tail > alarm / 2), 0)
    return lowest, highest
