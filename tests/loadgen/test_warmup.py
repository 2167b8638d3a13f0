"""A warm-up that goes on until the rate has settled."""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchlib.loadgen import FixedRounds, LoadOptions, measure
from benchlib.loadgen.board import RING, Board, BoardShape
from benchlib.loadgen.warmup import Settling
from tests import dataplane
from tests.loadgen.devices import Sleeper

S = 10**9


def settling_after(*rates_per_s: float, workers: int = 2) -> Settling:
    """One that has seen a second at each of these rates."""
    settling = Settling()
    calls = np.concatenate([[1], 1 + np.cumsum(rates_per_s)]).astype(np.int64)
    for second, so_far in enumerate(calls):
        settling.observe((np.full(workers, so_far), np.full(workers, second * S)))
    return settling


@pytest.mark.parametrize(
    ("rates_per_s", "settled"),
    [
        ((1000,), False),
        ((1000, 1000), True),
        ((1000, 1019), True),
        ((1000, 1030), False),
        ((1000, 970), False),
        ((500, 800, 1000, 1005), True),
        ((1000, 1000, 900), False),
    ],
)
def test_the_last_two_windows_decide(rates_per_s: tuple[float, ...], settled: bool) -> None:
    assert settling_after(*rates_per_s).settled is settled


def test_a_window_takes_three_calls_of_every_worker_and_a_fifth_of_a_second() -> None:
    short = Settling()
    for k in range(1, 20):  # 10 ms in all
        short.observe((np.array([k, k]), np.array([k, k]) * S // 2000))
    few = Settling()
    for k in range(1, 4):  # one worker is slow: two calls in two seconds
        few.observe((np.array([1000 * k, k]), np.array([k, k]) * S))
    assert not short.settled
    assert not few.settled


def test_progress_that_was_overtaken_while_it_was_read_is_left_out() -> None:
    board = Board.create(BoardShape(2, 10))
    assert board.warm_progress() is None, "nobody has called yet"
    board.counts[:] = (3, RING + 1)
    board.ends[0, 2], board.ends[1, 0] = 30, 40
    progress = board.warm_progress()
    assert progress is not None
    assert [cells.tolist() for cells in progress] == [[3, RING + 1], [30, 40]]
    board.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_steady_load_settles_and_says_how_long_it_took(processes: int) -> None:
    options = LoadOptions(processes=processes)
    run = measure(Sleeper(0.002), (), workers=2, batches_per_worker=5, stable=True, options=options)

    assert run.warm_up.settled is True
    assert run.warm_up.duration_s >= 2 * 0.2
    assert run.warm_up.batches >= 2 * 8


@pytest.mark.dataplane
def test_the_native_loop_settles_too() -> None:
    settled, batches, duration_s, called_before = dataplane.facts(
        "from benchlib.loadgen import *\n"
        "from tests.loadgen.scripted import *\n"
        "run = measure(recording(0.002, 0.002), EXAMPLE, workers=2, batches_per_worker=5, stable=True,\n"
        "              options=NATIVE)\n"
        "called_before = sum(end <= run.stamps.ns[0, replica, 0] for replica, end in calls)\n"
        "warm_up = run.warm_up\n"
        "facts = warm_up.settled, warm_up.batches, warm_up.duration_s, int(called_before)"
    )
    assert settled is True
    assert duration_s >= 2 * 0.2
    assert batches == called_before


def test_a_device_that_warms_up_is_measured_once_it_is_warm() -> None:
    ends_ns: list[list[int]] = [[], []]

    def load(index: int):
        def replica() -> None:
            cold = max(0.0, 1 - len(ends_ns[index]) / 150)
            time.sleep(0.002 + 0.006 * cold)
            ends_ns[index].append(time.perf_counter_ns())

        return replica

    run = measure(load, (), workers=2, batches_per_worker=10, warmup_batches=2, stable=True)

    assert run.warm_up.settled
    for worker, ends in enumerate(ends_ns):
        assert np.searchsorted(ends, run.stamps.ns[0, worker, 0], side="right") > 120


def test_a_device_that_never_settles_is_measured_all_the_same_and_it_says_so() -> None:
    def load(_index: int):
        pace_s = [0.0005]

        def replica() -> None:
            pace_s[0] *= 1.02
            time.sleep(pace_s[0])

        return replica

    run = measure(load, (), workers=2, batches_per_worker=3, stable=True, max_warmup_s=0.6)

    assert run.warm_up.settled is False
    assert run.warm_up.duration_s >= 0.6
    assert run.stamps.rounds == 1


def test_the_asked_batches_are_made_however_little_time_there_is() -> None:
    run = measure(
        Sleeper(), (), workers=2, batches_per_worker=4, warmup_batches=40, stable=True, max_warmup_s=1e-6
    )
    assert run.warm_up.batches >= 2 * 40
    assert run.warm_up.settled is False


def test_a_fixed_warm_up_claims_nothing() -> None:
    run = measure(Sleeper(), (), workers=2, batches_per_worker=4, warmup_batches=3, stop=FixedRounds(2))
    assert run.warm_up.settled is None
    assert run.warm_up.batches >= 2 * 3
