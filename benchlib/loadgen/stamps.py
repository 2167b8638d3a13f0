"""The raw outcome of a run, and the two figures that are read off it while it still runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Stamps:
    """The clock readings of a run.

    ``ns`` has shape (workers, rounds x batches per worker + 1), int64, monotonic nanoseconds. Row w holds
    worker w's readings: entry 0 is the start of its first measured batch, entry k the end of its k-th.
    Every reading was taken while all workers were busy.
    """

    ns: NDArray[np.int64]
    rounds: int

    @property
    def batches_per_worker(self) -> int:
        """Measured batches per worker and round."""
        return int(self.ns.shape[1] - 1) // self.rounds

    def round(self, index: int) -> Stamps:
        """One round alone."""
        first = index * self.batches_per_worker
        return Stamps(self.ns[:, first : first + self.batches_per_worker + 1], 1)


def worker_rates_per_s(stamps: Stamps) -> NDArray[np.float64]:
    """Batches per second of each worker over its own span, shape (workers,).

    Every worker's span lies inside the time in which all were busy, so the sum of these rates is the
    throughput of the full load, however unequal the workers are: no ragged end dilutes it.
    """
    spans_ns = (stamps.ns[:, -1] - stamps.ns[:, 0]).astype(np.float64)
    rates: NDArray[np.float64] = np.divide(1e9 * (stamps.ns.shape[1] - 1), spans_ns)
    return rates


def round_throughputs(stamps: Stamps) -> NDArray[np.float64]:
    """Batches per second of all workers in each round, shape (rounds,)."""
    return np.array([worker_rates_per_s(stamps.round(r)).sum() for r in range(stamps.rounds)])


def round_medians_ms(stamps: Stamps) -> NDArray[np.float64]:
    """Median latency of each round in milliseconds, shape (rounds,)."""
    medians_ns = [float(np.median(np.diff(stamps.round(r).ns))) for r in range(stamps.rounds)]
    return np.array(medians_ns) * 1e-6
