"""The search finds the rate that theory says, whatever the noise, and says so when there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from benchlib.errors import BadInput
from benchlib.loadgen import Interrupted
from benchlib.loadgen.arrivals import PoissonArrivals
from benchlib.loadgen.search import FIRST_SHARE, LOWEST_SHARE, NEAR, SearchPlan, find_highest_rate
from benchlib.results import ServerTrial, samples_needed
from tests.loadgen.virtual_queue import constant_service

SERVICE_MS = 1.0


def p99_ms(arrivals: PoissonArrivals, workers: int) -> float:
    """Of a simulated M/D/c queue."""
    scheduled = arrivals.offsets_ns() / 1e6 / SERVICE_MS
    waits = constant_service(scheduled, workers) - scheduled
    return float(np.percentile(waits + 1, 99)) * SERVICE_MS


def true_rate(workers: int, limit_ms: float) -> float:
    """The rate at which P99 is the limit, by bisection over 400,000 arrivals."""
    low, high = 1.0, workers * 1000 / SERVICE_MS
    while high / low > 1.001:
        rate = math.sqrt(low * high)
        met = p99_ms(PoissonArrivals(rate, 12345, 400_000), workers) <= limit_ms
        low, high = (rate, high) if met else (low, rate)
    return low


@dataclass
class Queue:
    """Tries rates on a simulated M/D/c queue and remembers what was asked."""

    workers: int
    limit_ms: float
    asked: list[PoissonArrivals] = field(default_factory=list)

    def __call__(self, arrivals: PoissonArrivals) -> ServerTrial:
        self.asked.append(arrivals)
        p99 = p99_ms(arrivals, self.workers)
        rate = arrivals.rate_batches_per_s
        return ServerTrial(
            target_batches_per_s=rate,
            achieved_batches_per_s=rate,
            samples=arrivals.count,
            p99_ms=p99,
            met=p99 <= self.limit_ms,
        )


@pytest.mark.parametrize(
    ("workers", "limit_ms"), [(1, 3.0), (1, 6.0), (4, 1.7), (4, 5.0), (12, 1.1), (12, 2.5)]
)
def test_the_rate_is_within_five_percent_of_the_truth(workers: int, limit_ms: float) -> None:
    truth, capacity = true_rate(workers, limit_ms), workers * 1000 / SERVICE_MS
    found = []
    for seed in range(0, 1000, 100):
        queue = Queue(workers, limit_ms)
        plan = SearchPlan(seed, arrivals=5000)
        result = find_highest_rate(queue, ceiling_batches_per_s=capacity, limit_ms=limit_ms, plan=plan)
        assert result.rate_batches_per_s is not None
        assert len(result.trials) <= plan.max_trials
        found.append(result.rate_batches_per_s / truth)
    assert abs(np.median(found) - 1) < 0.03
    assert np.mean(np.abs(np.array(found) - 1) < 0.05) >= 0.8, found


PLAN = SearchPlan()


def search(queue: Queue, plan: SearchPlan = PLAN, capacity: float = 4000.0):
    return find_highest_rate(queue, ceiling_batches_per_s=capacity, limit_ms=queue.limit_ms, plan=plan)


def test_no_trial_lies_outside_what_is_known() -> None:
    result = search(Queue(4, 2.5), SearchPlan(arrivals=400))
    met, failed = 0.0, 4000.0
    by_rate = {trial.target_batches_per_s: trial.met for trial in result.trials}  # a repeat decides
    for rate, was_met in by_rate.items():
        assert met < rate < failed
        met, failed = (rate, failed) if was_met else (met, rate)
    assert result.rate_batches_per_s == met
    assert failed / met <= 1.02


def test_a_trial_near_the_limit_is_repeated_with_more_and_other_arrivals() -> None:
    queue = Queue(4, 2.5)
    result = search(queue)
    assert [a.seed for a in queue.asked] == list(range(len(queue.asked)))
    repeats = 0
    for i, trial in enumerate(result.trials):
        again = [t for t in result.trials[i + 1 :] if t.target_batches_per_s == trial.target_batches_per_s]
        first = trial.samples == 2000
        near = 1 / NEAR <= (trial.p99_ms or 0) / queue.limit_ms <= NEAR
        assert [t.samples for t in again] == ([8000] if first and near else [])
        repeats += len(again)
    assert repeats > 0


def test_a_limit_below_the_service_time_is_met_by_no_rate() -> None:
    queue = Queue(4, 0.5)
    result = search(queue)
    assert result.rate_batches_per_s is None
    assert [trial.met for trial in result.trials] == [False, False]
    assert queue.asked[-1].rate_batches_per_s == 4000 * LOWEST_SHARE
    assert queue.asked[-1].count == samples_needed(99)
    assert result.sentence == "P99 within 0.5 ms was not reached, not even at 250 batches/s."


def test_a_limit_that_never_binds_leads_to_the_capacity() -> None:
    result = search(Queue(4, 1e6))
    assert result.rate_batches_per_s is not None
    assert 4000 / 1.02 <= result.rate_batches_per_s < 4000
    assert "the capacity in a closed loop" in result.sentence


def test_a_low_rate_is_found_when_the_first_trial_fails() -> None:
    result = search(Queue(1, 2.05), SearchPlan(arrivals=5000), capacity=1000.0)
    assert not result.trials[0].met
    assert result.rate_batches_per_s == pytest.approx(true_rate(1, 2.05), rel=0.15)


def test_the_search_ends_after_its_last_trial_and_says_so() -> None:
    result = search(Queue(4, 2.5), SearchPlan(max_trials=3))
    assert len(result.trials) == 3
    assert result.sentence.endswith("The search ended after 3 trials.")


def test_an_interruption_ends_the_search_with_what_is_known() -> None:
    queue = Queue(4, 100.0)

    def try_rate(arrivals: PoissonArrivals) -> ServerTrial:
        if queue.asked:
            raise Interrupted
        return queue(arrivals)

    result = find_highest_rate(try_rate, ceiling_batches_per_s=4000.0, limit_ms=100.0)
    assert result.interrupted
    assert len(result.trials) == 1
    assert result.rate_batches_per_s == 4000 * FIRST_SHARE
    assert "was interrupted after 1 trials" in result.sentence


def test_a_search_that_is_interrupted_at_once_knows_nothing() -> None:
    def try_rate(_arrivals: PoissonArrivals) -> ServerTrial:
        raise Interrupted

    result = find_highest_rate(try_rate, ceiling_batches_per_s=4000.0, limit_ms=100.0)
    assert (result.rate_batches_per_s, result.trials, result.interrupted) == (None, (), True)
    assert result.sentence == "No rate was tried. The search was interrupted after 0 trials."


def test_a_backlog_by_chance_is_given_a_second_look() -> None:
    counts: list[int] = []

    def try_rate(arrivals: PoissonArrivals) -> ServerTrial:
        counts.append(arrivals.count)
        rate, met = arrivals.rate_batches_per_s, len(counts) > 1
        return ServerTrial(
            target_batches_per_s=rate, achieved_batches_per_s=rate, samples=400, p99_ms=1.0, met=met
        )

    result = find_highest_rate(try_rate, ceiling_batches_per_s=100.0, limit_ms=50.0)
    assert counts[:2] == [2000, 8000]
    assert result.rate_batches_per_s is not None
    assert result.rate_batches_per_s > 98


@pytest.mark.parametrize("duration_s", [1.0, 300.0])
def test_a_plan_lasts_about_as_long_as_asked_but_never_too_short_for_a_p99(duration_s: float) -> None:
    plan = SearchPlan.lasting(duration_s, ceiling_batches_per_s=4000.0)
    assert plan.arrivals >= samples_needed(99)
    queue = Queue(4, 2.5)
    search(queue, plan)
    took_s = sum(arrivals.count / arrivals.rate_batches_per_s for arrivals in queue.asked)
    assert duration_s == 1.0 or duration_s / 3 < took_s < duration_s


@pytest.mark.parametrize(
    ("ceiling", "limit_ms", "plan", "field"),
    [
        (0.0, 1.0, SearchPlan(), "ceiling_batches_per_s"),
        (math.inf, 1.0, SearchPlan(), "ceiling_batches_per_s"),
        (1.0, math.nan, SearchPlan(), "latency_limit_ms"),
        (1.0, 1.0, SearchPlan(arrivals=367), "arrivals"),
        (1.0, 1.0, SearchPlan(resolution=0.0), "plan"),
        (1.0, 1.0, SearchPlan(max_trials=0), "plan"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(ceiling, limit_ms, plan, field: str) -> None:
    with pytest.raises(BadInput, match=field):
        find_highest_rate(Queue(1, 1.0), ceiling_batches_per_s=ceiling, limit_ms=limit_ms, plan=plan)
