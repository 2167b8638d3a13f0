"""The coordinator of a run: opens the gates, asks the stop rule after each round, reports progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchlib.errors import BenchError
from benchlib.loadgen.board import DONE, HOLD, START_NS, Board
from benchlib.loadgen.intervals import throughput_estimate
from benchlib.loadgen.stamps import Stamps
from benchlib.loadgen.stop import StopRule
from benchlib.loadgen.warmup import Settling, WarmUp

WATCH_INTERVAL_S = 0.02
PROGRESS_INTERVAL_S = 0.5
START_DELAY_NS = 20_000_000
"""Long enough for every process to see the start instant before it comes."""
FEWEST_BATCHES = 10
"""Per worker, before the running interval is worth a word."""


class Interrupted(BenchError):
    """A run was told to stop and has nothing to show."""

    def __init__(self) -> None:
        super().__init__("stopped before the first round was complete")


@dataclass(frozen=True)
class LoadProgress:
    """How far a run is: measured batches of all workers so far, and at most."""

    batches: int
    of_batches: int
    batches_per_s: float
    relative_half_width: float | None = None
    """Of the 95 % interval of the throughput so far; ``None``: not known yet."""
    measured_s: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What the coordinator does with one board."""

    batches_per_worker: int
    stop: StopRule
    stable: bool = False
    max_warmup_s: float = 30.0
    interrupted: Callable[[], bool] | None = None
    on_progress: Callable[[LoadProgress], None] | None = None


@dataclass
class Watch:
    """Leads the workers of one board from their start to the end of their last round."""

    board: Board
    plan: Plan
    rounds: int = 0
    """Finished by every worker so far."""
    satisfied: bool = False
    """The stop rule had enough."""
    was_interrupted: bool = False
    _settling: Settling = field(default_factory=Settling)
    _next_report_s: float = 0.0

    def __post_init__(self) -> None:
        self.board.header[HOLD] = self.plan.stable

    def until_done(self, check: Callable[[], None]) -> None:
        """Return when all workers have measured, or the board was stopped.

        Raises:
            Interrupted: the plan's ``interrupted`` became true before the first round was complete.
        """
        header, pause = self.board.header, threading.Event()
        while not (self.board.ready.all() or self.board.stopped):
            check()
            self.heed()
            pause.wait(WATCH_INTERVAL_S)
        header[START_NS] = header[START_NS] or time.perf_counter_ns() + START_DELAY_NS
        while not header[DONE]:
            check()
            self._look()
            self.heed()
            pause.wait(WATCH_INTERVAL_S)
        if not self.board.stopped:
            self._look(final=True)

    def heed(self) -> None:
        """Stop after the calls in flight when the caller wishes so.

        Raises:
            Interrupted: no round is complete yet.
        """
        asked = self.plan.interrupted
        if self.was_interrupted or asked is None or not asked():
            return
        if not self.rounds:
            raise Interrupted
        self.was_interrupted = True
        self.board.targets[:] = 0

    def stamps(self) -> Stamps:
        """The stamps of all finished rounds."""
        return Stamps.contiguous(self._finished().copy(), self.rounds)

    def warm_up(self) -> WarmUp:
        """What the workers did before they measured."""
        span_ns = self.board.stamps[:, 0].max() - self.board.header[START_NS]
        settled = self._settling.settled if self.plan.stable else None
        return WarmUp(int(self.board.counts.sum()), float(span_ns) * 1e-9, settled)

    def _look(self, *, final: bool = False) -> None:
        # In a run of threads every microsecond here is one in which no worker gets the interpreter's lock.
        if self.board.header[HOLD]:
            self._settle()
        self.board.open_gates()
        rounds = self._finished_rounds()
        if rounds > self.rounds:
            self.rounds = rounds
            self._ask_rule()
        self._report(final=final)

    def _settle(self) -> None:
        progress = self.board.warm_progress()
        if progress is not None:
            self._settling.observe(progress)
        spent_s = (time.perf_counter_ns() - self.board.header[START_NS]) * 1e-9
        self.board.header[HOLD] = not (self._settling.settled or spent_s >= self.plan.max_warmup_s)

    def _ask_rule(self) -> None:
        if self.satisfied or self.was_interrupted:
            return
        self.satisfied = self.plan.stop.enough(Stamps.contiguous(self._finished(), self.rounds))
        if self.satisfied:
            self.board.targets[:] = 0

    def _finished(self) -> NDArray[np.int64]:
        return self.board.stamps[:, : self.rounds * self.plan.batches_per_worker + 1]

    def _finished_rounds(self) -> int:
        rounds, batches = self.rounds, self.plan.batches_per_worker
        ends = self.board.stamps[:, batches::batches]
        while rounds < ends.shape[1] and ends[:, rounds].all():
            rounds += 1
        return rounds

    def _report(self, *, final: bool) -> None:
        now_s = time.monotonic()
        if self.plan.on_progress is None or (now_s < self._next_report_s and not final):
            return
        count = np.array([self.board.batches_finished(w) for w in range(self.board.shape.workers)])
        if not count.all():
            return
        self._next_report_s = now_s + PROGRESS_INTERVAL_S
        self.plan.on_progress(self._progress(count))

    def _progress(self, count: NDArray[np.int64]) -> LoadProgress:
        last_ns = self.board.stamps[np.arange(len(count)), count]
        spans_s = (last_ns - self.board.stamps[:, 0]) * 1e-9
        return LoadProgress(
            batches=int(count.sum()),
            of_batches=self.board.stamps[:, 1:].size,
            batches_per_s=float((count / spans_s).sum()),
            relative_half_width=self._relative_half_width(int(count.min())),
            measured_s=float(spans_s.min()),
        )

    def _relative_half_width(self, batches: int) -> float | None:
        """Over what every worker has measured so far, whole rounds or not."""
        if batches < FEWEST_BATCHES:
            return None
        estimate = throughput_estimate(Stamps.contiguous(self.board.stamps[:, : batches + 1], 1))
        return None if estimate is None else estimate.relative_half_width
