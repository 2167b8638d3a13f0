"""One run: start the workers together, watch over them, and hand back their stamps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchlib.errors import BadInput
from benchlib.loadgen.board import Board, BoardShape
from benchlib.loadgen.crew import ThreadCrew, quiet_collector
from benchlib.loadgen.job import LoadJob, LoadOptions, Replica
from benchlib.loadgen.processes import ProcessCrew
from benchlib.loadgen.stamps import Stamps
from benchlib.loadgen.stop import FixedRounds, StopRule, affordable_rounds
from benchlib.loadgen.warmup import WarmUp
from benchlib.loadgen.watch import Interrupted, LoadProgress, Plan, Watch

__all__ = ["Interrupted", "LoadProgress", "LoadRun", "check_counts", "drive", "measure"]


@dataclass(frozen=True)
class LoadRun:
    """What a run left: its stamps, and what each replica answered to the probe before and after."""

    stamps: Stamps
    load_duration_s: float
    warm_up: WarmUp
    interrupted: bool = False
    """Stopped at the caller's wish: the rounds are whole, but fewer than the stop rule wanted."""
    satisfied: bool = True
    """The stop rule had enough; ``False``: interrupted, or its rounds (or their memory) ran out first."""
    probes_before: dict[int, Any] = field(default_factory=dict)
    probes_after: dict[int, Any] = field(default_factory=dict)


def measure(
    load: Callable[[int], Replica],
    example: tuple[Any, ...],
    *,
    workers: int,
    batches_per_worker: int = 1000,
    warmup_batches: int = 8,
    stable: bool = False,
    max_warmup_s: float = 30.0,
    stop: StopRule = FixedRounds(1),  # noqa: B008 - frozen
    options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    interrupted: Callable[[], bool] | None = None,
    on_progress: Callable[[LoadProgress], None] | None = None,
) -> LoadRun:
    """Keep every replica busy with closed loops and stamp the end of every batch.

    All workers start together. Each calls its replica ``warmup_batches`` times and goes on until all
    have done so; then, without a pause, come its measured batches; then it keeps calling until every other
    worker has measured too. So each measured batch runs beside a full load, first and last included.

    Args:
        load: returns the i-th replica. With several processes each child calls it for its own replicas,
            so it must be picklable.
        example: the arguments of every call.
        workers: closed loops, one thread each; worker w drives replica ``w % replicas``.
        batches_per_worker: measured batches per worker and round.
        warmup_batches: batches per worker before anything counts, at least.
        stable: go on warming up until the rate has settled, see `Settling`.
        max_warmup_s: then measure all the same, and say so; ``warmup_batches`` are made in any case.
        stop: decides after each round whether it was the last.
        options: replicas, processes, pinning and hooks.
        interrupted: asked from this thread dozens of times a second; once true, the run ends after the
            calls in flight and hands over its finished rounds.
        on_progress: called from this thread a few times a second.

    Raises:
        WorkerFailed: a replica raised or its process died; the other workers have been stopped.
        Interrupted: ``interrupted`` became true before the first round was complete.
        NativeUnavailable: the native loop was asked for and cannot be had here.
        BadInput: a count below one, or more replicas than workers.
    """
    job = LoadJob(load, example, workers, warmup_batches, options)
    plan = Plan(batches_per_worker, stop, stable, max_warmup_s, interrupted, on_progress)
    check_counts(job, plan)
    rounds = affordable_rounds(stop, workers * batches_per_worker)
    board = Board.create(BoardShape(workers, batches_per_worker * rounds))
    watch = Watch(board, plan)
    crew = ProcessCrew(job, board) if options.processes > 1 else ThreadCrew(job, board, tuple(range(workers)))
    return _run(crew, board, watch)


def check_counts(job: LoadJob, plan: Plan) -> None:
    """Refuse what cannot be driven.

    Raises:
        BadInput: a count below one, no time, or more replicas or processes than can be used.
    """
    counts = {
        "workers": job.workers,
        "replicas": job.replicas,
        "processes": job.options.processes,
        "batches_per_worker": plan.batches_per_worker,
        "warmup_batches": job.warmup_batches,
        "rounds": plan.stop.max_rounds,
    }
    for name, count in counts.items():
        if count < 1:
            raise BadInput(name, count, "a whole number of at least 1")
    if not plan.max_warmup_s > 0:
        raise BadInput("max_warmup_s", plan.max_warmup_s, "a time above zero")
    if job.replicas > job.workers:
        raise BadInput(
            "replicas", job.replicas, f"at most one per worker ({job.workers}), or some would idle"
        )
    if job.options.processes > job.replicas:
        raise BadInput("processes", job.options.processes, f"at most one per replica ({job.replicas})")


def drive(crew: ThreadCrew | ProcessCrew, watch: Watch) -> None:
    """From the start of the loaded workers to the end of the last one.

    Raises:
        WorkerFailed: a worker failed.
        Interrupted: no round is complete.
    """
    crew.start()
    watch.until_done(crew.check)
    crew.join()
    if crew.failure:
        raise crew.failure


def _run(crew: ThreadCrew | ProcessCrew, board: Board, watch: Watch) -> LoadRun:
    began = time.perf_counter()
    try:
        crew.load(watch.heed)
        before = crew.probe(watch.heed)
        load_duration_s = time.perf_counter() - began
        with quiet_collector():
            drive(crew, watch)
        after = crew.probe()  # raises what has stopped a child
        return LoadRun(
            stamps=watch.stamps(),
            load_duration_s=load_duration_s,
            warm_up=watch.warm_up(),
            interrupted=watch.was_interrupted,
            satisfied=watch.satisfied,
            probes_before=before,
            probes_after=after,
        )
    except BaseException:
        board.stop()
        raise
    finally:
        crew.close()
        board.close()
