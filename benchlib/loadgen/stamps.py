"""The raw outcome of a run, and the figures that are read off it while it still runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

SLICES = 30
"""A run is cut into at least so many slices, where the batches allow, to see how steady its rate is."""


@dataclass(frozen=True)
class Stamps:
    """The clock readings of a run.

    ``ns`` has shape (rounds, workers, batches per worker + 1), int64, monotonic nanoseconds. ``ns[r, w, 0]``
    is the start of worker w's first batch of round r, ``ns[r, w, k]`` the end of its k-th. Rounds may lie
    apart in time; in an uninterrupted run the end of a round's last batch is the start of the next round.
    Every reading was taken while all workers were busy.
    """

    ns: NDArray[np.int64]

    @classmethod
    def contiguous(cls, ns: NDArray[np.int64], rounds: int) -> Stamps:
        """A view of an uninterrupted run's readings, shape (workers, rounds x batches per worker + 1)."""
        batches = (ns.shape[1] - 1) // rounds
        windows = sliding_window_view(ns, batches + 1, axis=1)[:, ::batches]
        return cls(windows.transpose(1, 0, 2))

    @property
    def rounds(self) -> int:
        """Measured windows."""
        return int(self.ns.shape[0])

    @property
    def batches_per_worker(self) -> int:
        """Measured batches per worker and round."""
        return int(self.ns.shape[2] - 1)

    @property
    def latencies_ns(self) -> NDArray[np.int64]:
        """Of every batch, shape (rounds, workers, batches per worker)."""
        return np.diff(self.ns)

    @property
    def measured_s(self) -> float:
        """Seconds that the fastest worker measured for, gaps between the rounds left out."""
        return float(_spans_ns(self).sum(axis=0).min()) * 1e-9

    def round(self, index: int) -> Stamps:
        """One round alone."""
        return Stamps(self.ns[index : index + 1])


def worker_rates_per_s(stamps: Stamps) -> NDArray[np.float64]:
    """Batches per second of each worker over its own spans, shape (workers,).

    Every worker's spans lie inside the time in which all were busy, so the sum of these rates is the
    throughput of the full load, however unequal the workers are: no ragged end dilutes it.
    """
    batches = stamps.rounds * stamps.batches_per_worker
    rates: NDArray[np.float64] = np.divide(1e9 * batches, _spans_ns(stamps).sum(axis=0))
    return rates


def slice_throughputs(stamps: Stamps) -> NDArray[np.float64]:
    """Batches per second of all workers in each slice, to first order, shape (slices,), in order of time.

    Every round is cut into equally many slices of as equal a number of batches as can be. A worker's
    contribution is linear in its time per batch, around its mean (the delta method: rate = 1 / time has the
    derivative -rate / time), so that the mean of the slices is the throughput of the whole, with no bias.
    """
    bounds = _slice_bounds(stamps)
    per_batch_ns = np.diff(stamps.ns[:, :, bounds]) / np.diff(bounds)
    rates = worker_rates_per_s(stamps)[:, np.newaxis]
    linear: NDArray[np.float64] = (rates * (2 - per_batch_ns * rates * 1e-9)).sum(axis=1)
    return linear.reshape(-1)


def slice_medians_ms(stamps: Stamps) -> NDArray[np.float64]:
    """Median latency of each slice in milliseconds, shape (slices,), in order of time."""
    bounds = _slice_bounds(stamps)
    latencies_ns = stamps.latencies_ns
    medians_ns = [np.median(latencies_ns[:, :, a:b], axis=(1, 2)) for a, b in pairwise(bounds)]
    ordered: NDArray[np.float64] = np.stack(medians_ns, axis=1).reshape(-1) * 1e-6
    return ordered


def _slice_bounds(stamps: Stamps) -> NDArray[np.int64]:
    """Where a round's slices begin and end, in batches."""
    slices = min(math.ceil(SLICES / stamps.rounds), stamps.batches_per_worker)
    bounds: NDArray[np.int64] = np.linspace(0, stamps.batches_per_worker, slices + 1).round().astype(np.int64)
    return bounds


def _spans_ns(stamps: Stamps) -> NDArray[np.float64]:
    spans: NDArray[np.float64] = (stamps.ns[:, :, -1] - stamps.ns[:, :, 0]).astype(np.float64)
    return spans
