"""Put a closed loop's load on a session's replicas; what was measured has one shape for all scenarios."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchlib.core.session import Session
from benchlib.core.validity import Course, rates_by_round
from benchlib.loadgen import Duration, FixedRounds, LoadProgress, LoadRun, Precision, measure, summarise
from benchlib.loadgen.open_loop import OpenLoopRun
from benchlib.loadgen.stamps import Stamps
from benchlib.loadgen.stop import StopRule
from benchlib.results import (
    Interval,
    LatencyHistogram,
    LatencyIntervals,
    LatencySummary,
    Round,
    ServerFigures,
)
from benchlib.spec import LoadSpec

Outputs = Mapping[str, NDArray[np.float32]]
MOST_ROUNDS = 10_000


@dataclass(frozen=True, kw_only=True)
class Driven:
    """What was measured, whatever the scenario."""

    total: Round
    rounds: tuple[Round, ...]
    histogram: LatencyHistogram
    throughput_interval: Interval | None
    latency_intervals: LatencyIntervals
    service: LatencySummary
    """Of the calls alone, without waiting for a worker."""
    outputs: Outputs
    """Of every replica before and after the load, by a name for people."""
    load_duration_s: float
    course: Course
    worker_rates_per_s: tuple[tuple[float, ...], ...] = ()
    """Batches per second by round and worker; empty where workers wait for arrivals."""
    server: ServerFigures | None = None
    arrivals: OpenLoopRun | None = None
    stamps: Stamps | None = None
    """Of a closed loop."""


def drive_closed(session: Session, interrupted: Callable[[], bool]) -> Driven:
    """``offline`` and ``single_stream``: every worker issues the next batch when the last one has ended.

    Raises:
        WorkerFailed: a replica raised or could not be loaded.
        Interrupted: told to stop before the first round was complete.
    """
    load = session.request.load
    run = measure(
        session.loader,
        session.example,
        workers=session.layout.workers,
        batches_per_worker=load.batches_per_worker,
        warmup_batches=load.warmup_batches,
        stable=load.warmup == "stable",
        stop=stop_rule(load),
        options=session.load_options,
        on_progress=lambda progress: session.tell(progress, part_of(load, progress)),
        interrupted=interrupted,
    )
    return closed_loop_figures(session, run)


def closed_loop_figures(session: Session, run: LoadRun) -> Driven:
    """The figures of a closed-loop run."""
    summary, load = summarise(run.stamps, session.request.batch_size), session.request.load
    return Driven(
        total=summary.total,
        rounds=summary.rounds,
        histogram=summary.histogram,
        throughput_interval=summary.throughput_interval,
        latency_intervals=summary.latency_intervals,
        service=summary.total.latency,
        outputs=named_outputs(run.probes_before, run.probes_after),
        load_duration_s=run.load_duration_s,
        course=Course(
            rounds_done=len(summary.rounds),
            rounds_asked=load.rounds if load.stop == "rounds" else None,
            interrupted=run.interrupted,
            satisfied=run.satisfied,
            settled=run.warm_up.settled,
        ),
        worker_rates_per_s=rates_by_round(run.stamps),
        stamps=run.stamps,
    )


def named_outputs(
    before: Mapping[int, NDArray[np.float32]], after: Mapping[int, NDArray[np.float32]]
) -> Outputs:
    """The replicas' answers under names for people."""
    first = {f"replica {r} before the load": output for r, output in before.items()}
    return {**first, **{f"replica {r} after the load": output for r, output in after.items()}}


def stop_rule(load: LoadSpec) -> StopRule:
    """The rule that the load asks for."""
    if load.stop == "rounds":
        return FixedRounds(load.rounds)
    if load.stop == "duration":
        return Duration(load.duration_s, min_rounds=load.rounds, max_rounds=MOST_ROUNDS)
    return Precision(
        load.relative_half_width,
        min_rounds=load.rounds,
        max_rounds=MOST_ROUNDS,
        max_duration_s=load.duration_s,
    )


def part_of(load: LoadSpec, progress: LoadProgress) -> str:
    """Which part of the measurement is under way, for people."""
    fraction = progress.batches / progress.of_batches
    if load.stop != "rounds":
        return f"{progress.measured_s:.0f} of at most {load.duration_s:g} s"
    return f"round {min(load.rounds, int(fraction * load.rounds) + 1)} of {load.rounds}"
