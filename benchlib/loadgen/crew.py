"""The workers of one process: load their replicas, run them as threads, say what went wrong."""

from __future__ import annotations

import gc
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchlib.errors import BenchError
from benchlib.loadgen.board import Board
from benchlib.loadgen.job import LoadJob, Replica
from benchlib.loadgen.native import load_extension
from benchlib.loadgen.worker import Worker


class WorkerFailed(BenchError):
    """A replica raised, or its process died: names worker and replica, and keeps the traceback's text."""

    def __init__(
        self, worker: int, replica: int, cause: str, worker_traceback: str = "", program: str = ""
    ) -> None:
        of = f"{program}: " if program else ""
        super().__init__(f"{of}worker {worker} on replica {replica} failed: {cause}")
        self.worker = worker
        self.replica = replica
        self.cause = cause
        self.worker_traceback = worker_traceback
        self.program = program
        """Which of several programs, where they are interleaved."""

    def __reduce__(self) -> tuple[Any, ...]:
        return WorkerFailed, (self.worker, self.replica, self.cause, self.worker_traceback, self.program)

    def of(self, program: str) -> WorkerFailed:
        """The same failure, of this program."""
        return WorkerFailed(self.worker, self.replica, self.cause, self.worker_traceback, program)


def carry_on() -> None:
    """Nobody wishes to stop."""


@dataclass
class ThreadCrew:
    """Some workers of a job as threads of this process."""

    job: LoadJob
    board: Board
    workers: tuple[int, ...]
    failure: WorkerFailed | None = None
    _replicas: dict[int, Replica] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self, heed: Callable[[], None] = carry_on) -> None:
        """Load this crew's replicas, one after the other, in the calling thread; ``heed`` before each.

        Raises:
            WorkerFailed: one could not be loaded.
            NativeUnavailable: the native loop was asked for and cannot be built here.
        """
        if self.job.options.loop == "native":
            load_extension()
        for replica in sorted({self.job.replica_of(w) for w in self.workers}):
            heed()
            with self._blaming(replica):
                self._replicas[replica] = self.job.load(replica)

    def probe(self, heed: Callable[[], None] = carry_on) -> dict[int, Any]:
        """Each replica's answer to the job's probe; ``heed`` before each."""
        probe = self.job.options.probe
        if probe is None:
            return {}
        answers = {}
        with self.job.options.worker_context():
            for index, replica in self._replicas.items():
                heed()
                with self._blaming(index):
                    answers[index] = probe(replica, self.job.example)
        return answers

    def start(self) -> None:
        """Start the threads; they wait for the board's start instant. Again after `join`, if you like."""
        for w in self.workers:
            worker = Worker(w, self._replicas[self.job.replica_of(w)], self.job, self.board, self._on_failure)
            thread = threading.Thread(target=worker.run, name=f"worker-{w}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def check(self) -> None:
        """A thread that fails says so itself."""

    def join(self) -> None:
        """Wait until every worker has left its loop."""
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def close(self) -> None:
        """Leave no thread behind."""
        self.join()

    def _on_failure(self, worker: int, cause: BaseException) -> None:
        with self._lock:
            if self.failure is None:
                self.failure = self._failed(worker, cause)
                self.failure.__cause__ = cause
        self.board.stop()

    def _failed(self, worker: int, cause: BaseException) -> WorkerFailed:
        text = "".join(traceback.format_exception(cause))
        return WorkerFailed(worker, self.job.replica_of(worker), f"{type(cause).__name__}: {cause}", text)

    @contextmanager
    def _blaming(self, replica: int) -> Iterator[None]:
        try:
            yield
        except Exception as cause:
            worker = next(w for w in self.workers if self.job.replica_of(w) == replica)
            raise self._failed(worker, cause) from cause


@contextmanager
def quiet_collector() -> Iterator[None]:
    """No garbage collection while the clock runs: one pause would be some call's latency."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
