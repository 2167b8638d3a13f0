"""Several programs loaded side by side and measured in turns, round by round.

Measured one after the other, programs meet different states of a host that warms up or is shared, and the
drift is taken for a difference between them. In turns they all meet all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchlib.errors import BadInput
from benchlib.loadgen.board import Board, BoardShape
from benchlib.loadgen.crew import ThreadCrew, WorkerFailed, quiet_collector
from benchlib.loadgen.intervals import throughput_estimate
from benchlib.loadgen.job import LoadJob, LoadOptions, Replica
from benchlib.loadgen.run import LoadRun, check_counts, drive
from benchlib.loadgen.stamps import Stamps
from benchlib.loadgen.stop import FixedRounds, StopRule, affordable_rounds
from benchlib.loadgen.warmup import WarmUp
from benchlib.loadgen.watch import Interrupted, LoadProgress, Plan, Watch


@dataclass(frozen=True)
class InterleavedLoad:
    """One of several programs, and how it is driven; the fields are the arguments of `measure`."""

    load: Callable[[int], Replica]
    example: tuple[Any, ...]
    workers: int
    batches_per_worker: int = 1000
    options: LoadOptions = LoadOptions()  # noqa: RUF009 - frozen
    name: str = ""
    """For the message of a failure, such as ``batch size 4``."""


def measure_interleaved(
    loads: Sequence[InterleavedLoad],
    *,
    warmup_batches: int = 8,
    stable: bool = False,
    max_warmup_s: float = 30.0,
    stop: StopRule = FixedRounds(1),  # noqa: B008 - frozen
    interrupted: Callable[[], bool] | None = None,
    on_progress: Callable[[int, LoadProgress], None] | None = None,
) -> list[LoadRun]:
    """Load all programs, then measure a round of each, then the next round of each, in an order that rotates.

    Each round is a window of its own: all workers of that program warm up together, measure and keep the load
    up until the last has measured, as in `measure`. Other programs stay loaded and idle meanwhile.

    Args:
        loads: the programs, one process for all.
        warmup_batches: batches per worker before each window, at least.
        stable: before a program's first window, go on warming up until the rate has settled.
        max_warmup_s: then measure all the same.
        stop: asked of each program after each turn; all go on until it has enough of every one, so that all
            have met the same drift.
        interrupted: as in `measure`; the window in progress is dropped.
        on_progress: called with the index of the program and its own progress.

    Returns:
        one run per program, in the order of ``loads``.

    Raises:
        WorkerFailed: a replica of any program raised; ``program`` is its name.
        Interrupted: some program has no complete round.
        NativeUnavailable: the native loop was asked for and cannot be had here.
        BadInput: as in `measure`, or no program, or one spread over several processes.
    """
    plans = [
        Plan(load.batches_per_worker, stop, stable, max_warmup_s, interrupted, _teller(on_progress, index))
        for index, load in enumerate(loads)
    ]
    jobs = [LoadJob(load.load, load.example, load.workers, warmup_batches, load.options) for load in loads]
    _check(jobs, plans)
    most_rounds = affordable_rounds(stop, sum(load.workers * load.batches_per_worker for load in loads))
    programs: list[_Program] = []
    try:
        for load, job, plan in zip(loads, jobs, plans, strict=True):
            board = Board.create(BoardShape(load.workers, load.batches_per_worker))
            programs.append(_Program(load.name, job, plan, board, most_rounds))
            programs[-1].open()
        with quiet_collector():
            was_interrupted = _take_turns(programs)
        return [program.run(was_interrupted) for program in programs]
    finally:
        for program in programs:
            program.close()


def _teller(
    on_progress: Callable[[int, LoadProgress], None] | None, index: int
) -> Callable[[LoadProgress], None] | None:
    return None if on_progress is None else lambda progress: on_progress(index, progress)


def _check(jobs: Sequence[LoadJob], plans: Sequence[Plan]) -> None:
    if not jobs:
        raise BadInput("loads", 0, "at least one program")
    for job, plan in zip(jobs, plans, strict=True):
        check_counts(job, plan)
        if job.options.processes > 1:
            allowed = "1 where programs are interleaved: they share the replicas' process"
            raise BadInput("processes", job.options.processes, allowed)


def _take_turns(programs: Sequence[_Program]) -> bool:
    """True when interrupted."""
    try:
        for turn in range(programs[0].most_rounds):
            first = turn % len(programs)
            for program in (*programs[first:], *programs[:first]):
                program.measure_round()
            answers = [program.ask_rule() for program in programs]
            if all(answers):
                break
    except Interrupted:
        if not all(program.windows for program in programs):
            raise
        return True
    return False


@dataclass
class _Program:
    """A loaded program and what it has shown so far."""

    name: str
    job: LoadJob
    plan: Plan
    board: Board
    most_rounds: int
    windows: list[NDArray[np.int64]] = field(default_factory=list)
    """One per finished round, shape (workers, batches per worker + 1)."""
    warm_ups: list[WarmUp] = field(default_factory=list)
    satisfied: bool = False
    load_duration_s: float = 0.0
    probes_before: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.crew = ThreadCrew(self.job, self.board, tuple(range(self.job.workers)))

    @property
    def stamps(self) -> Stamps:
        """Of all finished rounds."""
        return Stamps(np.stack(self.windows))

    def open(self) -> None:
        """Load the replicas and ask them."""
        heed = Watch(self.board, self.plan).heed
        began_s = time.perf_counter()
        with self._named():
            self.crew.load(heed)
            self.probes_before = self.crew.probe(heed)
        self.load_duration_s = time.perf_counter() - began_s

    def measure_round(self) -> None:
        """One window, warm-up included."""
        self.board.reset()
        watch = Watch(self.board, self._plan_of_window())
        try:
            with self._named():
                drive(self.crew, watch)
        except BaseException:
            self.board.stop()
            self.crew.join()
            raise
        self.windows.append(watch.stamps().ns[0])
        self.warm_ups.append(watch.warm_up())

    def ask_rule(self) -> bool:
        """Whether the stop rule has enough of this program."""
        self.satisfied = self.plan.stop.enough(self.stamps)
        return self.satisfied

    def run(self, interrupted: bool) -> LoadRun:
        """Ask the replicas again and hand everything over."""
        with self._named():
            probes_after = self.crew.probe()
        warm_up = WarmUp(
            sum(w.batches for w in self.warm_ups),
            sum(w.duration_s for w in self.warm_ups),
            self.warm_ups[0].settled,
        )
        return LoadRun(
            stamps=self.stamps,
            load_duration_s=self.load_duration_s,
            warm_up=warm_up,
            interrupted=interrupted,
            satisfied=self.satisfied,
            probes_before=self.probes_before,
            probes_after=probes_after,
        )

    def close(self) -> None:
        """Leave no thread and no descriptor behind."""
        self.board.stop()
        self.crew.close()
        self.board.close()

    def _plan_of_window(self) -> Plan:
        return replace(
            self.plan,
            stop=FixedRounds(1),
            stable=self.plan.stable and not self.windows,
            on_progress=self._report if self.plan.on_progress else None,
        )

    def _report(self, window: LoadProgress) -> None:
        assert self.plan.on_progress is not None
        so_far = self.stamps if self.windows else None
        estimate = so_far and throughput_estimate(so_far)
        done = len(self.windows) * self.job.workers * self.plan.batches_per_worker
        self.plan.on_progress(
            LoadProgress(
                batches=done + window.batches,
                of_batches=self.most_rounds * window.of_batches,
                batches_per_s=window.batches_per_s,
                relative_half_width=estimate.relative_half_width if estimate else window.relative_half_width,
                measured_s=(so_far.measured_s if so_far else 0.0) + window.measured_s,
            )
        )

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except WorkerFailed as failure:
            raise failure.of(self.name) from failure.__cause__
