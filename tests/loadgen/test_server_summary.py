"""Figures of the server scenario from runs that were made by hand or simulated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchlib.errors import BadInput
from benchlib.loadgen import Interrupted
from benchlib.loadgen.intervals import percentile_interval
from benchlib.loadgen.open_loop import OpenLoopRun
from benchlib.loadgen.server_summary import dispatch_delays_ns, judge, kept_up, server_summary
from benchlib.results import PERCENTILES
from tests.loadgen.virtual_queue import constant_service

MS = 1_000_000


def run_of(scheduled_ms, start_ms, end_ms, worker=None, workers: int = 1) -> OpenLoopRun:
    columns = (scheduled_ms, start_ms, end_ms)
    times = [(np.asarray(ms, dtype=float) * MS).astype(np.int64) for ms in columns]
    return OpenLoopRun(*times, np.asarray(worker or [0] * len(end_ms)), workers)


def test_figures_of_three_arrivals() -> None:
    run = run_of([10, 11, 12], [10, 14, 12.5], [14, 16, 15.5], worker=[0, 0, 1], workers=2)
    summary = server_summary(run, batch_size=4)

    assert summary.total.throughput_inf_per_s == pytest.approx(12 / 0.006)
    assert summary.total.duration_s == pytest.approx(0.006)
    assert summary.total.latency.mean_ms == pytest.approx((4 + 5 + 3.5) / 3)
    assert summary.total.latency.max_ms == pytest.approx(5)
    assert summary.service.mean_ms == pytest.approx((4 + 2 + 3) / 3)
    assert summary.utilisation == pytest.approx(9 / (2 * 6))
    assert dispatch_delays_ns(run).tolist() == [0, 0, 0.5 * MS]
    assert sum(summary.histogram.batches) == 3
    assert summary.throughput_interval is None


def test_a_queue_that_is_never_empty_shows_the_capacity() -> None:
    k = np.arange(50)
    summary = server_summary(run_of(k * 0.1, k * 2.0, k * 2.0 + 2), batch_size=1)
    assert summary.total.throughput_inf_per_s == pytest.approx(500)


def test_rounds_are_cut_by_completion_and_add_up() -> None:
    # Worker 0 is stuck with the first arrival all the while: it completes last.
    run = run_of([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], [20, 2, 3, 4, 5, 6], [0, 1, 1, 1, 1, 1], 2)
    summary = server_summary(run, 1, rounds=3)

    assert [r.batches for r in summary.rounds] == [2, 2, 2]
    assert [r.duration_s for r in summary.rounds] == pytest.approx([0.003, 0.002, 0.015])
    assert sum(r.duration_s for r in summary.rounds) == pytest.approx(summary.total.duration_s)
    assert [r.latency.max_ms for r in summary.rounds] == pytest.approx([1, 1, 20])


def simulated(seed: int, n: int, load: float, workers: int = 1) -> OpenLoopRun:
    rng = np.random.default_rng(seed)
    scheduled = np.cumsum(rng.exponential(1 / (load * workers), n))
    start = constant_service(scheduled, workers)
    return run_of(scheduled, start, start + 1, list(np.arange(n) % workers), workers)


@pytest.mark.parametrize("name", ["p50_ms", "p95_ms", "p99_ms"])
def test_limits_of_percentiles_hold_although_arrivals_wait_together(name: str) -> None:
    percent, n, trials = PERCENTILES[name], 8000, 100
    truth = np.percentile(simulated(0, 2_000_000, 0.6).latencies_ns / MS, percent)
    covered = covered_by_order_statistics = 0
    for seed in range(1, trials + 1):
        run = simulated(seed, n, 0.6)
        limits = getattr(server_summary(run, 1).latency_intervals, name)
        covered += limits is None or limits.low <= truth <= limits.high
        naive = percentile_interval(np.sort(run.latencies_ns / MS), percent)
        assert naive is not None
        covered_by_order_statistics += naive.low <= truth <= naive.high
    assert covered / trials > 0.9
    assert covered_by_order_statistics / trials < 0.85, "or else simpler limits would do"


def test_the_limits_of_the_throughput_hold() -> None:
    summaries = [server_summary(simulated(seed, 2000, 0.7, workers=4), 3) for seed in range(100)]
    covered = sum(s.throughput_interval.low <= 3 * 2800 <= s.throughput_interval.high for s in summaries)
    assert covered / 100 > 0.9
    assert all(
        s.throughput_interval.low < s.total.throughput_inf_per_s < s.throughput_interval.high
        for s in summaries
    )


def test_a_percentile_without_an_upper_limit_has_no_interval() -> None:
    summary = server_summary(simulated(1, 400, 0.9), 1)
    assert summary.total.latency.p99_ms is not None
    assert summary.latency_intervals.p99_ms is None
    assert summary.latency_intervals.p99_9_ms is None


@pytest.mark.parametrize(("limit_ms", "met"), [(15.0, True), (5.0, False)])
def test_a_trial_is_judged_by_p99_from_the_scheduled_arrival(limit_ms: float, met: bool) -> None:
    run = simulated(3, 4000, 0.75)
    trial = judge(run, 750.0, limit_ms)
    assert trial.p99_ms == pytest.approx(np.percentile(run.latencies_ns / MS, 99))
    assert 5 < trial.p99_ms < 15
    assert trial.met == met
    assert trial.samples == 4000
    assert trial.achieved_batches_per_s == pytest.approx(750, rel=0.1)


def test_an_overload_is_not_met_however_high_the_limit() -> None:
    overload = simulated(3, 2000, 1.1)
    assert not kept_up(overload)
    assert not judge(overload, 1100.0, limit_ms=1e6).met
    assert kept_up(simulated(3, 2000, 0.8))


def test_too_few_arrivals_for_a_p99_do_not_meet_a_limit() -> None:
    trial = judge(simulated(3, 367, 0.5), 500.0, limit_ms=1e6)
    assert trial.p99_ms is None
    assert not trial.met


def test_a_run_cut_short_is_no_verdict() -> None:
    with pytest.raises(Interrupted):
        judge(replace(simulated(3, 4000, 0.5), interrupted=True), 500.0, limit_ms=1e6)


@pytest.mark.parametrize("rounds", [0, 4])
def test_rounds_need_arrivals(rounds: int) -> None:
    with pytest.raises(BadInput, match="rounds"):
        server_summary(run_of([0, 1, 2], [0, 1, 2], [1, 2, 3]), 1, rounds)
