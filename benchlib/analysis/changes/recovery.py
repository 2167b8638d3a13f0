"""Whether a change went away again, in the nights in which the scan is still learning the new level."""

from __future__ import annotations

import math

import numpy as np

from benchlib.analysis.changes.model import Change, Recovery
from benchlib.analysis.changes.scan import DEFAULTS
from benchlib.analysis.changes.series import Floats, Values, series_of
from benchlib.analysis.changes.sizing import MEDIAN_VARIANCE
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

    It is told when t, towards the level before, is at least 2.5. Nights later than the scan's own are not
    looked at: a way back after that is a change like any other, which `returned_to` names.

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
                after = float(np.median(series.figures[split : night + 1]))
                return Recovery(int(series.nights[split]), int(series.nights[night]), after, t, LIMIT)
    return None


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
