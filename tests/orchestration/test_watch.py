"""Which sweeps were due: each time that a schedule fires is looked at by exactly one morning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter
from sqlalchemy import Engine

from benchlib.orchestration import watch
from benchlib.orchestration.declarations import Declarations, SweepDeclaration
from benchlib.orchestration.notify import Channel
from benchlib.orchestration.sweep_params import flat_params, sweep_spec
from benchlib.orchestration.watch import due_sweeps, look_for_missing
from benchlib.report.notifications import Message
from benchlib.store.repository import Repository
from tests.store import samples

NINE = datetime(2026, 3, 4, 9, tzinfo=UTC)  # a Wednesday
PARAMS = flat_params(sweep_spec({"model": "m", "batch_sizes": [1]}))


def declared(schedule: str | None) -> SweepDeclaration:
    return SweepDeclaration(name="a", schedule=schedule, params=PARAMS)


def due(schedule: str | None, at: datetime = NINE) -> list[datetime]:
    return [each.due_at for each in due_sweeps([declared(schedule)], at)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("0 2 * * *", [datetime(2026, 3, 4, 2, tzinfo=UTC)]),
        ("0 3 * * *", [datetime(2026, 3, 4, 3, tzinfo=UTC)]),
        ("1 3 * * *", [datetime(2026, 3, 3, 3, 1, tzinfo=UTC)]),  # it has six hours, and they are not over
        ("30 22 * * *", [datetime(2026, 3, 3, 22, 30, tzinfo=UTC)]),
        ("0 2 * * 0", []),  # on Sundays
        ("0 */6 * * *", [datetime(2026, 3, 3, 6, tzinfo=UTC)]),
        (None, []),
    ],
)
def test_what_was_due_a_morning(schedule: str | None, expected: list[datetime]) -> None:
    assert due(schedule) == expected


def test_a_night_ends_where_the_next_one_is_due() -> None:
    (late,) = due_sweeps([declared("0 5 * * *")], NINE)
    assert (late.due_at, late.until) == (NINE - timedelta(hours=28), NINE - timedelta(hours=4))


def test_nights_that_an_outage_hid_are_told_once(
    database_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler was down for two nights, and the watch with it."""
    messages: list[Message] = []

    def take(message: Message, channels: tuple[Channel, ...]) -> tuple[str, ...]:
        messages.append(message)
        return tuple(map(str, channels))

    monkeypatch.setenv("BENCH_DATABASE_URL", database_url)
    monkeypatch.setattr(watch, "notify", take)
    for days in (9, 3, 0):  # the sixth to the fourth night before were told by nobody either
        at = NINE - timedelta(days=days, hours=7)
        sweep = samples.sweep(f"{days} days ago", dag_id="a", created_at=at, spec=sweep_spec(PARAMS))
        Repository(engine).record(samples.measurement(1, sweep=sweep))
    declarations = Declarations((declared("0 2 * * *"),), notify=(Channel("smtp", "mail", "perf@x"),))
    first = look_for_missing(declarations, at=NINE)
    assert [sentence for sentence in first if "no sweep ran" not in sentence] == []
    assert len(first) == 5
    assert look_for_missing(declarations, at=NINE) == ()
    (message,) = messages
    assert all(f"2026-{day}" in message.text for day in ("02-26", "02-27", "02-28", "03-02", "03-03"))


@pytest.mark.parametrize("schedule", ["0 2 * * *", "0 3 * * *", "59 2 * * *", "30 22 * * 1-5", "0 0 1 * *"])
def test_every_time_a_nightly_sweep_is_due_is_looked_at_once(schedule: str) -> None:
    looked_at = [each for day in range(60) for each in due(schedule, NINE + timedelta(days=day))]
    fires, expected = croniter(schedule, NINE - timedelta(hours=30)), []
    while (fire := fires.get_next(datetime)) <= NINE + timedelta(days=59, hours=-6):
        expected.append(fire)
    assert looked_at == expected
