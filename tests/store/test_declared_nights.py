"""What a due sweep lacks, against a real database; what else ran that night is no part of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from benchlib.records import SweepRecord
from benchlib.store.declared_nights import NO_SWEEP, NOT_FINISHED, Due, declared_gaps, was_left_out
from benchlib.store.repository import Repository
from tests.store import samples

DUE_AT = datetime(2026, 3, 2, 2, tzinfo=UTC)
MORNING = DUE_AT + timedelta(hours=7)
DUE = Due("inf2_batch_sweep", DUE_AT, samples.sweep().spec)


def ran(run_id: str, hours: float = 0, **changes: Any) -> SweepRecord:
    return samples.sweep(run_id, created_at=DUE_AT + timedelta(hours=hours), **changes)


def told(engine: Engine, at: datetime = MORNING) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(gap.state, gap.reason, gap.batch_sizes) for gap in declared_gaps(engine, DUE, at)]


def test_a_sweep_that_never_ran_is_missing_though_nothing_was_ever_measured(engine: Engine) -> None:
    assert told(engine) == [("none", NO_SWEEP, (1, 2))]


def test_a_failure_and_an_unbelievable_figure_have_their_reasons(engine: Engine) -> None:
    repository, sweep = Repository(engine), ran("tonight")
    repository.record(
        samples.measurement(1, sweep=sweep, result=samples.measured(1, checks=(samples.NOISY,)))
    )
    repository.record(samples.compilation(2, sweep=sweep, failure=samples.failure("No room.")))
    assert told(engine) == [("invalid", samples.NOISY.advice, (1,)), ("failed", "No room.", (2,))]


def test_a_second_try_by_hand_fills_the_night(engine: Engine) -> None:
    repository = Repository(engine)
    repository.record(samples.compilation(2, sweep=ran("tonight"), failure=samples.failure("No room.")))
    repository.record(samples.measurement(2, sweep=ran("tonight")))
    repository.record(samples.measurement(1, sweep=ran("by hand", hours=5)))
    assert told(engine) == []


@pytest.mark.parametrize(
    "sweep",
    [
        ran("the night before", hours=-24),
        ran("since the watch began", hours=8),
        ran("another DAG", dag_id="another"),
        ran("imported", origin="import"),
    ],
    ids=lambda sweep: sweep.run_id,
)
def test_what_is_not_of_this_night_does_not_fill_it(engine: Engine, sweep: SweepRecord) -> None:
    for size in (1, 2):
        Repository(engine).record(samples.measurement(size, sweep=sweep))
    assert told(engine) == [("none", NO_SWEEP, (1, 2))]


def test_the_sweep_of_the_next_night_does_not_fill_this_one(engine: Engine) -> None:
    """Due so late that the morning after looks at it when the next one has run already."""
    due = replace(DUE, until=DUE_AT + timedelta(days=1))
    for size in (1, 2):
        Repository(engine).record(samples.measurement(size, sweep=ran("next", hours=24)))
    at = DUE_AT + timedelta(hours=30)
    assert [gap.reason for gap in declared_gaps(engine, due, at)] == [NO_SWEEP]
    assert declared_gaps(engine, DUE, at) == ()


def test_a_night_was_left_out_if_nothing_ran_on_it_and_something_had_before(engine: Engine) -> None:
    due = replace(DUE, until=DUE_AT + timedelta(days=1))
    assert not was_left_out(engine, due)  # perhaps nobody had declared it yet
    Repository(engine).record(ran("the night before", hours=-24))
    Repository(engine).record(ran("the next night", hours=24))
    assert was_left_out(engine, due)
    Repository(engine).record(ran("by the hours of then", hours=-2))
    assert not was_left_out(engine, due)


def test_another_model_of_the_same_form_does_not_fill_the_night(engine: Engine) -> None:
    spec = DUE.spec.model_copy(update={"model": DUE.spec.model.model_copy(update={"name": "another"})})
    Repository(engine).record(samples.measurement(1, sweep=ran("by hand", spec=spec)))
    assert told(engine) == [("none", NO_SWEEP, (1, 2))]


def test_a_sweep_that_still_runs_has_not_failed_yet(engine: Engine) -> None:
    Repository(engine).record(samples.measurement(1, sweep=ran("tonight")))
    assert told(engine) == [("none", NOT_FINISHED, (2,))]
    assert told(engine, at=DUE_AT + timedelta(hours=13)) == [("failed", "no result", (2,))]
