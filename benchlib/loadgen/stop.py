"""When a run has measured enough: after so many rounds, so many seconds, or at a wanted precision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchlib.loadgen.stamps import Stamps, round_medians_ms, round_throughputs

# Student's t for a two-sided 95 % interval by degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2).
_T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_T_95_BEYOND = 1.960


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
    """Until the 95 % intervals of throughput and P50 are narrow enough.

    Rounds serve as batches of the method of batch means (Law, Simulation Modeling and Analysis, 5th ed.,
    9.5.3): samples inside a round may depend on each other as they like, only whole rounds are compared.
    """

    relative_half_width: float = 0.005
    min_rounds: int = 5
    max_rounds: int = 200

    def enough(self, so_far: Stamps) -> bool:
        """True when both relative half-widths are at or below the target."""
        if so_far.rounds < self.min_rounds:
            return False
        metrics = (round_throughputs(so_far), round_medians_ms(so_far))
        return all(relative_half_width(values) <= self.relative_half_width for values in metrics)


def relative_half_width(values: NDArray[np.float64]) -> float:
    """Half the 95 % interval of the mean of independent values, over that mean; infinite for one value."""
    n = len(values)
    if n < 2:
        return math.inf
    t = _T_95[n - 2] if n - 2 < len(_T_95) else _T_95_BEYOND
    return float(t * values.std(ddof=1) / math.sqrt(n) / values.mean())
