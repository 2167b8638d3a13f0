"""What a look back adds: a second opinion, the levels between changes, and returns to an earlier one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchlib.analysis.changes.model import Change, Opinion, Segment
from benchlib.analysis.changes.scan import DEFAULTS, MAD_TO_SIGMA
from benchlib.analysis.changes.series import Floats, Series, Values, series_of
from benchlib.analysis.changes.sizing import (
    LEAST_CHANGED,
    interval_half_width,
    parted_at,
    standard_errors,
)
from benchlib.analysis.changes.thresholds import Thresholds

LAST_NIGHTS = 100
LEAST_NIGHTS = 10
PENALTY = 8.0
LEAST_SEGMENT = 2
LEAST_INNER_SEGMENT = 3
"""A shorter stretch between two longer ones is no level; the last one may be short: it is still open."""

NEARBY_NIGHTS = 3


def segments(
    values: Values, *, thresholds: Thresholds | None = None, last_nights: int = LAST_NIGHTS
) -> tuple[Segment, ...] | None:
    """The levels of the last 100 nights with data, found by another method; ``None``: it is not installed.

    Kernel change point detection with a linear kernel (Arlot, Celisse and Harchaoui, Journal of Machine
    Learning Research 20, 2019; the package ruptures) on values in robust standard deviations, spikes clipped,
    at a penalty of 8 log n per change. Segments that differ by less than the effect are joined, as are inner
    ones of fewer than 3 nights. With fewer than 10 nights there is one segment; without any, none.

    Raises:
        BadInput: a value is not positive and finite.
    """
    series, rule = series_of(values), thresholds or DEFAULTS
    first = max(0, series.figures.size - last_nights)
    figures = series.figures[first:]
    if figures.size < LEAST_NIGHTS:
        ends: list[int] | None = [figures.size] if figures.size else []
    else:
        ends = _split(_standardised(figures, rule))
    if ends is None:
        return None
    joined = _joined(figures, [0, *ends], rule.effect)
    return _segments(series, [first + bound for bound in joined])


def second_opinion(values: Values, change: Change, *, thresholds: Thresholds | None = None) -> Opinion:
    """Whether the second method puts a change of the same direction within 3 nights of this one.

    It looks at the last 100 nights with data of the values: give it the history as it was on the night in
    question, or as it is today, which makes it a judgement in hindsight.

    Raises:
        BadInput: a value is not positive and finite.
    """
    found = segments(values, thresholds=thresholds)
    series = series_of(values)
    if found is None or not found or change.index <= found[0].first:
        return "none"
    at = series.position(change.index)
    for before, after in pairwise(found):
        near = abs(series.position(after.first) - at) <= NEARBY_NIGHTS
        if near and (after.level > before.level) == (change.relative_change > 0):
            return "agrees"
    return "differs"


def levels(values: Values, changes: Sequence[Change]) -> tuple[Segment, ...]:
    """The stretches between the changes of a series, oldest first, each with the median of its nights.

    Raises:
        BadInput: a value is not positive and finite.
    """
    series = series_of(values)
    if not series.figures.size:
        return ()
    return _segments(series, [0, *(series.position(change.index) for change in changes), series.figures.size])


def in_hindsight(
    values: Values, change: Change, *, thresholds: Thresholds | None = None, until: int | None = None
) -> Change:
    """The same change with its date, level and size as the nights after it show them.

    What tells a change is often three or four nights. With up to 10 more the first changed night is looked
    for again, and the level after it is the median of all of them; the level before, the evidence, the score
    and the night that told it stay. Without later nights, or where they contradict the change, it is returned
    as it is.

    Args:
        values: the series that the change was told of; nights may have been added since.
        change: as `detect_changes` told it.
        thresholds: as there.
        until: index of the last night that may be used: the one before the next change, or epoch.

    Raises:
        BadInput: a value is not positive and finite.
    """
    series, rule, evidence = series_of(values), thresholds or DEFAULTS, change.evidence
    told = series.position(change.told_index)
    stop = series.position(series.length if until is None else until + 1)
    last = min(stop, told + 1 + rule.longest_test) - 1
    if last <= told:
        return change
    after = float(np.median(series.figures[told : last + 1]))
    oldest = max(series.position(evidence.baseline_first) + 1, told - rule.longest_test - LEAST_CHANGED)
    first = oldest + parted_at(series.figures[oldest : last + 1], evidence.median, after, evidence.spread)
    level = float(np.median(series.figures[first : last + 1]))
    relative = level / evidence.median - 1
    if relative * change.relative_change <= 0 or abs(relative) < evidence.effect_floor or first > told:
        return change
    half = _half_width(change, last - first + 1, level)
    return replace(
        change,
        index=int(series.nights[first]),
        last_good_index=int(series.nights[first - 1]),
        relative_change=relative,
        relative_low=relative - half,
        relative_high=relative + half,
        level_after=level,
    )


def _half_width(change: Change, nights: int, level: float) -> float:
    evidence = change.evidence
    rho, baseline = np.array([evidence.autocorrelation]), np.array([evidence.baseline_nights])
    error = float(standard_errors(rho, baseline, nights)[0, -1])
    relative_spread = evidence.spread / evidence.median
    return interval_half_width(error, relative_spread, evidence.baseline_nights, level / evidence.median)


def returned_to(values: Values, changes: Sequence[Change], change: Change) -> Segment | None:
    """The earlier level that a change went back to; ``None``: the level is new.

    ``changes`` are those that `detect_changes` told of the values, and ``change`` is one of them. A level is
    the same when it lies within the 95 % interval of the change's, and nearer than half the change. Of
    several it is the last.

    Raises:
        BadInput: a value is not positive and finite.
    """
    earlier = [each for each in changes if each.index < change.index]
    half = (change.relative_high - change.relative_low) / 2
    margin = min(half, abs(change.relative_change) / 2) * change.level_before
    stretches = levels(values, [*earlier, change])[: len(earlier)]
    near = [each for each in stretches if abs(each.level - change.level_after) <= margin]
    return near[-1] if near else None


def _standardised(figures: Floats, rule: Thresholds) -> Floats:
    """In robust deviations of the night-to-night noise, with spikes clipped around a running median."""
    steps = np.abs(np.diff(figures))
    floor = rule.spread_floor * float(np.median(figures))
    spread = max(MAD_TO_SIGMA * float(np.median(steps)) / np.sqrt(2), floor)
    # The two nights at either end share the median of the five there: alone, a last night is no level.
    running = np.pad(np.median(sliding_window_view(figures, 5), axis=1), 2, mode="edge")
    room = rule.clip * spread
    return np.asarray(np.clip(figures, running - room, running + room) / spread)


def _split(standardised: Floats) -> list[int] | None:
    try:
        ruptures = import_module("ruptures")
    except ImportError:
        return None
    method = ruptures.KernelCPD(kernel="linear", min_size=LEAST_SEGMENT)
    penalty = PENALTY * float(np.log(standardised.size))
    return [int(end) for end in method.fit(standardised.reshape(-1, 1)).predict(pen=penalty)]


def _joined(figures: Floats, bounds: list[int], effect: float) -> list[int]:
    """Without the bounds that part too little, least first, and without short inner segments."""
    kept = list(bounds)
    while len(kept) > 2:
        medians = [float(np.median(figures[a:b])) for a, b in pairwise(kept)]
        sizes = [abs(b / a - 1) for a, b in pairwise(medians)]
        short = [i for i in range(1, len(kept) - 2) if kept[i + 1] - kept[i] < LEAST_INNER_SEGMENT]
        least = int(np.argmin(sizes))
        if sizes[least] < effect:
            del kept[least + 1]
        elif short:
            at = short[0]
            del kept[at if sizes[at - 1] <= sizes[at] else at + 1]
        else:
            break
    return kept


def _segments(series: Series, bounds: Sequence[int]) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            first=int(series.nights[first]),
            last=int(series.nights[stop - 1]),
            nights=stop - first,
            level=float(np.median(series.figures[first:stop])),
        )
        for first, stop in pairwise(bounds)
        if stop > first
    )
