"""The step of an upgrade in the nightly history: raised as a change, unless the upgrade was accepted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from benchlib.orchestration.judging import Asked, judge
from benchlib.results import Environment
from benchlib.store.acceptance import accept
from benchlib.store.experiments import record_outcome, record_pairs
from benchlib.store.judgements import Remark
from benchlib.store.repository import Repository
from tests.store import experiments, samples

NIGHTS_BEFORE, NIGHTS_AFTER = 14, 4
ASKED_AT = samples.NOON + timedelta(days=NIGHTS_BEFORE - 0.5)


def night(engine: Engine, day: int, throughput_inf_per_s: float, environment: Environment) -> None:
    sweep = samples.sweep(f"night-{day}", created_at=samples.NOON + timedelta(days=day))
    jitter = 1 + 0.001 * ((day * 7) % 5 - 2)
    result = samples.measured(1, throughput_inf_per_s * jitter, environment=environment)
    Repository(engine).record(samples.measurement(1, sweep=sweep, result=result))


@pytest.mark.parametrize("accepted", [False, True])
def test_the_nightly_does_not_raise_the_step_of_an_accepted_upgrade(engine: Engine, accepted: bool) -> None:
    for day in range(NIGHTS_BEFORE):
        night(engine, day, 12000.0, experiments.OLD)
    record = experiments.experiment(created_at=ASKED_AT)
    record_pairs(engine, record, experiments.pairs())
    record_outcome(engine, record, experiments.outcome())
    if accepted:
        accept(engine, record.experiment_id, Remark(author="Ana", reason="We take it for the fix."))
    for day in range(NIGHTS_BEFORE, NIGHTS_BEFORE + NIGHTS_AFTER):
        night(engine, day, 10800.0, experiments.NEW)
    judge(engine, Asked())
    with engine.connect() as connection:
        found = connection.scalar(text("SELECT count(*) FROM change"))
        pinned = connection.scalar(text("SELECT count(*) FROM baseline WHERE kind = 'pinned'"))
    assert ((found or 0) > 0, pinned) == (not accepted, int(accepted))
