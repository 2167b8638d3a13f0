"""What the detection of changes is asked and answers; an index counts the nights of one series from 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher_is_better", "lower_is_better"]
"""Of a metric: throughput is better when higher, a latency when lower."""

Verdict = Literal["worse", "better"]

Opinion = Literal["agrees", "differs", "none"]
"""What the second method says of a change; ``none``: it is not installed, or has too few nights."""

NoiseLabel = Literal["quiet", "skewed", "outliers", "two modes", "drifting", "too few nights"]


@dataclass(frozen=True)
class Evidence:
    """Everything that one decision was made from; enough to compute it again by hand."""

    baseline_first: int
    """Index of the first night of the baseline."""
    baseline_last: int
    """Index of its last night; the tested nights come after it."""
    baseline_nights: int
    """Nights with data in it."""
    median: float
    """Of the baseline, in the metric's unit."""
    spread: float
    """Robust standard deviation of the baseline, in the metric's unit, at least the thresholds' floor."""
    autocorrelation: float
    """Lag-1 autocorrelation of the baseline, shrunk."""
    tested_nights: int
    """L: how many nights with data were tested, up to the one that told it."""
    t: float
    """Clipped mean of the tested nights, in its standard errors; signed like the change of the value."""
    limit: float
    """What \\|t\\| had to reach."""
    effect_floor: float
    """The least relative change that counts."""
    thresholds_version: str


@dataclass(frozen=True)
class Change:
    """A lasting shift of a series, as it was first told; later nights never alter it."""

    index: int
    """The first changed night."""
    last_good_index: int
    """The last night with data before it."""
    told_index: int
    """The night at which it could first be told: the last that its evidence uses."""
    direction: Verdict
    relative_change: float
    """level_after / level_before - 1: below 0 where the value fell, whichever way is better."""
    relative_low: float
    """Lower end of the 95 % interval of the relative change."""
    relative_high: float
    level_before: float
    level_after: float
    """Median of the nights from `index` to `told_index`, in the metric's unit."""
    score: float
    """\\|t\\|: how sure; `relative_change` says how much."""
    evidence: Evidence

    @property
    def nights_to_tell(self) -> int:
        """Nights between the first changed one and the one that told it; 0: the same."""
        return self.told_index - self.index


@dataclass(frozen=True)
class Recovery:
    """A change that is gone: the series is back at the level before it."""

    index: int
    """The first night back."""
    told_index: int
    """The night that told it."""
    level: float
    """Median of the nights from `index` to `told_index`, in the metric's unit."""
    t: float
    limit: float
    """What t had to reach."""


@dataclass(frozen=True)
class Suspect:
    """One night far off its baseline: a reason to measure again, not yet a change."""

    index: int
    direction: Verdict
    value: float
    relative_change: float
    sigma: float
    """Distance from the baseline's median in its spreads, signed, not clipped."""
    median: float
    spread: float
    limit: float
    """What \\|sigma\\| had to reach."""
    effect_floor: float
    thresholds_version: str


@dataclass(frozen=True)
class Learning:
    """Too few nights since the series began, or since its baseline began anew: no change can be told yet."""

    since_index: int
    """Where the baseline begins."""
    nights: int
    """Nights with data in it so far, tonight included."""
    needed: int
    """So many before the first tested night."""
    relative_spread: float | None
    """Borrowed: the median relative spread of the other batch sizes; ``None``: they are learning too."""
    borrowed_from: tuple[int, ...] = ()
    """The batch sizes that it comes from."""


@dataclass(frozen=True)
class Tonight:
    """The judgement of the last night of a series."""

    change: Change | None = None
    """Told tonight."""
    suspect: Suspect | None = None
    learning: Learning | None = None


@dataclass(frozen=True)
class Segment:
    """A stretch of nights on one level."""

    first: int
    last: int
    """Index of its last night, included."""
    nights: int
    """Nights with data in it."""
    level: float
    """Their median, in the metric's unit."""


@dataclass(frozen=True)
class Trend:
    """The slow movement that resets of the baseline hide: the last two weeks against a month long before."""

    level_then: float
    level_now: float
    relative_change: float
    direction: Verdict
    notable: bool
    """At least the limit. A note for the week, not an alarm."""


@dataclass(frozen=True)
class GeometricMean:
    """The geometric mean over batch sizes, night by night."""

    values: tuple[float, ...]
    """In the metric's unit; NaN where too few sizes have data."""
    batch_sizes: tuple[int, ...]
    """Those that take part, ascending."""
    estimated: tuple[int, ...]
    """Indices of the nights on which one or more were missing."""
