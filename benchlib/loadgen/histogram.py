"""The histogram of a run's latencies, small enough to keep for every measurement."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from benchlib.results import BUCKET_GROWTH, LatencyHistogram

NS_PER_MS = 1e6


def latency_histogram(latencies_ns: NDArray[np.int64]) -> LatencyHistogram:
    """Count latencies (any shape, nanoseconds) in the buckets of `LatencyHistogram`.

    A latency below the clock's resolution counts as one nanosecond.
    """
    exponents = np.log(np.maximum(latencies_ns, 1) / NS_PER_MS) / math.log(BUCKET_GROWTH)
    buckets, batches = np.unique(np.ceil(exponents).astype(int), return_counts=True)
    return LatencyHistogram(buckets=tuple(buckets.tolist()), batches=tuple(batches.tolist()))
