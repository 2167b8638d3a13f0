"""One run: start the workers together, watch over them, and hand back their stamps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchlib.errors import BadInput
from benchlib.loadgen.board import DONE, START_NS, Board, BoardShape
from benchlib.loadgen.crew import ThreadCrew, quiet_collector
from benchlib.loadgen.job import LoadJob, LoadOptions, Replica
from benchlib.loadgen.processes import ProcessCrew
from benchlib.loadgen.stamps import Stamps
from benchlib.loadgen.stop import FixedRounds, StopRule

WATCH_INTERVAL_S = 0.02
PROGRESS_INTERVAL_S = 0.5
START_DELAY_NS = 20_000_000
"""Long enough for every process to see the start instant before it comes."""


@dataclass(frozen=True)
class LoadProgress:
    """How far a run is: measured batches of all workers so far, and at most."""

    batches: int
    of_batches: int
    batches_per_s: float


@dataclass(frozen=True)
class LoadRun:
    """What a run left: its stamps, and what each replica answered to the probe before and after."""

    stamps: Stamps
    load_duration_s: float
    probes_before: dict[int, Any] = field(default_factory=dict)
    probes_after: dict[int, Any] = field(default_factory=dict)


def measure(
    load: Callable[[int], Replica],
    example: tuple[Any, ...],
    *,
    workers: int,
    batches_per_worker: int = 1000,
    warmup_batches: int = 8,
    stop: StopRule = FixedRounds(1),  # noqa: B008 - frozen
    options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
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
        warmup_batches: batches per worker before anything counts.
        stop: decides after each round whether it was the last.
        options: replicas, processes, pinning and hooks.
        on_progress: called from this thread a few times a second.

    Raises:
        WorkerFailed: a replica raised or its process died; the other workers have been stopped.
        BadInput: a count below one, or more replicas than workers.
    """
    job = LoadJob(load, example, workers, warmup_batches, options)
    _check_counts(job, batches_per_worker, stop)
    board = Board.create(BoardShape(workers, batches_per_worker * stop.max_rounds))
    board.targets[:] = board.shape.max_batches
    watch = _Watch(board, batches_per_worker, stop, on_progress)
    crew = ProcessCrew(job, board) if options.processes > 1 else ThreadCrew(job, board, tuple(range(workers)))
    return _run(crew, board, watch)


def _check_counts(job: LoadJob, batches_per_worker: int, stop: StopRule) -> None:
    counts = {
        "workers": job.workers,
        "replicas": job.replicas,
        "processes": job.options.processes,
        "batches_per_worker": batches_per_worker,
        "warmup_batches": job.warmup_batches,
        "rounds": stop.max_rounds,
    }
    for name, count in counts.items():
        if count < 1:
            raise BadInput(name, count, "a whole number of at least 1")
    if job.replicas > job.workers:
        raise BadInput(
            "replicas", job.replicas, f"at most one per worker ({job.workers}), or some would idle"
        )
    if job.options.processes > job.replicas:
        raise BadInput("processes", job.options.processes, f"at most one per replica ({job.replicas})")


def _run(crew: ThreadCrew | ProcessCrew, board: Board, watch: _Watch) -> LoadRun:
    began = time.perf_counter()
    try:
        crew.load()
        before = crew.probe()
        load_duration_s = time.perf_counter() - began
        with quiet_collector():
            crew.start()
            watch.until_done(crew.check)
            crew.join()
        _raise_failure(crew)
        return LoadRun(watch.stamps(), load_duration_s, before, crew.probe())
    except BaseException:
        board.stop()
        raise
    finally:
        crew.close()
        board.close()


def _raise_failure(crew: ThreadCrew | ProcessCrew) -> None:
    if crew.failure:
        raise crew.failure


@dataclass
class _Watch:
    """The coordinator: gives the start, asks the stop rule after each round, reports progress."""

    board: Board
    batches_per_worker: int
    stop: StopRule
    on_progress: Callable[[LoadProgress], None] | None
    rounds: int = 0
    _next_report_s: float = 0.0

    def until_done(self, check: Callable[[], None]) -> None:
        """Return when all workers have measured, or the board was stopped."""
        pause = threading.Event()
        while not (self.board.ready.all() or self.board.stopped):
            check()
            pause.wait(WATCH_INTERVAL_S)
        self.board.header[START_NS] = self.board.header[START_NS] or time.perf_counter_ns() + START_DELAY_NS
        while not self.board.header[DONE]:
            check()
            self._look()
            pause.wait(WATCH_INTERVAL_S)
        if not self.board.stopped:
            self._look(final=True)

    def stamps(self) -> Stamps:
        """The stamps of all finished rounds."""
        return Stamps(self.board.stamps[:, : self.rounds * self.batches_per_worker + 1].copy(), self.rounds)

    def _look(self, *, final: bool = False) -> None:
        # In a run of threads every microsecond here is one in which no worker gets the interpreter's lock.
        self.board.open_gates()
        rounds = self._finished_rounds()
        if rounds > self.rounds:
            self.rounds = rounds
            if self.stop.enough(self.stamps()):
                self.board.targets[:] = 0
        self._report(final=final)

    def _finished_rounds(self) -> int:
        rounds = self.rounds
        ends = self.board.stamps[:, self.batches_per_worker :: self.batches_per_worker]
        while rounds < ends.shape[1] and ends[:, rounds].all():
            rounds += 1
        return rounds

    def _report(self, *, final: bool) -> None:
        now_s = time.monotonic()
        if self.on_progress is None or (now_s < self._next_report_s and not final):
            return
        count = np.array([self.board.batches_finished(w) for w in range(self.board.shape.workers)])
        if not count.all():
            return
        self._next_report_s = now_s + PROGRESS_INTERVAL_S
        last_ns = self.board.stamps[np.arange(len(count)), count]
        rate = float((count / ((last_ns - self.board.stamps[:, 0]) * 1e-9)).sum())
        self.on_progress(LoadProgress(int(count.sum()), self.board.stamps[:, 1:].size, rate))
