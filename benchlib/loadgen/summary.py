"""From stamps to figures: throughput, latency and rounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchlib.loadgen.histogram import latency_histogram
from benchlib.loadgen.intervals import latency_intervals, throughput_interval
from benchlib.loadgen.stamps import Stamps, worker_rates_per_s
from benchlib.results import (
    Interval,
    LatencyHistogram,
    LatencyIntervals,
    LatencySummary,
    Round,
    samples_needed,
)

NS_PER_MS = 1e6


@dataclass(frozen=True)
class LoadSummary:
    """What a run measured, over all of its rounds and round by round."""

    total: Round
    """All rounds taken together."""
    rounds: tuple[Round, ...]
    worker_batches_per_s: tuple[float, ...]
    """Each worker's own rate, in the order of the workers."""
    histogram: LatencyHistogram
    """Of all rounds."""
    throughput_interval: Interval | None
    """Of the total, inf/s; ``None`` for a single batch per worker."""
    latency_intervals: LatencyIntervals
    """Of the total's percentiles, ms."""


def summarise(stamps: Stamps, batch_size: int) -> LoadSummary:
    """Turn the stamps of a run into its figures; ``batch_size`` is inferences per batch."""
    return LoadSummary(
        total=_figures(0, stamps, batch_size),
        rounds=tuple(_figures(r, stamps.round(r), batch_size) for r in range(stamps.rounds)),
        worker_batches_per_s=tuple(float(rate) for rate in worker_rates_per_s(stamps)),
        histogram=latency_histogram(stamps.latencies_ns),
        throughput_interval=throughput_interval(stamps, batch_size),
        latency_intervals=latency_intervals(stamps),
    )


def _figures(index: int, stamps: Stamps, batch_size: int) -> Round:
    latencies_ns = stamps.latencies_ns
    inferences = latencies_ns.size * batch_size
    throughput_inf_per_s = float(worker_rates_per_s(stamps).sum()) * batch_size
    return Round(
        index=index,
        batches=latencies_ns.size,
        inferences=inferences,
        duration_s=inferences / throughput_inf_per_s,
        throughput_inf_per_s=throughput_inf_per_s,
        latency=latency_summary(latencies_ns),
    )


def latency_summary(latencies_ns: NDArray[np.int64]) -> LatencySummary:
    """Mean, maximum and percentiles of single batches, from all samples (any shape, nanoseconds).

    Percentiles interpolate linearly between order statistics (Hyndman and Fan 1996, definition 7); one that
    the samples cannot bound from both sides is ``None``.
    """
    ms = np.sort(latencies_ns, axis=None) / NS_PER_MS
    return LatencySummary(
        samples=ms.size,
        mean_ms=float(ms.mean()),
        p50_ms=_percentile(ms, 50),
        p90_ms=_percentile(ms, 90),
        p95_ms=_percentile(ms, 95),
        p99_ms=_percentile(ms, 99),
        p99_9_ms=_percentile(ms, 99.9),
        max_ms=float(ms[-1]),
    )


def _percentile(ms: NDArray[np.float64], percent: float) -> float | None:
    if ms.size < samples_needed(percent):
        return None
    return float(np.percentile(ms, percent))
