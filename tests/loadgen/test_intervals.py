"""Intervals that cover what they claim to cover."""

from __future__ import annotations

import numpy as np
import pytest

from benchlib.loadgen.intervals import mean_interval, percentile_interval
from benchlib.results import samples_needed


@pytest.mark.parametrize(("percent", "needed"), [(50, 6), (90, 36), (95, 72), (99, 368), (99.9, 3688)])
def test_samples_needed_agree_with_the_binomial_by_hand(percent: float, needed: int) -> None:
    assert samples_needed(percent) == needed
    assert percentile_interval(np.arange(needed - 1, dtype=float), percent) is None
    assert percentile_interval(np.arange(needed, dtype=float), percent) is not None


def test_limits_for_the_median_of_ten_are_the_textbooks() -> None:
    # P(2 <= B <= 8) for B ~ Bin(10, 1/2) is 0.979; P(3 <= B <= 7) only 0.891.
    interval = percentile_interval(np.arange(1.0, 11.0), 50)
    assert interval is not None
    assert (interval.low, interval.value, interval.high) == (2.0, 5.5, 9.0)


@pytest.mark.parametrize("percent", [50, 90, 99])
@pytest.mark.parametrize("n", [400, 3000])
def test_the_interval_covers_the_true_percentile_at_least_as_often_as_it_says(percent: float, n: int) -> None:
    rng = np.random.default_rng(11)
    truth = -np.log(1 - percent / 100)
    trials = 1500
    covered = 0
    for _ in range(trials):
        interval = percentile_interval(np.sort(rng.exponential(size=n)), percent)
        assert interval is not None
        covered += interval.low <= truth <= interval.high
    assert covered / trials >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)


def test_the_interval_of_many_samples_is_narrow() -> None:
    interval = percentile_interval(np.linspace(0, 1, 1_000_001), 99)
    assert interval is not None
    assert interval.low < 0.99 < interval.high
    assert interval.relative_half_width < 0.001


@pytest.mark.parametrize("rounds", [3, 10, 60])
def test_the_interval_of_the_mean_covers_it(rounds: int) -> None:
    rng = np.random.default_rng(5)
    trials = 2000
    hits = 0
    for _ in range(trials):
        interval = mean_interval(rng.normal(100, 3, rounds))
        assert interval is not None
        hits += interval.low <= 100 <= interval.high
    assert hits / trials == pytest.approx(0.95, abs=0.02)


def test_one_round_has_no_interval() -> None:
    assert mean_interval(np.array([1.0])) is None
