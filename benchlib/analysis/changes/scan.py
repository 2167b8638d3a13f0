"""The sequential robust scan: does the median of the last nights differ from the nights before them?

For L = 1...10 tested nights, the baseline is up to 40 nights with data before them, at least 12, none before
the last reset. With m its median, s its spread, and rho its lag-1 autocorrelation, shrunk to 0.2 with the
weight of 20 nights::

    s   = max(1.4826 MAD, 0.75 x 0.695 Q, 0.25 % of m)
    z   = clip((x - m) / s, -3.5, 3.5)                                     each tested night
    t_L = mean(z) / sqrt((1 + 2 sum_k (1 - k/L) rho^k) / L + 1.57/|b| (1 + rho) / (1 - rho))

A night tells a change when max |t_L| >= h and |median(last L) / m - 1| >= the effect, for the L that wins. As
3.5 < h, no single night can tell one. Its first changed night is the one that parts the last nights best into
such at m and such at the median of the last L: least sum of absolute distances, none above 6 s. With it the
baseline begins anew. The L that wins would be a worse date, as it often takes in a good night before.

MAD is the median of |x - m|, and Q its 85th percentile: in normal noise 1.4826 MAD and 0.695 Q both estimate
the standard deviation. Q is of no weight there, but keeps a series whose nights mostly agree to the last
digit, or go to and fro between two modes, from being judged by its quiet half.

The first term under the root is the variance of the mean of L values of an autoregressive series of order 1,
the second that of the median of |b| of them (asymptotically pi/2 times the mean's). The scan over window
lengths is a generalised likelihood ratio test (Basseville and Nikiforov, Detection of Abrupt Changes, 1993,
chapter 2.4) on clipped residuals (Huber, Annals of Mathematical Statistics 36, 1965, 1753-1758).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchlib.analysis.changes.model import Change, Direction, Evidence, Verdict
from benchlib.analysis.changes.series import Floats, Ints, Series, Values, series_of
from benchlib.analysis.changes.sizing import (
    LEAST_CHANGED,
    interval_half_width,
    parted_at,
    standard_errors,
)
from benchlib.analysis.changes.thresholds import Thresholds
from benchlib.errors import BadInput

MAD_TO_SIGMA = 1.4826
CHUNK_NIGHTS = 128
DEFAULTS = Thresholds()


def detect_changes(
    values: Values,
    *,
    thresholds: Thresholds | None = None,
    direction: Direction = "higher_is_better",
    epochs: Iterable[int] = (),
) -> list[Change]:
    """All changes of one series, oldest first, each as it could first be told.

    Online and offline are the same: the changes whose `told_index` is the last night are tonight's, and no
    later night alters or withdraws one. A change is told by the scan that this module describes.

    Args:
        values: one figure per night, oldest first; NaN for a night without data.
        thresholds: ``None``: those of a single batch size's throughput.
        direction: which way the metric is better.
        epochs: indices at which the baseline begins anew because a person said so; no comparison crosses one.

    Raises:
        BadInput: a value is not positive and finite, an epoch is negative, or the direction is unknown.
    """
    series, rule = series_of(values), thresholds or DEFAULTS
    check_direction(direction)
    bounds = [*series.resets(epochs), series.figures.size]
    return [
        change_of(series, told, rule, direction)
        for first, last in pairwise(bounds)
        for told in _told(series.figures[:last], first, rule)
    ]


def check_direction(direction: str) -> None:
    """Refuse what is no direction.

    Raises:
        BadInput: it is another word.
    """
    if direction not in ("higher_is_better", "lower_is_better"):
        raise BadInput("direction", direction, "higher_is_better or lower_is_better")


@dataclass(frozen=True)
class Baselines:
    """The baselines before several splits (positions of first tested nights); fields of shape (splits,)."""

    splits: Ints
    nights: Ints
    median: Floats
    spread: Floats
    autocorrelation: Floats

    @classmethod
    def before(cls, figures: Floats, reset: int, splits: Ints, rule: Thresholds) -> Baselines:
        """Those of the splits (ascending, all behind the reset), reaching back no further than the reset."""
        width = rule.baseline_nights
        oldest = max(reset, int(splits[0]) - width)
        padded = np.concatenate((np.full(width, np.inf), figures[oldest : int(splits[-1])]))
        windows = sliding_window_view(padded, width)[splits - oldest]
        nights = np.minimum(splits - reset, width)
        median = _row_medians(windows, nights)
        deviations = np.abs(windows - median[:, None])
        spread = _spreads(deviations, nights, rule.spread_floor * median, rule)
        inside = np.arange(width) >= (width - nights)[:, None]
        z = np.where(inside, np.clip((windows - median[:, None]) / spread[:, None], -rule.clip, rule.clip), 0)
        return cls(splits, nights, median, spread, _autocorrelation(z, inside, nights, rule))

    def only(self, at: int) -> Baselines:
        """One of them."""
        return Baselines(*(getattr(self, each.name)[at : at + 1] for each in fields(self)))


def _spreads(deviations: Floats, nights: Ints, floors: Floats, rule: Thresholds) -> Floats:
    """The spread of each row from its absolute deviations, so many in each."""
    ordered = np.sort(deviations, axis=1)
    tail = ordered[np.arange(len(ordered)), (rule.tail_quantile * (nights - 1)).astype(np.intp)]
    by_tail = rule.tail_weight * tail / NormalDist().inv_cdf((1 + rule.tail_quantile) / 2)
    return np.maximum(np.maximum(MAD_TO_SIGMA * _middles(ordered, nights), by_tail), floors)


def _row_medians(windows: Floats, nights: Ints) -> Floats:
    """The median of each row; it has so many values, the others are infinite."""
    return _middles(np.sort(windows, axis=1), nights)


def _middles(ordered: Floats, nights: Ints) -> Floats:
    rows = np.arange(len(ordered))
    lower, upper = ordered[rows, (nights - 1) // 2], ordered[rows, nights // 2]
    return np.asarray(lower + (upper - lower) / 2)


def _autocorrelation(z: Floats, inside: np.ndarray, nights: Ints, rule: Thresholds) -> Floats:
    """Lag-1, of the clipped values, shrunk towards the prior."""
    centred = np.where(inside, z - (z.sum(axis=1) / nights)[:, None], 0.0)
    power = (centred * centred).sum(axis=1)
    lagged = (centred[:, 1:] * centred[:, :-1]).sum(axis=1)
    found = np.divide(lagged, power, out=np.zeros_like(power), where=power > 0)
    weight = rule.prior_weight
    return np.asarray((nights * found + weight * rule.prior_autocorrelation) / (nights + weight))


@dataclass(frozen=True)
class Told:
    """A change by positions: it begins at `first`, and the night `night` tells it."""

    first: int
    night: int
    tested: int
    """L, of the last nights."""
    t: float
    standard_error: float
    """Of the mean of the changed nights, in spreads."""
    baselines: Baselines
    """The one before the tested nights."""


def _told(figures: Floats, reset: int, rule: Thresholds) -> Iterator[Told]:
    """All changes behind a reset, which is taken again at each."""
    first = reset + rule.least_nights
    while first < figures.size:
        told = first_told(figures, reset, range(first, min(first + CHUNK_NIGHTS, figures.size)), rule)
        if told is None:
            first += CHUNK_NIGHTS
        else:
            yield told
            reset = told.first
            first = max(told.night + 1, reset + rule.least_nights)


def first_told(figures: Floats, reset: int, nights: range, rule: Thresholds) -> Told | None:
    """The change that the first of these nights tells, all of them with enough baseline for L = 1."""
    longest = rule.longest_test
    splits = np.arange(max(reset + rule.least_nights, nights.start - longest + 1), nights.stop)
    baselines = Baselines.before(figures, reset, splits, rule)
    errors = standard_errors(baselines.autocorrelation, baselines.nights, longest)
    scores = _scores(figures, baselines, errors, nights.stop, rule)
    by_night = _by_night(scores, splits, nights)
    best = np.argmax(np.abs(by_night), axis=1)
    t = by_night[np.arange(len(nights)), best]
    for row in np.flatnonzero(np.abs(t) >= rule.h):
        night = nights.start + int(row)
        at = night - int(best[row]) - int(splits[0])
        if abs(_effect(figures, baselines, at, night)) >= rule.effect:
            changed = first_changed(figures, reset, night, baselines.only(at), rule)
            error = float(errors[at, min(night - changed, longest - 1)])
            return Told(changed, night, int(best[row]) + 1, float(t[row]), error, baselines.only(at))
    return None


def first_changed(figures: Floats, reset: int, night: int, before: Baselines, rule: Thresholds) -> int:
    """The position that parts the last nights best into such at the old level and such at the new one.

    The first tested night, where the nights from there on would not be a change themselves.
    """
    median, split = float(before.median[0]), int(before.splits[0])
    after = float(np.median(figures[split : night + 1]))
    oldest = max(reset + 1, night - rule.longest_test - LEAST_CHANGED)
    found = oldest + parted_at(figures[oldest : night + 1], median, after, float(before.spread[0]))
    effect = float(np.median(figures[found : night + 1])) / median - 1
    return found if effect * (after - median) > 0 and abs(effect) >= rule.effect else split


def _scores(figures: Floats, baselines: Baselines, errors: Floats, stop: int, rule: Thresholds) -> Floats:
    """t by split and L; 0 where the L tested nights would reach to `stop` or beyond."""
    longest = rule.longest_test
    first = int(baselines.splits[0])
    ahead = np.concatenate((figures[first:stop], np.full(longest, np.nan)))
    tested = sliding_window_view(ahead, longest)[baselines.splits - first]
    z = (tested - baselines.median[:, None]) / baselines.spread[:, None]
    means = np.cumsum(np.clip(z, -rule.clip, rule.clip), axis=1) / np.arange(1, longest + 1)
    return np.asarray(np.nan_to_num(means / errors, nan=0.0))


def _by_night(scores: Floats, splits: Ints, nights: range) -> Floats:
    """The same by last tested night and L; 0 where there is no such split."""
    longest = scores.shape[1]
    by_night = np.zeros((len(nights), longest))
    for tested in range(1, longest + 1):
        rows = np.arange(nights.start, nights.stop) - (tested - 1) - int(splits[0])
        there = rows >= 0
        by_night[there, tested - 1] = scores[rows[there], tested - 1]
    return by_night


def _effect(figures: Floats, baselines: Baselines, at: int, night: int) -> float:
    """Relative change of the median."""
    after = float(np.median(figures[int(baselines.splits[at]) : night + 1]))
    return after / float(baselines.median[at]) - 1


def change_of(series: Series, told: Told, rule: Thresholds, direction: Direction) -> Change:
    """The change in the indices of the series that was given."""
    before, nights = told.baselines, series.nights
    median, split, size = float(before.median[0]), int(before.splits[0]), int(before.nights[0])
    after = float(np.median(series.figures[told.first : told.night + 1]))
    relative = after / median - 1
    relative_spread = float(before.spread[0]) / median
    half = interval_half_width(told.standard_error, relative_spread, size, after / median)
    evidence = Evidence(
        baseline_first=int(nights[split - size]),
        baseline_last=int(nights[split - 1]),
        baseline_nights=size,
        median=median,
        spread=float(before.spread[0]),
        autocorrelation=float(before.autocorrelation[0]),
        tested_nights=told.tested,
        t=told.t,
        limit=rule.h,
        effect_floor=rule.effect,
        thresholds_version=rule.version,
    )
    return Change(
        index=int(nights[told.first]),
        last_good_index=int(nights[told.first - 1]),
        told_index=int(nights[told.night]),
        direction=verdict_on(told.t, direction),
        relative_change=relative,
        relative_low=relative - half,
        relative_high=relative + half,
        level_before=median,
        level_after=after,
        score=abs(told.t),
        evidence=evidence,
    )


def verdict_on(difference: float, direction: Direction) -> Verdict:
    """Whether a move of the value, up or down, is worse or better."""
    return "better" if (difference > 0) == (direction == "higher_is_better") else "worse"
