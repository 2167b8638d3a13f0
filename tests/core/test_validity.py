"""Every check of a measurement, on one that deserves to pass and on one that was broken on purpose."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchlib.core.host_watch import ClockFigures, CpuUse, ForeignProcess, HostActivity
from benchlib.core.validity import (
    Course,
    Evidence,
    LockUse,
    interpreter_lock,
    no_drift,
    no_slow_round,
    rates_by_round,
    student_t,
    validity,
    worker_balance,
)
from benchlib.loadgen import Duration, FixedRounds, LoadOptions, measure, summarise
from benchlib.loadgen.open_loop import OpenLoopRun, measure_open_loop
from benchlib.loadgen.server_summary import server_summary
from benchlib.loadgen.topology import calibrate
from benchlib.results import Check, Environment, HarnessOverhead, LatencySummary, Round
from tests.loadgen.devices import VirtualTime

MS = 1_000_000

Service = Callable[[int, int], int]
"""Nanoseconds of a worker's k-th call. Its first measured batch is call 4 or 5: see `Device`."""

WARMUP = 3


@dataclass(kw_only=True)
class Device(VirtualTime):
    """Each worker's calls take exactly what ``service_ns`` says.

    Workers wait for one another in the first call after the warm-up, so that each has made the same number of
    calls, but for one, when it begins to measure.
    """

    service_ns: Service
    workers: int
    calls: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.all_warm = threading.Barrier(self.workers)

    def load(self, index: int):
        def replica() -> None:
            self.calls[index] += 1
            if self.calls[index] == WARMUP + 1:
                self.all_warm.wait(30)
            self.advance(self.service_ns(index, self.calls[index]))

        return replica


def measured(service_ns: Service, *, workers: int = 4, rounds: int = 6, batches: int = 20) -> Evidence:
    """A real run of the load generator on a `Device`, in virtual time."""
    device = Device(service_ns=service_ns, workers=workers)
    with device.rules():
        run = measure(
            device.load,
            (),
            workers=workers,
            batches_per_worker=batches,
            warmup_batches=WARMUP,
            stop=FixedRounds(rounds),
        )
    summary = summarise(run.stamps, 4)
    return Evidence(
        total=summary.total,
        batch_size=4,
        workers=workers,
        rounds=summary.rounds,
        worker_rates_per_s=rates_by_round(run.stamps),
        course=Course(run.stamps.rounds, rounds, run.interrupted, run.satisfied, run.warm_up.settled),
    )


@pytest.fixture(scope="module")
def sound() -> Evidence:
    """A measurement that passes all that is in it."""
    return measured(steady)


def failed(evidence: Evidence) -> set[str]:
    return {check.name for check in validity(evidence) if not check.passed}


def check_of(evidence: Evidence, name: str) -> Check:
    return next(check for check in validity(evidence) if check.name == name)


def steady(worker: int, call: int) -> int:
    """A healthy device: 2 % from call to call, 1 % from worker to worker."""
    noise = np.random.default_rng([worker, call]).normal(1 + 0.01 * (worker % 2), 0.02)
    return int(MS * noise)


def slow_replica(worker: int, call: int) -> int:
    return steady(worker, call) * (2 if worker == 2 else 1)


def slower_and_slower(worker: int, call: int) -> int:
    return int(steady(worker, call) * (1 + call / 400))


def stall(worker: int, call: int) -> int:
    in_third_round = 45 < call <= 60
    return steady(worker, call) * (2 if in_third_round else 1)


@pytest.mark.parametrize(
    ("service_ns", "shown_by"),
    [
        (steady, set()),
        (slow_replica, {"littles_law", "worker_balance"}),
        (slower_and_slower, {"no_drift"}),
        (stall, {"no_slow_round"}),
    ],
)
def test_a_device_that_misbehaves_is_seen(service_ns: Service, shown_by: set[str]) -> None:
    assert failed(measured(service_ns)) == shown_by


def test_the_slow_worker_and_the_slow_round_are_named() -> None:
    assert re.search("number 2, was (49|50|51)", check_of(measured(slow_replica), "worker_balance").advice)
    assert "6 rounds, index 2, was" in check_of(measured(stall), "no_slow_round").advice


def test_a_drift_has_its_sign_and_its_size() -> None:
    check = check_of(measured(lambda _w, call: int(MS / (1 + call / 400))), "no_drift")
    assert not check.passed
    assert check.figure == pytest.approx(100 / 400 / 1.16, rel=0.05)
    assert "changed by +21" in check.advice


def test_one_worker_and_one_round_have_nothing_to_be_compared_with() -> None:
    evidence = measured(steady, workers=1, rounds=1)
    assert not failed(evidence)
    assert "one worker" in check_of(evidence, "worker_balance").advice
    assert "takes 3 rounds" in check_of(evidence, "no_drift").advice


def test_a_neighbour_that_disturbs_one_worker_for_one_round_is_no_imbalance() -> None:
    rates = np.full((3, 2), 100.0)
    rates[1, 0] = 60
    assert worker_balance(rates.tolist()).passed
    rates[2, 0] = 60
    check = worker_balance(rates.tolist())
    assert not check.passed
    assert check.figure == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("batches", "passed", "words"),
    [(5, False, "Measure more"), (6, True, "P90 takes 36"), (400, True, "P99.9 takes 3688.")],
)
def test_a_median_takes_six_batches_and_blank_percentiles_are_named(
    batches: int, passed: bool, words: str
) -> None:
    check = check_of(measured(steady, workers=1, rounds=1, batches=batches), "enough_samples")
    assert (check.passed, check.figure, check.limit) == (passed, batches, 6)
    assert words in check.advice
    assert ("P99 takes 368" in check.advice) == (batches < 368)


@pytest.mark.parametrize("wrong", [{"workers": 5}, {"batch_size": 1}])
def test_littles_law_shows_a_missing_worker_and_a_wrong_unit(sound: Evidence, wrong: dict[str, Any]) -> None:
    assert failed(replace(sound, **wrong)) == {"littles_law"}
    assert check_of(sound, "littles_law").figure == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize(
    ("course", "shown_by"),
    [
        (Course(3, 3), None),
        (Course(7), None),
        (Course(7, satisfied=False), None),
        (Course(3, 3, settled=True), None),
        (Course(2, 3), "complete"),
        (Course(3, 3, interrupted=True), "complete"),
        (Course(7, interrupted=True), "complete"),
        (Course(3, 3, settled=False), "warmed_up"),
    ],
)
def test_a_run_must_be_complete_and_warm(sound: Evidence, course: Course, shown_by: str | None) -> None:
    assert failed(replace(sound, course=course)) == ({shown_by} if shown_by else set())


def test_an_interrupted_run_is_never_valid(sound: Evidence) -> None:
    device = Device(service_ns=steady, workers=2)
    with device.rules():
        run = measure(
            device.load,
            (),
            workers=2,
            batches_per_worker=10,
            warmup_batches=WARMUP,
            stop=Duration(1e9, max_rounds=100_000),
            interrupted=lambda: min(device.calls[0], device.calls[1]) > 100,
        )
    assert run.stamps.rounds >= 9
    course = Course(run.stamps.rounds, None, run.interrupted, run.satisfied)
    check = check_of(replace(sound, course=course), "complete")
    assert not check.passed
    assert "interrupted" in check.advice


OVERHEAD = HarnessOverhead(
    cost_per_call_ns=200, service_ms=1.0, ideal_batches_per_s=4000, ceiling_batches_per_s=3900
)


@pytest.mark.parametrize(
    ("overhead", "shown_by"),
    [
        ({}, set()),
        # An ideal device sleeps, and waking up costs it more than the calls that were measured.
        ({"ceiling_batches_per_s": 2000}, set()),
        (
            {"ceiling_batches_per_s": 2000, "service_ms": 0.5, "ideal_batches_per_s": 8000},
            {"harness_ceiling"},
        ),
        ({"cost_per_call_ns": 20_000}, {"harness_overhead"}),
        ({"service_ms": 40.0, "ideal_batches_per_s": 100, "ceiling_batches_per_s": 99}, set()),
    ],
)
def test_a_harness_that_is_itself_the_limit_is_seen(
    sound: Evidence, overhead: dict[str, float], shown_by: set[str]
) -> None:
    found = OVERHEAD.model_copy(update=overhead)
    assert failed(replace(sound, overhead=found)) == shown_by


CLOCK = ClockFigures(rate_error_ppm=20, uncertainty_ppm=0.1, realtime_gain_s=0, step_ns=60, source="tsc")
CPU = CpuUse(cpus=2, foreign_cores=0.1, stolen_cores=0.001, busiest=(ForeignProcess("make", 17, 0.6),))
HOST = HostActivity(
    elapsed_s=10,
    clock=CLOCK,
    cpu=CPU,
    runnable=(2, 3, 5, 2, 3),
    thermal_throttles=0,
    held_back_cores=0.001,
    foreign_device_pids=(),
)


def host(**changes: Any) -> HostActivity:
    return replace(HOST, **changes)


@pytest.mark.parametrize(
    ("activity", "shown_by", "words"),
    [
        (HOST, None, ""),
        (host(cpu=replace(CPU, foreign_cores=0.5)), "host_quiet", "make (17) 0.60"),
        (host(cpu=replace(CPU, foreign_cores=0.5, busiest=())), "host_quiet", "cannot be seen from here"),
        # The same on a large host leaves CPUs enough.
        (host(cpu=replace(CPU, foreign_cores=4.0, cpus=96)), None, ""),
        (host(cpu=replace(CPU, foreign_cores=5.0, cpus=96)), "host_quiet", "5.00 of 96 CPUs"),
        (host(cpu=replace(CPU, stolen_cores=0.1)), "no_steal", "5.00% of the workers' time"),
        (host(runnable=(6, 6, 9, 6, 2)), "run_queue", "OMP_NUM_THREADS"),
        (host(runnable=(9, 9, 9, 9)), None, ""),
        (host(thermal_throttles=3), "no_throttling", "3 times"),
        (host(held_back_cores=0.2), "cpu_quota", "5.00% of the workers' time"),
        (host(foreign_device_pids=(41, 42)), "no_foreign_device_processes", "process 41, 42"),
        (host(clock=replace(CLOCK, rate_error_ppm=-900)), "clock_sane", "-900.0 ppm"),
        (host(clock=replace(CLOCK, rate_error_ppm=-900, uncertainty_ppm=1000)), None, ""),
        (host(clock=replace(CLOCK, step_ns=40_000, source="acpi_pm")), "clock_fine", "acpi_pm"),
        # A step of the wall clock is worth a word and harms no latency.
        (host(clock=replace(CLOCK, realtime_gain_s=3600)), None, ""),
        # What the host does not tell is not made up.
        (HostActivity(elapsed_s=10, clock=CLOCK), None, ""),
    ],
)
def test_a_disturbed_host_is_seen(
    sound: Evidence, activity: HostActivity, shown_by: str | None, words: str
) -> None:
    evidence = replace(sound, host=activity)
    assert failed(evidence) == ({shown_by} if shown_by else set())
    assert words in (check_of(evidence, shown_by).advice if shown_by else "")


def test_a_step_of_the_wall_clock_is_told(sound: Evidence) -> None:
    def advice(gain_s: float) -> str:
        clock = replace(CLOCK, realtime_gain_s=gain_s)
        return check_of(replace(sound, host=host(clock=clock)), "clock_sane").advice

    assert "-2.000 s" in advice(-2)
    assert "wall clock" not in advice(0.01)


def test_workers_beyond_the_cpus_may_all_want_to_run() -> None:
    crowded = measured(steady, workers=8)
    assert not failed(replace(crowded, host=host(runnable=(9,) * 5)))
    assert failed(replace(crowded, host=host(runnable=(10,) * 5))) == {"run_queue"}


def test_a_changed_environment_is_named(sound: Evidence) -> None:
    before = Environment(hardware=False, device="CPU", kernel="6.1", torch="2.13.0", fingerprint="a")
    after = before.model_copy(update={"kernel": "6.2", "neuron_driver": "2.26", "fingerprint": "b"})
    assert not failed(replace(sound, environments=(before, before.model_copy())))
    check = check_of(replace(sound, environments=(before, after)), "environment_unchanged")
    assert not check.passed
    assert check.figure == 2
    assert "kernel (6.1 to 6.2), neuron_driver (None to 2.26)" in check.advice


def served(service_s: float, every_ms: float) -> OpenLoopRun:
    """A real run of the server scenario with regular arrivals and one worker."""
    arrivals_ns = (np.arange(1, 61) * every_ms * MS).astype(np.int64)
    return measure_open_loop(
        lambda _: lambda: time.sleep(service_s), (), workers=1, arrivals_ns=arrivals_ns, warmup_batches=1
    )


def server_evidence(run: OpenLoopRun) -> Evidence:
    summary = server_summary(run, 1, rounds=3)
    course = Course(3, 3, run.interrupted)
    return Evidence(
        total=summary.total, batch_size=1, workers=1, rounds=summary.rounds, course=course, arrivals=run
    )


def test_an_overloaded_server_is_seen() -> None:
    evidence = server_evidence(served(0.004, every_ms=0.5))
    assert failed(evidence) == {"arrivals_kept_up"}
    assert check_of(evidence, "arrivals_kept_up").figure == 0
    assert not failed(server_evidence(served(0.0001, every_ms=10)))


def test_a_server_that_served_nothing_is_seen(sound: Evidence) -> None:
    nothing = OpenLoopRun(*[np.array([], dtype=np.int64)] * 4, workers=1, interrupted=True)
    assert "arrivals_kept_up" in failed(replace(sound, arrivals=nothing))


@dataclass(frozen=True)
class LockHolder:
    """Loads replicas that hold the interpreter's lock for most of a call."""

    held_s: float

    def __call__(self, _index: int) -> Callable[[], None]:
        def call() -> None:
            until = time.thread_time() + self.held_s
            while time.thread_time() < until:
                pass
            time.sleep(self.held_s / 4)

        return call


def test_workers_that_starve_one_anothers_lock_are_seen() -> None:
    load = LockHolder(1e-3)
    cost = calibrate(load, (), LoadOptions())
    run = measure(load, (), workers=8, batches_per_worker=20)
    check = interpreter_lock(LockUse(8, cost.cpu_ns, cost.service_ns), summarise(run.stamps, 1).total.latency)
    assert not check.passed
    assert "The lock may starve the workers" in check.advice


def test_a_lock_that_is_mostly_free_is_not_blamed(sound: Evidence) -> None:
    lock = LockUse(workers=4, cpu_ns=10_000, service_ns=1e6)
    slow = LatencySummary(samples=100, p50_ms=5.0)
    assert interpreter_lock(lock, slow).passed
    assert not interpreter_lock(replace(lock, cpu_ns=60_000), slow).passed
    assert interpreter_lock(replace(lock, cpu_ns=60_000, workers_per_core=5), slow).passed
    evidence = replace(sound, lock=replace(lock, cpu_ns=1e6, service_ns=sound.total.latency.p50_ms * 5e5))
    assert "interpreter_lock" in failed(evidence)


def healthy(rng: np.random.Generator, rounds: int, workers: int, noise: float) -> NDArray[np.float64]:
    """Rates by round and worker: noise of each round that all share, and of each worker in each round."""
    shared = rng.normal(1, noise, (rounds, 1))
    return 1000 * shared * rng.normal(1, noise, (rounds, workers))


@pytest.mark.parametrize("rounds", [3, 10])
def test_noise_alone_seldom_fails_a_check(rounds: int) -> None:
    rng = np.random.default_rng(rounds)
    alarms: dict[str, int] = defaultdict(int)
    for _ in range(1000):
        rates = healthy(rng, rounds, int(rng.integers(2, 25)), rng.uniform(0.005, 0.03))
        for check in validity(simulated(rates)):
            alarms[check.name] += not check.passed
    assert set(alarms) >= {"littles_law", "worker_balance", "no_drift", "no_slow_round"}
    assert {name: count for name, count in alarms.items() if count >= 10} == {}


def simulated(rates: NDArray[np.float64]) -> Evidence:
    """The evidence that such rates leave when every worker makes 100 batches of one inference per round."""
    rounds = tuple(figures(r, row[np.newaxis]) for r, row in enumerate(rates))
    return Evidence(
        total=figures(0, rates),
        batch_size=1,
        workers=rates.shape[1],
        rounds=rounds,
        worker_rates_per_s=tuple(map(tuple, rates.tolist())),
    )


def figures(index: int, rates: NDArray[np.float64]) -> Round:
    batches = 100 * rates.size
    throughput = float((1 / (1 / rates).mean(axis=0)).sum())
    latency = LatencySummary(samples=batches, mean_ms=float((1000 / rates).mean()), p50_ms=1.0)
    return Round(
        index=index,
        batches=batches,
        inferences=batches,
        duration_s=batches / throughput,
        throughput_inf_per_s=throughput,
        latency=latency,
    )


@pytest.mark.parametrize(("rounds", "drift"), [(3, 0.25), (5, 0.12), (10, 0.08), (30, 0.06)])
def test_a_trend_above_the_noise_is_mostly_found(rounds: int, drift: float) -> None:
    rng = np.random.default_rng(rounds)
    trend = np.linspace(1, 1 - drift, rounds)
    found = sum(not no_drift((trend * rng.normal(1, 0.01, rounds)).tolist()).passed for _ in range(200))
    assert found > 180


def test_one_slow_round_is_found_among_noisy_ones() -> None:
    rng = np.random.default_rng(1)
    for rounds in (3, 10, 30):
        rates = rng.normal(1, 0.01, rounds)
        rates[1] *= 0.8
        assert not no_slow_round(rates.tolist()).passed
        assert no_drift(rates.tolist()).passed


def test_students_t_is_the_tables() -> None:
    # NIST/SEMATECH e-Handbook, 1.3.6.7.2: one-sided 0.995 and 0.975.
    assert student_t(0.01, 5) == pytest.approx(4.032, rel=0.01)
    assert student_t(0.01, 10) == pytest.approx(3.169, rel=0.001)
    assert student_t(0.05, 30) == pytest.approx(2.042, rel=0.001)
