"""Canary weights: what is accepted, what is not, and how often a gateway that is right is accused."""

from __future__ import annotations

import math
import random
from collections import Counter
from fractions import Fraction

import pytest

from harness.errors import WeightMismatch
from harness.scoring.weights import assert_weights, count_variants, expected_counts

CANARY = {"stable": 75, "canary": 25}


def test_answers_are_counted_by_variant() -> None:
    """The caller says how a variant is told; each answer counts once."""
    counts = count_variants([{"v": "1"}, {"v": "2"}, {"v": "1"}], lambda answer: answer["v"])
    assert counts == {"1": 2, "2": 1}


@pytest.mark.parametrize(("requests", "percent"), [(20, 25), (60, 1), (50, 50), (7, 90)])
def test_interval_is_the_exact_one(requests: int, percent: int) -> None:
    """Both ends are where whole-number arithmetic says that a tail is just likelier than half of the alarm."""
    p, alarm = Fraction(percent, 100), Fraction(1, 100)
    chances = [math.comb(requests, k) * p**k * (1 - p) ** (requests - k) for k in range(requests + 1)]
    inside = [k for k in range(requests + 1) if min(sum(chances[: k + 1]), sum(chances[k:])) > alarm / 2]
    counted = expected_counts(requests, {"a": percent, "b": 100 - percent}, confidence=0.99)
    assert counted["a"] == (inside[0], inside[-1])


def test_interval_of_the_usual_canary() -> None:
    """75/25 over 400 requests with one false alarm in a thousand: the figures of docs/traffic.md."""
    assert expected_counts(400, CANARY) == {"stable": (271, 328), "canary": (72, 129)}


@pytest.mark.parametrize("weights", [CANARY, {"stable": 0.75, "canary": 0.25}, {"stable": 3, "canary": 1}])
def test_weights_are_proportions(weights: dict[str, float]) -> None:
    """Percent, fractions and ratios mean the same."""
    assert expected_counts(400, weights) == expected_counts(400, CANARY)


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        pytest.param({"stable": 300, "canary": 100}, CANARY, id="exactly as the weights say"),
        pytest.param({"stable": 271, "canary": 129}, CANARY, id="the last count inside"),
        pytest.param({"stable": 400}, {"stable": 100, "canary": 0}, id="a canary without traffic"),
        pytest.param({"stable": 1}, CANARY, id="one request proves nothing against it"),
        pytest.param({"a": 34, "b": 33, "c": 33}, {"a": 1, "b": 1, "c": 1}, id="three variants"),
    ],
)
def test_counts_that_agree(counts: dict[str, int], weights: dict[str, float]) -> None:
    """Chance explains these counts."""
    assert_weights(counts, weights)


@pytest.mark.parametrize(
    ("counts", "weights", "says"),
    [
        pytest.param(
            {"stable": 270, "canary": 130},
            CANARY,
            "stable: 270 answers \\(67.5%\\), weight 75.0% allows 271 to 328, outside",
            id="the first count outside",
        ),
        pytest.param({"stable": 400}, CANARY, "canary: 0 answers .* allows 72 to 129, outside", id="no canary at all"),
        pytest.param({"stable": 200, "canary": 200}, CANARY, "outside", id="even split"),
        pytest.param(
            {"stable": 399, "canary": 1}, {"stable": 1, "canary": 0}, "canary: 1 .* allows 0 to 0", id="weight 0"
        ),
        pytest.param(
            {"stable": 300, "canary": 99, "old": 1}, CANARY, "old: 1 answers, and it has no weight", id="a stranger"
        ),
        pytest.param({}, CANARY, "0 requests", id="nothing was asked"),
    ],
)
def test_counts_that_do_not_agree(counts: dict[str, int], weights: dict[str, float], says: str) -> None:
    """The message has the count, its share, and what would have been accepted."""
    with pytest.raises(WeightMismatch, match=says):
        assert_weights(counts, weights)


@pytest.mark.parametrize(
    ("weights", "confidence", "says"),
    [
        pytest.param({"a": 1, "b": -1}, 0.999, "not negative", id="a negative weight"),
        pytest.param({"a": 0, "b": 0}, 0.999, "not all 0", id="all weights 0"),
        pytest.param({"a": math.nan}, 0.999, "not negative", id="no number"),
        pytest.param({}, 0.999, "not all 0", id="no weights"),
        pytest.param(CANARY, 99.9, "between 0 and 1", id="confidence in percent"),
        pytest.param(CANARY, 1.0, "between 0 and 1", id="certainty"),
    ],
)
def test_what_makes_no_sense_is_refused(weights: dict[str, float], confidence: float, says: str) -> None:
    """A mistake in the test is no verdict on the gateway."""
    with pytest.raises(ValueError, match=says):
        assert_weights({"a": 1}, weights, confidence=confidence)


@pytest.mark.parametrize(
    ("weights", "confidence"),
    [
        pytest.param({"a": 75, "b": 25}, 0.95, id="75/25"),
        pytest.param({"a": 99, "b": 1}, 0.95, id="99/1"),
        pytest.param({"a": 60, "b": 30, "c": 10}, 0.95, id="three variants"),
        pytest.param({"a": 75, "b": 25}, 0.99, id="99 percent"),
    ],
)
def test_false_alarms_are_as_rare_as_stated(weights: dict[str, float], confidence: float) -> None:
    """Of 2,000 simulated gateways that are right, no larger share is accused than the confidence leaves."""
    random_numbers = random.Random(20200815)
    trials, requests, alarms = 2000, 400, 0
    names = list(weights)
    accepted = expected_counts(requests, weights, confidence=confidence)
    for _ in range(trials):
        counts = Counter(random_numbers.choices(names, list(weights.values()), k=requests))
        alarms += any(not low <= counts[name] <= high for name, (low, high) in accepted.items())
    share = 1 - confidence
    # Three standard deviations of the simulation itself above the bound; some alarms, or nothing was tested.
    assert 0 < alarms <= trials * share + 3 * math.sqrt(trials * share * (1 - share))


def test_wrong_split_is_caught() -> None:
    """Of 200 simulated gateways that split 60/40 instead of 75/25, 99 in 100 are caught, as the docstring says."""
    random_numbers = random.Random(4711)
    low, high = expected_counts(400, CANARY)["stable"]
    caught = sum(not low <= sum(random_numbers.random() < 0.6 for _ in range(400)) <= high for _ in range(200))
    assert caught >= 198
