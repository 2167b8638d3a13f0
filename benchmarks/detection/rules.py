"""The rules side by side: each says on which nights it raises an alarm, and which way the value went.

Ours is imported. Bencher's and Conbench's are re-implemented from a description of their sources, at their
own defaults: their decision alone, without the product around it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from scipy import stats

from benchlib.analysis.changes import Thresholds, checked_thresholds, detect_changes, segments
from benchmarks.detection.noise import WARM_UP, Floats

WINDOW = 100
RECENT = 14


@dataclass(frozen=True)
class Alarm:
    """Raised on a night."""

    night: int
    up: bool


Rule = Callable[[Floats], list[Alarm]]


def ours(h: float, effect: float = 0.01, **settings: float) -> Rule:
    """The sequential scan."""
    thresholds = checked_thresholds(h=h, effect=effect, **settings)
    return lambda values: scan_alarms(values, thresholds)


def scan_alarms(values: Floats, thresholds: Thresholds) -> list[Alarm]:
    found = detect_changes(values, thresholds=thresholds)
    return [Alarm(each.told_index, each.relative_change > 0) for each in found]


def naive(values: Floats) -> list[Alarm]:
    """5 % off the night before."""
    change = values[1:] / values[:-1] - 1
    return [Alarm(int(i) + 1, bool(change[i] > 0)) for i in np.flatnonzero(np.abs(change) > 0.05)]


@cache
def _student(freedom: int) -> float:
    return float(stats.t.ppf(0.99, freedom))


def bencher(values: Floats) -> list[Alarm]:
    """Student's prediction interval of the last 64 values, one-sided for worse, 0.99."""
    alarms = []
    for night in range(WARM_UP, values.size):
        past = values[max(0, night - 64) : night]
        reach = _student(past.size - 1) * past.std(ddof=1) * np.sqrt(1 + 1 / past.size)
        if values[night] < past.mean() - reach:
            alarms.append(Alarm(night, up=False))
    return alarms


def conbench(values: Floats) -> list[Alarm]:
    """z above 5: tonight from the mean of up to 100 nights, in standard deviations of their residuals."""
    alarms = []
    for night in range(WARM_UP, values.size):
        past = values[max(0, night - 100) : night]
        means = np.cumsum(past)[:-1] / np.arange(1, past.size)
        residuals = past[1:] - means
        kept = np.abs(residuals - residuals.mean()) <= 5 * residuals.std(ddof=1)
        z = (values[night] - past[1:][kept].mean()) / residuals[kept].std(ddof=1)
        if abs(z) > 5:
            alarms.append(Alarm(night, bool(z > 0)))
    return alarms


ChangePoints = Callable[[Floats], list[tuple[int, bool]]]
"""Of one window: the first night of each new level, and whether it went up."""


def nightly(change_points: ChangePoints) -> Rule:
    """Ask every night about the last 100; what lies within the last 14 is an alarm tonight."""

    def rule(values: Floats) -> list[Alarm]:
        alarms = []
        for night in range(WARM_UP, values.size):
            first = max(0, night + 1 - WINDOW)
            found = change_points(values[first : night + 1])
            alarms += [Alarm(night, up) for at, up in found if first + at >= night - RECENT]
        return alarms

    return rule


def pelt(values: Floats) -> list[tuple[int, bool]]:
    """PELT of the package ruptures without any gate, at a penalty of 3 log n per change."""
    import ruptures

    steps = np.diff(values)
    sigma = 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / np.sqrt(2)
    signal = (values / sigma).reshape(-1, 1)
    method = ruptures.KernelCPD(kernel="linear", min_size=2).fit(signal)
    ends = method.predict(pen=3 * float(np.log(values.size)))
    return with_direction(values, ends[:-1])


def gated_pelt(values: Floats) -> list[tuple[int, bool]]:
    """Our second opinion."""
    found = segments(values) or ()
    return with_direction(values, [segment.first for segment in found[1:]])


def with_direction(values: Floats, points: list[int]) -> list[tuple[int, bool]]:
    """Which way the mean went at each point."""
    bounds = [0, *points, len(values)]
    means = [float(np.mean(values[a:b])) for a, b in pairwise(bounds)]
    return [(at, bool(means[i + 1] > means[i])) for i, at in enumerate(points)]


RULES: dict[str, Rule] = {
    "ours, h = 5.0": ours(5.0),
    "ours, h = 5.5 (default)": ours(5.5),
    "ours, h = 6.0": ours(6.0),
    "ours, h = 5.0, MAD alone": ours(5.0, tail_weight=0.0),
    "ours, h = 5.5, MAD alone": ours(5.5, tail_weight=0.0),
    "naive 5 %": naive,
    "Bencher, t 0.99": bencher,
    "Conbench, z 5": conbench,
    "PELT 3 log n (ruptures)": nightly(pelt),
    "gated PELT: second opinion": nightly(gated_pelt),
}
