"""Standard errors, date and interval of a change: what its telling and its hindsight have in common."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from benchlib.analysis.changes.series import Floats, Ints

MEDIAN_VARIANCE: Final = 1.57
"""Variance of the median of normal values over that of their mean."""

INTERVAL_WIDENING: Final = 1.12
"""Without it the intervals held the true size in 93 % of 2,125 steps of the benchmark's tuning half."""

LEAST_CHANGED: Final = 2
"""Nights that a change takes in at least when it is told."""

FARTHEST: Final = 6.0
"""No night's distance from a level counts for more spreads than this."""


def standard_errors(autocorrelation: Floats, nights: Ints, longest: int) -> Floats:
    """Of the mean of L values from a baseline's median, in spreads, for L = 1 to ``longest``.

    Both arguments have the shape (baselines,), the result has (baselines, longest).
    """
    rho = autocorrelation
    of_median = MEDIAN_VARIANCE / nights * (1 + rho) / (1 - rho)
    errors = np.empty((rho.size, longest))
    power, sum_of_powers, sum_of_weighted = np.ones_like(rho), np.zeros_like(rho), np.zeros_like(rho)
    for tested in range(1, longest + 1):
        of_mean = (1 + 2 * (sum_of_powers - sum_of_weighted / tested)) / tested
        errors[:, tested - 1] = np.sqrt(of_mean + of_median)
        power = power * rho
        sum_of_powers = sum_of_powers + power
        sum_of_weighted = sum_of_weighted + tested * power
    return errors


def parted_at(last: Floats, before: float, after: float, spread: float) -> int:
    """Where nights part best into such at the level before and such at the one after, at least two of these.

    The least sum of absolute distances, none of them above 6 spreads.
    """
    from_before = np.minimum(np.abs(last - before) / spread, FARTHEST)
    from_after = np.minimum(np.abs(last - after) / spread, FARTHEST)
    gain = from_before - from_after
    costs = np.cumsum(gain) - gain  # of all nights before this one at the old level, the others at the new
    return int(np.argmin(costs[: 1 - LEAST_CHANGED]))


def interval_half_width(error: float, relative_spread: float, baseline_nights: int, ratio: float) -> float:
    """Half the 95 % interval of the relative change of a median.

    The standard error of the mean, made that of a median, times Student's quantile for the baseline's nights
    (1.96 + 2.4 / degrees of freedom), widened for the choice of the night. ``ratio`` is level after by level
    before: a higher level scatters more.
    """
    quantile = INTERVAL_WIDENING * (1.96 + 2.4 / (baseline_nights - 1))
    return quantile * math.sqrt(MEDIAN_VARIANCE) * error * relative_spread * max(1.0, ratio)
