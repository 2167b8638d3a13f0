"""What is kept of comparisons, and what accepting one does to the nightly series."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from benchlib.analysis.paired import Family, judge_pairs
from benchlib.errors import BadInput, BenchError
from benchlib.experiments import PairRecord, Problem, TurnRecord
from benchlib.results import Environment
from benchlib.settings import PROJECT_ROOT
from benchlib.store.acceptance import accept, write_due_epochs
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.errors import RecordRejected
from benchlib.store.experiments import (
    check_same_environment,
    find_experiment,
    list_experiments,
    record_experiment,
    record_outcome,
    record_pairs,
    stored_experiment,
)
from benchlib.store.judgement_lists import list_baselines
from benchlib.store.judgements import Remark, SweepRange, pin
from benchlib.store.migrate import downgrade, upgrade
from benchlib.store.repository import Repository
from tests.store import experiments, samples
from tests.store.conftest import run_psql
from tests.store.test_roles import logged_in

ANA = Remark(author="Ana", reason="The release notes name it.")
MINE = experiments.experiment().experiment_id


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture
def reader(postgres: EmbeddedPostgres, engine: Engine) -> Iterator[Engine]:
    run_psql(postgres, engine, "-f", str(PROJECT_ROOT / "sql" / "roles.sql"))
    with logged_in(engine, "bench_reader") as account:
        yield account


def test_what_is_written_comes_back_to_one_who_only_reads(engine: Engine, reader: Engine) -> None:
    spoilt = experiments.pair(
        7,
        1,
        new=TurnRecord.without("crashed: it did"),
        old=experiments.turn(1000.0, failed_checks=("no_steal",)),
    )
    written = [*experiments.pairs(), spoilt]
    record_pairs(engine, experiments.experiment(), written)
    problems = (Problem(batch_size=2, side="new", stage="compile", reason="It did not."),)
    record_outcome(engine, experiments.experiment(), experiments.outcome(problems=problems))
    found = stored_experiment(reader, MINE)
    assert found is not None
    assert list(found.pairs) == sorted(written, key=lambda pair: (pair.batch_size, pair.number))
    assert found.record.spec == experiments.spec()
    blank = {"fingerprint": ""}
    assert found.record.old_environment == experiments.OLD.model_copy(update=blank)
    assert (found.verdict, found.problems, found.acceptance) == ("worse", problems, None)
    assert find_experiment(reader, str(MINE)[:8]) == find_experiment(reader, "ab-1") == MINE
    with pytest.raises(BadInput, match="experiment: 'nothing' is not allowed"):
        find_experiment(reader, "nothing")


def test_writing_it_again_changes_nothing(engine: Engine) -> None:
    everything = "SELECT experiment::text FROM experiment UNION ALL SELECT pair::text FROM pair ORDER BY 1"
    record_experiment(engine, experiments.experiment(old_environment=None, new_environment=None))
    record_pairs(engine, experiments.experiment(), experiments.pairs(2))
    record_outcome(engine, experiments.experiment(), experiments.outcome())
    before = rows(engine, everything)
    record_experiment(engine, experiments.experiment(old_environment=None, new_environment=None))
    record_pairs(engine, experiments.experiment(), experiments.pairs(2))
    record_outcome(engine, experiments.experiment(), experiments.outcome())
    assert rows(engine, everything) == before
    assert len(before) == 5


def test_a_pair_that_breaks_a_rule_takes_none_of_the_others_in(engine: Engine) -> None:
    broken = experiments.pair(2, new=experiments.turn(1.0).model_copy(update={"p50_ms": -1.0}))
    with pytest.raises(RecordRejected, match="ck_pair_figures"):
        record_pairs(engine, experiments.experiment(), [experiments.pair(1), broken])
    assert rows(engine, "SELECT count(*) FROM pair") == [(0,)]


def test_the_views_say_what_an_engineer_asks(engine: Engine) -> None:
    record_pairs(engine, experiments.experiment(), experiments.pairs())
    record_outcome(engine, experiments.experiment(), experiments.outcome())
    (line,) = rows(
        engine,
        "SELECT old_sdk, new_sdk, environment_changes, pairs, unusable_pairs, verdict, hardware, with_itself "
        "FROM experiment_history",
    )
    changes = "neuronx_cc 2.20.1 -> 2.21.0, python 3.10.12 -> 3.12.3"
    assert line == ("neuronx-cc 2.20.1", "neuronx-cc 2.21.0", changes, 12, 0, "worse", False, False)
    judged = rows(
        engine,
        "SELECT batch_size, metric, old_value, relative_change, pairs, verdict "
        "FROM experiment_judgement WHERE metric = 'throughput_inf_per_s' ORDER BY batch_size",
    )
    (one, two, mean) = judged
    assert one[:4] == (1, "throughput_inf_per_s", 1000, pytest.approx(-0.0965, abs=0.001))
    assert (two[0], mean[0], mean[2]) == (2, None, None)
    assert {each[4:] for each in judged} == {(6, "worse")}
    assert rows(engine, "SELECT count(*) FROM experiment_pair WHERE first_side = 'new'") == [(6,)]
    (listed,) = list_experiments(engine)
    assert (listed.experiment_id, listed.label, listed.batch_sizes) == (MINE, "SDK 2.26?", (1, 2))


def finished(engine: Engine, **changes: Any) -> None:
    record = experiments.experiment(**changes)
    record_pairs(engine, record, experiments.pairs())
    record_outcome(engine, record, experiments.outcome())


def test_an_upgrade_is_accepted_once(engine: Engine) -> None:
    finished(engine)
    first = accept(engine, MINE, ANA)
    again = accept(engine, MINE, Remark(author="Ben", reason="Me too."))
    assert (first.is_new, again.is_new, again.acceptance) == (True, False, first.acceptance)
    record_outcome(engine, experiments.experiment(), experiments.outcome(verdict="better"))
    assert rows(engine, "SELECT accepted_by, verdict FROM experiment") == [("Ana", "worse")]


def test_what_has_no_verdict_or_no_difference_cannot_be_accepted(engine: Engine) -> None:
    record_experiment(engine, experiments.experiment())
    with pytest.raises(BadInput, match="not finished"):
        accept(engine, MINE, ANA)
    finished(engine, new_environment=experiments.OLD)
    with pytest.raises(BadInput, match="sides differ"):
        accept(engine, MINE, ANA)
    with pytest.raises(BadInput, match="the id of a stored experiment"):
        accept(engine, samples.sweep().sweep_id, ANA)


def night(engine: Engine, day: int, environment: Environment, sizes: tuple[int, ...] = (1, 2, 4)) -> Any:
    sweep = samples.sweep(f"night-{day}", created_at=samples.NOON + timedelta(days=day))
    for size in sizes:
        result = samples.measured(size, environment=environment)
        Repository(engine).record(samples.measurement(size, sweep=sweep, result=result))
    return sweep.sweep_id


NEW_ELSEWHERE = experiments.NEW.model_copy(update={"host": "host-b", "kernel": "6.8"})


def pinned(engine: Engine) -> list[tuple[int, Any, str]]:
    found = list_baselines(engine, pinned_only=True)
    return [(each.batch_size, each.first_sweep_id, each.author) for each in found]


def test_series_begin_anew_with_the_first_night_of_what_was_accepted(engine: Engine) -> None:
    finished(engine)
    night(engine, -1, experiments.NEW)  # before anybody asked
    night(engine, 1, experiments.OLD)
    accept(engine, MINE, ANA)
    assert write_due_epochs(engine) == ()
    upgraded = night(engine, 2, NEW_ELSEWHERE)
    night(engine, 3, NEW_ELSEWHERE)
    (epoch,) = write_due_epochs(engine)
    assert (epoch.sweep_id, len(epoch.series_ids)) == (upgraded, 2)
    assert pinned(engine) == [(1, upgraded, "Ana"), (2, upgraded, "Ana")]  # 4 was not compared
    (reason,) = set(rows(engine, "SELECT reason FROM baseline"))
    changed = "neuronx_cc 2.20.1 -> 2.21.0, python 3.10.12 -> 3.12.3"
    assert reason == (f"Experiment {str(MINE)[:8]} accepted ({changed}): The release notes name it.",)


@pytest.mark.parametrize(
    ("model", "load", "sweep"),
    [
        ({"head": "encoder"}, {}, {}),
        ({}, {"replicas": 7}, {}),
        ({}, {"workers": 7}, {}),
        ({}, {"worker_mode": "process"}, {}),
        ({}, {}, {"precision": "bf16"}),
    ],
)
def test_series_of_another_load_or_network_keep_their_baseline(
    engine: Engine, model: dict[str, Any], load: dict[str, Any], sweep: dict[str, Any]
) -> None:
    asked = experiments.spec().sweep
    parts = {
        "model": asked.model.model_copy(update=model),
        "load": asked.load.model_copy(update=load),
        **sweep,
    }
    finished(engine, spec=experiments.spec(sweep=asked.model_copy(update=parts)))
    accept(engine, MINE, ANA)
    night(engine, 2, experiments.NEW)
    assert write_due_epochs(engine) == ()


def test_only_sizes_that_were_judged_are_accepted(engine: Engine) -> None:
    finished(engine)
    of_one = judge_pairs([each.figures() for each in experiments.pairs() if each.batch_size == 1])
    record_outcome(engine, experiments.experiment(), experiments.outcome(family=Family(())))
    with pytest.raises(BadInput, match="one in which a batch size was judged"):
        accept(engine, MINE, ANA)
    record_outcome(engine, experiments.experiment(), experiments.outcome(family=of_one))
    accept(engine, MINE, ANA)
    night(engine, 2, experiments.NEW)
    write_due_epochs(engine)
    assert [each[0] for each in pinned(engine)] == [1]


def test_an_epoch_is_written_once_and_people_have_the_last_word(engine: Engine) -> None:
    finished(engine)
    accept(engine, MINE, ANA)
    night(engine, 2, experiments.NEW)
    write_due_epochs(engine)
    later = night(engine, 3, experiments.NEW)
    pin(engine, SweepRange(later, later), [], Remark(author="Ben", reason="Rather this night."))
    assert write_due_epochs(engine) == ()
    assert {each[1:] for each in pinned(engine)} == {(later, "Ben")}


def test_going_on_in_another_environment_is_refused_and_on_an_equal_host_is_not() -> None:
    check_same_environment(None, experiments.NEW, "new")
    check_same_environment(experiments.OLD, experiments.OLD.model_copy(update={"host": "host-b"}), "old")
    with pytest.raises(
        BenchError, match=r"the old side .* \(neuronx_cc 2.20.1 -> 2.21.0, python .*start a new"
    ):
        check_same_environment(experiments.OLD, experiments.NEW, "old")


def test_the_migration_leads_back_and_up_again_beside_other_rows(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    upgrade(engine)
    Repository(engine).record(samples.measurement())
    finished(engine)
    downgrade(engine, "0006")
    assert rows(engine, "SELECT count(*) FROM measurement") == [(1,)]
    assert rows(
        engine, "SELECT to_regclass('experiment'), to_regclass('pair'), to_regclass('experiment_pair')"
    ) == [(None, None, None)]
    upgrade(engine)
    finished(engine)
    assert len(list_experiments(engine)) == 1
    engine.dispose()


def test_a_usable_pair_has_figures_and_an_unusable_one_a_reason() -> None:
    assert experiments.pair().unusable is None
    spoilt = experiments.pair(new=TurnRecord.without("it crashed"))
    assert spoilt.unusable == "new: it crashed"
    assert isinstance(spoilt, PairRecord)
