"""Nights that lack figures: which, of what, and why."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from benchlib.records import SweepRecord
from benchlib.store.coverage import Coverage, CoverageSpan, coverage
from benchlib.store.repository import Repository
from tests.store import samples

ROOT = Path(__file__).parents[2]
FIRST = date(2026, 3, 1)


def night(day: int) -> SweepRecord:
    began = datetime(2026, 3, day, 2, tzinfo=UTC)
    return samples.sweep(f"night-{day}").model_copy(update={"created_at": began})


@pytest.fixture
def three_nights(engine: Engine) -> Engine:
    """Two sizes measured on the 1st; on the 3rd one failed; nothing on the 2nd."""
    repository = Repository(engine)
    for size in (1, 2):
        repository.record(samples.measurement(size, sweep=night(1)))
    repository.record(samples.measurement(1, sweep=night(3)))
    repository.record(
        samples.measurement(2, sweep=night(3), result=None, failure=samples.failure("Out of memory."))
    )
    return engine


def until(last: date, nights: int = 3) -> CoverageSpan:
    return CoverageSpan.last(nights, last)


def test_a_night_without_a_sweep_and_a_failure_are_told_apart(three_nights: Engine) -> None:
    found = coverage(three_nights, until(date(2026, 3, 3)))
    assert found.nights == 3
    told = [(gap.night.day, gap.state, gap.reason, gap.batch_sizes) for gap in found.gaps]
    assert told == [(2, "none", "no sweep", (1, 2)), (3, "failed", "Out of memory.", (2,))]


def test_a_series_that_was_given_up_is_not_missing_for_ever(three_nights: Engine) -> None:
    later = date(2026, 3, 3) + timedelta(days=15)
    assert [gap.batch_sizes for gap in coverage(three_nights, CoverageSpan(later, later)).gaps] == []
    within = CoverageSpan(later, later, given_up_after_days=15)
    assert [gap.batch_sizes for gap in coverage(three_nights, within).gaps] == [(1,)]


def test_another_model_is_left_out(three_nights: Engine) -> None:
    span = CoverageSpan(FIRST, date(2026, 3, 3), model="another")
    assert coverage(three_nights, span) == Coverage(0, ())


def asking(sweep: SweepRecord, worker_mode: str) -> SweepRecord:
    load = sweep.spec.load.model_copy(update={"worker_mode": worker_mode})
    return sweep.model_copy(update={"spec": sweep.spec.model_copy(update={"load": load})})


def states(engine: Engine, day: int) -> list[tuple[str, str, str]]:
    query = text("SELECT worker_mode, state, reason FROM coverage WHERE night = :night ORDER BY 1")
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query, {"night": date(2026, 3, day)})]


def test_a_failed_sweep_explains_no_gap_of_another_kind_of_worker(engine: Engine) -> None:
    repository = Repository(engine)
    repository.record(samples.measurement(sweep=night(1)))
    for day, asked in ((2, "process"), (3, "thread"), (4, "auto")):
        failure = samples.failure("Out of memory.")
        repository.record(samples.measurement(sweep=asking(night(day), asked), failure=failure))
    assert states(engine, 2) == [("thread", "none", "no sweep")]
    assert states(engine, 3) == states(engine, 4) == [("thread", "failed", "Out of memory.")]


def test_a_figure_of_another_kind_of_worker_is_named(engine: Engine) -> None:
    repository = Repository(engine)
    for day, chosen in ((1, "thread"), (2, "native")):
        repository.record(samples.measurement(sweep=night(day), result=samples.measured(worker_mode=chosen)))
    other_machine = samples.HOST.model_copy(update={"instance_type": "c7i.large"})
    moved = samples.measured(worker_mode="process", environment=other_machine)
    repository.record(samples.measurement(sweep=night(3), result=moved))
    assert states(engine, 2) == [("native", "valid", ""), ("thread", "none", "measured as native")]
    assert [state for state in states(engine, 3) if state[0] != "process"] == [
        ("native", "none", "no sweep"),
        ("thread", "none", "no sweep"),
    ]


@pytest.mark.parametrize(
    ("hours", "expected"), [(1, ("none", "not finished yet")), (25, ("failed", "no result"))]
)
def test_a_young_sweep_without_attempts_has_not_failed(
    engine: Engine, hours: int, expected: tuple[str, str]
) -> None:
    repository = Repository(engine)
    repository.record(samples.measurement(sweep=night(1)))
    young = samples.sweep("young", created_at=datetime.now(UTC) - timedelta(hours=hours))
    repository.record(young)
    query = text("SELECT state, reason FROM coverage WHERE sweep_id = :sweep_id")
    with engine.connect() as connection:
        assert connection.execute(query, {"sweep_id": young.sweep_id}).one() == expected
    repository.record(samples.compilation(1, sweep=young, failure=samples.failure("No room.")))
    with engine.connect() as connection:
        assert connection.execute(query, {"sweep_id": young.sweep_id}).one() == ("failed", "No room.")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--to", "2026-03-03"), 0, "2 of 3 nights lack figures."),
        (("--to", "2026-03-03", "--fail"), 1, "Out of memory."),
        (("--to", "2026-03-01", "--fail"), 0, "All 1 nights have every figure that was expected."),
        (("--to", "2026-02-01", "--fail"), 0, "Nothing was expected on these nights"),
    ],
)
def test_the_command_is_a_check_for_cron(
    three_nights: Engine, tmp_path: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "160",
        "BENCH_HOME": str(tmp_path),
        "BENCH_DATABASE_URL": three_nights.url.render_as_string(hide_password=False),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchlib.cli", "coverage", *options], env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert said in done.stdout
