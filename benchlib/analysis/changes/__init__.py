"""Detection of changes in nightly series: pure functions over values, oldest first.

Everywhere a value is the figure of one night, NaN (or ``None``) is a night without data, and an index counts
nights from 0. Values must be positive and finite: they are rates, times and sizes.

- `detect_changes`: all changes of a history, each as it could first be told.
- `judge_tonight`: the last night alone, given where the baseline began: for nightly use.
- `suspect`, `learning`: single parts of that.
- `recovered`: whether a change is gone again, in the nights in which the scan still learns the new level.
- `changes_and_ways_back`: both together, for nightly use.
- `deterministic_changes`: for compile time, memory and artifact size.
- `geometric_mean`: one series out of those of all batch sizes.
- `renewed_mean`: the same over years in which the batch sizes themselves are replaced.
- `in_hindsight`: date and size of a change once more nights show them.
- `segments`, `second_opinion`: the second method, in hindsight.
- `levels`, `returned_to`: what the changes mean.
- `trend`, `noise_label`: the character of a series.
"""

from __future__ import annotations

from benchlib.analysis.changes.character import noise_label, trend
from benchlib.analysis.changes.exact import deterministic_changes
from benchlib.analysis.changes.hindsight import (
    in_hindsight,
    levels,
    returned_to,
    second_opinion,
    segments,
)
from benchlib.analysis.changes.model import (
    Change,
    Direction,
    Evidence,
    GeometricMean,
    Learning,
    NoiseLabel,
    Opinion,
    Recovery,
    Segment,
    Suspect,
    Tonight,
    Trend,
    Verdict,
)
from benchlib.analysis.changes.panel import geometric_mean, renewed_mean
from benchlib.analysis.changes.recovery import changes_and_ways_back, recovered
from benchlib.analysis.changes.scan import detect_changes
from benchlib.analysis.changes.series import Values
from benchlib.analysis.changes.thresholds import (
    Level,
    Thresholds,
    checked_thresholds,
    default_thresholds,
    direction_of,
)
from benchlib.analysis.changes.tonight import judge_tonight, learning, suspect

__all__ = [
    "Change",
    "Direction",
    "Evidence",
    "GeometricMean",
    "Learning",
    "Level",
    "NoiseLabel",
    "Opinion",
    "Recovery",
    "Segment",
    "Suspect",
    "Thresholds",
    "Tonight",
    "Trend",
    "Values",
    "Verdict",
    "changes_and_ways_back",
    "checked_thresholds",
    "default_thresholds",
    "detect_changes",
    "deterministic_changes",
    "direction_of",
    "geometric_mean",
    "in_hindsight",
    "judge_tonight",
    "learning",
    "levels",
    "noise_label",
    "recovered",
    "renewed_mean",
    "returned_to",
    "second_opinion",
    "segments",
    "suspect",
    "trend",
]
