"""When a run has measured enough: after so many rounds, so many seconds, or at a wanted precision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

from benchlib.loadgen.intervals import Interval, median_estimate, throughput_estimate
from benchlib.loadgen.stamps import Stamps

MOST_STAMPS_BYTES: Final = 256 * 2**20
STAMP_BYTES: Final = 8


class StopRule(Protocol):
    """Decides after each round that all workers have finished."""

    @property
    def max_rounds(self) -> int:
        """Stamps are allocated for so many rounds before the clock starts."""
        ...

    def enough(self, so_far: Stamps) -> bool:
        """True when no further round is needed."""
        ...


@dataclass(frozen=True)
class FixedRounds:
    """So many rounds, whatever they show: the tutorial's way."""

    max_rounds: int = 1

    def enough(self, so_far: Stamps) -> bool:
        """True after the last round."""
        return so_far.rounds >= self.max_rounds


@dataclass(frozen=True)
class Duration:
    """At least so many seconds of measured time, in at least so many rounds."""

    duration_s: float
    min_rounds: int = 1
    max_rounds: int = 10_000

    def enough(self, so_far: Stamps) -> bool:
        """True when every worker has measured for the asked time."""
        return so_far.rounds >= self.min_rounds and so_far.measured_s >= self.duration_s


@dataclass(frozen=True)
class Precision:
    """Until the 95 % intervals of throughput and P50 over the slices are narrow enough."""

    relative_half_width: float = 0.005
    min_rounds: int = 5
    max_rounds: int = 200
    max_duration_s: float = math.inf
    """Of measured time: then it is enough, however wide the intervals are."""

    def enough(self, so_far: Stamps) -> bool:
        """True when both relative half-widths are at or below the target, or the time is over."""
        if so_far.rounds < self.min_rounds:
            return False
        if so_far.measured_s >= self.max_duration_s:
            return True
        return self._met(throughput_estimate(so_far)) and self._met(median_estimate(so_far))

    def _met(self, estimate: Interval | None) -> bool:
        return estimate is not None and estimate.relative_half_width <= self.relative_half_width


def affordable_rounds(stop: StopRule, batches_per_round: int) -> int:
    """The rule's rounds, but no more than `MOST_STAMPS_BYTES` hold; a fixed number is kept as it was asked.

    A rule with an open end asks for far more rounds than it mostly needs. ``batches_per_round`` is of all
    workers.
    """
    if isinstance(stop, FixedRounds):
        return stop.max_rounds
    return min(stop.max_rounds, max(1, MOST_STAMPS_BYTES // (batches_per_round * STAMP_BYTES)))
