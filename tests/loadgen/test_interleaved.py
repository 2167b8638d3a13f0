"""Programs that take turns meet the same drift; one after the other they do not."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from benchlib.errors import BadInput
from benchlib.loadgen import (
    FixedRounds,
    InterleavedLoad,
    Interrupted,
    LoadOptions,
    LoadProgress,
    Stamps,
    WorkerFailed,
    measure,
    measure_interleaved,
)
from benchlib.loadgen.stamps import worker_rates_per_s
from tests import dataplane
from tests.loadgen.devices import VirtualTime


@dataclass
class Drifting(VirtualTime):
    """Takes 1 ms at first and, shared by all programs, a thousandth longer with every call."""

    calls: int = 0

    def load(self, _index: int) -> Callable[[], object]:
        def replica() -> None:
            self.calls += 1
            self.advance(1_000_000 + 1_000 * self.calls)

        return replica


def rate(stamps: Stamps) -> float:
    return float(worker_rates_per_s(stamps).sum())


def test_drift_biases_programs_in_sequence_and_not_in_turns() -> None:
    rounds = FixedRounds(6)
    sequential = Drifting()
    with sequential.rules():
        first, second = (
            measure(sequential.load, (), workers=1, batches_per_worker=50, stop=rounds).stamps
            for _ in range(2)
        )
    in_turns = Drifting()
    with in_turns.rules():
        one, other = measure_interleaved(
            [InterleavedLoad(in_turns.load, (), 1, batches_per_worker=50)] * 2, stop=rounds
        )
    assert rate(first) / rate(second) > 1.2
    assert rate(one.stamps) / rate(other.stamps) == pytest.approx(1, abs=0.01)


@dataclass
class Log:
    """Which program was called when, by the programs' own account: (program, replica, end in ns)."""

    calls: list[tuple[int, int, int]]

    def program(self, number: int, service_s: float = 0.001) -> InterleavedLoad:
        def load(index: int):
            def replica() -> int:
                time.sleep(service_s)
                self.calls.append((number, index, time.perf_counter_ns()))
                return number

            return replica

        options = LoadOptions(probe=lambda replica, example: replica(*example))
        return InterleavedLoad(load, (), 2, batches_per_worker=6 + number, options=options)


def test_each_window_is_one_programs_alone_and_the_order_rotates() -> None:
    log = Log([])
    runs = measure_interleaved([log.program(n) for n in range(3)], warmup_batches=4, stop=FixedRounds(3))

    windows = sorted((int(run.stamps.ns[r].min()), n, r) for n, run in enumerate(runs) for r in range(3))
    assert [(n, r) for _start, n, r in windows] == [
        *((0, 0), (1, 0), (2, 0)),
        *((1, 1), (2, 1), (0, 1)),
        *((2, 2), (0, 2), (1, 2)),
    ]
    for number, run in enumerate(runs):
        assert run.stamps.ns.shape == (3, 2, 6 + number + 1)
        for ns in run.stamps.ns:
            within = [n for n, _replica, end in log.calls if ns.min() < end <= ns.max()]
            assert set(within) == {number}


def test_every_window_is_warmed_up_and_fully_loaded() -> None:
    log = Log([])
    run, _other = measure_interleaved([log.program(0), log.program(1)], warmup_batches=5, stop=FixedRounds(2))
    for ns in run.stamps.ns:
        other_ends = [end for number, _replica, end in log.calls if number == 1]
        begin = max((end for end in other_ends if end < ns.min()), default=0)
        for worker in (0, 1):
            before = [e for n, r, e in log.calls if (n, r) == (0, worker) and begin < e <= ns[worker, 0]]
            assert len(before) >= 5
    assert run.warm_up.batches >= 2 * 2 * 5
    assert run.warm_up.settled is None


def test_the_first_window_of_each_program_may_wait_until_the_rate_has_settled() -> None:
    log = Log([])
    runs = measure_interleaved([log.program(0, 0.002), log.program(1, 0.002)], stable=True)
    assert [run.warm_up.settled for run in runs] == [True, True]
    assert all(run.warm_up.duration_s >= 2 * 0.2 for run in runs)


def test_each_run_has_its_own_probes_and_load_time() -> None:
    log = Log([])
    runs = measure_interleaved([log.program(0), log.program(1)])
    assert [run.probes_before for run in runs] == [{0: 0, 1: 0}, {0: 1, 1: 1}]
    assert [run.probes_after for run in runs] == [{0: 0, 1: 0}, {0: 1, 1: 1}]
    assert all(run.load_duration_s > 0 for run in runs)
    assert all(run.satisfied and not run.interrupted for run in runs)


class EnoughAt:
    """Has enough of a run with so many batches per worker after so many rounds."""

    max_rounds = 10

    def __init__(self, **rounds_of_batches: int) -> None:
        self.rounds = rounds_of_batches

    def enough(self, so_far: Stamps) -> bool:
        return so_far.rounds >= self.rounds[f"of{so_far.batches_per_worker}"]


def test_all_go_on_until_the_rule_has_enough_of_every_one() -> None:
    log = Log([])
    runs = measure_interleaved([log.program(0), log.program(1)], stop=EnoughAt(of6=2, of7=4))
    assert [run.stamps.rounds for run in runs] == [4, 4]


def test_a_failure_names_the_program_and_ends_everything() -> None:
    def load(index: int):
        calls = [0]

        def replica() -> None:
            calls[0] += 1
            time.sleep(0.001)
            if index == 1 and calls[0] > 30:
                raise RuntimeError("NEFF gone")

        return replica

    threads = threading.active_count()
    programs = [
        Log([]).program(0),
        InterleavedLoad(load, (), 2, batches_per_worker=20, name="batch size 4"),
    ]
    message = "batch size 4: worker 1 on replica 1 failed: RuntimeError: NEFF gone"
    with pytest.raises(WorkerFailed, match=message) as failure:
        measure_interleaved(programs, stop=FixedRounds(50))
    assert failure.value.program == "batch size 4"
    assert isinstance(failure.value.__cause__, RuntimeError)
    assert threading.active_count() == threads


def test_all_descriptors_are_given_back() -> None:
    gc.collect()  # what the failures of other tests still hold
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    measure_interleaved([Log([]).program(0), Log([]).program(1)])
    assert len(list(descriptors.iterdir())) == before


def test_a_program_that_cannot_be_loaded_is_named() -> None:
    def load(index: int):
        raise OSError(f"no core {index}")

    with pytest.raises(WorkerFailed, match="batch size 8: worker 0 on replica 0 failed: OSError: no core 0"):
        measure_interleaved([Log([]).program(0), InterleavedLoad(load, (), 1, name="batch size 8")])


def test_several_processes_and_no_programs_are_refused_before_anything_is_loaded() -> None:
    spread = InterleavedLoad(pytest.fail, (), 2, options=LoadOptions(processes=2))
    with pytest.raises(BadInput, match="processes: 2 is not allowed; allowed: 1 where"):
        measure_interleaved([spread, spread])
    with pytest.raises(BadInput, match="loads: 0 is not allowed"):
        measure_interleaved([])


def test_interrupted_it_hands_over_what_every_program_has() -> None:
    log = Log([])
    seen: list[LoadProgress] = []
    runs = measure_interleaved(
        [log.program(0), log.program(1)],
        stop=FixedRounds(1000),
        interrupted=lambda: len(seen) > 4,
        on_progress=lambda _index, progress: seen.append(progress),
    )
    assert all(run.interrupted and not run.satisfied for run in runs)
    assert all(1 <= run.stamps.rounds < 1000 for run in runs)
    assert all((np.diff(run.stamps.ns) > 0).all() for run in runs)
    assert all(run.probes_after for run in runs)


def test_interrupted_before_every_program_had_its_turn_there_is_nothing_to_show() -> None:
    log = Log([])
    threads = threading.active_count()
    endless = replace(log.program(1), batches_per_worker=10**6)
    with pytest.raises(Interrupted, match="before the first round was complete"):
        measure_interleaved(
            [log.program(0), endless], interrupted=lambda: sum(n == 1 for n, *_ in log.calls) > 50
        )
    assert threading.active_count() == threads


def test_progress_is_each_programs_own() -> None:
    log = Log([])
    reports: list[tuple[int, LoadProgress]] = []
    runs = measure_interleaved(
        [log.program(0, 0.004), log.program(1, 0.004)],
        stop=FixedRounds(2),
        on_progress=lambda index, progress: reports.append((index, progress)),
    )
    for number, run in enumerate(runs):
        own = [progress for index, progress in reports if index == number]
        batches = [progress.batches for progress in own]
        assert batches == sorted(batches)
        assert batches[-1] == own[-1].of_batches == 2 * 2 * (6 + number)
        assert 0 < own[0].measured_s < own[-1].measured_s <= run.stamps.measured_s + 1e-9
        assert own[-1].relative_half_width is not None


@pytest.mark.dataplane
def test_native_loops_take_turns_too() -> None:
    shapes, starts, settled = dataplane.facts(
        "from benchlib.loadgen import *\n"
        "from tests.loadgen.scripted import *\n"
        "programs = [InterleavedLoad(recording(0.001, 0.001), EXAMPLE, 2, 10, NATIVE) for _ in range(2)]\n"
        "runs = measure_interleaved(programs, stop=FixedRounds(2))\n"
        "facts = ([run.stamps.ns.shape for run in runs],\n"
        "         [run.stamps.ns[:, :, 0].min(axis=1).tolist() for run in runs],\n"
        "         [run.warm_up.settled for run in runs])"
    )
    assert shapes == [[2, 2, 11], [2, 2, 11]]
    (first, fourth), (second, third) = starts
    assert first < second < third < fourth
    assert settled == [None, None]
