"""Arrivals are what they claim to be: Poisson, and the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from benchlib.errors import BadInput
from benchlib.loadgen.arrivals import PoissonArrivals


def gaps_s(arrivals: PoissonArrivals):
    return np.diff(arrivals.offsets_ns(), prepend=0) * 1e-9


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.5, 12_500.0])
def test_gaps_follow_the_exponential_distribution(rate: float, seed: int) -> None:
    n = 20_000
    ascending = np.sort(gaps_s(PoissonArrivals(rate, seed, n)))
    cumulative = -np.expm1(-rate * ascending)
    steps = np.arange(n + 1) / n
    distance = max((steps[1:] - cumulative).max(), (cumulative - steps[:-1]).max())
    # Kolmogorov's asymptotic limit for a false alarm in 1000: sqrt(ln(2 / 0.001) / 2) / sqrt(n).
    assert distance < 1.95 / np.sqrt(n)


def test_counts_in_windows_scatter_as_poisson_counts_do() -> None:
    offsets_s = PoissonArrivals(1000.0, 3, 50_000).offsets_ns() * 1e-9
    counts = np.histogram(offsets_s, bins=np.arange(0, 49, 0.02))[0]
    dispersion = counts.var(ddof=1) / counts.mean()
    assert dispersion == pytest.approx(1, abs=4 * np.sqrt(2 / len(counts)))


def test_one_gap_says_nothing_of_the_next() -> None:
    gaps = gaps_s(PoissonArrivals(100.0, 1, 50_000))
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / np.sqrt(50_000)


def test_the_arrivals_of_a_seed_never_change() -> None:
    # A change here makes every earlier measurement with a seed unrepeatable.
    first = [1013247, 1327666, 1369503, 1386169, 3064262]
    assert PoissonArrivals(1000.0, 0, 5).offsets_ns().tolist() == first


def test_another_seed_gives_other_arrivals_and_a_longer_run_begins_like_a_shorter_one() -> None:
    first = PoissonArrivals(50.0, 7, 100).offsets_ns()
    assert not np.array_equal(first, PoissonArrivals(50.0, 8, 100).offsets_ns())
    assert np.array_equal(first, PoissonArrivals(50.0, 7, 200).offsets_ns()[:100])


def test_one_seed_scales_with_the_rate() -> None:
    slow, fast = (PoissonArrivals(rate, 5, 1000).offsets_ns() for rate in (10.0, 20.0))
    assert slow == pytest.approx(2 * fast, abs=1000)


@pytest.mark.parametrize(
    ("rate", "seed", "count", "field"),
    [
        (0.0, 0, 1, "rate_batches_per_s"),
        (-1.0, 0, 1, "rate_batches_per_s"),
        (float("nan"), 0, 1, "rate_batches_per_s"),
        (float("inf"), 0, 1, "rate_batches_per_s"),
        (1.0, -1, 1, "arrival_seed"),
        (1.0, 0, 0, "count"),
    ],
)
def test_arrivals_that_make_no_sense_are_refused(rate: float, seed: int, count: int, field: str) -> None:
    with pytest.raises(BadInput, match=field):
        PoissonArrivals(rate, seed, count)
