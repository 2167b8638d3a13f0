"""Changes of a nightly series: told once, soon, with the right date, size and direction, never made up."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchlib.analysis.changes import (
    Change,
    Thresholds,
    Values,
    changes_and_ways_back,
    checked_thresholds,
    default_thresholds,
    detect_changes,
    direction_of,
    geometric_mean,
    in_hindsight,
    judge_tonight,
    learning,
    levels,
    recovered,
    returned_to,
    suspect,
)
from benchlib.errors import BadInput
from tests.analysis.nights import LEVEL, quiet, stepped

SEEDS = range(20)


def only(values: Values, **options: object) -> Change:
    (change,) = detect_changes(values, **options)  # type: ignore[arg-type]
    return change


def test_three_percent_less_is_one_change_by_the_third_night() -> None:
    rule = default_thresholds("throughput_inf_per_s", "geometric_mean")
    panels = [{size: stepped(100 * seed + size, 90, (60, -0.03)) for size in range(10)} for seed in SEEDS]
    changes = [only(geometric_mean(panel).values, thresholds=rule) for panel in panels]
    assert all(change.direction == "worse" for change in changes)
    assert sum((change.last_good_index, change.index) == (59, 60) for change in changes) >= 0.9 * len(SEEDS)
    assert sorted(change.told_index for change in changes)[len(SEEDS) // 2] == 62
    assert max(change.told_index for change in changes) <= 63


@pytest.mark.parametrize("seed", SEEDS)
def test_later_nights_show_date_and_size_better(seed: int) -> None:
    panel = {size: stepped(100 * seed + size, 90, (60, -0.03)) for size in range(10)}
    values = geometric_mean(panel).values
    told = only(values)
    later = in_hindsight(values, told)
    assert (later.last_good_index, later.index, later.told_index) == (59, 60, told.told_index)
    assert later.relative_change == pytest.approx(-0.03, abs=0.0035)
    assert later.relative_high - later.relative_low < told.relative_high - told.relative_low
    assert in_hindsight(values[: told.told_index + 1], told) == told
    assert in_hindsight(values, told, until=told.told_index) == told


@pytest.mark.parametrize("seed", SEEDS)
def test_one_batch_size_alone_tells_it_within_five_nights(seed: int) -> None:
    change = only(stepped(seed, 90, (60, -0.03), variation=0.005))
    assert (change.direction, change.told_index <= 64) == ("worse", True)
    assert abs(change.index - 60) <= 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1.0, 1.2), min_size=20, max_size=80))
def test_a_change_is_always_as_large_and_goes_the_way_its_evidence_says(values: list[float]) -> None:
    for change in detect_changes(values, thresholds=Thresholds(h=3.6)):
        assert abs(change.relative_change) >= change.evidence.effect_floor
        assert change.relative_change * change.evidence.t > 0
        assert change.last_good_index < change.index < change.told_index
        assert (change.direction == "better") == (change.relative_change > 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_sixty_nights_without_a_change_tell_none(seed: int) -> None:
    assert detect_changes(quiet(seed, 60)) == []


def test_the_evidence_gives_the_decision_again_by_hand() -> None:
    values = stepped(4, 80, (60, -0.05))
    change = only(values)
    evidence = change.evidence
    baseline = values[evidence.baseline_first : evidence.baseline_last + 1]
    tested = values[change.told_index + 1 - evidence.tested_nights : change.told_index + 1]
    changed = values[change.index : change.told_index + 1]
    median = float(np.median(baseline))
    deviations = np.sort(np.abs(baseline - median))
    tail = float(deviations[int(0.85 * (baseline.size - 1))])
    spread = max(1.4826 * float(np.median(deviations)), 0.75 * tail / 1.439531, 0.0025 * median)
    assert evidence.baseline_nights == baseline.size == 40
    assert (evidence.median, evidence.spread) == pytest.approx((median, spread))
    rho, nights = evidence.autocorrelation, tested.size
    variance = (1 + 2 * sum((1 - k / nights) * rho**k for k in range(1, nights))) / nights
    variance += 1.57 / baseline.size * (1 + rho) / (1 - rho)
    t = float(np.clip((tested - median) / spread, -3.5, 3.5).mean()) / math.sqrt(variance)
    assert evidence.t == pytest.approx(t)
    assert change.score == abs(evidence.t) >= evidence.limit == 5.5
    assert change.relative_change == pytest.approx(float(np.median(changed)) / median - 1)
    assert (change.level_before, change.level_after) == pytest.approx((median, float(np.median(changed))))
    assert change.last_good_index == change.index - 1
    assert change.nights_to_tell == changed.size - 1


@pytest.mark.parametrize("step", [-0.04, 0.04])
def test_the_direction_of_the_metric_says_whether_a_change_is_worse(step: float) -> None:
    values = stepped(1, 80, (60, step))
    throughput = only(values, direction=direction_of("throughput_inf_per_s"))
    latency = only(values, direction=direction_of("p99_ms"))
    assert {throughput.direction, latency.direction} == {"worse", "better"}
    assert (throughput.direction == "worse") == (step < 0)
    assert replace(latency, direction=throughput.direction) == throughput


def test_one_night_however_bad_is_a_suspect_and_never_a_change() -> None:
    values = quiet(2, 100)
    values[60] = 0.01 * LEVEL
    assert detect_changes(values) == []
    found = suspect(values[:61])
    assert found is not None
    assert (found.index, found.direction, found.value) == (60, "worse", 10.0)
    assert found.sigma == pytest.approx((10.0 - found.median) / found.spread)
    assert suspect(values[:60]) is None
    assert suspect([*values[:60], math.nan]) is None


def test_a_suspect_must_reach_the_least_effect() -> None:
    steady = [100.0] * 30
    assert suspect([*steady, 101.6]) is not None
    assert suspect([*steady, 101.6], thresholds=Thresholds(effect=0.02)) is None


def test_nights_without_data_neither_tell_nor_hide_a_change() -> None:
    whole = stepped(3, 80, (60, -0.05))
    expected = only(whole)
    gaps = whole.copy().tolist()
    for at in (10, 11, 62, 64):
        gaps.insert(at, math.nan)
    change = only(gaps)
    assert (change.last_good_index, change.index, change.told_index) == (61, 63, expected.told_index + 4)
    assert change.evidence.t == expected.evidence.t
    assert judge_tonight([*gaps[: change.told_index + 1], math.nan]).change is None
    assert only([None if math.isnan(value) else value for value in gaps]) == change


def test_an_epoch_takes_the_step_of_an_upgrade_out() -> None:
    values = stepped(5, 120, (60, -0.05))
    assert [change.index for change in detect_changes(values)] == [60]
    assert detect_changes(values, epochs=[60]) == []
    values[100:] *= 0.95
    assert [change.index for change in detect_changes(values, epochs=[60])] == [100]


def test_two_steps_are_two_changes_each_from_its_own_level() -> None:
    first, second = detect_changes(stepped(6, 120, (50, -0.05), (85, -0.05)))
    assert (first.index, second.index) == (50, 85)
    assert second.evidence.baseline_first >= first.index
    assert second.level_before == pytest.approx(0.95 * LEVEL, rel=0.01)


def test_a_way_back_is_named_and_a_new_level_is_not() -> None:
    values = stepped(7, 160, (50, -0.05), (85, 1 / 0.95 - 1), (120, 0.06))
    changes = detect_changes(values)
    assert [change.direction for change in changes] == ["worse", "better", "better"]
    back = returned_to(values, changes, changes[1])
    assert back is not None
    assert (back.first, back.last) == (0, 49)
    assert returned_to(values, changes, changes[0]) is None
    assert returned_to(values, changes, changes[2]) is None
    assert [round(each.level / LEVEL, 2) for each in levels(values, changes)] == [1.0, 0.95, 1.0, 1.06]


@pytest.mark.parametrize("bad_nights", [4, 5, 7, 9])
def test_what_is_put_right_within_days_is_told_to_be_over(bad_nights: int) -> None:
    values = stepped(8, 100, (60, -0.06))
    change = only(values[: 60 + bad_nights])
    assert recovered(values, change) is None
    values[60 + bad_nights :] /= 0.94
    recovery = recovered(values, change)
    assert recovery is not None
    assert abs(recovery.index - 60 - bad_nights) <= 1
    assert recovery.told_index <= 60 + bad_nights + 3
    assert recovered(values[: recovery.told_index + 1], change) == recovery
    assert detect_changes(values, epochs=[change.index, recovery.index])[1:] == []


@pytest.mark.parametrize("bad_nights", [4, 6, 8, 15])
def test_every_night_finds_the_ways_back_that_the_nights_before_it_found(bad_nights: int) -> None:
    values = stepped(8, 110, (60, -0.06))
    values[60 + bad_nights :] /= 0.94
    whole, backs = changes_and_ways_back(values)
    assert [each.direction for each in whole] == ["worse", "better"]
    assert abs(whole[1].index - 60 - bad_nights) <= 1
    assert (whole[1].relative_low < 0.06 / 0.94 < whole[1].relative_high, len(backs)) == (True, 1)
    for night in range(60, 110):
        known = [each for each in whole if each.told_index <= night]
        assert changes_and_ways_back(values[: night + 1])[0] == known


def test_a_way_back_is_not_looked_for_beyond_an_epoch() -> None:
    values = stepped(8, 110, (60, -0.06))
    values[66:] /= 0.94
    assert changes_and_ways_back(values, epochs=[66])[1] == frozenset()


def test_a_short_series_learns_and_borrows_the_spread_of_other_batch_sizes() -> None:
    others = {4: quiet(1, 60), 8: quiet(2, 60), 16: quiet(3, 5)}
    state = judge_tonight(quiet(4, 12), others=others).learning
    assert state is not None
    assert (state.since_index, state.nights, state.needed, state.borrowed_from) == (0, 12, 12, (4, 8))
    assert state.relative_spread == pytest.approx(0.007, rel=0.5)
    assert learning(quiet(4, 13)) is None
    after_reset = learning(quiet(4, 60), epochs=[55])
    assert after_reset is not None
    assert (after_reset.since_index, after_reset.nights) == (55, 5)
    assert after_reset.relative_spread is None


def test_nothing_is_told_while_learning() -> None:
    values = [100.0] * 12 + [50.0] * 3
    assert all(detect_changes(values[start:]) == [] for start in range(4, 12))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([], 0),
        ([5.0], 0),
        ([5.0] * 500, 0),
        ([math.nan] * 50, 0),
        ([1e-300] * 30 + [2e-300] * 30, 1),
        ([1e300] * 30 + [2e300] * 30, 1),
        ([1.0, 1000.0] * 50, 0),
        ([1.0] * 40 + [math.nan] * 400 + [0.5] * 20, 1),
        (np.random.default_rng(1).pareto(0.5, 400) + 1e-9, None),
        (np.arange(1.0, 10_001.0), None),
    ],
)
def test_strange_series_are_judged_without_an_error(values: Values, told: int | None) -> None:
    with np.errstate(all="raise", under="ignore"):
        changes = detect_changes(values)
    assert told is None or len(changes) == told
    assert all(math.isfinite(change.relative_change) and change.score >= 5.5 for change in changes)
    judge_tonight(values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([1.0, 0.0], r"values\[1\]: 0.0 is not allowed; allowed: above 0 and finite"),
        ([-1.0], r"values\[0\]: -1.0"),
        ([math.nan, math.inf], r"values\[1\]: inf"),
        ([-math.inf], r"values\[0\]: -inf"),
        ([[1.0, 2.0]], "one dimension"),
        (["fast"], "numbers, one per night"),
    ],
)
def test_what_is_no_rate_time_or_size_is_refused(values: Values, sentence: str) -> None:
    for judge in (detect_changes, judge_tonight):
        with pytest.raises(BadInput, match=sentence):
            judge(values)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(BadInput, match="one night alone is no change"):
        checked_thresholds(h=3.5)
    with pytest.raises(BadInput, match="least_nights"):
        checked_thresholds(least_nights=41)
    with pytest.raises(BadInput, match="direction"):
        detect_changes([1.0], direction="up")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="epochs"):
        detect_changes([1.0], epochs=[-1])


@pytest.mark.parametrize(
    ("metric", "level", "count", "h", "effect"),
    [
        ("throughput_inf_per_s", "geometric_mean", 180, 5.0, 0.005),
        ("p99_ms", "geometric_mean", 180, 5.0, 0.02),
        ("throughput_inf_per_s", "batch_size", 180, 5.5, 0.01),
        ("p50_ms", "batch_size", 29, 5.0, 0.01),
        ("p90_ms", "batch_size", 30, 5.5, 0.02),
        ("p99_ms", "batch_size", 400, 5.5, 0.05),
        ("p99_ms", "batch_size", 401, 6.0, 0.05),
    ],
)
def test_the_defaults_depend_on_metric_level_and_number_of_series(
    metric: str, level: str, count: int, h: float, effect: float
) -> None:
    found = default_thresholds(metric, level, count)  # type: ignore[arg-type]
    assert (found.h, found.effect) == (h, effect)


def test_an_unknown_metric_or_count_is_refused() -> None:
    with pytest.raises(BadInput, match="metric: 'speed'"):
        default_thresholds("speed")
    with pytest.raises(BadInput, match="series_count"):
        default_thresholds("p50_ms", series_count=0)


FIGURE = st.floats(0.5, 2.0)
NIGHT = st.one_of(FIGURE, FIGURE, FIGURE, st.just(math.nan))
STEPPED = st.tuples(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(13, 110), st.floats(-0.3, 0.3)), max_size=3),
    st.sets(st.integers(0, 119), max_size=30),
)


def _series(drawn: tuple[int, list[tuple[int, float]], set[int]]) -> list[float]:
    seed, steps, gaps = drawn
    values = stepped(seed, 120, *steps)
    values[sorted(gaps)] = math.nan
    return values.tolist()


@settings(max_examples=12, deadline=None)
@given(STEPPED)
def test_night_by_night_tells_what_the_whole_history_tells(
    drawn: tuple[int, list[tuple[int, float]], set[int]],
) -> None:
    values = _series(drawn)
    told: list[Change] = []
    for night in range(len(values)):
        change = judge_tonight(values[: night + 1], epochs=[each.index for each in told]).change
        told += [change] if change else []
    assert told == detect_changes(values)


@settings(max_examples=40, deadline=None)
@given(STEPPED, st.integers(0, 120))
def test_later_nights_alter_nothing(
    drawn: tuple[int, list[tuple[int, float]], set[int]], nights: int
) -> None:
    values = _series(drawn)
    whole = detect_changes(values)
    assert detect_changes(values[:nights]) == [each for each in whole if each.told_index < nights]
    assert detect_changes(values) == whole


@settings(max_examples=40, deadline=None)
@given(STEPPED, st.integers(-20, 20))
def test_the_unit_of_a_metric_makes_no_difference(
    drawn: tuple[int, list[tuple[int, float]], set[int]], power: int
) -> None:
    values = np.array(_series(drawn))
    scaled = detect_changes(values * 2.0**power)
    assert [(each.index, each.told_index, each.relative_change, each.score) for each in scaled] == [
        (each.index, each.told_index, each.relative_change, each.score) for each in detect_changes(values)
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(NIGHT, min_size=60, max_size=90))
def test_a_history_cut_at_the_front_is_judged_alike(values: list[float]) -> None:
    there = [index for index, value in enumerate(values) if not math.isnan(value)]
    if len(there) <= 50:
        return
    first = there[-50]
    whole, cut = judge_tonight(values), judge_tonight(values[first:])
    assert (whole.change is None) == (cut.change is None)
    if whole.change and cut.change:
        assert whole.change.index == cut.change.index + first
        assert whole.change.evidence.t == cut.change.evidence.t
