"""Intervals that cover what they claim to cover."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from benchlib.loadgen import Duration, FixedRounds, Precision, Stamps, summarise
from benchlib.loadgen.intervals import mean_interval, percentile_interval, throughput_interval
from benchlib.loadgen.stamps import SLICES, slice_medians_ms, slice_throughputs, worker_rates_per_s
from benchlib.loadgen.stop import affordable_rounds
from benchlib.results import PERCENTILES, samples_needed


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


def autoregressive(phi: float, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Standard normal values, each correlated by ``phi`` with the one before it along the last axis."""
    values = rng.normal(size=shape)
    for k in range(1, shape[-1]):
        values[..., k] = phi * values[..., k - 1] + (1 - phi**2) ** 0.5 * values[..., k]
    return values


@pytest.mark.parametrize("slices", [3, 10, 30, 60])
def test_the_interval_of_the_mean_covers_it(slices: int) -> None:
    assert 0.935 <= share_of_hits(0.0, slices) <= 0.98


@pytest.mark.parametrize(("phi", "least"), [(0.3, 0.93), (0.5, 0.92), (0.8, 0.89)])
def test_the_interval_of_the_mean_nearly_covers_it_when_slices_resemble_their_neighbours(
    phi: float, least: float
) -> None:
    # Plain batch means cover in 85, 74 and 46 % of cases.
    assert share_of_hits(phi, SLICES) >= least


def share_of_hits(phi: float, slices: int) -> float:
    rng = np.random.default_rng(5)
    trials = 4000
    hits = 0
    for values in 100 + 3 * autoregressive(phi, (trials, slices), rng):
        interval = mean_interval(values)
        assert interval is not None
        hits += interval.low <= 100 <= interval.high
    return hits / trials


def noisy_runs(phi: float, shape: tuple[int, int, int], runs: int) -> Iterator[Stamps]:
    """Batches of 1 ms +-3 % on average; shape (rounds, workers, batches per worker)."""
    rounds, workers, batches = shape
    noise = autoregressive(phi, (runs, workers, rounds * batches), np.random.default_rng(12))
    for latencies_ns in 1e6 * (1 + 0.03 * noise):
        ns = np.concatenate([np.zeros((workers, 1)), latencies_ns.cumsum(axis=1)], axis=1)
        yield Stamps.contiguous(ns.astype(np.int64), rounds)


def noisy_run(shape: tuple[int, int, int]) -> Stamps:
    return next(noisy_runs(0, shape, 1))


@pytest.mark.parametrize("phi", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(3, 2, 1000), (5, 2, 100), (1, 2, 1000), (40, 2, 25)])
def test_the_throughputs_interval_covers_the_true_rate(phi: float, shape: tuple[int, int, int]) -> None:
    trials = 1000
    hits = 0
    for stamps in noisy_runs(phi, shape, trials):
        interval = throughput_interval(stamps, batch_size=4)
        assert interval is not None
        hits += interval.low <= 4 * 2 * 1000 <= interval.high
    assert hits / trials >= 0.93


def test_the_throughputs_interval_surrounds_the_throughput_that_is_reported() -> None:
    rng = np.random.default_rng(3)
    slow_worker = np.array([1, 1, 5])[:, np.newaxis]
    ns = np.cumsum(rng.exponential(1e6, (3, 101)) * slow_worker, axis=1).astype(np.int64)
    summary = summarise(Stamps.contiguous(ns, 4), batch_size=2)
    interval = summary.throughput_interval
    assert interval is not None
    assert (interval.low + interval.high) / 2 == pytest.approx(summary.total.throughput_inf_per_s)
    assert 0 < interval.low < interval.high


@pytest.mark.parametrize(("shape", "slices"), [((3, 1000), 30), ((1, 4), 4), ((7, 100), 35), ((50, 10), 50)])
def test_a_run_is_cut_into_thirty_slices_where_the_batches_allow(shape: tuple[int, int], slices: int) -> None:
    rounds, batches = shape
    stamps = noisy_run((rounds, 2, batches))
    throughputs = slice_throughputs(stamps)
    assert throughputs.shape == slice_medians_ms(stamps).shape == (slices,)
    assert throughputs.mean() == pytest.approx(worker_rates_per_s(stamps).sum(), rel=1e-3)


def test_slices_are_in_order_of_time() -> None:
    latencies_ns = np.repeat(np.arange(1, 61), 10)[np.newaxis] * 1_000_000
    ns = np.concatenate([[[0]], latencies_ns.cumsum(axis=1)], axis=1)
    stamps = Stamps.contiguous(ns, 2)
    assert slice_medians_ms(stamps).tolist() == pytest.approx((np.arange(1, 61, 2) + 0.5).tolist())
    assert (np.diff(slice_throughputs(stamps)) < 0).all()


def test_one_batch_has_no_interval() -> None:
    stamps = noisy_run((1, 2, 1))
    assert throughput_interval(stamps, 1) is None
    assert mean_interval(np.array([1.0])) is None


def test_every_percentile_that_is_printed_has_limits_around_it() -> None:
    summary = summarise(noisy_run((1, 2, 200)), 1)
    for name in PERCENTILES:
        limits, value = getattr(summary.latency_intervals, name), getattr(summary.total.latency, name)
        assert (limits is None) == (value is None)
        assert limits is None or limits.low <= value <= limits.high
    assert summary.latency_intervals.p99_ms is not None
    assert summary.latency_intervals.p99_9_ms is None


def test_the_precision_rule_goes_by_the_interval_that_is_reported() -> None:
    latencies_ns = np.full((1, 1000), 1_000_000)
    latencies_ns[0, np.random.default_rng(2).choice(1000, 60, replace=False)] = 3_000_000
    ns = np.concatenate([[[0]], latencies_ns.cumsum(axis=1)], axis=1)
    stamps = Stamps.contiguous(ns, 5)  # the median is the same everywhere
    interval = throughput_interval(stamps, 1)
    assert interval is not None
    half = (interval.high - interval.low) / (interval.high + interval.low)
    assert Precision(half * 1.001).enough(stamps)
    assert not Precision(half * 0.999).enough(stamps)
    assert not Precision(half * 1.001, min_rounds=6).enough(stamps)
    assert Precision(half * 0.999, max_duration_s=1.0).enough(stamps)
    assert not Precision(half * 0.999, max_duration_s=1.2).enough(stamps)


def test_open_ended_rules_are_bounded_by_the_memory_for_stamps_and_fixed_ones_are_not() -> None:
    per_round = 12 * 1000
    assert affordable_rounds(Duration(1e6), per_round) == 256 * 2**20 // (per_round * 8)
    assert affordable_rounds(Duration(1e6, max_rounds=7), per_round) == 7
    assert affordable_rounds(Precision(), 10**9) == 1
    assert affordable_rounds(FixedRounds(9), 10**9) == 9
