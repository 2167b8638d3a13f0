"""One worker: a closed loop that keeps a replica busy and stamps the end of every call."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchlib.loadgen.board import DONE, RING, START_NS, WARM, Board
from benchlib.loadgen.job import LoadJob, Replica
from benchlib.loadgen.native import load_extension

START_POLL_S = 0.001


@dataclass(frozen=True)
class Worker:
    """A worker's own things, all made before the clock starts."""

    index: int
    replica: Replica
    job: LoadJob
    board: Board
    on_failure: Callable[[int, BaseException], None]

    def run(self) -> None:
        """Warm up, measure, and keep the load up until every other worker has measured too."""
        try:
            if self.job.options.cpus:
                os.sched_setaffinity(threading.get_native_id(), self.job.options.cpus[self.index])
            with self.job.options.worker_context():
                self._wait_for_start()
                if self.job.loop_body is not None:
                    self.job.loop_body(self)
                elif self.job.options.loop == "native":
                    self._run_native()
                else:
                    self._run_python()
        except BaseException as cause:  # a replica may raise anything, SystemExit included
            self.on_failure(self.index, cause)

    def _wait_for_start(self) -> None:
        self.board.ready[self.index] = 1
        while not (start_ns := int(self.board.header[START_NS])):
            time.sleep(START_POLL_S)
        time.sleep(max(0.0, (start_ns - time.perf_counter_ns()) * 1e-9))

    def _run_native(self) -> None:
        load_extension().run_worker(
            self.replica,
            list(self.job.example),
            self.board.addresses(self.index),
            self.job.workers,
            self.index,
            self.job.warmup_batches,
            RING,
        )

    def _run_python(self) -> None:
        self._warm_up()
        self._measure()
        self._keep_busy()

    def _warm_up(self) -> None:
        replica, example, cells = self.replica, self.job.example, self.board.cells
        ends, count = self.board.ring(self.index), self.board.count_cell(self.index)
        clock: Callable[[], Any] = time.perf_counter_ns
        k = 0
        while not cells[WARM]:
            replica(*example)
            ends[k % RING] = clock()
            k += 1
            cells[count] = k  # after its end, which the coordinator then looks up
            if k == self.job.warmup_batches:
                self.board.arrive_warm(self.index)

    def _measure(self) -> None:
        # One clock reading per call: the end of a call is the start of the next, so that a worker's
        # latencies add up to its wall time exactly and Little's law can be checked, not hoped for.
        replica, example = self.replica, self.job.example
        cells, stamps, target = (
            self.board.cells,
            self.board.row(self.index),
            self.board.target_cell(self.index),
        )
        clock: Callable[[], Any] = time.perf_counter_ns
        k = 0
        stamps[0] = clock()
        while k < cells[target]:
            replica(*example)
            k += 1
            stamps[k] = clock()
        self.board.arrive_done(self.index)

    def _keep_busy(self) -> None:
        replica, example, cells = self.replica, self.job.example, self.board.cells
        while not cells[DONE]:
            replica(*example)
