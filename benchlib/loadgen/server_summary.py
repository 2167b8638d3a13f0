"""From an open loop's run to figures: throughput, latency from the scheduled arrival, and limits for both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchlib.errors import BadInput
from benchlib.loadgen.histogram import latency_histogram
from benchlib.loadgen.intervals import mean_interval, percentile_interval
from benchlib.loadgen.open_loop import OpenLoopRun
from benchlib.loadgen.summary import NS_PER_MS, latency_summary
from benchlib.loadgen.watch import Interrupted
from benchlib.results import (
    PERCENTILES,
    Interval,
    LatencyHistogram,
    LatencyIntervals,
    LatencySummary,
    Round,
    ServerTrial,
)

SLICES = 20
"""Batches of the method of batch means: more would be too short to forget each other."""
BACKLOG_TOLERANCE = 0.02
"""Arrivals were kept up with when the last tenth waited less than this share of the run."""


@dataclass(frozen=True)
class ServerSummary:
    """What the server scenario measured. Latency counts from the scheduled arrival."""

    total: Round
    """The whole run. Its throughput is completed inferences / (last end - first scheduled arrival)."""
    rounds: tuple[Round, ...]
    """The run in the order of completion, cut into equal counts. Their durations add up to the run's."""
    service: LatencySummary
    """Of the calls alone, from start to end."""
    throughput_interval: Interval | None
    """Of the total, inf/s; ``None`` for fewer than 20 arrivals."""
    latency_intervals: LatencyIntervals
    """Of the total's percentiles, ms."""
    histogram: LatencyHistogram
    dispatch: LatencySummary
    """What the harness added: from when the arrival was due and its worker free, to the start of the call."""
    utilisation: float
    """Share of the run that a worker spent in calls: 1 is all that there is."""


def server_summary(run: OpenLoopRun, batch_size: int, rounds: int = 1) -> ServerSummary:
    """Turn a run into its figures; ``batch_size`` is inferences per batch.

    Completed over elapsed time is MLPerf LoadGen's "completed samples per second", save that LoadGen counts
    one query less, for a time range that is open at its end. Here the range holds the last call, so that a
    queue that is never empty shows exactly the capacity.

    Raises:
        BadInput: more rounds than arrivals.
    """
    n = len(run.end_ns)
    if not 1 <= rounds <= n:
        raise BadInput("rounds", rounds, f"1 to {n}, the arrivals that were served")
    by_end = np.argsort(run.end_ns, kind="stable")
    total = _rounds([by_end], run, batch_size)[0]
    service_ns = run.end_ns - run.start_ns
    return ServerSummary(
        total=total,
        rounds=_rounds(np.array_split(by_end, rounds), run, batch_size),
        service=latency_summary(service_ns),
        throughput_interval=_throughput_interval(total, by_end, run, batch_size),
        latency_intervals=_latency_intervals(run.latencies_ns),
        histogram=latency_histogram(run.latencies_ns),
        dispatch=latency_summary(np.maximum(dispatch_delays_ns(run), 1)),  # a summary has no zero
        utilisation=float(service_ns.sum()) * 1e-9 / (run.workers * total.duration_s),
    )


def judge(run: OpenLoopRun, target_batches_per_s: float, limit_ms: float) -> ServerTrial:
    """Whether the arrivals were kept up with, and P99 met the limit; not when there are too few for a P99.

    The P99 of a run shorter than the limit would pass any overload; the backlog at its end does not.

    Raises:
        Interrupted: the run was cut short, which is no verdict.
    """
    if run.interrupted:
        raise Interrupted
    total = server_summary(run, 1).total
    p99_ms = total.latency.p99_ms
    return ServerTrial(
        target_batches_per_s=target_batches_per_s,
        achieved_batches_per_s=total.throughput_inf_per_s,
        samples=total.batches,
        p99_ms=p99_ms,
        met=p99_ms is not None and p99_ms <= limit_ms and kept_up(run),
    )


def kept_up(run: OpenLoopRun) -> bool:
    """True when the waiting line did not grow: under an overload of x the last arrivals wait x of the run."""
    return last_waits_ns(run) <= BACKLOG_TOLERANCE * float(run.scheduled_ns[-1] - run.scheduled_ns[0])


def last_waits_ns(run: OpenLoopRun) -> float:
    """How long the last tenth of the arrivals waited for a worker, in the median; nanoseconds."""
    waits_ns = run.start_ns - run.scheduled_ns
    return float(np.median(waits_ns[-max(1, len(waits_ns) // 10) :]))


def dispatch_delays_ns(run: OpenLoopRun) -> NDArray[np.int64]:
    """From when each arrival was due and its worker free, to the start of its call; shape (arrivals,)."""
    order = np.lexsort((run.start_ns, run.worker))
    free_ns = np.zeros_like(run.end_ns)
    same_worker = run.worker[order[1:]] == run.worker[order[:-1]]
    free_ns[order[1:]] = np.where(same_worker, run.end_ns[order[:-1]], 0)
    return run.start_ns - np.maximum(run.scheduled_ns, free_ns)


def _rounds(parts: list[NDArray[np.int64]], run: OpenLoopRun, batch_size: int) -> tuple[Round, ...]:
    begins_ns = [int(run.scheduled_ns[0]), *(int(run.end_ns[part[-1]]) for part in parts[:-1])]
    return tuple(
        _round(i, part, run, begin, batch_size)
        for i, (part, begin) in enumerate(zip(parts, begins_ns, strict=True))
    )


def _round(index: int, part: NDArray[np.int64], run: OpenLoopRun, begin_ns: int, batch_size: int) -> Round:
    # Two calls may end in the same nanosecond, so a round of one may have no duration.
    duration_s = max(int(run.end_ns[part[-1]]) - begin_ns, 1) * 1e-9
    inferences = len(part) * batch_size
    return Round(
        index=index,
        batches=len(part),
        inferences=inferences,
        duration_s=duration_s,
        throughput_inf_per_s=inferences / duration_s,
        latency=latency_summary(run.latencies_ns[part]),
    )


def _throughput_interval(
    total: Round, by_end: NDArray[np.int64], run: OpenLoopRun, batch_size: int
) -> Interval | None:
    if total.batches < SLICES:
        return None
    slices = _rounds(np.array_split(by_end, SLICES), run, batch_size)
    spread = mean_interval(np.array([r.throughput_inf_per_s for r in slices]))
    if spread is None:
        return None
    value, half = total.throughput_inf_per_s, (spread.high - spread.low) / 2
    return Interval(low=max(value - half, 0.0), high=value + half)


def _latency_intervals(latencies_ns: NDArray[np.int64]) -> LatencyIntervals:
    ms = latencies_ns / NS_PER_MS
    return LatencyIntervals(**{name: _dependent_interval(ms, pc) for name, pc in PERCENTILES.items()})


def _dependent_interval(ms: NDArray[np.float64], percent: float) -> Interval | None:
    """Limits of a percentile of latencies in order of arrival; ``None``: too few to bound it from above.

    Neighbours in a queue wait for the same backlog, so that order statistics of independent samples are far
    too narrow: at four fifths of the capacity their 95 % limits of P99 hold in 2 of 10 cases (simulated
    M/D/1), those below in 9. The share of latencies below the percentile is given limits by batch means, and
    those are read off the sorted latencies (Heidelberger and Lewis, Quantile estimation in dependent
    sequences, Operations Research 32, 1984). The wider limits count.
    """
    ascending = np.sort(ms)
    exact = percentile_interval(ascending, percent)
    if exact is None:
        return None
    slices = min(SLICES, ms.size)
    below = mean_interval(np.array([part.mean() for part in np.array_split(ms <= exact.value, slices)]))
    assert below is not None
    n, half = ms.size, (below.high - below.low) / 2
    low, high = int(n * (percent / 100 - half)) - 1, int(np.ceil(n * (percent / 100 + half)))
    if high > n - 1:
        return None
    return Interval(low=min(exact.low, ascending[max(low, 0)]), high=max(exact.high, ascending[high]))
