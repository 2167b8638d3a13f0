"""The ``server`` scenario: batches arrive at random, and their latency counts from the scheduled arrival."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from benchlib.core.driving import Driven, named_outputs
from benchlib.core.layout import KeptReplicas, Loader
from benchlib.core.session import Session
from benchlib.core.validity import Course
from benchlib.errors import BenchError
from benchlib.loadgen import FixedRounds, Interrupted, LoadProgress, LoadRun, measure, summarise
from benchlib.loadgen.arrivals import PoissonArrivals
from benchlib.loadgen.open_loop import OpenLoop, OpenLoopRun, open_loop
from benchlib.loadgen.search import SearchPlan, find_highest_rate
from benchlib.loadgen.server_summary import judge, server_summary
from benchlib.results import ServerFigures, ServerTrial
from benchlib.spec import LoadSpec

CAPACITY_BATCHES = 100
"""Per worker, in a closed loop, to learn the rate that no arrivals can exceed."""

Load = Loader | KeptReplicas


@dataclass(frozen=True)
class _Served:
    """A run of arrivals that stands for the measurement, and how its rate was come by."""

    run: OpenLoopRun
    target_batches_per_s: float
    seed: int
    trials: tuple[ServerTrial, ...] = ()
    capacity: LoadRun | None = None
    """The closed loop that a search began with."""


def drive_server(session: Session, interrupted: Callable[[], bool]) -> Driven:
    """Serve Poisson arrivals at the asked rate, or at the highest that meets the P99 limit.

    A rate that was searched for is represented by the trial that decided for it.

    Raises:
        WorkerFailed: a replica raised or could not be loaded.
        Interrupted: told to stop before anything was served.
        BenchError: no rate meets the limit.
    """
    load = session.request.load
    # One process keeps its replicas from run to run; with several, each run has its own children.
    replicas = KeptReplicas(session.loader) if session.harness.topology.processes == 1 else session.loader
    if load.target_batches_per_s is not None:
        served, loop = _serve_at(session, replicas, load.target_batches_per_s, interrupted)
    else:
        served, loop = _search(session, replicas, interrupted)
    return _figures(session, served, loop)


def _serve_at(
    session: Session, replicas: Load, rate: float, interrupted: Callable[[], bool]
) -> tuple[_Served, OpenLoop]:
    load = session.request.load
    arrivals = PoissonArrivals(rate, load.arrival_seed, _arrivals(load, session.layout.workers, rate))
    loop = _open(session, replicas, arrivals.count, interrupted, f"{rate:g} batches/s")
    with loop as running:
        run = running.run(arrivals.offsets_ns())
    return _Served(run, rate, load.arrival_seed), running


def _search(session: Session, replicas: Load, interrupted: Callable[[], bool]) -> tuple[_Served, OpenLoop]:
    load = session.request.load
    assert load.latency_limit_ms is not None  # `check_scenario` has seen to it
    closed = _run_closed(session, replicas, interrupted)
    capacity = summarise(closed.stamps, 1).total.throughput_inf_per_s
    plan = SearchPlan.lasting(load.duration_s, capacity, load.arrival_seed)
    with _open(session, replicas, plan.most_arrivals, interrupted, "searching the rate") as loop:
        trials = _Trials(loop, load.latency_limit_ms)
        result = find_highest_rate(
            trials, ceiling_batches_per_s=capacity, limit_ms=load.latency_limit_ms, plan=plan
        )
    if result.interrupted:
        raise Interrupted
    if result.rate_batches_per_s is None:
        raise BenchError(f"latency_limit_ms: {result.sentence}")
    run, seed = trials.met[result.rate_batches_per_s]
    return _Served(run, result.rate_batches_per_s, seed, result.trials, closed), loop


@dataclass
class _Trials:
    """Serves arrivals and judges the outcome; keeps the runs that met the limit."""

    loop: OpenLoop
    limit_ms: float
    met: dict[float, tuple[OpenLoopRun, int]] = field(default_factory=dict)
    """By rate: the last run and the seed of its arrivals."""

    def __call__(self, arrivals: PoissonArrivals) -> ServerTrial:
        run = self.loop.run(arrivals.offsets_ns())
        trial = judge(run, arrivals.rate_batches_per_s, self.limit_ms)
        if trial.met:
            self.met[arrivals.rate_batches_per_s] = run, arrivals.seed
        return trial


def _run_closed(session: Session, replicas: Load, interrupted: Callable[[], bool]) -> LoadRun:
    """All workers always busy, to learn the capacity."""
    load = session.request.load
    return measure(
        replicas,
        session.example,
        workers=session.layout.workers,
        batches_per_worker=min(load.batches_per_worker, CAPACITY_BATCHES),
        warmup_batches=load.warmup_batches,
        stable=load.warmup == "stable",
        stop=FixedRounds(1),
        options=replace(session.load_options, probe=None),
        interrupted=interrupted,
        on_progress=lambda progress: session.tell(progress, "capacity"),
    )


def _open(
    session: Session, replicas: Load, most_arrivals: int, interrupted: Callable[[], bool], part: str
) -> AbstractContextManager[OpenLoop]:
    def tell(progress: LoadProgress) -> None:
        session.tell(progress, part)

    return open_loop(
        replicas,
        session.example,
        workers=session.layout.workers,
        most_arrivals=most_arrivals,
        warmup_batches=session.request.load.warmup_batches,
        options=session.load_options,
        on_progress=tell,
        interrupted=interrupted,
    )


def _arrivals(load: LoadSpec, workers: int, rate: float) -> int:
    if load.stop == "rounds":
        return load.rounds * load.batches_per_worker * workers
    return max(load.rounds, math.ceil(rate * load.duration_s))


def _figures(session: Session, served: _Served, loop: OpenLoop) -> Driven:
    load = session.request.load
    rounds = min(load.rounds, len(served.run.end_ns))
    if not rounds:
        raise Interrupted
    summary = server_summary(served.run, session.request.batch_size, rounds)
    return Driven(
        total=summary.total,
        rounds=summary.rounds,
        histogram=summary.histogram,
        throughput_interval=summary.throughput_interval,
        latency_intervals=summary.latency_intervals,
        service=summary.service,
        outputs=named_outputs(loop.probes_before, loop.probes_after),
        # Where one process keeps its replicas, the first run is the one that loaded them.
        load_duration_s=max(run.load_duration_s for run in (loop, served.capacity) if run),
        course=Course(
            rounds_done=rounds,
            rounds_asked=rounds,
            interrupted=served.run.interrupted,
            settled=served.capacity.warm_up.settled if served.capacity else None,
        ),
        server=ServerFigures(
            target_batches_per_s=served.target_batches_per_s,
            arrival_seed=served.seed,
            p99_limit_ms=load.latency_limit_ms,
            trials=served.trials,
            service=summary.service,
        ),
        arrivals=served.run,
    )
