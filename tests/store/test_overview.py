"""The morning's answer, over weeks with one of everything that goes wrong."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine, create_engine, text

from benchlib.orchestration.judging import confirming
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.judgements import Remark, SweepRange, judge_incidents, pin
from benchlib.store.overview import ConfigurationLine, Overview, read_overview
from benchlib.store.repository import Repository
from tests.conftest import new_database
from tests.plugins.nights import DOUBTFUL, FAILING, FINE, LATE, MAIN, PLANS, SHAPE, TINY, Nights, Plan

WHY = Remark(author="Ana", reason="So that it is said.")


@pytest.fixture(scope="module")
def nights() -> Nights:
    return Nights(datetime.now(UTC).date())


@pytest.fixture(scope="module")
def morning(postgres: EmbeddedPostgres, nights: Nights) -> Iterator[Engine]:
    """Only read."""
    with new_database(postgres) as url:
        engine = create_engine(url)
        nights.fill(engine)
        yield engine
        engine.dispose()


@pytest.fixture
def own_morning(morning: Engine, postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """A copy to write to."""
    morning.dispose()
    with new_database(postgres, str(morning.url.database)) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


def of(overview: Overview, plan: Plan) -> ConfigurationLine:
    (line,) = (line for line in overview.lines if line.model == plan.model)
    return line


def test_the_worst_comes_first(morning: Engine) -> None:
    lines = read_overview(morning).lines
    assert [line.standing for line in lines] == [
        "failed", "worse", "incomplete", "missing", "acknowledged", "fine", "fine",
    ]  # fmt: skip
    assert [line.model for line in lines[:4]] == [plan.model for plan in (FAILING, MAIN, DOUBTFUL, LATE)]


def test_a_line_has_the_peak_of_the_last_sweep_and_what_became_of_the_rest(
    morning: Engine, nights: Nights
) -> None:
    overview = read_overview(morning)
    main, doubtful, failing = (of(overview, plan) for plan in (MAIN, DOUBTFUL, FAILING))
    assert main.sweep_id == nights.sweep(MAIN, 0).sweep_id
    assert main.peak is not None
    assert main.peak.batch_size in (3, 5, 7)
    assert main.peak_low_inf_per_s < main.peak.throughput_inf_per_s < main.peak_high_inf_per_s
    assert main.asked == main.valid == MAIN.sizes
    assert (doubtful.valid, doubtful.invalid, doubtful.failed) == ((1, 4), (2,), (8,))
    assert (failing.valid, failing.failed, failing.peak) == ((), FAILING.sizes, None)
    # It failed before it could tell its machine; the sweeps before it had one.
    assert (failing.instance_type, failing.hardware) == ("inf2.xlarge", False)
    assert [of(overview, plan).hardware for plan in (MAIN, TINY)] == [True, False]


def test_incidents_belong_to_their_configuration(morning: Engine) -> None:
    overview = read_overview(morning)
    assert len(overview.incidents) == 2
    (incident,) = of(overview, MAIN).incidents
    assert (incident.batch_sizes, incident.status) == ((4,), "confirmed")
    assert of(overview, FINE).incidents == ()


def test_the_reference_is_the_week_before_as_long_as_there_is_no_baseline(
    morning: Engine, nights: Nights
) -> None:
    line = of(read_overview(morning), FINE)
    assert line.reference is not None
    assert line.shift is not None
    assert line.peak is not None
    assert (line.reference.kind, line.reference.nights) == ("week before", 7)
    assert line.reference.last_night == nights.last - timedelta(days=1)
    query = text(
        "SELECT throughput_inf_per_s FROM throughput_history WHERE series_id = :series_id ORDER BY night"
    )
    with morning.connect() as connection:
        *_, tonight = found = connection.scalars(query, {"series_id": line.peak_series_id}).all()
    week = found[-8:-1]
    level = statistics.median(week)
    assert line.shift.relative == pytest.approx(tonight / level - 1)
    # Student's t for 6 degrees of freedom at 97.5 %, from a printed table.
    half = 2.447 * statistics.stdev(week) / level * (1 + 1 / 7) ** 0.5
    assert line.shift.high - line.shift.low == pytest.approx(2 * half, rel=1e-3)
    assert not line.shift.is_loss


def test_a_pinned_baseline_comes_first_and_shows_the_loss(own_morning: Engine, nights: Nights) -> None:
    first, last = (nights.sweep(TINY, age).sweep_id for age in (20, 12))
    pin(own_morning, SweepRange(first, last), (), WHY)
    line = of(read_overview(own_morning), TINY)
    assert line.reference is not None
    assert line.shift is not None
    assert (line.reference.kind, line.reference.nights) == ("pinned", 9)
    assert line.shift.relative == pytest.approx(-0.12, abs=0.02)
    assert line.shift.is_loss
    assert line.standing == "acknowledged", "somebody looks at it already"


def test_a_loss_that_no_incident_tells_of_is_seen(own_morning: Engine, nights: Nights) -> None:
    (number,) = (each.incident_id for each in of(read_overview(own_morning), TINY).incidents)
    judge_incidents(own_morning, [number], "false_alarm", WHY)
    assert of(read_overview(own_morning), TINY).standing == "fine", "the week before is as slow"
    first = nights.sweep(TINY, 20).sweep_id
    pin(own_morning, SweepRange(first, nights.sweep(TINY, 12).sweep_id), (), WHY)
    assert of(read_overview(own_morning), TINY).standing == "lower"


def test_fewer_than_three_nights_say_nothing_of_how_much_nights_differ(
    own_morning: Engine, nights: Nights
) -> None:
    sweep_id = nights.sweep(FINE, 9).sweep_id
    pin(own_morning, SweepRange(sweep_id, sweep_id), (), WHY)
    line = of(read_overview(own_morning), FINE)
    assert line.shift is not None
    assert line.reference is not None
    assert (line.reference.nights, line.shift.low, line.shift.high) == (1, None, None)


def test_coverage_counts_every_series_of_the_night(morning: Engine, nights: Nights) -> None:
    coverage = read_overview(morning).coverage
    assert coverage is not None
    assert (coverage.night, coverage.expected, coverage.valid) == (
        nights.last,
        sum(len(plan.sizes) for plan in PLANS),
        21,
    )
    assert {(gap.state, gap.batch_sizes) for gap in coverage.gaps} == {
        ("failed", (1, 4, 8)), ("failed", (8,)), ("invalid", (2,)), ("none", (1, 4)),
    }  # fmt: skip


def test_a_model_can_be_looked_at_alone(morning: Engine) -> None:
    overview = read_overview(morning, model=MAIN.model)
    assert [line.model for line in overview.lines] == [MAIN.model]
    assert overview.coverage is not None
    assert overview.coverage.expected == len(SHAPE)
    assert len(overview.incidents) == 1


@pytest.mark.parametrize(("days", "late"), [(0, False), (1, False), (2, True), (40, True)])
def test_two_nights_without_a_sweep_are_late(morning: Engine, nights: Nights, days: int, late: bool) -> None:
    assert read_overview(morning, today=nights.last + timedelta(days=days)).is_late is late


def test_what_has_not_run_for_two_weeks_is_given_up(own_morning: Engine, nights: Nights) -> None:
    with own_morning.begin() as connection:
        gone = {"model": LATE.model, "night": nights.last - timedelta(days=14)}
        connection.execute(text("DELETE FROM sweep WHERE model = :model AND night >= :night"), gone)
    assert LATE.model not in {line.model for line in read_overview(own_morning).lines}


def test_one_figure_of_a_stand_in_keeps_the_line_from_passing_as_an_accelerators(
    own_morning: Engine, nights: Nights
) -> None:
    sweep_id = nights.sweep(FINE, 0).sweep_id
    with own_morning.begin() as connection:
        connection.execute(
            text(
                "UPDATE measurement SET environment_id = "
                "(SELECT environment_id FROM environment WHERE NOT hardware LIMIT 1) "
                "WHERE sweep_id = :sweep_id AND batch_size = 8"
            ),
            {"sweep_id": sweep_id},
        )
    (line,) = (line for line in read_overview(own_morning).lines if line.sweep_id == sweep_id)
    assert (line.hardware, line.device) == (False, "Inferentia2, Test CPU")


def test_what_only_measured_a_figure_again_is_no_sweep_of_the_night(
    own_morning: Engine, nights: Nights
) -> None:
    before = of(read_overview(own_morning), MAIN)
    again = confirming(nights.sweep(MAIN, 0), 4)
    Repository(own_morning).record(nights._attempt(again, MAIN, 0, 4))
    after = of(read_overview(own_morning), MAIN)
    assert (after.sweep_id, after.peak, after.shift) == (before.sweep_id, before.peak, before.shift)


def test_a_configuration_is_due_as_often_as_it_usually_runs(own_morning: Engine, nights: Nights) -> None:
    kept = [nights.last - timedelta(days=age) for age in (1, 8, 15)]
    weekly = text("DELETE FROM sweep WHERE model = :model AND night <> ALL (:kept)")
    with own_morning.begin() as connection:
        connection.execute(weekly, {"model": TINY.model, "kept": kept})
        tonight = {"model": FINE.model, "night": nights.last}
        connection.execute(text("DELETE FROM sweep WHERE model = :model AND night = :night"), tonight)
    overview = read_overview(own_morning, today=nights.last)
    assert (of(overview, TINY).usual_distance_days, of(overview, TINY).standing) == (7, "fine")
    assert (of(overview, FINE).usual_distance_days, of(overview, FINE).standing) == (1, "due")
    tomorrow = read_overview(own_morning, today=nights.last + timedelta(days=1))
    assert [of(tomorrow, plan).standing for plan in (TINY, FINE)] == ["fine", "missing"]


def test_before_the_first_sweep_there_is_nothing(morning: Engine, engine: Engine) -> None:
    for overview in (read_overview(engine), read_overview(morning, today=date(2020, 1, 1))):
        assert (overview.night, overview.coverage, overview.lines) == (None, None, ())
