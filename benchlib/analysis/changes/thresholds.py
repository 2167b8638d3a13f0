"""How much must happen, and how surely, before a series counts as changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchlib.analysis.changes.model import Direction
from benchlib.errors import BadInput

Level = Literal["geometric_mean", "batch_size"]

VERSION = "1"
"""Of the rule and of the defaults; it goes up with every change of either."""

TYPICAL_SERIES = 180
"""Series a night of a usual setup: 3 models x 10 batch sizes x 6 metrics."""

EFFECT: Mapping[str, float] = {
    "throughput_inf_per_s": 0.01,
    "mean_ms": 0.01,
    "p50_ms": 0.01,
    "p90_ms": 0.02,
    "p95_ms": 0.03,
    "p99_ms": 0.05,
    "p99_9_ms": 0.10,
    "max_ms": 0.10,
    "first_request_ms": 0.05,
}
"""Least relative change that counts, by metric, of a single batch size."""

GEOMETRIC_EFFECT: Mapping[str, float] = {
    "throughput_inf_per_s": 0.005,
    "mean_ms": 0.005,
    "p50_ms": 0.005,
    "p90_ms": 0.01,
    "p95_ms": 0.01,
    "p99_ms": 0.02,
    "p99_9_ms": 0.05,
    "max_ms": 0.05,
    "first_request_ms": 0.02,
}
"""The same, of the geometric mean over the batch sizes."""

SENSITIVE_H = 5.0
"""For a geometric mean, and while there are few series."""


class Thresholds(BaseModel):
    """The settings of the sequential scan; its docstring has the formulas."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: str = Field(default=VERSION, min_length=1, description="Kept with every decision")
    h: float = Field(default=5.5, gt=0, description="Limit of |t|")
    effect: float = Field(default=0.01, ge=0, lt=1, description="Least relative change that counts")
    baseline_nights: int = Field(default=40, ge=2, description="W: at most so many nights of baseline")
    least_nights: int = Field(default=12, ge=2, description="At least so many nights of baseline")
    longest_test: int = Field(default=10, ge=2, description="L goes from 1 to this")
    clip: float = Field(default=3.5, gt=0, description="No night counts for more spreads than this")
    spread_floor: float = Field(default=0.0025, gt=0, description="Least spread, relative to the median")
    tail_quantile: float = Field(default=0.85, gt=0.5, lt=1, description="Of the deviations, for the spread")
    tail_weight: float = Field(
        default=0.75, ge=0, le=1, description="Of that quantile against the MAD; 0: none"
    )
    prior_autocorrelation: float = Field(default=0.2, ge=0, lt=1)
    prior_weight: float = Field(default=20.0, ge=0, description="In nights")
    suspect_sigma: float = Field(default=6.0, gt=0, description="One night beyond it is measured again")

    @model_validator(mode="after")
    def _one_night_never_alarms(self) -> Thresholds:
        if self.clip >= self.h:
            raise BadInput("clip", self.clip, f"below h ({self.h:g}), so that one night alone is no change")
        if self.least_nights > self.baseline_nights:
            raise BadInput("least_nights", self.least_nights, f"at most {self.baseline_nights}")
        return self


def default_thresholds(
    metric: str, level: Level = "batch_size", series_count: int = TYPICAL_SERIES
) -> Thresholds:
    """The defaults for one metric; ``series_count`` is the number of series that are judged every night.

    More series mean more chances of a false alarm: a single batch size needs 5.0 below 30 series, 6.0 above
    400, and 5.5 in between. A geometric mean needs 5.0, there are few of them.

    Raises:
        BadInput: the metric is unknown, or the count is below 1.
    """
    effects = GEOMETRIC_EFFECT if level == "geometric_mean" else EFFECT
    if metric not in effects:
        raise BadInput("metric", metric, ", ".join(effects))
    if series_count < 1:
        raise BadInput("series_count", series_count, "a whole number of at least 1")
    few = level == "geometric_mean" or series_count < 30
    many = series_count > 400
    return checked_thresholds(h=SENSITIVE_H if few else 6.0 if many else 5.5, effect=effects[metric])


def checked_thresholds(**settings: object) -> Thresholds:
    """Thresholds from settings by name.

    Raises:
        BadInput: one of them is impossible.
    """
    try:
        return Thresholds.model_validate(settings)
    except ValidationError as error:
        raise BadInput.from_validation(error) from error


def direction_of(metric: str) -> Direction:
    """Which way a metric is better: rates higher, everything else lower."""
    return "higher_is_better" if metric.endswith("_per_s") else "lower_is_better"
