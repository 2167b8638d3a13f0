"""Which sweeps were due: each time that a schedule fires is looked at by exactly one morning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter

from benchlib.orchestration.declarations import SweepDeclaration
from benchlib.orchestration.sweep_params import flat_params, sweep_spec
from benchlib.orchestration.watch import due_sweeps

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


@pytest.mark.parametrize("schedule", ["0 2 * * *", "0 3 * * *", "59 2 * * *", "30 22 * * 1-5", "0 0 1 * *"])
def test_every_time_a_nightly_sweep_is_due_is_looked_at_once(schedule: str) -> None:
    looked_at = [each for day in range(60) for each in due(schedule, NINE + timedelta(days=day))]
    fires, expected = croniter(schedule, NINE - timedelta(hours=30)), []
    while (fire := fires.get_next(datetime)) <= NINE + timedelta(days=59, hours=-6):
        expected.append(fire)
    assert looked_at == expected
