"""When a run has measured enough: after so many rounds, so many seconds, or at a wanted precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from benchlib.loadgen.intervals import mean_interval
from benchlib.loadgen.stamps import Stamps, round_medians_ms, round_throughputs


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
    """At least so many seconds of measured time."""

    duration_s: float
    max_rounds: int = 10_000

    def enough(self, so_far: Stamps) -> bool:
        """True when the slowest worker has measured for the asked time."""
        return bool((so_far.ns[:, -1] - so_far.ns[:, 0]).min() >= self.duration_s * 1e9)


@dataclass(frozen=True)
class Precision:
    """Until the 95 % intervals of throughput and P50 over the rounds are narrow enough."""

    relative_half_width: float = 0.005
    min_rounds: int = 5
    max_rounds: int = 200

    def enough(self, so_far: Stamps) -> bool:
        """True when both relative half-widths are at or below the target."""
        if so_far.rounds < self.min_rounds:
            return False
        intervals = (mean_interval(round_throughputs(so_far)), mean_interval(round_medians_ms(so_far)))
        return all(i is not None and i.relative_half_width <= self.relative_half_width for i in intervals)
