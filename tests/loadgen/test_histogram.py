"""Every latency is counted once, in the bucket that holds it, within the stated error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchlib.loadgen.histogram import latency_histogram
from benchlib.results import BUCKET_GROWTH

NS = st.integers(1, 10**13)


def estimate_ms(bucket: int) -> float:
    return 2 * BUCKET_GROWTH**bucket / (BUCKET_GROWTH + 1)


@given(NS)
def test_a_bucket_stands_for_its_latencies_within_one_percent(latency_ns: int) -> None:
    (bucket,) = latency_histogram(np.array([latency_ns])).buckets

    assert estimate_ms(bucket) == pytest.approx(latency_ns / 1e6, rel=0.01 * (1 + 1e-9))


@given(st.lists(NS, min_size=1, max_size=50), st.lists(NS, min_size=1, max_size=50))
def test_the_histogram_of_all_is_the_sum_of_the_histograms(one: list[int], other: list[int]) -> None:
    summed: dict[int, int] = {}
    for part in (one, other):
        histogram = latency_histogram(np.array(part))
        for bucket, batches in zip(histogram.buckets, histogram.batches, strict=True):
            summed[bucket] = summed.get(bucket, 0) + batches
    together = latency_histogram(np.array([one + other]))

    assert dict(zip(together.buckets, together.batches, strict=True)) == summed
    assert sum(together.batches) == len(one) + len(other)


def test_a_call_below_the_clocks_resolution_counts_as_a_nanosecond() -> None:
    assert latency_histogram(np.array([0])) == latency_histogram(np.array([1]))


def test_a_steady_replica_needs_few_buckets() -> None:
    latencies_ns = np.random.default_rng(0).normal(1e6, 3e4, 100_000).astype(np.int64)

    assert len(latency_histogram(latencies_ns).buckets) < 20
