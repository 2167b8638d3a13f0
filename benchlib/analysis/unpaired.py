"""Two stored sweeps set against each other: ratios with the intervals that their rounds allow, no verdict.

The interval of a sweep comes from the rounds of one process on one host within minutes. It knows nothing of
what else changed between two sweeps: another host, another hour, another process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from benchlib.analysis.paired import HIGHER_IS_BETTER, METRICS, Metric
from benchlib.results import CONFIDENCE

FEWEST_ROUNDS = 3

Standing = Literal["slower", "faster", "cannot be told apart", "not known", "not comparable"]
"""Of the second sweep against the first, by the noise within the two alone; ``not comparable``: the two did
something else, so that neither is slower."""

WARNING = (
    "Two sweeps one after the other say little about an SDK: their intervals know only the noise within each "
    "sweep. In simulations, two hosts measured one after the other were told apart in a third to three "
    "quarters of all cases with nothing changed, and one host measured twice in 15 to 49 %. To decide, "
    "measure in turns: bench compare --interpreters OLD NEW."
)


@dataclass(frozen=True)
class Known:
    """A figure with its 95 % limits, where there are any."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def log_limits(self) -> tuple[float, float] | None:
        """Distances of the limits from the figure, on the scale of logarithms; ``None``: not around it."""
        if self.low is None or self.high is None or not 0 < self.low <= self.value <= self.high:
            return None
        return math.log(self.value / self.low), math.log(self.high / self.value)


@dataclass(frozen=True)
class Difference:
    """One metric at one batch size."""

    batch_size: int
    metric: Metric
    first: float
    second: float
    change: float
    """Second over first - 1."""
    limits: tuple[float, float] | None
    """The interval of ``change``; ``None``: one of the two has none."""
    standing: Standing


def from_rounds(value: float, rounds: Sequence[float]) -> Known:
    """A figure with the limits that its rounds give, by Student's t on their logarithms."""
    if len(rounds) < FEWEST_ROUNDS:
        return Known(value)
    logs = np.log(np.asarray(rounds, dtype=np.float64))
    spread = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1) * stats.sem(logs))
    return Known(value, value * math.exp(-spread), value * math.exp(spread))


SweepFigures = Mapping[int, Mapping[Metric, Known]]
"""By batch size; only what is valid."""


def compare_unpaired(first: SweepFigures, second: SweepFigures) -> tuple[Difference, ...]:
    """What differs between two sweeps, where both have a figure; by batch size."""
    return tuple(
        _difference(size, metric, first[size][metric], second[size][metric])
        for size in sorted(set(first) & set(second))
        for metric in METRICS
        if metric in first[size] and metric in second[size]
    )


def _difference(size: int, metric: Metric, first: Known, second: Known) -> Difference:
    limits = _ratio_limits(first, second)
    change = second.value / first.value - 1
    return Difference(
        size, metric, first.value, second.value, change, limits, _standing(metric, change, limits)
    )


def _ratio_limits(first: Known, second: Known) -> tuple[float, float] | None:
    """From those of the two terms, as logarithms (Zou and Donner, Statistics in Medicine 27, 2008)."""
    if first.log_limits is None or second.log_limits is None:
        return None
    log_ratio = math.log(second.value / first.value)
    falls = math.hypot(second.log_limits[0], first.log_limits[1])
    rises = math.hypot(second.log_limits[1], first.log_limits[0])
    return math.expm1(log_ratio - falls), math.expm1(log_ratio + rises)


def _standing(metric: Metric, change: float, limits: tuple[float, float] | None) -> Standing:
    if limits is None:
        return "not known"
    if limits[0] <= 0 <= limits[1]:
        return "cannot be told apart"
    return "faster" if (change > 0) == (metric in HIGHER_IS_BETTER) else "slower"
