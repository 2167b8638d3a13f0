"""From alarms to figures.

Alarms of one direction within 5 nights of each other are one incident, which starts with the first. A step
is found by an incident of its direction that starts within 14 nights of it; the delay is 0 when that is the
first changed night. Incidents of that direction that start later are repeats of a stale baseline, counted
apart; all others are false. The first 30 nights warm up and count nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.detection.noise import NIGHTS, WARM_UP, Made
from benchmarks.detection.rules import Alarm

JOIN_NIGHTS = 5
IN_TIME_NIGHTS = 14
NEVER = float("inf")


@dataclass(frozen=True)
class Outcome:
    """Of one rule on one series."""

    made: Made
    false_incidents: int
    repeats: int = 0
    delay_nights: float | None = None
    """``None``: the step was not found, or there was none."""


def outcome(made: Made, alarms: Sequence[Alarm]) -> Outcome:
    starts = [(night, up) for up in (False, True) for night in _starts(alarms, up)]
    if made.step_at is None:
        return Outcome(made, len(starts))
    after = sorted(night for night, up in starts if not up and night >= made.step_at)
    in_time = [night for night in after if night <= made.step_at + IN_TIME_NIGHTS]
    false = len(starts) - len(after)
    if not in_time:
        return Outcome(made, false, len(after))
    return Outcome(made, false, len(after) - 1, float(in_time[0] - made.step_at))


def _starts(alarms: Sequence[Alarm], up: bool) -> list[int]:
    nights = sorted({alarm.night for alarm in alarms if alarm.up == up and alarm.night >= WARM_UP})
    return [night for i, night in enumerate(nights) if i == 0 or night - nights[i - 1] > JOIN_NIGHTS]


@dataclass(frozen=True)
class FalseRate:
    """False incidents per 1,000 series-nights, with its 95 % interval by bootstrap over series."""

    per_1000: float
    low: float
    high: float
    series_nights: int


def false_rate(outcomes: Sequence[Outcome]) -> FalseRate:
    counts = np.array([each.false_incidents for each in outcomes], dtype=float)
    per_1000 = 1000 / (NIGHTS - WARM_UP)
    picks = np.random.default_rng(1).integers(0, counts.size, (2000, counts.size))
    low, high = np.quantile(counts[picks].mean(axis=1), (0.025, 0.975))
    nights = counts.size * (NIGHTS - WARM_UP)
    return FalseRate(float(counts.mean()) * per_1000, float(low) * per_1000, float(high) * per_1000, nights)


@dataclass(frozen=True)
class Found:
    """How many steps of one size were found, and how soon."""

    steps: int
    share: float
    median_delay_nights: float
    """Infinite where fewer than half were found."""


def found(outcomes: Sequence[Outcome], least_sigma: float, most_sigma: float) -> Found:
    chosen = [each for each in outcomes if least_sigma <= each.made.size_sigma < most_sigma]
    delays = [NEVER if each.delay_nights is None else each.delay_nights for each in chosen]
    if not delays:
        return Found(0, float("nan"), float("nan"))
    share = sum(delay < NEVER for delay in delays) / len(delays)
    return Found(len(delays), share, float(np.quantile(delays, 0.5, method="lower")))


@dataclass(frozen=True)
class Score:
    """Of steps of 2 sigma and more, in series with one step each."""

    precision: float
    recall: float
    repeats_per_step: float

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def score(outcomes: Sequence[Outcome], least_sigma: float = 2.0) -> Score:
    chosen = [each for each in outcomes if each.made.size_sigma >= least_sigma]
    hits = sum(each.delay_nights is not None for each in chosen)
    false = sum(each.false_incidents for each in chosen)
    repeats = sum(each.repeats for each in chosen)
    return Score(hits / max(1, hits + false), hits / max(1, len(chosen)), repeats / max(1, len(chosen)))
