"""One run: load the replicas, start the workers together, wait, and hand back their stamps."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchlib.errors import BadInput, BenchError
from benchlib.loadgen.worker import Replica, Worker, WorkersMeet

PROGRESS_INTERVAL_S = 0.5
"""Seldom enough that looking at the stamps costs the workers nothing measurable."""


class WorkerFailed(BenchError):
    """A replica raised: names the worker and the replica; the cause carries the worker's traceback."""

    def __init__(self, worker: int, replica: int, cause: BaseException) -> None:
        super().__init__(f"worker {worker} on replica {replica} failed: {type(cause).__name__}: {cause}")
        self.worker = worker
        self.replica = replica


@dataclass(frozen=True)
class Stamps:
    """The clock readings of a finished run.

    ``ns`` has shape (workers, rounds x batches per worker + 1), int64, monotonic nanoseconds. Row w holds
    worker w's readings: entry 0 is the start of its first measured batch, entry k the end of its k-th.
    Every reading was taken while all workers were busy.
    """

    ns: NDArray[np.int64]
    rounds: int


@dataclass(frozen=True)
class LoadProgress:
    """How far a run is: measured batches of all workers so far, and of the whole run."""

    batches: int
    of_batches: int
    batches_per_s: float


def measure(
    load: Callable[[int], Replica],
    example: tuple[Any, ...],
    *,
    workers: int,
    replicas: int | None = None,
    batches_per_worker: int = 1000,
    warmup_batches: int = 8,
    rounds: int = 1,
    cpus: Sequence[frozenset[int]] | None = None,
    worker_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    on_progress: Callable[[LoadProgress], None] | None = None,
) -> Stamps:
    """Keep every replica busy with closed loops and stamp the end of every batch.

    All workers start together. Each calls its replica ``warmup_batches`` times and goes on until all
    have done so; then, without a pause, come its measured batches; then it keeps calling until every other
    worker has measured too. So each measured batch runs beside a full load, first and last included.

    Args:
        load: returns the i-th replica; called in this thread, one after the other.
        example: the arguments of every call.
        workers: closed loops, one thread each; worker w drives replica ``w % replicas``.
        replicas: loaded copies; one per worker when ``None``.
        batches_per_worker: measured batches per worker and round.
        warmup_batches: batches per worker before anything counts.
        rounds: consecutive windows of ``batches_per_worker``.
        cpus: for each worker, the CPUs that its thread may run on.
        worker_context: entered once in each worker's thread, such as ``torch.inference_mode``.
        on_progress: called from this thread a few times a second.

    Raises:
        WorkerFailed: a replica raised; the other workers have been stopped.
        BadInput: a count below one, or more replicas than workers.
    """
    replicas = workers if replicas is None else replicas
    _check_counts(workers, replicas, batches_per_worker * rounds, warmup_batches)
    loaded = [load(i) for i in range(replicas)]
    stamps = np.empty((workers, rounds * batches_per_worker + 1), dtype=np.int64)
    stamps.fill(0)  # touches every page now, not while a worker is on the clock
    meet = WorkersMeet(workers)
    team = [
        Worker(
            index=w,
            replica=loaded[w % replicas],
            example=example,
            stamps=memoryview(stamps[w]),
            warmup_batches=warmup_batches,
            cpus=cpus[w] if cpus else None,
            context=worker_context,
            meet=meet,
        )
        for w in range(workers)
    ]
    with _quiet_collector():
        _run_team(team, meet, lambda: _report(stamps, on_progress))
    if meet.first_failure:
        worker, cause = meet.first_failure
        raise WorkerFailed(worker, worker % replicas, cause) from cause
    return Stamps(stamps, rounds)


def _check_counts(workers: int, replicas: int, batches: int, warmup_batches: int) -> None:
    counts = {"workers": workers, "replicas": replicas, "batches": batches, "warmup_batches": warmup_batches}
    for name, count in counts.items():
        if count < 1:
            raise BadInput(name, count, "a whole number of at least 1")
    if replicas > workers:
        raise BadInput("replicas", replicas, f"at most one per worker ({workers}), or some would idle")


@contextmanager
def _quiet_collector() -> Iterator[None]:
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


def _run_team(team: Sequence[Worker], meet: WorkersMeet, report: Callable[[], None]) -> None:
    threads = [threading.Thread(target=w.run, name=f"worker-{w.index}", daemon=True) for w in team]
    try:
        for thread in threads:
            thread.start()
        meet.start.wait()
        for thread in threads:
            while thread.is_alive():
                thread.join(PROGRESS_INTERVAL_S)
                report()
    except threading.BrokenBarrierError:
        pass  # a worker failed before the start; its cause is in ``meet``
    except BaseException:
        meet.stop()
        raise
    finally:
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def _report(stamps: NDArray[np.int64], on_progress: Callable[[LoadProgress], None] | None) -> None:
    if on_progress is None:
        return
    finished = np.count_nonzero(stamps[:, 1:], axis=1)
    if not finished.all():
        return  # still warming up
    last_ns = stamps[np.arange(len(stamps)), finished]
    rates = finished / ((last_ns - stamps[:, 0]) * 1e-9)
    on_progress(
        LoadProgress(int(finished.sum()), stamps.shape[0] * (stamps.shape[1] - 1), float(rates.sum()))
    )
