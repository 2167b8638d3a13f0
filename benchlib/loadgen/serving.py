"""What the workers of an open loop do, and the ledger that they share.

All workers serve one queue, first come, first served: a free worker takes the number of the next arrival,
sleeps until it is due, calls its replica. Schedules are handed out, not calls, so that nothing passes
between threads while a call is late. Numbers come from a counter on the shared board. The native loop adds
to it atomically; Python threads do so under a lock (about 0.4 us), Python processes under a file lock as well
(about 1.2 us), which the kernel takes from a process that dies.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchlib.loadgen.board import DONE, STOP, WARM, Board, BoardShape
from benchlib.loadgen.ceiling import sharp_timer
from benchlib.loadgen.native import load_extension
from benchlib.loadgen.watch import START_DELAY_NS
from benchlib.loadgen.worker import Worker

LEG_POLL_S = 0.001
LONGEST_NAP_S = 0.05
"""A worker that waits for an arrival looks up so often whether it should leave."""

NEXT, LEG, ARRIVALS, HEADER = 0, 1, 2, 3
OVER = -1
"""The leg after the last."""

_counter = threading.Lock()


class Ledger:
    """The arrivals and what became of them, laid over the board's stamps.

    Header: the next arrival's number, the current leg's number, its arrivals. Then one cell per worker: the
    last leg that it has left. Then four rows, one column for each arrival: scheduled, start, end (monotonic
    nanoseconds) and worker. A leg is one schedule of arrivals.
    """

    def __init__(self, board: Board, most_arrivals: int) -> None:
        workers = board.shape.workers
        cells: NDArray[np.int64] = board.stamps.reshape(-1)
        self.cells: memoryview[Any] = cells.data
        self.left = cells[HEADER : HEADER + workers]
        columns = cells[HEADER + workers : HEADER + workers + 4 * most_arrivals]
        self.rows = columns.reshape(4, most_arrivals)
        self.scheduled, self.start, self.end, self.worker = self.rows

    @staticmethod
    def shape(workers: int, most_arrivals: int) -> BoardShape:
        """A board with room for a ledger."""
        cells = HEADER + workers + 4 * most_arrivals
        return BoardShape(workers, -(-cells // workers))

    def open_leg(self, arrivals_ns: NDArray[np.int64]) -> None:
        """Let the workers loose on these arrivals, given in nanoseconds from about now."""
        n = len(arrivals_ns)
        self.end[:n] = 0
        self.cells[NEXT], self.cells[ARRIVALS] = 0, n
        self.scheduled[:n] = arrivals_ns + (time.perf_counter_ns() + START_DELAY_NS)
        self.cells[LEG] += 1

    @property
    def waiting(self) -> bool:
        """True when every worker has left the current leg."""
        return bool((self.left == self.cells[LEG]).all())


@dataclass(frozen=True)
class Serving:
    """What each worker does, as a job's ``loop_body``: warm up, serve leg after leg, leave."""

    most_arrivals: int

    def __call__(self, worker: Worker) -> None:
        """Returns when the last leg is over or the board was stopped."""
        ledger = Ledger(worker.board, self.most_arrivals)
        with sharp_timer():
            if worker.job.options.loop == "native":
                _run_native(worker, ledger)
            else:
                _run_python(worker, ledger)


def _run_native(worker: Worker, ledger: Ledger) -> None:
    board, w = worker.board, worker.index
    places = (
        *(board.header[cell:] for cell in (STOP, WARM, DONE)),
        board.warm,
        board.done,
        *(np.asarray(ledger.cells)[cell:] for cell in (NEXT, LEG, ARRIVALS)),
        ledger.left[w:],
        *ledger.rows,
    )
    load_extension().run_open_loop_worker(
        worker.replica,
        list(worker.job.example),
        [int(place.ctypes.data) for place in places],
        worker.job.workers,
        w,
        worker.job.warmup_batches,
    )


def _run_python(worker: Worker, ledger: Ledger) -> None:
    board, cells, leg = worker.board, ledger.cells, 0
    _warm_up(worker)
    while not board.stopped:
        ledger.left[worker.index] = leg
        while cells[LEG] == leg and not board.cells[STOP]:
            time.sleep(LEG_POLL_S)
        leg = cells[LEG]
        if leg == OVER:
            break
        _serve(worker, ledger)
    board.arrive_done(worker.index)


def _warm_up(worker: Worker) -> None:
    replica, example, board = worker.replica, worker.job.example, worker.board
    for _ in range(worker.job.warmup_batches):
        if board.stopped:
            return
        replica(*example)
    board.arrive_warm(worker.index)
    while not board.cells[WARM]:
        replica(*example)


def _serve(worker: Worker, ledger: Ledger) -> None:
    replica, example, stop = worker.replica, worker.job.example, worker.board.cells
    clock, arrivals = time.perf_counter_ns, ledger.cells[ARRIVALS]
    # Memoryviews: the cheapest things to read an integer from and to write one into.
    scheduled, start, end, by = (row.data for row in ledger.rows)
    take = _taker(worker, ledger)
    while (i := take()) < arrivals:
        due_ns = scheduled[i]
        while (now_ns := clock()) < due_ns and not stop[STOP]:
            time.sleep(min((due_ns - now_ns) * 1e-9, LONGEST_NAP_S))
        if stop[STOP]:
            return
        by[i] = worker.index
        start[i] = now_ns
        replica(*example)
        end[i] = clock()


def _taker(worker: Worker, ledger: Ledger) -> Callable[[], int]:
    cells, fd = ledger.cells, worker.board.fd

    def take() -> int:
        with _counter:
            number: int = cells[NEXT]
            cells[NEXT] = number + 1
            return number

    def take_among_processes() -> int:
        with _counter:
            fcntl.lockf(fd, fcntl.LOCK_EX)
            number: int = cells[NEXT]
            cells[NEXT] = number + 1
            fcntl.lockf(fd, fcntl.LOCK_UN)
            return number

    return take if worker.job.options.processes == 1 else take_among_processes
