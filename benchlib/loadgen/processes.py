"""Workers spread over several processes, for calls that would fight over one interpreter's lock.

The children are plain sub-processes of ``python -m``, not of multiprocessing: they start inside a daemonic
Celery worker, never fork a live runtime, and get their environment before anything is imported.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from benchlib.errors import BenchError
from benchlib.loadgen.board import DONE, Board, BoardShape
from benchlib.loadgen.crew import WorkerFailed, carry_on
from benchlib.loadgen.job import LoadJob
from benchlib.loadgen.native import load_extension

HEED_INTERVAL_S = 0.1
LEAVE_S = 10
"""For all children together, from the word to stop until they are killed."""

PARENTS_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What they mean is for the parent to decide, also when they reach the whole group."""


@contextmanager
def _held_back() -> Iterator[None]:
    """A child that starts in this block gets the parent's signals once it can deal with them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class ChildJob:
    """What one child is told."""

    job: LoadJob
    shape: BoardShape
    process: int
    parent_pid: int


@dataclass
class ProcessCrew:
    """All workers of a job, spread over its number of processes."""

    job: LoadJob
    board: Board
    failure: WorkerFailed | None = None
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _connections: list[Connection[Any, Any]] = field(default_factory=list)

    def load(self, heed: Callable[[], None] = carry_on) -> None:
        """Start every child; each loads its own replicas, so that it is `probe` that waits for them.

        Raises:
            NativeUnavailable: the native loop was asked for and cannot be built here.
        """
        if self.job.options.loop == "native":
            load_extension()  # once for all children, which find it built
        for process in range(self.job.options.processes):
            heed()
            self._spawn(process)

    def probe(self, heed: Callable[[], None] = carry_on) -> dict[int, Any]:
        """Wait for every child's answers of its current phase; ``heed`` is called meanwhile.

        Raises:
            WorkerFailed: a replica could not be loaded or called, or its process died.
        """
        answers: dict[int, Any] = {}
        for process, connection in enumerate(self._connections):
            while not connection.poll(HEED_INTERVAL_S):
                heed()
            message = self._receive(process)
            if isinstance(message, BenchError):
                raise message
            answers.update(message)
        return answers

    def start(self) -> None:
        """The children start their threads by themselves."""

    def join(self) -> None:
        """The children join their own threads before they answer the last probe."""

    def check(self) -> None:
        """Stop everybody when a child has ended before its time."""
        for process, child in enumerate(self._children):
            # After the done gate a child that has ended is one that has finished.
            if child.poll() is not None and self.failure is None and not self.board.header[DONE]:
                message = self._receive(process)
                self.failure = message if isinstance(message, WorkerFailed) else self._dead(process)
                self.board.stop()

    def close(self) -> None:
        """End the children: those that still live after a stop are killed."""
        deadline_s = time.monotonic() + LEAVE_S
        for child, connection in zip(self._children, self._connections, strict=True):
            try:
                child.wait(timeout=max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            connection.close()

    def _spawn(self, process: int) -> None:
        ours, theirs = os.pipe()
        command = [sys.executable, "-m", "benchlib.loadgen.child", str(self.board.fd), str(theirs)]
        with _held_back():
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                pass_fds=(self.board.fd, theirs),
                env=self._environment(process),
            )
        os.close(theirs)
        self._children.append(child)
        self._connections.append(Connection(ours, writable=False))
        assert child.stdin is not None
        # A child that has died at once cannot be written to; its missing answer will tell.
        with suppress(BrokenPipeError), child.stdin:
            child.stdin.write(pickle.dumps(ChildJob(self.job, self.board.shape, process, os.getpid())))

    def _environment(self, process: int) -> Mapping[str, str]:
        # A thread limit set after the import of torch does not reach threads that are started elsewhere.
        limits = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        path = os.pathsep.join(p for p in sys.path if p)
        replicas = sorted({self.job.replica_of(w) for w in self.job.workers_of_process(process)})
        own = self.job.options.process_env
        return {**os.environ, **limits, "PYTHONPATH": path, **(own(replicas) if own else {})}

    def _receive(self, process: int) -> Any:
        try:
            return self._connections[process].recv()
        except (EOFError, OSError):
            return self._dead(process)

    def _dead(self, process: int) -> WorkerFailed:
        worker = self.job.workers_of_process(process)[0]
        code = self._children[process].wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
        return WorkerFailed(worker, self.job.replica_of(worker), f"its process {how}")
