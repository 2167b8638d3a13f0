"""The open loop serves a queue as theory says it must, and hides nothing."""

from __future__ import annotations

import threading
import time
from itertools import count

import numpy as np
import pytest

from benchlib.errors import BadInput
from benchlib.loadgen import Interrupted, LoadOptions, LoadProgress, WorkerFailed
from benchlib.loadgen.arrivals import PoissonArrivals
from benchlib.loadgen.open_loop import OpenLoopRun, measure_open_loop, open_loop
from benchlib.loadgen.server_summary import dispatch_delays_ns, server_summary
from tests.loadgen.devices import Dying, Sleeper, Unloadable, ask
from tests.loadgen.test_processes import children
from tests.loadgen.virtual_queue import VirtualTime, starts_of_a_fair_queue

MS = 1_000_000
SOON = np.arange(1, 201) * MS


def virtual_run(monkeypatch: pytest.MonkeyPatch, workers: int, arrivals_ns, service_ms) -> OpenLoopRun:
    """Serve in virtual time; the k-th call of all takes ``service_ms(k)``, those of the warm-up none."""
    clock, calls, warm = VirtualTime(workers), count(), threading.Event()

    def replica() -> None:
        if warm.is_set():
            clock.sleep(service_ms(next(calls)) / 1e3)

    clock.install(monkeypatch)
    with open_loop(lambda _: replica, (), workers=workers, most_arrivals=len(arrivals_ns)) as loop:
        warm.set()
        return loop.run(arrivals_ns)


@pytest.mark.parametrize(("workers", "rate"), [(1, 800.0), (4, 3600.0)])
def test_every_call_starts_when_theory_says(monkeypatch, workers: int, rate: float) -> None:
    arrivals_ns = PoissonArrivals(rate, 1, 1500).offsets_ns()
    run = virtual_run(monkeypatch, workers, arrivals_ns, lambda k: 1)

    assert (np.diff(run.scheduled_ns) == np.diff(arrivals_ns)).all()
    assert (run.end_ns - run.start_ns == MS).all()
    assert run.start_ns.tolist() == starts_of_a_fair_queue(
        run.scheduled_ns, run.end_ns - run.start_ns, workers
    )
    assert (dispatch_delays_ns(run) == 0).all()


def test_unequal_calls_are_served_first_come_first_served(monkeypatch) -> None:
    service_ms = np.random.default_rng(2).gamma(0.5, 2, 1000)
    run = virtual_run(monkeypatch, 3, PoissonArrivals(2500.0, 4, 1000).offsets_ns(), lambda k: service_ms[k])
    assert run.start_ns.tolist() == starts_of_a_fair_queue(run.scheduled_ns, run.end_ns - run.start_ns, 3)
    assert len(set(run.worker.tolist())) == 3


def test_the_mean_wait_is_pollaczeks(monkeypatch) -> None:
    run = virtual_run(monkeypatch, 1, PoissonArrivals(500.0, 5, 6000).offsets_ns(), lambda k: 1)
    wait_ms = (run.start_ns - run.scheduled_ns).mean() / MS
    # Pollaczek and Khinchine, constant service: rho S / (2 (1 - rho)) with rho = 0.5.
    assert wait_ms == pytest.approx(0.5, rel=0.1)


def test_a_stall_shows_in_all_that_was_due_meanwhile(monkeypatch) -> None:
    arrivals_ns = PoissonArrivals(500.0, 6, 2000).offsets_ns()
    run = virtual_run(monkeypatch, 1, arrivals_ns, lambda k: 100 if k == 1000 else 1)
    summary = server_summary(run, 1)

    stalled_until_ns = run.end_ns[1000]
    due_meanwhile = (run.scheduled_ns > run.start_ns[1000]) & (run.scheduled_ns < stalled_until_ns)
    assert due_meanwhile.sum() > 30
    assert (run.end_ns[due_meanwhile] > stalled_until_ns).all()
    # Of the calls alone, which is all that a closed loop sees, one in 2000 was slow.
    assert summary.service.p99_ms == 1
    assert summary.total.latency.p99_ms is not None
    assert summary.total.latency.p99_ms > 50


@pytest.mark.parametrize("processes", [1, 2])
def test_each_arrival_is_served_once_and_never_early(processes: int) -> None:
    seen: list[LoadProgress] = []
    options = LoadOptions(processes=processes, probe=ask)
    run = measure_open_loop(
        Sleeper(0.002), (), workers=4, arrivals_ns=SOON, options=options, on_progress=seen.append
    )
    check_service(run, SOON)
    assert len({pid for _index, pid in run.probes_before.values()}) == processes
    assert run.probes_after == run.probes_before
    assert (seen[-1].batches, seen[-1].of_batches) == (200, 200)
    assert children() == []


class Logging:
    """A replica, and its loader, that takes no time and logs when it was called."""

    def __init__(self, _index: int = 0) -> None:
        self.calls_ns: list[int] = []

    def __call__(self) -> None:
        self.calls_ns.append(time.perf_counter_ns())


def log_of(replica: Logging, _example) -> list[int]:
    return list(replica.calls_ns)


@pytest.mark.parametrize("processes", [1, 2])
def test_no_number_is_handed_out_twice(processes: int) -> None:
    all_at_once_ns = np.zeros(20_000, dtype=np.int64)
    options = LoadOptions(processes=processes, probe=log_of)
    run = measure_open_loop(Logging, (), workers=4, arrivals_ns=all_at_once_ns, options=options)
    calls_ns = [ns for log in run.probes_after.values() for ns in log if ns >= run.scheduled_ns[0]]
    assert len(calls_ns) == len(run.end_ns) == 20_000


def check_service(run: OpenLoopRun, arrivals_ns) -> None:
    """What holds whatever the clock says."""
    assert not run.interrupted
    assert len(run.end_ns) == len(arrivals_ns)
    assert (np.diff(run.scheduled_ns) == np.diff(arrivals_ns)).all()
    assert (run.start_ns >= run.scheduled_ns).all()
    assert (run.end_ns > run.start_ns).all()
    assert (dispatch_delays_ns(run) >= 0).all(), "a worker served two at once"
    for worker in range(run.workers):
        assert (np.diff(run.start_ns[run.worker == worker]) > 0).all(), "a worker served out of order"


def test_one_load_serves_many_schedules() -> None:
    loaded: list[int] = []

    def load(index: int):
        loaded.append(index)
        return lambda: time.sleep(0.001)

    with open_loop(load, (), workers=2, most_arrivals=200) as loop:
        for arrivals_ns in (SOON[:50], SOON, SOON[:20]):
            check_service(loop.run(arrivals_ns), arrivals_ns)
    assert loaded == [0, 1]


def test_all_warm_up_together_before_the_first_arrival() -> None:
    ends_ns: list[list[int]] = [[], []]
    goes_on = threading.Event()

    def load(index: int):
        def replica() -> None:
            time.sleep(0.001)
            ends_ns[index].append(time.perf_counter_ns())
            if index == 0 and len(ends_ns[0]) == 6:
                goes_on.set()
            if index == 1 and len(ends_ns[1]) == 5:
                assert goes_on.wait(30), "the other did not keep the load up"

        return replica

    run = measure_open_loop(load, (), workers=2, arrivals_ns=SOON[:20], warmup_batches=5)
    warm = [sum(end < run.scheduled_ns[0] for end in ends) for ends in ends_ns]
    assert min(warm) >= 5
    assert len(ends_ns[0]) + len(ends_ns[1]) - sum(warm) == 20


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupted_run_keeps_what_was_served(processes: int) -> None:
    seen: list[LoadProgress] = []
    far_apart_ns = np.concatenate([SOON, SOON[-1] + np.arange(1, 4) * 3_600_000_000_000])
    run = measure_open_loop(
        Sleeper(),
        (),
        workers=2,
        arrivals_ns=far_apart_ns,
        options=LoadOptions(processes=processes),
        on_progress=seen.append,
        interrupted=lambda: bool(seen) and seen[-1].batches == 200,
    )
    assert run.interrupted
    assert len(run.end_ns) == 200
    assert (run.end_ns > 0).all()


def test_nothing_is_served_after_an_interruption() -> None:
    seen: list[LoadProgress] = []
    two_far_ns = np.array([1, 2, 3_600_000]) * MS
    with open_loop(
        Sleeper(),
        (),
        workers=1,
        most_arrivals=200,
        on_progress=seen.append,
        interrupted=lambda: bool(seen) and seen[-1].of_batches == 3 and seen[-1].batches == 2,
    ) as loop:
        check_service(loop.run(SOON), SOON)
        cut_short = loop.run(two_far_ns)
        with pytest.raises(Interrupted):
            loop.run(SOON)
    assert cut_short.interrupted
    assert len(cut_short.end_ns) == 2, "nothing is left over from the run before"


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interruption_before_the_first_arrival_leaves_nothing_behind(processes: int) -> None:
    threads = threading.active_count()
    options = LoadOptions(processes=processes)
    with pytest.raises(Interrupted):
        measure_open_loop(
            Sleeper(), (), workers=2, arrivals_ns=SOON, options=options, interrupted=lambda: True
        )
    assert children() == []
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("load", "processes", "message"),
    [
        (Dying(victim=1), 1, "worker 1 on replica 1 failed: RuntimeError: NEFF gone"),
        (Dying(victim=1), 3, "worker 1 on replica 1 failed: RuntimeError: NEFF gone"),
        (Dying(victim=1, how="kill"), 3, "worker 1 on replica 1 failed: its process was killed by SIGKILL"),
        (Dying(victim=1, at=1), 3, "worker 1 on replica 1 failed: RuntimeError: NEFF gone"),
        (Unloadable(), 1, "failed: OSError: no core"),
    ],
)
def test_a_failure_is_named_and_ends_everything(load, processes: int, message: str) -> None:
    threads = threading.active_count()
    never_over_ns = np.arange(1, 100_000) * MS
    with pytest.raises(WorkerFailed, match=message):
        measure_open_loop(
            load,
            (),
            workers=3,
            arrivals_ns=never_over_ns,
            options=LoadOptions(processes=processes, probe=ask),
        )
    assert children() == []
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"workers": 0}, "workers"),
        ({"warmup_batches": 0}, "warmup_batches"),
        ({"arrivals_ns": SOON[:0]}, "arrivals"),
        ({"arrivals_ns": SOON[::-1]}, "arrivals"),
        ({"arrivals_ns": SOON - 2 * MS}, "arrivals"),
        ({"options": LoadOptions(replicas=3)}, "replicas"),
        ({"options": LoadOptions(processes=3)}, "processes"),
    ],
)
def test_a_load_that_makes_no_sense_is_refused(change, field: str) -> None:
    asked = {"workers": 2, "arrivals_ns": SOON, **change}
    with pytest.raises(BadInput, match=field):
        measure_open_loop(Sleeper(), (), **asked)
