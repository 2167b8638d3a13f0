"""An open loop: batches arrive when they will, not when a worker happens to be free.

Latency counts from the scheduled arrival. So a stall delays whatever was due meanwhile, and shows in all of
those latencies; a closed loop would just have issued less ("coordinated omission"). See
`benchlib.loadgen.serving` for how the arrivals reach the workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchlib.errors import BadInput, BenchError
from benchlib.loadgen.board import DONE, START_NS, Board
from benchlib.loadgen.crew import ThreadCrew, quiet_collector
from benchlib.loadgen.job import LoadJob, LoadOptions, Replica
from benchlib.loadgen.processes import ProcessCrew
from benchlib.loadgen.run import check_counts
from benchlib.loadgen.serving import ARRIVALS, LEG, OVER, Ledger, Serving
from benchlib.loadgen.stop import FixedRounds
from benchlib.loadgen.watch import (
    PROGRESS_INTERVAL_S,
    START_DELAY_NS,
    WATCH_INTERVAL_S,
    Interrupted,
    LoadProgress,
    Plan,
)


@dataclass(frozen=True)
class OpenLoopRun:
    """What became of the arrivals, in their order; each array has shape (arrivals,), int64.

    Times are monotonic nanoseconds. An interrupted run holds the arrivals before the first that was not
    served.
    """

    scheduled_ns: NDArray[np.int64]
    start_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    worker: NDArray[np.int64]
    workers: int
    """Workers that served the queue."""
    interrupted: bool = False
    load_duration_s: float = 0.0
    probes_before: Mapping[int, Any] = field(default_factory=dict)
    probes_after: Mapping[int, Any] = field(default_factory=dict)

    @property
    def latencies_ns(self) -> NDArray[np.int64]:
        """From the scheduled arrival to the end of the call."""
        return self.end_ns - self.scheduled_ns


@dataclass
class OpenLoop:
    """Loaded, warm replicas that serve one schedule of arrivals after the other."""

    crew: ThreadCrew | ProcessCrew
    board: Board
    ledger: Ledger
    on_progress: Callable[[LoadProgress], None] | None
    interrupted: Callable[[], bool] | None
    load_duration_s: float = 0.0
    probes_before: Mapping[int, Any] = field(default_factory=dict)
    probes_after: Mapping[int, Any] = field(default_factory=dict)
    """Known once the loop has been left."""
    was_interrupted: bool = False
    _next_report_s: float = 0.0

    def run(self, arrivals_ns: NDArray[np.int64]) -> OpenLoopRun:
        """Serve arrivals at these ascending offsets in nanoseconds, from about now; returns after the last.

        Raises:
            WorkerFailed: a replica raised or its process died.
            Interrupted: before anything was served.
            BadInput: no arrivals, more than there is room for, or not in order.
        """
        _check_arrivals(arrivals_ns, len(self.ledger.scheduled))
        if self.was_interrupted:
            raise Interrupted
        self.ledger.open_leg(arrivals_ns)
        self._watch(lambda: self.ledger.waiting, self._report)
        self._report(final=True)
        return self._run_of(len(arrivals_ns))

    def warm_up(self) -> None:
        """Start the workers; return when each has called its replica often enough beside all the others.

        Raises:
            WorkerFailed: a replica raised or its process died.
            Interrupted: meanwhile.
        """
        self.crew.start()
        self._watch(lambda: bool(self.board.ready.all()))
        if not self.board.stopped:
            self.ledger.left[:] = OVER
            self.board.header[START_NS] = time.perf_counter_ns() + START_DELAY_NS
        self._watch(lambda: self.ledger.waiting)
        if self.was_interrupted:
            raise Interrupted

    def finish(self) -> None:
        """Send the workers home and ask the replicas once more.

        Raises:
            WorkerFailed: a replica raised or its process died.
        """
        self.ledger.cells[LEG] = OVER
        self._watch(lambda: bool(self.board.header[DONE]))
        self.crew.join()
        self._raise_failure()
        self.probes_after = self.crew.probe()

    def heed(self) -> None:
        """While the replicas are loaded.

        Raises:
            Interrupted: the caller wishes to stop.
        """
        if self._asked_to_stop():
            raise Interrupted

    def _asked_to_stop(self) -> bool:
        return self.interrupted is not None and self.interrupted()

    def _watch(self, arrived: Callable[[], bool], look: Callable[[], None] = lambda: None) -> None:
        pause = threading.Event()
        while not (arrived() or self.board.stopped):
            self.crew.check()
            self.board.open_gates()
            if self._asked_to_stop():
                self.was_interrupted = True
                self.board.stop()
            look()
            pause.wait(WATCH_INTERVAL_S)
        if self.board.stopped:
            self.crew.join()  # the calls in flight still count
        if self.board.stopped and not self.was_interrupted:
            self._raise_failure()
            self.crew.probe()  # the failure of a child is its answer, and raised
            raise BenchError("the workers were stopped, and none said why")

    def _raise_failure(self) -> None:
        if self.crew.failure:
            raise self.crew.failure

    def _run_of(self, arrivals: int) -> OpenLoopRun:
        ledger, unserved = self.ledger, np.flatnonzero(self.ledger.end[:arrivals] == 0)
        n = int(unserved[0]) if unserved.size else arrivals
        if n == 0:
            raise Interrupted
        scheduled_ns, start_ns, end_ns, worker = ledger.rows[:, :n].copy()
        return OpenLoopRun(
            scheduled_ns,
            start_ns,
            end_ns,
            worker,
            workers=self.board.shape.workers,
            interrupted=n < arrivals,
            load_duration_s=self.load_duration_s,
            probes_before=self.probes_before,
        )

    def _report(self, *, final: bool = False) -> None:
        now_s, arrivals = time.monotonic(), self.ledger.cells[ARRIVALS]
        if self.on_progress is None or not arrivals or (now_s < self._next_report_s and not final):
            return
        finished = int(np.count_nonzero(self.ledger.end[:arrivals]))
        if finished:
            self._next_report_s = now_s + PROGRESS_INTERVAL_S
            spent_ns = self.ledger.end[:arrivals].max() - self.ledger.scheduled[0]
            rate = finished / (float(spent_ns) * 1e-9)
            self.on_progress(LoadProgress(finished, arrivals, rate, measured_s=float(spent_ns) * 1e-9))


@contextmanager
def open_loop(
    load: Callable[[int], Replica],
    example: tuple[Any, ...],
    *,
    workers: int,
    most_arrivals: int,
    warmup_batches: int = 8,
    options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    on_progress: Callable[[LoadProgress], None] | None = None,
    interrupted: Callable[[], bool] | None = None,
) -> Iterator[OpenLoop]:
    """Load the replicas and warm them up, for as many runs as are wanted.

    Args:
        load: returns the i-th replica; picklable when there are several processes.
        example: the arguments of every call.
        workers: one thread each; worker w drives replica ``w % replicas``.
        most_arrivals: of any one run.
        warmup_batches: calls per worker, all workers at once, before the first arrival.
        options: replicas, processes, loop, pinning and hooks.
        on_progress: called from this thread a few times a second.
        interrupted: asked from this thread dozens of times a second; once true, the run ends after the calls
            in flight and hands over what was served.

    Raises:
        WorkerFailed: a replica could not be loaded or called; the workers have been stopped.
        Interrupted: before the replicas were warm.
        BadInput: a count below one, or more replicas than workers.
        NativeUnavailable: the native loop was asked for and cannot be had here.
    """
    job = LoadJob(load, example, workers, warmup_batches, options, loop_body=Serving(most_arrivals))
    check_counts(job, Plan(1, FixedRounds(1)))
    if most_arrivals < 1:
        raise BadInput("arrivals", most_arrivals, "a whole number of at least 1")
    board = Board.create(Ledger.shape(workers, most_arrivals))
    crew = ProcessCrew(job, board) if options.processes > 1 else ThreadCrew(job, board, tuple(range(workers)))
    loop = OpenLoop(crew, board, Ledger(board, most_arrivals), on_progress, interrupted)
    began_s = time.perf_counter()
    try:
        crew.load(loop.heed)
        loop.probes_before = crew.probe(loop.heed)
        loop.load_duration_s = time.perf_counter() - began_s
        with quiet_collector():
            loop.warm_up()
            yield loop
            loop.finish()
    except BaseException:
        board.stop()
        raise
    finally:
        crew.close()
        board.close()


def measure_open_loop(
    load: Callable[[int], Replica],
    example: tuple[Any, ...],
    *,
    workers: int,
    arrivals_ns: NDArray[np.int64],
    warmup_batches: int = 8,
    options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    on_progress: Callable[[LoadProgress], None] | None = None,
    interrupted: Callable[[], bool] | None = None,
) -> OpenLoopRun:
    """One run of an `open_loop`: see there for arguments and errors, and `OpenLoop.run` for the arrivals."""
    _check_arrivals(arrivals_ns, len(arrivals_ns))
    with open_loop(
        load,
        example,
        workers=workers,
        most_arrivals=len(arrivals_ns),
        warmup_batches=warmup_batches,
        options=options,
        on_progress=on_progress,
        interrupted=interrupted,
    ) as loop:
        run = loop.run(arrivals_ns)
    return replace(run, probes_after=loop.probes_after)


def _check_arrivals(arrivals_ns: NDArray[np.int64], most: int) -> None:
    if not 1 <= len(arrivals_ns) <= most or arrivals_ns[0] < 0 or (np.diff(arrivals_ns) < 0).any():
        allowed = f"1 to {max(most, 1)} instants, none before 0, in order"
        raise BadInput("arrivals", len(arrivals_ns), allowed)
