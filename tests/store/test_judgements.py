"""People decide about results, sometimes two at once, and nothing that was said is lost."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError
from sqlalchemy import Connection, Engine, create_engine, event, func, text

from benchlib.errors import BadInput, BenchError
from benchlib.settings import PROJECT_ROOT
from benchlib.store import judgement_lists as lists
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.judgements import (
    ALLOWED_FROM,
    Remark,
    Status,
    Subject,
    SweepRange,
    annotate,
    judge,
    pin,
    set_price,
    sweeps_between,
    unpin,
)
from benchlib.store.prices import price_on
from benchlib.store.repository import Repository
from tests.store import judgements, samples
from tests.store.conftest import run_psql
from tests.store.test_prices import DEARER, TODAY
from tests.store.test_roles import logged_in

ANA = Remark(author="Ana", reason="The new compiler spills.")
BEN = Remark(author="Ben", reason="I saw it too.")
NOBODY = uuid.UUID(int=0)
DEADLINE_S = 20


def sweep(day: int) -> uuid.UUID:
    return samples.sweep(f"night-{day}").sweep_id


@pytest.fixture(autouse=True)
def nights(engine: Engine) -> None:
    """Four nights of batch sizes 1 and 2; on the last one size 2 is not valid."""
    for day in range(4):
        record = samples.sweep(f"night-{day}", created_at=samples.NOON + timedelta(days=day))
        for size in (1, 2):
            checks = (samples.NOISY,) if (day, size) == (3, 2) else (samples.LITTLE,)
            result = samples.measured(size, checks=checks)
            Repository(engine).record(samples.measurement(size, sweep=record, result=result))


@pytest.fixture
def change(engine: Engine) -> int:
    with engine.begin() as connection:
        return judgements.add_change(connection, sweep(0), sweep(1))


@pytest.fixture
def series(engine: Engine) -> tuple[uuid.UUID, uuid.UUID]:
    """Of batch size 1 and of 2."""
    with engine.connect() as connection:
        return judgements.series_of(connection, sweep(0)), judgements.series_of(connection, sweep(0), 2)


@pytest.fixture
def reader(postgres: EmbeddedPostgres, engine: Engine) -> Iterator[Engine]:
    run_psql(postgres, engine, "-f", str(PROJECT_ROOT / "sql" / "roles.sql"))
    with logged_in(engine, "bench_reader") as account:
        yield account


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def ranges(engine: Engine) -> dict[uuid.UUID, tuple[uuid.UUID, uuid.UUID]]:
    return {
        each.series_id: (each.first_sweep_id, each.last_sweep_id) for each in lists.list_baselines(engine)
    }


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def waiting(engine: Engine, count: int) -> Callable[[], bool]:
    """Whether so many transactions wait for a lock of another."""
    question = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )

    def reached() -> bool:
        with engine.connect() as connection:
            return connection.execute(question).scalar_one() == count

    return reached


# Changes.


def test_a_judged_change_stands_where_it_was_put_and_its_history_stays(engine: Engine, change: int) -> None:
    (first,) = judge(engine, [change], "acknowledged", ANA)
    (second,) = judge(engine, [change], "fixed", BEN)
    assert (first.before.status, first.is_new) == ("open", True)
    assert (second.before.status, second.before.author) == ("acknowledged", "Ana")
    found = lists.find_change(engine, change)
    assert (found.status, found.author, found.reason) == ("fixed", "Ben", BEN.reason)
    said = lists.list_annotations(engine, Subject(incident_id=found.incident_id))
    assert [(each.status, each.author) for each in said] == [("fixed", "Ben"), ("acknowledged", "Ana")]


def test_judging_the_same_again_changes_nothing_and_tells_who_was_first(engine: Engine, change: int) -> None:
    judge(engine, [change], "expected", ANA)
    (again,) = judge(engine, [change], "expected", BEN)
    assert (again.is_new, again.before.author) == (False, "Ana")
    assert count(engine, "annotation") == 1


def test_a_change_that_nobody_judged_is_open_already(engine: Engine, change: int) -> None:
    (judged,) = judge(engine, [change], "open", ANA)
    assert (judged.is_new, judged.before.author) == (False, None)
    assert count(engine, "annotation") == 0


@pytest.mark.parametrize("settled", ["fixed", "expected", "false_alarm"])
def test_what_is_settled_stays_so_until_it_is_opened_again(
    engine: Engine, change: int, settled: Status
) -> None:
    judge(engine, [change], settled, ANA)
    for other in ALLOWED_FROM:
        if other not in (settled, "open"):
            with pytest.raises(BadInput, match=rf"this one is {settled}, says Ana; open it again first"):
                judge(engine, [change], other, BEN)
    assert count(engine, "annotation") == 1
    judge(engine, [change], "open", BEN)
    (judged,) = judge(engine, [change], "acknowledged", BEN)
    assert judged.is_new


@pytest.mark.parametrize("unknown", [999_999, -1, 10**30])
def test_an_unknown_change_is_named_and_the_others_stay_as_they_were(
    engine: Engine, change: int, unknown: int
) -> None:
    with pytest.raises(BadInput, match=f"change: '{unknown}' is not allowed"):
        judge(engine, [change, unknown], "fixed", ANA)
    assert count(engine, "annotation") == 0


def test_one_change_that_cannot_follow_keeps_all_as_they_were(engine: Engine, change: int) -> None:
    with engine.begin() as connection:
        other = judgements.add_change(connection, sweep(1), sweep(2))
    judge(engine, [other], "expected", ANA)
    with pytest.raises(BadInput):
        judge(engine, [change, other], "fixed", BEN)
    assert lists.find_change(engine, change).status == "open"


def test_two_who_acknowledge_at_once_are_one_acknowledgement(engine: Engine, change: int) -> None:
    """Both have begun, and wait for a third transaction, before either is served."""
    with ThreadPoolExecutor(2) as pool:
        with engine.begin() as connection:
            connection.execute(text("SELECT FROM change FOR NO KEY UPDATE"))
            both = [pool.submit(judge, engine, [change], "acknowledged", who) for who in (ANA, BEN)]
            wait_until(waiting(engine, 2))
        first, second = sorted((each.result()[0] for each in both), key=lambda judged: not judged.is_new)
    assert (first.is_new, second.is_new) == (True, False)
    assert second.before.author in ("Ana", "Ben")
    assert [each.author for each in lists.list_annotations(engine)] == [second.before.author]


def test_a_decision_counts_from_when_its_turn_came_not_from_when_it_was_asked_for(
    engine: Engine, change: int
) -> None:
    """Ana begins first and waits; what she decides is later than what was decided meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            connection.execute(text("SELECT FROM change FOR NO KEY UPDATE"))
            ana = pool.submit(judge, engine, [change], "fixed", ANA)
            wait_until(waiting(engine, 1))
            said = {"status": "acknowledged", "annotated_at": func.clock_timestamp()}
            judgements.annotate(connection, change_id=change, author="Ben", **said)
        assert ana.result()[0].before.status == "acknowledged"
    assert lists.find_change(engine, change).status == "fixed"


def test_a_decision_follows_one_of_a_server_whose_clock_was_ahead(engine: Engine, change: int) -> None:
    with engine.begin() as connection:
        ahead = samples.NOON.replace(year=2999)
        judgements.annotate(connection, change_id=change, status="acknowledged", annotated_at=ahead)
    judge(engine, [change], "fixed", BEN)
    assert lists.find_change(engine, change).status == "fixed"


def test_open_changes_are_listed_worst_first_and_settled_ones_on_demand(engine: Engine, change: int) -> None:
    with engine.begin() as connection:
        values = {"before_value": 1000.0, "after_value": 800.0, "relative_low": -0.25, "relative_high": -0.15}
        worse = judgements.add_change(connection, sweep(1), sweep(2), **values)
        gone = judgements.add_change(connection, sweep(2), sweep(3))
    judge(engine, [change], "acknowledged", ANA)
    judge(engine, [gone], "false_alarm", ANA)
    assert [each.change_id for each in lists.list_changes(engine)] == [worse, change]
    every = lists.list_changes(engine, tuple(ALLOWED_FROM), lists.Wanted(limit=2))
    assert [each.change_id for each in every] == [worse, change]
    assert lists.list_changes(engine, ("false_alarm",))[0].change_id == gone
    assert lists.list_changes(engine, wanted=lists.Wanted(model="another")) == ()


# Remarks.


def test_a_remark_is_kept_with_its_subject_and_saying_it_again_adds_nothing(
    engine: Engine, change: int, series: tuple[uuid.UUID, uuid.UUID]
) -> None:
    subjects = [Subject(change_id=change), Subject(series_id=series[0]), Subject(sweep_id=sweep(2))]
    assert annotate(engine, subjects, ANA) == 3
    assert annotate(engine, subjects, ANA) == 0
    assert annotate(engine, [*subjects, Subject(series_id=series[1])], BEN) == 4
    said = lists.list_annotations(engine, Subject(sweep_id=sweep(2)))
    assert [(each.author, each.status) for each in said] == [("Ben", None), ("Ana", None)]


def test_a_remark_leaves_the_status_alone(engine: Engine, change: int) -> None:
    judge(engine, [change], "acknowledged", ANA)
    annotate(engine, [Subject(change_id=change)], BEN)
    assert lists.find_change(engine, change).status == "acknowledged"


def test_a_decision_with_the_same_words_is_no_remark(engine: Engine, change: int) -> None:
    judge(engine, [change], "acknowledged", ANA)
    assert annotate(engine, [Subject(change_id=change)], ANA) == 1


def test_two_who_send_the_same_remark_at_once_leave_one(engine: Engine) -> None:
    with ThreadPoolExecutor(2) as pool:
        with engine.begin() as connection:
            connection.execute(text("SELECT FROM sweep FOR NO KEY UPDATE"))
            both = [pool.submit(annotate, engine, [Subject(sweep_id=sweep(0))], ANA) for _ in range(2)]
            wait_until(waiting(engine, 2))
        assert sorted(each.result() for each in both) == [0, 1]
    assert count(engine, "annotation") == 1


@pytest.mark.parametrize(
    "unknown", [Subject(change_id=999_999), Subject(series_id=NOBODY), Subject(sweep_id=NOBODY)]
)
def test_a_remark_on_something_unknown_is_refused_with_all_others(engine: Engine, unknown: Subject) -> None:
    with pytest.raises(BadInput, match="the id of a stored"):
        annotate(engine, [Subject(sweep_id=sweep(0)), unknown], ANA)
    assert count(engine, "annotation") == 0


def test_nights_are_the_sweeps_that_began_on_them(engine: Engine) -> None:
    second = TODAY + timedelta(days=1)
    found = sweeps_between(engine, second, second + timedelta(days=1))
    assert [each.sweep_id for each in found] == [sweep(1), sweep(2)]
    with pytest.raises(BadInput, match="a sweep of another began"):
        sweeps_between(engine, second, second, "another")
    with pytest.raises(BadInput, match="not before the first"):
        sweeps_between(engine, second, TODAY)


@pytest.mark.parametrize(
    "values", [{"author": " "}, {"reason": ""}, {"reason": "a\0b"}, {"reason": "\ud800"}]
)
def test_a_remark_has_an_author_and_says_something_that_can_be_kept(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Remark(**{**ANA.model_dump(), **values})


# Baselines.


def test_a_pinned_sweep_is_what_all_its_series_are_judged_against(
    engine: Engine, series: tuple[uuid.UUID, uuid.UUID]
) -> None:
    with engine.begin() as connection:
        judgements.add_baseline(connection, sweep(0), sweep(0))
    pinned = pin(engine, SweepRange(sweep(1), sweep(1)), (), ANA)
    assert (set(pinned.set), pinned.unchanged) == (set(series), ())
    assert ranges(engine) == dict.fromkeys(series, (sweep(1), sweep(1)))
    (line,) = lists.list_baselines(engine, wanted=lists.Wanted(series_id=series[1]))
    assert (line.batch_size, line.baseline_kind, line.author, line.sweeps) == (2, "pinned", "Ana", 1)


def test_a_new_pin_takes_the_place_of_the_old_one_which_stays_in_the_table(
    engine: Engine, series: tuple[uuid.UUID, uuid.UUID]
) -> None:
    pin(engine, SweepRange(sweep(0), sweep(0)), (), ANA)
    pinned = pin(engine, SweepRange(sweep(1), sweep(3)), [series[0]], BEN)
    assert pinned.set == (series[0],)
    assert ranges(engine) == {series[0]: (sweep(1), sweep(3)), series[1]: (sweep(0), sweep(0))}
    assert count(engine, "baseline") == 3
    assert count(engine, "baseline WHERE withdrawn_at IS NOT NULL") == 1


def test_pinning_the_same_again_changes_nothing(engine: Engine) -> None:
    whole = SweepRange(sweep(0), sweep(2))
    first = pin(engine, whole, (), ANA)
    again = pin(engine, whole, (), BEN)
    assert (again.set, again.unchanged) == ((), first.set)
    assert {each.author for each in lists.list_baselines(engine)} == {"Ana"}
    assert count(engine, "baseline") == 2


def test_an_invalid_measurement_is_no_baseline(engine: Engine, series: tuple[uuid.UUID, uuid.UUID]) -> None:
    last = SweepRange(sweep(3), sweep(3))
    with pytest.raises(BadInput, match="one with a valid measurement in the sweeps of the range"):
        pin(engine, last, series, ANA)
    assert ranges(engine) == {}
    assert pin(engine, last, (), ANA).set == (series[0],)


def test_a_range_runs_forward_between_sweeps_of_the_same_series(engine: Engine) -> None:
    other = samples.sweep("other", created_at=samples.NOON + timedelta(days=9))
    result = samples.measured(replicas=1, workers=1)
    Repository(engine).record(samples.measurement(sweep=other, result=result))
    with pytest.raises(BadInput, match="did not begin before the first"):
        pin(engine, SweepRange(sweep(2), sweep(1)), (), ANA)
    with pytest.raises(BadInput, match="one with a series of the first sweep"):
        pin(engine, SweepRange(sweep(0), other.sweep_id), (), ANA)
    assert count(engine, "baseline") == 0


@pytest.mark.parametrize(
    ("sweeps", "series_ids", "complaint"),
    [
        (SweepRange(NOBODY, NOBODY), (), "the id of a stored sweep"),
        (SweepRange(sweep(0), NOBODY), (), "the id of a stored sweep"),
        (SweepRange(sweep(0), sweep(0)), (NOBODY,), "the id of a stored series"),
    ],
)
def test_what_is_unknown_is_not_pinned(
    engine: Engine, sweeps: SweepRange, series_ids: tuple[uuid.UUID, ...], complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        pin(engine, sweeps, series_ids, ANA)
    assert count(engine, "baseline") == 0


def test_a_sweep_without_valid_measurements_has_no_series_to_pin(engine: Engine) -> None:
    empty = samples.sweep("empty")
    Repository(engine).record(samples.measurement(sweep=empty, failure=samples.failure()))
    with pytest.raises(BadInput, match="one with a valid measurement"):
        pin(engine, SweepRange(empty.sweep_id, empty.sweep_id), (), ANA)


def test_two_who_pin_at_once_come_one_after_the_other(
    engine: Engine, series: tuple[uuid.UUID, uuid.UUID]
) -> None:
    pins = [SweepRange(sweep(day), sweep(day)) for day in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        with engine.begin() as connection:
            connection.execute(text("SELECT FROM series FOR NO KEY UPDATE"))
            both = [
                pool.submit(pin, engine, each, (), who) for each, who in zip(pins, (ANA, BEN), strict=True)
            ]
            wait_until(waiting(engine, 2))
        assert [len(each.result().set) for each in both] == [2, 2]
    assert len(set(ranges(engine).values())) == 1
    assert count(engine, "baseline WHERE withdrawn_at IS NULL") == 2


def test_measurements_are_written_while_somebody_decides(engine: Engine) -> None:
    """They are written when all is decided and not yet committed, and wait for no lock."""
    impatient = create_engine(engine.url, connect_args={"options": "-c lock_timeout=5s"})
    written = []

    def write(_connection: Connection) -> None:
        record = samples.sweep("night-0", created_at=samples.NOON)
        Repository(impatient).record(samples.measurement(attempt=2, sweep=record))
        written.append(record)

    event.listen(engine, "commit", write)
    pin(engine, SweepRange(sweep(0), sweep(0)), (), ANA)
    impatient.dispose()
    assert len(written) == 1


def test_without_its_pin_a_series_goes_back_to_the_detectors_choice(
    engine: Engine, series: tuple[uuid.UUID, uuid.UUID]
) -> None:
    with engine.begin() as connection:
        judgements.add_baseline(connection, sweep(0), sweep(0))
    pin(engine, SweepRange(sweep(1), sweep(2)), (), ANA)
    assert set(unpin(engine, sweep(2), (), BEN)) == set(series)
    assert ranges(engine) == {series[0]: (sweep(0), sweep(0))}
    (said,) = lists.list_annotations(engine, Subject(series_id=series[0]))
    assert (said.author, said.reason, said.sweep_id) == ("Ben", BEN.reason, sweep(1))
    assert unpin(engine, sweep(2), (), BEN) == ()
    assert count(engine, "annotation") == 2


def test_only_the_series_that_are_named_are_unpinned(
    engine: Engine, series: tuple[uuid.UUID, uuid.UUID]
) -> None:
    pin(engine, SweepRange(sweep(0), sweep(0)), (), ANA)
    assert unpin(engine, sweep(1), [series[0]], BEN) == ()
    assert unpin(engine, None, [series[0]], BEN) == (series[0],)
    assert list(ranges(engine)) == [series[1]]


def test_what_is_unknown_is_not_unpinned(engine: Engine) -> None:
    with pytest.raises(BadInput, match="a stored sweep"):
        unpin(engine, NOBODY, (), ANA)
    with pytest.raises(BadInput, match="a stored series"):
        unpin(engine, None, [NOBODY], ANA)
    with pytest.raises(BadInput, match="unless a series is named"):
        unpin(engine, None, (), ANA)


def test_a_series_is_found_by_the_beginning_of_its_id(
    engine: Engine, series: tuple[uuid.UUID, uuid.UUID]
) -> None:
    assert lists.find_series(engine, f" {str(series[0])[:12].upper()} ") == series[0]
    for nothing in ("", " ", "nosuch", "%"):
        with pytest.raises(BadInput, match="first characters"):
            lists.find_series(engine, nothing)


# Prices.


def test_a_price_is_added_once_and_replaced_only_when_asked(engine: Engine) -> None:
    assert set_price(engine, DEARER)
    assert not set_price(engine, DEARER)
    other = DEARER.model_copy(update={"usd_per_hour": Decimal("0.95")})
    with pytest.raises(
        BadInput, match=r"'0.95' is not allowed; allowed: 0.9, as stored for that day \(A price"
    ):
        set_price(engine, other)
    assert price_on(engine, "inf2.xlarge", TODAY) == DEARER
    assert set_price(engine, other, replace=True)
    assert price_on(engine, "inf2.xlarge", TODAY) == other


def test_prices_are_listed_with_their_days(engine: Engine) -> None:
    set_price(engine, DEARER)
    on_demand = [each for each in lists.list_prices(engine, "inf2.xlarge") if each.price_kind == "on_demand"]
    assert [(each.usd_per_hour, each.valid_before) for each in on_demand] == [
        (Decimal("0.758"), TODAY),
        (Decimal("0.9"), None),
    ]
    assert {each.instance_type for each in lists.list_prices(engine)} > {"inf2.xlarge"}


# Accounts.


def deciding(engine: Engine) -> dict[str, Callable[[], object]]:
    once = SweepRange(sweep(0), sweep(0))
    return {
        "judge": lambda: judge(engine, [1], "fixed", ANA),
        "annotate": lambda: annotate(engine, [Subject(sweep_id=sweep(0))], ANA),
        "pin": lambda: pin(engine, once, (), ANA),
        "unpin": lambda: unpin(engine, sweep(0), (), ANA),
        "set_price": lambda: set_price(engine, DEARER),
        "sweeps_between": lambda: sweeps_between(engine, date(2026, 3, 1), date(2026, 3, 1)),
    }


def test_a_reader_reads_all_and_decides_nothing(engine: Engine, reader: Engine, change: int) -> None:
    judge(engine, [change], "acknowledged", ANA)
    pin(engine, SweepRange(sweep(0), sweep(0)), (), ANA)
    for decision in deciding(reader).values():
        with pytest.raises(BenchError, match=r"account bench_reader\w* of .* may not write") as refusal:
            decision()
        assert not isinstance(refusal.value, BadInput)
    assert (count(engine, "annotation"), count(engine, "price")) == (1, 8)
    (found,) = lists.list_changes(reader)
    assert (found.author, len(lists.list_baselines(reader)), len(lists.list_prices(reader))) == ("Ana", 2, 8)
    assert lists.list_annotations(reader, Subject(series_id=lists.find_series(reader, str(found.series_id))))


def test_a_writer_decides(postgres: EmbeddedPostgres, engine: Engine, change: int) -> None:
    run_psql(postgres, engine, "-f", str(PROJECT_ROOT / "sql" / "roles.sql"))
    with logged_in(engine, "bench_writer") as writer:
        for name, decision in deciding(writer).items():
            if name != "judge":
                decision()
        judge(writer, [change], "fixed", ANA)
    assert lists.find_change(engine, change).status == "fixed"
