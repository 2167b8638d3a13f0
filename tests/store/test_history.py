"""One series over time, from the small fleet whose figures one can check by hand."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine

from benchlib.errors import BadInput
from benchlib.orchestration.judging import confirming
from benchlib.report.history_words import missing_state, standing_of
from benchlib.store.history import SeriesWanted, find_histories, latest_peak, read_history
from benchlib.store.repository import Repository
from benchlib.store.sweep_reading import Limits
from tests.store import fleet, samples

NIGHTS = [fleet.night_of(number) for number in fleet.NIGHTS]


def series_id(engine: Engine, batch_size: int, replicas: int = 2) -> uuid.UUID:
    """On inf2."""
    listed = find_histories(engine, SeriesWanted(model=fleet.BERT, batch_size=batch_size))
    (found,) = (each for each in listed if each.replicas == replicas)
    return found.series_id


def test_what_is_not_valid_is_there_and_marked_so(small_fleet: Engine) -> None:
    history = read_history(small_fleet, series_id(small_fleet, 1), until=fleet.UNTIL)
    assert [each.night for each in history.nights] == [*NIGHTS[:7], *NIGHTS[8:]]
    rates = [each.throughput_inf_per_s for each in history.nights]
    assert rates == [500.0] * 5 + [510.0, 9000.0, 510.0, 510.0]
    assert [each.status for each in history.nights] == ["ok"] * 6 + ["invalid", "ok", "ok"]
    assert history.nights[6].reason == fleet.DRIFT.advice
    assert history.nights[0].value("p99_ms") == 4.5
    assert [(each.night, each.state) for each in history.missing] == [(NIGHTS[7], "none")]


def test_retries_failures_and_imports_are_told_apart(small_fleet: Engine) -> None:
    history = read_history(small_fleet, series_id(small_fleet, 4), until=fleet.UNTIL)
    assert [(each.night, each.origin) for each in history.nights if each.night == NIGHTS[2]] == [
        (NIGHTS[2], "import"),
        (NIGHTS[2], "dag"),
    ]
    assert [each.throughput_inf_per_s for each in history.nights if each.night == NIGHTS[3]] == [1000.0]
    assert [(each.night, each.state) for each in history.missing] == [
        (NIGHTS[7], "none"),
        (NIGHTS[8], "failed"),
    ]
    assert history.missing[1].reason == "No end within 600 s."
    assert history.missing[1].sweep_id == fleet.wide(8).sweep_id


def test_the_upgrade_and_what_came_of_it_are_there(small_fleet: Engine) -> None:
    history = read_history(small_fleet, series_id(small_fleet, 4), until=fleet.UNTIL)
    assert [(each.night, each.before, each.after) for each in history.sdk_changes] == [
        (NIGHTS[5], "2.25.0", "2.26.0")
    ]
    changed = {each.night: each.environment_changes for each in history.nights if each.environment_changes}
    assert [(each.field, each.after) for each in changed.pop(NIGHTS[5])] == [
        ("neuron_sdk", "2.26.0"),
        ("neuronx_cc", "2.21.18209"),
        ("neuron_runtime", "2.28.23"),
    ]
    assert changed == {}
    (change,) = history.changes_of("throughput_inf_per_s")
    assert (change.first_bad_night, change.status) == (NIGHTS[5], "acknowledged")
    assert history.changes_of("p99_ms") == ()


def test_a_range_knows_what_was_before_it(small_fleet: Engine) -> None:
    history = read_history(small_fleet, series_id(small_fleet, 4), NIGHTS[5], NIGHTS[6])
    assert [each.night for each in history.nights] == NIGHTS[5:7]
    assert [each.after for each in history.sdk_changes] == ["2.26.0"]
    assert next(each.field for each in history.nights[0].environment_changes) == "neuron_sdk"
    later = read_history(small_fleet, series_id(small_fleet, 4), NIGHTS[6], NIGHTS[6])
    assert (later.sdk_changes, later.changes) == ((), ())


def test_a_series_that_was_given_up_is_not_missing_for_ever(small_fleet: Engine) -> None:
    until = fleet.UNTIL + timedelta(30)
    history = read_history(small_fleet, series_id(small_fleet, 4), fleet.UNTIL, until)
    assert len(history.missing) == 14


def test_rounds_and_limits_are_kept_by_metric(engine: Engine) -> None:
    Repository(engine).record(samples.measurement(1, result=samples.told(1)))
    (found,) = find_histories(engine, SeriesWanted())
    (night,) = read_history(engine, found.series_id, until=samples.NOON.date()).nights
    assert night.spreads["throughput_inf_per_s"] == Limits(12649.572, 12649.572)
    assert "p99_9_ms" not in night.spreads
    assert night.intervals["throughput_inf_per_s"] == Limits(12600.5, 12700.25)
    assert night.device == "Test CPU"


def test_the_latest_peak_is_of_the_latest_sweep_that_fits(small_fleet: Engine) -> None:
    on_inf2 = SeriesWanted(instance_type="inf2.xlarge")
    assert latest_peak(small_fleet, on_inf2) == series_id(small_fleet, 4)
    # The only size of night 8 that did not fail.
    assert latest_peak(small_fleet, SeriesWanted(model=fleet.BERT, batch_size=1)) == series_id(small_fleet, 1)
    assert latest_peak(small_fleet, SeriesWanted(model=fleet.TINY, batch_size=4)) is None
    (tiny,) = find_histories(small_fleet, SeriesWanted(model=fleet.TINY))
    assert latest_peak(small_fleet, SeriesWanted()) == tiny.series_id
    assert not tiny.hardware


def test_series_are_found_by_what_tells_them_apart(small_fleet: Engine) -> None:
    every = find_histories(small_fleet, SeriesWanted())
    assert [(each.model, each.batch_size) for each in every] == [
        (fleet.BERT, 1), (fleet.BERT, 4), (fleet.BERT, 4), (fleet.TINY, 1),
    ]  # fmt: skip
    first = every[0]
    assert find_histories(small_fleet, SeriesWanted(series=str(first.series_id)[:6].upper())) == (first,)
    assert find_histories(small_fleet, SeriesWanted(series="%")) == ()
    assert len(find_histories(small_fleet, SeriesWanted(limit=2))) == 2


def test_what_is_not_there_is_refused(small_fleet: Engine) -> None:
    with pytest.raises(BadInput, match="the id of a series"):
        read_history(small_fleet, uuid.uuid4())
    with pytest.raises(BadInput, match=r"since: .* not after the last one"):
        read_history(small_fleet, series_id(small_fleet, 1), date(2026, 3, 1), date(2026, 2, 1))


def test_what_was_measured_again_is_beside_the_figure_of_the_night(engine: Engine) -> None:
    first = fleet.wide(0)
    again = confirming(first, 4)
    for sweep, rate in ((first, 1000.0), (again, 2000.0)):
        result = fleet.measured(sweep, 4, rate, 9.5)
        Repository(engine).record(fleet.attempt(sweep, 4, result=result))
    (series,) = find_histories(engine, SeriesWanted())
    nights = read_history(engine, series.series_id, until=fleet.FIRST).nights
    assert [(standing_of(each), each.throughput_inf_per_s) for each in nights] == [
        ("valid", 1000.0),
        ("measured again", 2000.0),
    ]
    assert nights[1].confirms_sweep_id == first.sweep_id
    assert latest_peak(engine, SeriesWanted()) == series.series_id


def test_a_night_that_is_not_over_is_no_gap_yet(engine: Engine) -> None:
    today = datetime.now(UTC)
    sweep = fleet.sweep(0, 2, (1, 4), created_at=today - timedelta(days=2))
    Repository(engine).record(fleet.attempt(sweep, 4, result=fleet.measured(sweep, 4, 1000.0, 9.5)))
    (series,) = find_histories(engine, SeriesWanted())
    missing = read_history(engine, series.series_id).missing
    assert [each.night for each in missing] == [(today - timedelta(days=1)).date()]
    begun = fleet.sweep(1, 2, (1, 4), created_at=today)
    Repository(engine).record(fleet.attempt(begun, 1, result=fleet.measured(begun, 1, 500.0, 9.5)))
    tonight = read_history(engine, series.series_id).missing[-1]
    assert (tonight.night, missing_state(tonight)) == (today.date(), "no figure yet")
