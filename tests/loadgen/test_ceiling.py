"""What the load generator says of itself. How large the figures are is for benchmarks/fidelity."""

from __future__ import annotations

import ctypes
import threading

import pytest

from benchlib.errors import BadInput
from benchlib.loadgen import LoadOptions
from benchlib.loadgen.ceiling import Overhead, measure_overhead, sharp_timer

PR_GET_TIMERSLACK = 30


@pytest.mark.parametrize("processes", [1, 2])
def test_no_ceiling_is_above_what_sleeps_allow(processes: int) -> None:
    overhead = measure_overhead(0.002, 4, LoadOptions(replicas=2, processes=processes))

    assert overhead.ideal_batches_per_s == pytest.approx(2000)
    assert 0 < overhead.ceiling_batches_per_s <= 2000
    assert overhead.cost_per_call_ns > 0


def test_a_call_of_minutes_is_not_waited_for() -> None:
    overhead = measure_overhead(600, 3)
    assert overhead.ideal_batches_per_s == pytest.approx(3 / 600)
    assert 0 < overhead.ceiling_batches_per_s <= 3 / 600


def test_the_real_runs_own_hooks_stay_out_of_it() -> None:
    def not_here(*_: object) -> None:
        raise AssertionError("the replica's hooks know nothing of an ideal device")

    measure_overhead(0.01, 1, LoadOptions(probe=not_here, worker_context=not_here, process_env=not_here))  # type: ignore[arg-type]


def test_shares_are_of_the_latency() -> None:
    overhead = Overhead(0.001, 500, 12_000, 11_400)
    assert overhead.share_of_latency == pytest.approx(0.0005)
    assert overhead.sentence == (
        "The loop costs 500 ns per call, 0.050% of the latency; of an ideal device that takes 1.000 ms "
        "this harness shows 11,400.0 batches/s, 95.0% of what is possible."
    )


def test_the_timer_is_sharp_in_its_own_thread_only() -> None:
    prctl = ctypes.CDLL(None).prctl
    mine_ns, inside_ns = prctl(PR_GET_TIMERSLACK), []

    def work() -> None:
        with sharp_timer():
            inside_ns.append(prctl(PR_GET_TIMERSLACK))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside_ns == [1]
    assert prctl(PR_GET_TIMERSLACK) == mine_ns


def test_no_service_time_has_no_ceiling() -> None:
    with pytest.raises(BadInput, match="service_s"):
        measure_overhead(0, 1)
