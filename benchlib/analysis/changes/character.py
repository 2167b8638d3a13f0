"""The character of a series: where it drifts to, and what its noise is like."""

from __future__ import annotations

from typing import Final

import numpy as np

from benchlib.analysis.changes.model import Direction, NoiseLabel, Trend
from benchlib.analysis.changes.scan import MAD_TO_SIGMA, check_direction, verdict_on
from benchlib.analysis.changes.series import Floats, Values, series_of

NOW_NIGHTS: Final = 14
THEN_NIGHTS: Final = (60, 90)
TREND_EFFECT: Final = 0.02
LEAST_SHARE: Final = 0.5

LABEL_NIGHTS: Final = 100
LEAST_LABEL_NIGHTS: Final = 20


def trend(
    values: Values, *, direction: Direction = "higher_is_better", effect: float = TREND_EFFECT
) -> Trend | None:
    """The median of the last 14 nights against that of the nights 60 to 90 before the last one.

    Small steps that stay below every threshold, and slow drifts that each reset of a baseline forgives, add
    up here. ``None``: either stretch has data on fewer than half of its nights.

    Raises:
        BadInput: a value is not positive and finite, or the direction is unknown.
    """
    check_direction(direction)
    series = series_of(values)
    last = series.length - 1
    now = series.figures[series.nights > last - NOW_NIGHTS]
    ago = last - series.nights
    then = series.figures[(ago >= THEN_NIGHTS[0]) & (ago <= THEN_NIGHTS[1])]
    if now.size < LEAST_SHARE * NOW_NIGHTS or then.size < LEAST_SHARE * (THEN_NIGHTS[1] - THEN_NIGHTS[0]):
        return None
    level_now, level_then = float(np.median(now)), float(np.median(then))
    relative = level_now / level_then - 1
    return Trend(level_then, level_now, relative, verdict_on(relative, direction), abs(relative) >= effect)


def noise_label(values: Values) -> NoiseLabel:
    """What the noise of up to 100 nights on one level is like: give the nights since the last change.

    The first that holds:

    - *too few nights*: below 20;
    - *two modes*: two groups of at least a sixth of the nights each, apart, and the series goes to and fro;
    - *drifting*: the medians of its thirds move one way, by more than 1.5 spreads in all;
    - *outliers*: one night in 25, and at least two, beyond 5 spreads;
    - *skewed*: one tail at least twice as long as the other;
    - *quiet*.

    Raises:
        BadInput: a value is not positive and finite.
    """
    figures = series_of(values).figures[-LABEL_NIGHTS:]
    if figures.size < LEAST_LABEL_NIGHTS:
        return "too few nights"
    if _two_modes(figures):
        return "two modes"
    if _drifts(figures):
        return "drifting"
    z = _standardised(figures)
    if np.count_nonzero(np.abs(z) > 5) >= max(2, figures.size / 25):
        return "outliers"
    low, high = -np.quantile(z, 0.1), np.quantile(z, 0.9)
    return "skewed" if max(low, high) >= 2 * max(min(low, high), 1e-9) and max(low, high) > 0 else "quiet"


def _standardised(figures: Floats) -> Floats:
    median = float(np.median(figures))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(figures - median)))
    return np.asarray((figures - median) / max(spread, 1e-6 * median))


def _two_modes(figures: Floats) -> bool:
    """The best cut of the sorted values in two leaves little inside (Ashman's D), and is crossed often."""
    ordered = np.sort(figures)
    least = max(3, figures.size // 6)
    cuts = np.arange(least, figures.size - least + 1)
    inside = [ordered[:cut].var() * cut + ordered[cut:].var() * (figures.size - cut) for cut in cuts]
    cut = int(cuts[int(np.argmin(inside))])
    lower, upper = ordered[:cut], ordered[cut:]
    within = np.sqrt((lower.var() + upper.var()) / 2)
    apart = float(upper.mean() - lower.mean())
    if apart <= max(ASHMAN_D * float(within), 1e-6 * float(ordered[0])):
        return False
    is_upper = figures >= upper[0]
    return int(np.count_nonzero(is_upper[1:] != is_upper[:-1])) >= LEAST_CROSSINGS


ASHMAN_D: Final = 4.0
LEAST_CROSSINGS: Final = 3


def _drifts(figures: Floats) -> bool:
    thirds = [float(np.median(third)) for third in np.array_split(figures, 3)]
    steps = np.abs(np.diff(figures))
    noise = MAD_TO_SIGMA * float(np.median(steps)) / np.sqrt(2)
    one_way = (thirds[1] - thirds[0]) * (thirds[2] - thirds[1]) > 0
    return one_way and abs(thirds[2] - thirds[0]) > max(1.5 * noise, 1e-6 * thirds[0])
