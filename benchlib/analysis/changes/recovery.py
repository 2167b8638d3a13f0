"""Whether a change went away again, in the nights in which the scan is still learning the new level."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from benchlib.analysis.changes.model import Change, Direction, Recovery
from benchlib.analysis.changes.scan import DEFAULTS, detect_changes
from benchlib.analysis.changes.series import Floats, Series, Values, series_of
from benchlib.analysis.changes.sizing import MEDIAN_VARIANCE, interval_half_width, parted_at, standard_errors
from benchlib.analysis.changes.thresholds import Thresholds

LIMIT = 2.5
LEAST_NIGHTS = 3
"""Of the changed level before it, and of the level after it."""


def recovered(values: Values, change: Change, *, thresholds: Thresholds | None = None) -> Recovery | None:
    """The first night that tells that a change is gone, before the scan can tell the way back itself.

    The scan needs 12 nights of a new baseline, and 5 bad nights among 12 hardly move its median: what was put
    right within a week and a half would never be told. Here the last L = 3...10 nights are held against the
    middle between the level before the change and the median of the changed nights, at least 3, with the
    spread and the autocorrelation from the change's own evidence::

        t = mean(clip((x - middle) / s))
            / sqrt((1 + 2 sum_k (1 - k/L) rho^k) / L + 1.57/n (1 + rho) / (1 - rho) / 4)

    It is told when t, towards the level before, is at least 2.5, and dated as a change is. Nights later than
    the scan's own are not looked at: a way back after that is a change like any other, which `returned_to`
    names.

    It is no new change: the incident is over. Begin the baseline anew at `Recovery.index`.

    Args:
        values: the series that the change was told of; nights may have been added since.
        change: as `detect_changes` told it.
        thresholds: as there.

    Raises:
        BadInput: a value is not positive and finite.
    """
    series, rule = series_of(values), thresholds or DEFAULTS
    first, told = series.position(change.index), series.position(change.told_index)
    last = min(series.figures.size, first + rule.least_nights + rule.longest_test)
    for night in range(told + 1, last):
        for split in range(max(first, night - rule.longest_test) + LEAST_NIGHTS, night - LEAST_NIGHTS + 2):
            t = _towards_before(series.figures, first, split, night, change, rule)
            if t >= LIMIT:
                back = _first_back(series.figures, first, split, night, change)
                after = float(np.median(series.figures[back : night + 1]))
                return Recovery(int(series.nights[back]), int(series.nights[night]), after, t, LIMIT)
    return None


def _first_back(figures: Floats, first: int, split: int, night: int, change: Change) -> int:
    """The position that parts the changed nights best from those after, as for the date of a change."""
    oldest = first + LEAST_NIGHTS
    changed, after = float(np.median(figures[first:split])), float(np.median(figures[split : night + 1]))
    return oldest + parted_at(figures[oldest : night + 1], changed, after, change.evidence.spread)


def changes_and_ways_back(
    values: Values,
    *,
    thresholds: Thresholds | None = None,
    direction: Direction = "higher_is_better",
    epochs: Iterable[int] = (),
) -> tuple[list[Change], frozenset[int]]:
    """All changes of one series, oldest first, with the ways back that `recovered` tells before the scan can.

    Where a way back begins the baseline begins anew, so that no night is told twice. Online and offline are
    the same here too: a way back counts only when it is told before the next change is, and before the next
    epoch. Arguments as in `detect_changes`.

    Returns the changes, and the `Change.index` of those that are ways back. These have the level of the
    changed nights before them, t and limit of `Recovery`, and the spread of the change that they end.

    Raises:
        BadInput: as in `detect_changes`.
    """
    series, rule, bounds = series_of(values), thresholds or DEFAULTS, sorted(epochs)
    told: list[Change] = []
    backs = set()
    left = detect_changes(values, thresholds=rule, direction=direction, epochs=bounds)
    while left:
        change, *left = left
        told.append(change)
        ends = [each for each in bounds if each > change.index]
        end = min([*ends, *(each.told_index for each in left), series.length])
        back = recovered(values[:end], change, thresholds=rule)
        if back is not None and _is_towards_before(back, change):
            told.append(_way_back(series, change, back))
            backs.add(back.index)
            anew = detect_changes(values, thresholds=rule, direction=direction, epochs=[*bounds, back.index])
            left = [each for each in anew if each.index > back.index]
    return told, frozenset(backs)


def _is_towards_before(back: Recovery, change: Change) -> bool:
    return (back.level - change.level_after) * (change.level_before - change.level_after) > 0


def _way_back(series: Series, change: Change, back: Recovery) -> Change:
    """A way back as a change of its own, from the level that the change went to."""
    first, split, night = (series.position(at) for at in (change.index, back.index, back.told_index))
    changed, tested, own = split - first, night - split + 1, change.evidence
    errors = standard_errors(np.array([own.autocorrelation]), np.array([changed]), tested)
    ratio = back.level / change.level_after
    half = interval_half_width(float(errors[0, -1]), own.spread / change.level_after, changed, ratio)
    rose = 1 if ratio > 1 else -1
    return Change(
        index=back.index,
        last_good_index=int(series.nights[split - 1]),
        told_index=back.told_index,
        direction="better" if change.direction == "worse" else "worse",
        relative_change=ratio - 1,
        relative_low=ratio - 1 - half,
        relative_high=ratio - 1 + half,
        level_before=change.level_after,
        level_after=back.level,
        score=back.t,
        evidence=replace(
            own,
            baseline_first=change.index,
            baseline_last=int(series.nights[split - 1]),
            baseline_nights=changed,
            median=change.level_after,
            tested_nights=tested,
            t=rose * back.t,
            limit=back.limit,
        ),
    )


def _towards_before(
    figures: Floats, first: int, split: int, night: int, change: Change, rule: Thresholds
) -> float:
    evidence, changed, tested = change.evidence, split - first, night - split + 1
    middle = (evidence.median + float(np.median(figures[first:split]))) / 2
    z = np.clip((figures[split : night + 1] - middle) / evidence.spread, -rule.clip, rule.clip)
    rho = evidence.autocorrelation
    of_mean = (1 + 2 * sum((1 - k / tested) * rho**k for k in range(1, tested))) / tested
    of_middle = MEDIAN_VARIANCE / changed * (1 + rho) / (1 - rho) / 4
    t = float(z.mean()) / math.sqrt(of_mean + of_middle)
    return t if middle < evidence.median else -t
