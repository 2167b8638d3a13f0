"""Around the scan: other rules, panels of batch sizes, the second opinion, the character of a series."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from benchlib.analysis.changes import (
    Values,
    detect_changes,
    deterministic_changes,
    geometric_mean,
    noise_label,
    renewed_mean,
    second_opinion,
    segments,
    trend,
)
from benchlib.errors import BadInput
from tests.analysis.nights import LEVEL, Floats, quiet, stepped


def test_a_size_that_never_varies_is_told_after_two_nights_above_half_a_percent() -> None:
    steady = [1000] * 20
    assert deterministic_changes([*steady, 1006]) == []
    (change,) = deterministic_changes([*steady, 1006, 1006, 1006])
    assert (change.index, change.last_good_index, change.told_index) == (20, 19, 21)
    assert (change.direction, change.relative_change) == ("worse", pytest.approx(0.006))
    assert deterministic_changes([*steady, *[1004] * 20]) == []
    assert deterministic_changes([*steady, 1006, 1000, 1006, 1000]) == []
    assert deterministic_changes([*steady, 1006, 994, 1006]) == []


def test_a_compile_time_is_judged_by_its_own_variation() -> None:
    random = np.random.default_rng(3)
    seconds = 300 * (1 + 0.03 * random.standard_normal(80))
    assert deterministic_changes(seconds) == []
    seconds[50:] *= 1.3
    (change,) = deterministic_changes(seconds)
    assert (change.index, change.told_index, change.direction) == (50, 51, "worse")


def test_deterministic_changes_follow_each_other_and_respect_epochs() -> None:
    values = [100.0] * 10 + [110.0] * 10 + [100.0] * 10
    assert [(each.index, each.direction) for each in deterministic_changes(values)] == [
        (10, "worse"),
        (20, "better"),
    ]
    assert [each.index for each in deterministic_changes(values, epochs=[10])] == [20]
    assert deterministic_changes([100.0] * 4 + [200.0] * 2) == []  # too few nights before it


def panel() -> dict[int, Floats]:
    return {size: size * quiet(size, 60) for size in (1, 2, 4, 8)}


def test_a_complete_night_has_the_geometric_mean() -> None:
    sizes = panel()
    mean = geometric_mean(sizes)
    expected = np.exp(np.mean([np.log(values) for values in sizes.values()], axis=0))
    assert mean.values == pytest.approx(expected)
    assert (mean.batch_sizes, mean.estimated) == ((1, 2, 4, 8), ())


def test_a_failed_batch_size_does_not_move_the_mean() -> None:
    whole, sizes = geometric_mean(panel()), panel()
    sizes[8][30:] = math.nan
    sizes[1][45] = math.nan
    mean = geometric_mean(sizes)
    assert mean.values == pytest.approx(whole.values, rel=0.02)  # the plain mean would fall by half
    assert mean.estimated == tuple(range(30, 60))
    assert detect_changes(mean.values) == []


def test_a_size_that_fails_from_the_night_on_that_slowed_it_is_no_way_back() -> None:
    sizes = {size: stepped(size, 60, (30, -0.2 if size == 8 else 0.0)) for size in (1, 2, 4, 8)}
    sizes[8][45:] = math.nan
    mean = geometric_mean(sizes)
    assert float(np.median(mean.values[45:])) == pytest.approx(0.8**0.25 * LEVEL, rel=0.01)
    assert [change.direction for change in detect_changes(mean.values)] == ["worse"]


def test_no_night_of_the_mean_depends_on_later_ones() -> None:
    sizes = panel()
    sizes[2][[20, 33]] = math.nan
    whole = geometric_mean(sizes).values
    for night in (12, 21, 40):
        assert (
            geometric_mean({size: values[:night] for size, values in sizes.items()}).values == whole[:night]
        )


def test_a_size_that_joins_later_takes_no_part() -> None:
    sizes = panel()
    before = geometric_mean(sizes)
    joined = np.concatenate((np.full(20, math.nan), quiet(9, 40)))
    after = geometric_mean({**sizes, 16: joined})
    assert after == before


def test_the_mean_begins_anew_where_its_sizes_were_given_up() -> None:
    old, new = ({size: size * quiet(size, 100) for size in sizes} for sizes in ((1, 2, 4), (8, 16, 32)))
    for values in old.values():
        values[50:] = math.nan
    for values in new.values():
        values[:50] = math.nan
    means, begins = renewed_mean({**old, **new})
    assert begins == (50,)
    assert means[:50] == pytest.approx(geometric_mean(old).values[:50])
    assert means[50:] == pytest.approx(geometric_mean(new).values[50:])
    eleven = {size: values[:61] for size, values in (old | new).items()}
    assert renewed_mean(eleven)[1] == ()  # they may come back
    assert renewed_mean(old, epochs=[20])[1] == (20,)


def test_a_mean_of_too_few_sizes_is_no_value() -> None:
    sizes = panel()
    for size in (2, 4, 8):
        sizes[size][50] = math.nan
    assert math.isnan(geometric_mean(sizes).values[50])
    alone = {1: [1.0, 1.0, 1.0, 1.0], 2: [2.0, math.nan, 2.0, math.nan]}
    assert [math.isnan(value) for value in geometric_mean(alone).values] == [False, True, False, True]
    assert geometric_mean({}).values == ()
    with pytest.raises(BadInput, match="series of the same nights"):
        geometric_mean({1: [1.0], 2: [1.0, 2.0]})


def test_the_second_method_sees_the_same_levels() -> None:
    values = stepped(3, 100, (40, -0.05), (70, 0.04))
    found = segments(values)
    assert found is not None
    assert [abs(segment.first - first) <= 1 for segment, first in zip(found, (0, 40, 70), strict=True)]
    assert [round(segment.level / LEVEL, 2) for segment in found] == [1.0, 0.95, 0.99]
    for change in detect_changes(values):
        assert second_opinion(values, change) == "agrees"
        assert second_opinion(quiet(3, 100), change) == "differs"


def test_a_bad_night_or_two_are_no_level() -> None:
    values = quiet(6, 90)
    values[40:42] *= 0.8
    values[89] *= 0.8
    found = segments(values)
    assert found is not None
    assert len(found) == 1


def test_without_the_package_there_is_no_second_opinion(monkeypatch: pytest.MonkeyPatch) -> None:
    values = stepped(3, 80, (60, -0.05))
    (change,) = detect_changes(values)
    monkeypatch.setitem(sys.modules, "ruptures", None)
    assert segments(values) is None
    assert second_opinion(values, change) == "none"


@pytest.mark.parametrize("values", [[], [1.0], [math.nan] * 9, [1.0] * 200, [1.0, 2.0] * 50])
def test_strange_series_have_segments_too(values: Values) -> None:
    found = segments(values)
    assert found is not None
    assert sum(segment.nights for segment in found) == min(100, np.count_nonzero(~np.isnan(values)))


def test_a_slow_drift_is_a_trend_though_no_change() -> None:
    values = quiet(1, 120) * np.linspace(1, 0.95, 120)
    found = trend(values)
    assert found is not None
    assert (found.direction, found.notable) == ("worse", True)
    assert found.relative_change == pytest.approx(-0.029, abs=0.006)
    latency = trend(values, direction="lower_is_better")
    assert latency is not None
    assert latency.direction == "better"
    steady = trend(quiet(1, 120))
    assert steady is not None
    assert not steady.notable
    assert trend(quiet(1, 70)) is None
    assert trend(np.concatenate((quiet(1, 106), np.full(14, math.nan)))) is None


def noise(seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(80)


SLOW = np.where(np.arange(80) % 16 == 3, -0.1, 0.0)
MODES = np.where(np.arange(80) // 7 % 2, 0.08, 0.0)


@pytest.mark.parametrize(
    ("label", "deviations"),
    [
        ("quiet", lambda seed: 0.01 * noise(seed)),
        ("outliers", lambda seed: 0.01 * noise(seed) + SLOW),
        ("two modes", lambda seed: 0.01 * noise(seed) + MODES),
        ("drifting", lambda seed: 0.01 * noise(seed) + np.linspace(0, 0.04, 80)),
        ("skewed", lambda seed: -0.01 * np.abs(noise(seed)) ** 1.4),
        ("quiet", lambda seed: 0 * noise(seed)),
        ("too few nights", lambda seed: noise(seed)[:19]),
    ],
)
def test_the_noise_of_a_series_has_a_name(label: str, deviations: object) -> None:
    labels = [noise_label(LEVEL * np.exp(deviations(seed))) for seed in range(20)]  # type: ignore[operator]
    assert labels.count(label) >= 18  # type: ignore[arg-type]
