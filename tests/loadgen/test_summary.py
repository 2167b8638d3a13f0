"""Figures from stamps that were made by hand, so that every expected value is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchlib.loadgen import Stamps, summarise
from benchlib.loadgen.summary import latency_summary
from benchlib.results import why_blank

MS = 1_000_000


def stamps_of(latencies_ms: list[list[float]], rounds: int = 1) -> Stamps:
    rows = np.array(latencies_ms) * MS
    ns = np.concatenate([np.zeros((len(rows), 1)), rows.cumsum(axis=1)], axis=1).astype(np.int64)
    return Stamps.contiguous(ns, rounds)


def test_throughput_is_the_sum_of_the_workers_rates() -> None:
    summary = summarise(stamps_of([[1.0] * 10, [2.0] * 10]), batch_size=4)

    assert summary.total.batches == 20
    assert summary.total.inferences == 80
    assert summary.total.throughput_inf_per_s == pytest.approx(4 * (1000 + 500))
    assert summary.total.duration_s == pytest.approx(80 / 6000)
    assert summary.worker_batches_per_s == pytest.approx((1000, 500))


def test_rounds_cut_the_run_without_losing_a_batch() -> None:
    summary = summarise(stamps_of([[1.0] * 10 + [2.0] * 10] * 2, rounds=2), batch_size=1)

    assert [r.throughput_inf_per_s for r in summary.rounds] == pytest.approx([2000, 1000])
    assert [r.latency.p50_ms for r in summary.rounds] == pytest.approx([1, 2])
    assert sum(r.batches for r in summary.rounds) == summary.total.batches


def test_percentiles_of_a_known_distribution() -> None:
    latency = latency_summary(np.arange(1, 10_001) * MS)

    assert latency.samples == 10_000
    assert latency.mean_ms == pytest.approx(5000.5)
    assert latency.p50_ms == pytest.approx(5000.5)
    assert latency.p90_ms == pytest.approx(9000.1)
    assert latency.p95_ms == pytest.approx(9500.05)
    assert latency.p99_ms == pytest.approx(9900.01)
    assert latency.p99_9_ms == pytest.approx(9990.001)
    assert latency.max_ms == pytest.approx(10_000)


@pytest.mark.parametrize(
    ("samples", "p95", "p99"), [(71, False, False), (72, True, False), (368, True, True)]
)
def test_a_percentile_that_cannot_be_bounded_is_blank_and_says_why(
    samples: int, p95: bool, p99: bool
) -> None:
    latency = latency_summary(np.arange(1, samples + 1) * MS)

    assert (latency.p95_ms is not None) == p95
    assert (latency.p99_ms is not None) == p99
    assert latency.p50_ms is not None
    wanted = "was not recorded" if p99 else f"needs 368 samples, there are {samples}"
    assert why_blank("p99_ms", latency.samples) == wanted


@given(
    st.lists(st.lists(st.integers(1, 50), min_size=6, max_size=6), min_size=1, max_size=5),
    st.sampled_from([1, 2, 3]),
)
def test_littles_law_holds_for_workers_of_one_pace(rows: list[list[int]], batch_size: int) -> None:
    same_pace = [sorted(rows[0])] * len(rows)
    summary = summarise(stamps_of(same_pace, rounds=2), batch_size)

    assert summary.total.latency.mean_ms is not None
    in_flight = summary.total.throughput_inf_per_s / batch_size * summary.total.latency.mean_ms * 1e-3
    assert in_flight == pytest.approx(len(rows))


def test_the_histogram_counts_every_batch_of_every_round() -> None:
    summary = summarise(stamps_of([[1.0] * 10 + [2.0] * 10] * 2, rounds=2), batch_size=4)

    assert summary.histogram.batches == (20, 20)
