"""One worker: a closed loop that keeps a replica busy and stamps the end of every call."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from benchlib.loadgen.gate import Gate

Replica = Callable[..., Any]


class WorkersMeet:
    """What the workers of one run share: two gates and the first failure."""

    def __init__(self, workers: int) -> None:
        self.start = threading.Barrier(workers + 1)
        self.warm = Gate(workers)
        self.done = Gate(workers)
        self.failed = False
        self.first_failure: tuple[int, BaseException] | None = None
        self._lock = threading.Lock()

    def fail(self, worker: int, cause: BaseException) -> None:
        """Remember the first failure and let every other worker leave its loop."""
        with self._lock:
            if self.first_failure is None:
                self.first_failure = (worker, cause)
        self.stop()

    def stop(self) -> None:
        """Let every worker leave its loop after the call it is in."""
        self.failed = True
        self.warm.force_open()
        self.done.force_open()
        self.start.abort()


@dataclass(frozen=True)
class Worker:
    """A worker's own things, all made before the clock starts."""

    index: int
    replica: Replica
    example: tuple[Any, ...]
    stamps: memoryview
    """int64; entry 0 is the start of the first measured call, entry k the end of the k-th."""
    warmup_batches: int
    cpus: frozenset[int] | None
    context: Callable[[], AbstractContextManager[Any]]
    meet: WorkersMeet = field(repr=False)

    def run(self) -> None:
        """Warm up, measure, and keep the load up until every other worker has measured too."""
        try:
            if self.cpus:
                os.sched_setaffinity(threading.get_native_id(), self.cpus)
            with self.context():
                self.meet.start.wait()
                self._warm_up()
                self._measure()
                self._keep_busy()
        except threading.BrokenBarrierError:
            return
        except BaseException as cause:  # a replica may raise anything, SystemExit included
            self.meet.fail(self.index, cause)

    def _warm_up(self) -> None:
        replica, example, gate = self.replica, self.example, self.meet.warm
        for _ in range(self.warmup_batches):
            if self.meet.failed:
                return
            replica(*example)
        gate.arrive()
        while not gate.is_open:
            replica(*example)

    def _measure(self) -> None:
        # One clock reading per call: the end of a call is the start of the next, so that a worker's
        # latencies add up to its wall time exactly and Little's law can be checked, not hoped for.
        replica, example, stamps, meet = self.replica, self.example, self.stamps, self.meet
        clock = time.perf_counter_ns
        stamps[0] = clock()
        for k in range(1, len(stamps)):
            if meet.failed:
                return
            replica(*example)
            stamps[k] = clock()
        meet.done.arrive()

    def _keep_busy(self) -> None:
        replica, example, gate = self.replica, self.example, self.meet.done
        while not gate.is_open:
            replica(*example)
