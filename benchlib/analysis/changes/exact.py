"""Changes of figures that hardly vary: compile time, memory, size of the compiled artifact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from benchlib.analysis.changes.model import Change, Direction
from benchlib.analysis.changes.scan import Baselines, Told, change_of, check_direction, first_changed
from benchlib.analysis.changes.series import Floats, Values, series_of
from benchlib.analysis.changes.thresholds import Thresholds

EFFECT = 0.005
SPREADS = 3.0
LEAST_NIGHTS = 5
NIGHTS = 2

RULE = Thresholds(
    version="exact-1",
    h=SPREADS,
    effect=EFFECT,
    least_nights=LEAST_NIGHTS,
    longest_test=NIGHTS,
    clip=SPREADS - 0.001,
    spread_floor=EFFECT / SPREADS,
    tail_weight=0.0,
)
"""In the terms of the scan. With this floor of the spread, 3 spreads are never less than 0.5 %."""


def deterministic_changes(
    values: Values,
    *,
    direction: Direction = "lower_is_better",
    epochs: Iterable[int] = (),
) -> list[Change]:
    """Changes of more than 0.5 % and more than 3 robust standard deviations, on two nights running.

    The baseline is the median of up to 40 nights before the two, at least 5, none before the last change or
    epoch. A figure that never varies is thus judged by 0.5 % alone; a compile time by its own variation too,
    since otherwise every compile would be a change. Arguments as in `detect_changes`.

    `Change.score` is the distance of the nearer of the two nights in spreads.

    Raises:
        BadInput: as in `detect_changes`.
    """
    series = series_of(values)
    check_direction(direction)
    bounds = [*series.resets(epochs), series.figures.size]
    return [
        change_of(series, told, RULE, direction)
        for first, last in pairwise(bounds)
        for told in _told(series.figures[:last], first)
    ]


def _told(figures: Floats, reset: int) -> Iterator[Told]:
    while figures.size - reset >= LEAST_NIGHTS + NIGHTS:
        splits = np.arange(reset + LEAST_NIGHTS, figures.size - NIGHTS + 1)
        before = Baselines.before(figures, reset, splits, RULE)
        step = (figures[splits] - before.median) / before.spread
        second = (figures[splits + 1] - before.median) / before.spread
        nearer = np.where(step * second > 0, np.minimum(np.abs(step), np.abs(second)), 0.0)
        found = np.flatnonzero(nearer > SPREADS)
        if not found.size:
            return
        at = int(found[0])
        night, score = int(splits[at]) + 1, float(np.copysign(nearer[at], step[at]))
        first = first_changed(figures, reset, night, before.only(at), RULE)
        yield Told(first, night, NIGHTS, score, 1.0, before.only(at))
        reset = first
