"""What the nights of a whole configuration are told of, beyond what a single series is."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from datetime import date

import numpy as np
import pytest

from benchlib.analysis.findings import (
    COMPILED,
    MEASURED,
    Finding,
    History,
    SeriesHistory,
    find,
    rules_of,
)
from tests.analysis.nights import Floats

FIRST = date(2026, 3, 2)
NIGHTS = 100


def told(metric: str, by_size: Mapping[int, Floats]) -> tuple[Finding, ...]:
    """What a history is told of that has one metric alone."""
    sweeps = tuple(uuid.UUID(int=1 + night) for night in range(NIGHTS))
    empty = dict.fromkeys((*MEASURED, *COMPILED, "throughput_spread"), np.full(NIGHTS, math.nan))
    series = tuple(
        SeriesHistory(uuid.UUID(int=1000 + size), size, sweeps, {**empty, metric: values})
        for size, values in by_size.items()
    )
    history = History(uuid.UUID(int=9), "bert", True, FIRST, NIGHTS, series)
    return find(history, rules_of("1", 180), FIRST, history.night(NIGHTS - 1)).changes


def noisy(seed: int, variation: float, level: float = 100.0) -> Floats:
    return level * (1 + variation * np.random.default_rng(seed).standard_normal(NIGHTS))


@pytest.mark.parametrize("metric", ["p99_ms", "compile_duration_s"])
def test_no_interval_reaches_to_a_loss_of_all(metric: str) -> None:
    values = noisy(1, 0.2)
    values[40:] *= 0.25
    changes = told(metric, {1: values})
    assert changes
    assert all(-1 < each.relative_low <= each.relative_change for each in changes)


def test_the_compile_time_of_a_model_with_one_batch_size_is_judged() -> None:
    values = noisy(2, 0.01)
    values[40:] *= 1.5
    assert [each.batch_size for each in told("compile_duration_s", {8: values})] == [8]


def test_the_mean_is_judged_after_all_batch_sizes_were_replaced() -> None:
    old = {size: noisy(size, 0.01) for size in (1, 2, 4)}
    new = {size: noisy(size, 0.01, 400.0) for size in (8, 16, 32)}
    for values in old.values():
        values[40:] = math.nan
    for values in new.values():
        values[:40] = math.nan
        values[80:] *= 1.5
    (change,) = told("compile_duration_s", {**old, **new})
    assert (change.batch_size, (change.first_bad_night - FIRST).days) == (None, 80)
