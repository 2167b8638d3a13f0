"""What belongs together, what ends it, what brings it back."""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from typing import Any, Literal

import pytest

from benchlib.analysis.findings import Finding
from benchlib.analysis.incidents import Group, Known, Shift, group, transition

FIRST = date(2026, 3, 2)
SIZES = {size: uuid.UUID(int=size) for size in (1, 2, 4)}
TODAY = FIRST + timedelta(days=100)

Direction = Literal["worse", "better"]


def finding(night: int, size: int | None = None, relative: float = -0.05, **changes: Any) -> Finding:
    """A shift of the throughput from 1000, or of what is given."""
    before = changes.pop("before", 1000.0)
    values = {
        "series_id": SIZES[size] if size else None,
        "batch_size": size,
        "metric": "throughput_inf_per_s",
        "direction": "worse" if relative < 0 else "better",
        "last_good_sweep_id": uuid.UUID(int=1000 + night - 1),
        "first_bad_sweep_id": uuid.UUID(int=1000 + night),
        "first_bad_night": FIRST + timedelta(days=night),
        "told_night": FIRST + timedelta(days=night + 2),
        "before_value": before,
        "after_value": before * (1 + relative),
        "relative_low": relative - 0.01,
        "relative_high": relative + 0.01,
        "detector": "scan 1",
        "evidence": {},
    }
    return Finding(**{**values, **changes})


def stored(found: Finding, change_id: int) -> Shift:
    return Shift(
        change_id,
        found.series_id,
        found.metric,
        found.direction,
        found.first_bad_night,
        found.before_value,
        found.after_value,
        suspect=found.suspect,
        single=found.single,
    )


def known(status: str, *findings: Finding, direction: Direction = "worse") -> Known:
    return Known(7, direction, status, tuple(stored(each, i) for i, each in enumerate(findings, 1)))


def said(home: Group) -> str | None:
    found = transition(home, TODAY)
    return found.status if found else None


def test_what_one_configuration_does_in_one_direction_within_three_nights_is_one_incident() -> None:
    latency = finding(10, 2, 0.04, metric="p50_ms", direction="worse")
    slower = [finding(10), finding(11, 1), finding(13, 4), latency]
    faster, later = finding(12, 2, 0.05, metric="p99_ms"), finding(20, 2)
    found = [set(map(id, each.new)) for each in group([later, faster, *slower], ())]
    assert found == [set(map(id, slower)), {id(faster)}, {id(later)}]


def test_the_mean_of_the_throughput_leads() -> None:
    (home,) = group([finding(10, 1, -0.4), finding(10, metric="p99_ms", direction="worse"), finding(11)], ())
    assert home.headline is not None
    assert (home.headline.batch_size, home.headline.metric) == (None, "throughput_inf_per_s")
    assert said(home) == "confirmed"


def test_what_is_stored_is_found_again_and_not_stored_twice() -> None:
    (home,) = group([finding(11), finding(10, 1)], [known("confirmed", finding(10), finding(10, 1))])
    assert (set(home.matched), home.new) == ({1, 2}, [])
    assert said(home) is None


@pytest.mark.parametrize("status", ["confirmed", "acknowledged", "reopened"])
def test_the_way_back_ends_what_nobody_settled(status: str) -> None:
    (home,) = group([finding(30, relative=0.0526, before=950.0)], [known(status, finding(10))])
    assert (len(home.new), said(home)) == (1, "recovered")


@pytest.mark.parametrize("status", ["expected", "infra", "fixed", "wont_fix", "false_alarm"])
def test_the_way_back_belongs_to_what_a_person_settled_and_leaves_it_so(status: str) -> None:
    (home,) = group([finding(30, relative=0.0526, before=950.0)], [known(status, finding(10))])
    assert (len(home.new), said(home)) == (1, None)


def test_half_of_the_way_back_is_an_incident_of_its_own() -> None:
    old, new = group([finding(30, relative=0.02, before=950.0)], [known("confirmed", finding(10))])
    assert (old.new, new.direction, said(old), said(new)) == ([], "better", None, "confirmed")


def test_an_incident_goes_on_while_fewer_than_half_of_its_figures_are_back() -> None:
    there = known("confirmed", finding(10), finding(10, 1), finding(10, 2))
    (home,) = group([finding(30, 1, 0.0526, before=950.0)], [there])
    assert (len(home.new), said(home)) == (1, None)


@pytest.mark.parametrize(
    ("status", "then"), [("recovered", "reopened"), ("fixed", "reopened"), ("infra", None)]
)
def test_the_same_level_again_opens_it_again_unless_it_is_known_for_what_it_is(
    status: str, then: str | None
) -> None:
    gone = known(status, finding(10), finding(30, relative=0.0526, before=950.0))
    (home,) = group([finding(50)], [gone])
    assert (len(home.new), said(home)) == (1, then)


def test_another_level_is_another_incident() -> None:
    gone = known("recovered", finding(10), finding(30, relative=0.0526, before=950.0))
    assert len(group([finding(50, relative=-0.2)], [gone])) == 2


def test_a_further_step_down_is_another_incident() -> None:
    first, second = group([finding(10), finding(30, before=950.0)], ())
    assert (len(first.new), len(second.new)) == (1, 1)


def test_a_suspect_becomes_confirmed_when_it_lasts_and_recovers_when_it_does_not() -> None:
    off = finding(100, suspect=True, evidence={"sigma": -9.0})
    (new,) = group([off], ())
    assert said(new) == "suspect"
    (lasts,) = group([finding(99)], [known("suspect", off)])
    assert (set(lasts.matched), said(lasts)) == ({1}, "confirmed")
    (gone,) = group([], [known("suspect", off)])
    assert said(gone) == "recovered"


def test_a_figure_far_off_in_the_wake_of_a_change_is_explained_by_it() -> None:
    off = finding(15, 4, suspect=True, evidence={"sigma": -9.0})
    (home,) = group([off], [known("confirmed", finding(10))])
    assert home.new == []


def test_the_opposite_of_what_is_stored_of_the_same_night_is_left_out() -> None:
    (home,) = group([finding(10, relative=0.05)], [known("confirmed", finding(10))])
    assert (home.matched, home.new) == ({}, [])


def test_of_two_stored_changes_nearby_each_is_found_again_as_itself() -> None:
    one, other = finding(10, evidence={"sigma": -9.0}), finding(13, evidence={"sigma": -9.0})
    there = known("confirmed", one, other)
    (home,) = group([finding(13)], [there])
    assert {key: each.first_bad_night for key, each in home.matched.items()} == {2: other.first_bad_night}
    (home,) = group([finding(12), finding(13)], [there])
    assert {key: each.first_bad_night.day for key, each in home.matched.items()} == {1: 14, 2: 15}
    assert home.new == []


def test_one_night_never_takes_the_place_of_what_several_told() -> None:
    off = finding(10, suspect=True, evidence={"sigma": -9.0})
    (home,) = group([off], [known("confirmed", finding(10))])
    assert (home.matched, home.new, said(home)) == ({}, [], None)
    twice = finding(10, evidence={"sigma": -9.0})
    (home,) = group([twice], [known("suspect", off)])
    assert set(home.matched) == {1}


def test_a_loss_beside_the_end_of_a_gain_is_told() -> None:
    gain = finding(10, relative=0.05)
    end, loss = finding(30, relative=-0.0476, before=1050.0), finding(31, 4, -0.3)
    over, new = group([end, loss], [known("confirmed", gain, direction="better")])
    assert (over.new, said(over), new.new, said(new)) == ([end], "recovered", [loss], "confirmed")
    over, new = group([loss], [known("recovered", gain, end, direction="better")])
    assert (over.new, new.new, said(new)) == ([], [loss], "confirmed")


@pytest.mark.parametrize("status", ["expected", "infra", "fixed", "wont_fix", "false_alarm", "recovered"])
def test_what_is_settled_hides_nothing_that_comes_after(status: str) -> None:
    there = known(status, finding(10))
    same, later = finding(10, 4, -0.3), finding(11, 4, -0.3)
    assert [each.new for each in group([same], [there])] == [[same]]
    assert [each.new for each in group([later], [there])] == [[], [later]]


def test_nothing_is_said_from_an_earlier_night_than_what_it_is_about() -> None:
    off, twice = (finding(60, suspect=flag, evidence={"sigma": -9.0}) for flag in (True, False))
    (pending,) = group([], [known("suspect", off)])
    assert transition(pending, FIRST + timedelta(days=50)) is None
    (over,) = group([twice], [known("recovered", twice)])
    assert transition(over, FIRST + timedelta(days=65)) is None


@pytest.mark.parametrize(
    ("epochs", "words"),
    [
        ({1: [59]}, "an outlier"),
        ({1: [60]}, "was accepted"),
        ({1: [61]}, "was accepted"),
        ({1: [62]}, "an outlier"),  # the night between has told that it did not last
        ({2: [60]}, "an outlier"),
        ({1: [40, 60], 2: [60]}, "was accepted"),
    ],
)
def test_a_night_far_off_whose_level_a_person_accepted_is_not_called_an_outlier(
    epochs: dict[int, list[int]], words: str
) -> None:
    (home,) = group([], [known("suspect", finding(60, 1, suspect=True, evidence={"sigma": -9.0}))])
    accepted = {SIZES[size]: [FIRST + timedelta(days=each) for each in days] for size, days in epochs.items()}
    found = transition(home, TODAY, accepted)
    assert found is not None
    assert words in found.reason


def test_a_night_far_off_at_two_sizes_is_accepted_when_both_are() -> None:
    off = [finding(60, size, suspect=True, evidence={"sigma": -9.0}) for size in (1, 2)]
    (home,) = group([], [known("suspect", *off)])
    night = [FIRST + timedelta(days=60)]
    one = transition(home, TODAY, {SIZES[1]: night})
    both = transition(home, TODAY, {SIZES[1]: night, SIZES[2]: night})
    assert one is not None
    assert both is not None
    assert ("an outlier" in one.reason, "was accepted" in both.reason) == (True, True)


def test_a_night_measured_twice_is_not_yet_said_to_last() -> None:
    (home,) = group([finding(100, evidence={"sigma": -9.0})], ())
    found = transition(home, TODAY)
    assert found is not None
    assert (found.status, "not yet known to last" in found.reason) == ("confirmed", True)
