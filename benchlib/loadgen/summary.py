"""From stamps to figures: throughput, latency and rounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchlib.loadgen.run import Stamps
from benchlib.results import LatencySummary, Round

NS_PER_S = 1e9
NS_PER_MS = 1e6

MIN_SAMPLES_BEYOND = 1
"""A percentile is printed only when at least this many samples are expected above it."""


@dataclass(frozen=True)
class LoadSummary:
    """What a run measured, over all of its rounds and round by round."""

    batches: int
    inferences: int
    duration_s: float
    """``inferences / throughput_inf_per_s``: the fully busy time."""
    throughput_inf_per_s: float
    latency: LatencySummary
    rounds: tuple[Round, ...]
    worker_batches_per_s: tuple[float, ...]
    """Each worker's own rate, in the order of the workers."""


def summarise(stamps: Stamps, batch_size: int) -> LoadSummary:
    """Turn the stamps of a run into its figures; ``batch_size`` is inferences per batch."""
    per_round = (stamps.ns.shape[1] - 1) // stamps.rounds
    rates = _batches_per_s(stamps.ns)
    batches, inferences, duration_s, throughput = _totals(stamps.ns, batch_size)
    return LoadSummary(
        batches=batches,
        inferences=inferences,
        duration_s=duration_s,
        throughput_inf_per_s=throughput,
        latency=latency_summary(np.diff(stamps.ns)),
        rounds=tuple(
            _round(r, stamps.ns[:, r * per_round : (r + 1) * per_round + 1], batch_size)
            for r in range(stamps.rounds)
        ),
        worker_batches_per_s=tuple(float(rate) for rate in rates),
    )


def _batches_per_s(ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each worker's rate over its own span.

    Every worker's span lies inside the time in which all were busy, so the sum of these rates is the
    throughput of the full load, however unequal the workers are: no ragged end dilutes it.
    """
    spans_s: NDArray[np.float64] = (ns[:, -1] - ns[:, 0]) / NS_PER_S
    rates: NDArray[np.float64] = (ns.shape[1] - 1) / spans_s
    return rates


def _totals(ns: NDArray[np.int64], batch_size: int) -> tuple[int, int, float, float]:
    batches = ns.shape[0] * (ns.shape[1] - 1)
    inferences = batches * batch_size
    throughput = float(_batches_per_s(ns).sum()) * batch_size
    return batches, inferences, inferences / throughput, throughput


def _round(index: int, ns: NDArray[np.int64], batch_size: int) -> Round:
    batches, inferences, duration_s, throughput = _totals(ns, batch_size)
    return Round(
        index=index,
        batches=batches,
        inferences=inferences,
        duration_s=duration_s,
        throughput_inf_per_s=throughput,
        latency=latency_summary(np.diff(ns)),
    )


def latency_summary(latencies_ns: NDArray[np.int64]) -> LatencySummary:
    """Mean, maximum and percentiles of single batches, from all samples (any shape, nanoseconds).

    Percentiles interpolate linearly between order statistics (Hyndman and Fan 1996, definition 7).
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
    if ms.size * (1 - percent / 100) < MIN_SAMPLES_BEYOND - 1e-9:
        return None
    return float(np.percentile(ms, percent))
