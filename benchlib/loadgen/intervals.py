"""Intervals for what was measured: nonparametric ones for percentiles, batch means for rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchlib import results
from benchlib.loadgen.stamps import Stamps, slice_medians_ms, slice_throughputs, worker_rates_per_s
from benchlib.results import CONFIDENCE, PERCENTILES, samples_needed

# Student's t for a two-sided 95 % interval by degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2).
_T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_T_95_BEYOND = 1.960

_MOST_CORRELATED = 0.95


@dataclass(frozen=True)
class Interval:
    """A value with its two-sided 95 % confidence limits, all in the value's own unit."""

    value: float
    low: float
    high: float

    @property
    def relative_half_width(self) -> float:
        """Half of the interval's width over the value."""
        return (self.high - self.low) / 2 / self.value


def percentile_interval(ascending: NDArray[np.float64], percent: float) -> Interval | None:
    """A percentile of sorted samples with its distribution-free interval, or ``None`` for too few samples.

    The limits are order statistics: the number of samples below the true percentile is binomial
    (Hahn, Meeker and Escobar, Statistical Intervals, 2nd ed., 5.2). Samples are taken as independent.
    """
    n, p = ascending.size, percent / 100
    if n < samples_needed(percent):
        return None
    low, high = _order_limits(n, p)
    return Interval(float(np.percentile(ascending, percent)), float(ascending[low]), float(ascending[high]))


def _order_limits(n: int, p: float) -> tuple[int, int]:
    """Zero-based indices of the order statistics that enclose the p-quantile at 95 %."""
    counts, cumulative = _binomial_near_its_mode(n, p)
    tail = (1 - CONFIDENCE) / 2
    # Largest l with P(B < l) <= tail: at least l samples lie below the quantile in all but `tail` of cases.
    low = int(counts[np.searchsorted(cumulative, tail, side="right")])
    high = int(counts[np.searchsorted(cumulative, 1 - tail, side="left")]) + 1
    return max(low - 1, 0), min(high - 1, n - 1)


def _binomial_near_its_mode(n: int, p: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counts within ten standard deviations of the mode, and the cumulative probability at each."""
    reach = int(10 * math.sqrt(n * p * (1 - p))) + 10
    counts = np.arange(max(0, int(n * p) - reach), min(n, int(n * p) + reach) + 1)
    steps = np.log((n - counts[:-1]) / (counts[:-1] + 1) * (p / (1 - p)))
    first = int(counts[0])
    log_first = (
        math.lgamma(n + 1) - math.lgamma(first + 1) - math.lgamma(n - first + 1)
        + first * math.log(p) + (n - first) * math.log(1 - p)
    )  # fmt: skip
    log_pmf = log_first + np.concatenate([[0.0], np.cumsum(steps)])
    return counts, np.cumsum(np.exp(log_pmf))


def mean_interval(values: NDArray[np.float64]) -> Interval | None:
    """The mean of one value per slice with its Student interval, or ``None`` for a single slice.

    Slices serve as batches of the method of batch means (Law, Simulation Modeling and Analysis, 5th ed.,
    9.5.3): samples inside a slice may depend on each other as they like, only whole slices are compared.
    Neighbouring slices that resemble each other count as fewer: n of them, of an autoregressive series with
    lag-1 correlation r, tell as much about the mean as n (1 - r) / (1 + r) independent ones (Bayley and
    Hammersley, The "effective" number of independent observations in an autocorrelated time series, J. R.
    Stat. Soc. Suppl. 8, 1946). That number stands for n in the variance and in the degrees of freedom.
    """
    n = values.size
    if n < 2:
        return None
    independent = n / _inflation(values)
    freedom = max(1, int(independent) - 1)
    t = _T_95[freedom - 1] if freedom <= len(_T_95) else _T_95_BEYOND
    mean, half = float(values.mean()), t * float(values.std(ddof=1)) / math.sqrt(independent)
    return Interval(mean, mean - half, mean + half)


def _inflation(values: NDArray[np.float64]) -> float:
    """(1 + r) / (1 - r) for a positive correlation r of neighbours, else 1.

    The usual estimate of r is too low by (1 + 4 r) / n (Marriott and Pope, Bias in the estimation of
    autocorrelations, Biometrika 41, 1954); that is put back.
    """
    deviations = values - values.mean()
    squares = float(deviations @ deviations)
    if values.size < 4 or squares == 0:  # three values tell nothing of their order
        return 1.0
    r = float(deviations[1:] @ deviations[:-1]) / squares
    r = min(max(r + (1 + 4 * r) / values.size, 0.0), _MOST_CORRELATED)
    return (1 + r) / (1 - r)


def throughput_estimate(stamps: Stamps) -> Interval | None:
    """Batches per second of all workers with limits from the spread of the slices; ``None`` for one slice."""
    spread = mean_interval(slice_throughputs(stamps))
    if spread is None:
        return None
    value, half = float(worker_rates_per_s(stamps).sum()), (spread.high - spread.low) / 2
    return Interval(value, value - half, value + half)


def median_estimate(stamps: Stamps) -> Interval | None:
    """The mean of the slices' median latencies, ms; ``None`` for one slice."""
    return mean_interval(slice_medians_ms(stamps))


def throughput_interval(stamps: Stamps, batch_size: int) -> results.Interval | None:
    """Limits of the throughput, inferences per second; ``None`` where there is only one batch per worker."""
    estimate = throughput_estimate(stamps)
    if estimate is None:
        return None
    return results.Interval(low=max(estimate.low, 0.0) * batch_size, high=estimate.high * batch_size)


def latency_intervals(stamps: Stamps) -> results.LatencyIntervals:
    """Limits of each percentile from the samples of all rounds, ms; see `percentile_interval`."""
    ascending_ms = np.sort(stamps.latencies_ns, axis=None) / 1e6
    found = {name: percentile_interval(ascending_ms, percent) for name, percent in PERCENTILES.items()}
    limits = {name: i and results.Interval(low=i.low, high=i.high) for name, i in found.items()}
    return results.LatencyIntervals(**limits)
