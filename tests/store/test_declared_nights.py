"""What a due sweep lacks, against a real database; what else ran that night is no part of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from benchlib.records import SweepRecord
from benchlib.store.declared_nights import NO_SWEEP, NOT_FINISHED, Due, declared_gaps
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


def test_another_model_of_the_same_form_does_not_fill_the_night(engine: Engine) -> None:
    spec = DUE.spec.model_copy(update={"model": DUE.spec.model.model_copy(update={"name": "another"})})
    Repository(engine).record(samples.measurement(1, sweep=ran("by hand", spec=spec)))
    assert told(engine) == [("none", NO_SWEEP, (1, 2))]


def test_a_sweep_that_still_runs_has_not_failed_yet(engine: Engine) -> None:
    Repository(engine).record(samples.measurement(1, sweep=ran("tonight")))
    assert told(engine) == [("none", NOT_FINISHED, (2,))]
    assert told(engine, at=DUE_AT + timedelta(hours=13)) == [("failed", "no result", (2,))]
