"""Records arrive once and whole, and a sweep reads as one table however many attempts it took."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, func, select, text

from benchlib.errors import BadInput
from benchlib.records import MeasurementRecord, sweep_id_of
from benchlib.results import COMPLETE, Check, Measurement
from benchlib.spec import LoadSpec, ModelSpec
from benchlib.store import DatabaseUnreachable, RecordRejected
from benchlib.store.repository import Repository, Written
from benchlib.store.tables import Base, MeasurementRow, SweepRow
from tests.store import samples

SWEEP_ID = samples.sweep().sweep_id


@pytest.fixture
def repository(engine: Engine) -> Repository:
    return Repository(engine)


RECORDED = ("environment", "sweep", "compilation", "measurement", "round")


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            name: connection.scalar(select(func.count()).select_from(Base.metadata.tables[name])) or 0
            for name in RECORDED
        }


def test_a_measurement_is_stored_with_its_sweep_environment_and_rounds(repository: Repository) -> None:
    repository.record(samples.measurement())
    assert counts(repository.engine) == {
        "environment": 1,
        "sweep": 1,
        "compilation": 0,
        "measurement": 1,
        "round": 2,
    }
    with repository.engine.connect() as connection:
        row = connection.execute(select(MeasurementRow.__table__)).one()
    assert (row.status, row.batches, row.throughput_inf_per_s) == ("ok", 12000, 12649.572)
    assert (row.p50_ms, row.p90_ms, row.p99_ms, row.samples) == (0.939, None, 0.990, 12000)
    assert row.started_at == samples.NOON
    assert row.checks == [samples.LITTLE.model_dump()]


@pytest.mark.parametrize("record", [samples.sweep(), samples.compilation(), samples.measurement()])
def test_writing_a_record_again_changes_nothing(repository: Repository, record: Any) -> None:
    repository.record(record)
    before = counts(repository.engine)
    repository.record(record)
    assert counts(repository.engine) == before


def test_equal_environments_share_a_row_and_another_host_has_its_own(repository: Repository) -> None:
    repository.record(samples.compilation())
    repository.record(samples.measurement())
    assert counts(repository.engine)["environment"] == 1
    elsewhere = samples.HOST.model_copy(update={"host": "host-b"})
    repository.record(samples.measurement(attempt=2, result=samples.measured(environment=elsewhere)))
    assert counts(repository.engine)["environment"] == 2


def test_many_workers_may_write_the_same_sweep_at_once(repository: Repository) -> None:
    records = [samples.measurement(batch_size) for batch_size in (1, 2, 3, 4)] * 2
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(repository.record, records))
    assert counts(repository.engine)["sweep"] == 1
    assert counts(repository.engine)["measurement"] == 4
    assert counts(repository.engine)["round"] == 8


def test_a_later_record_of_an_attempt_replaces_the_earlier_one_whole(repository: Repository) -> None:
    repository.record(samples.measurement())
    later = samples.NOON + timedelta(hours=1)
    repository.record(samples.measurement(failure=samples.failure(), recorded_at=later))
    assert counts(repository.engine)["round"] == 0
    (row, _) = repository.comparison(SWEEP_ID).rows
    assert (row.status, row.throughput_inf_per_s) == ("failed", None)


def test_an_earlier_record_of_an_attempt_that_comes_late_changes_nothing(repository: Repository) -> None:
    later = samples.NOON + timedelta(hours=1)
    repository.record(samples.measurement(recorded_at=later))
    repository.record(samples.measurement(failure=samples.failure(), recorded_at=samples.NOON))
    assert repository.comparison(SWEEP_ID).rows[0].status == "ok"
    assert counts(repository.engine)["round"] == 2


def test_a_record_that_breaks_a_rule_leaves_nothing_behind(repository: Repository) -> None:
    rounds = samples.measured().rounds
    odd = rounds[1].model_copy(update={"throughput_inf_per_s": 1.0})
    broken = samples.measured(rounds=(rounds[0], odd))
    with pytest.raises(RecordRejected, match="ck_round_throughput_matches_duration"):
        repository.record(samples.measurement(result=broken))
    assert set(counts(repository.engine).values()) == {0}


def test_one_run_under_two_sweep_ids_is_refused(repository: Repository) -> None:
    repository.record(samples.sweep())
    with pytest.raises(RecordRejected, match="run run-1 of inf2_batch_sweep is stored under another"):
        repository.record(samples.sweep(sweep_id=sweep_id_of("inf2_batch_sweep", "another")))


def test_a_record_with_neither_result_nor_failure_is_refused(repository: Repository) -> None:
    with pytest.raises(RecordRejected, match="ck_measurement_failed_has_reason"):
        repository.record(samples.measurement(result=None))


def test_a_record_with_both_result_and_failure_is_refused(repository: Repository) -> None:
    with pytest.raises(RecordRejected):
        repository.record(samples.measurement(result=samples.measured(), failure=samples.failure()))


def test_how_a_measurement_was_driven_is_stored(repository: Repository) -> None:
    repository.record(samples.measurement(result=samples.told()))
    with repository.engine.connect() as connection:
        row = connection.execute(select(MeasurementRow.__table__)).one()
    assert (row.worker_mode, row.processes, row.topology) == ("native", 1, "C++ loop: the calls are short.")
    assert (row.throughput_low_inf_per_s, row.throughput_high_inf_per_s) == (12600.5, 12700.25)
    assert (row.p50_low_ms, row.p50_high_ms, row.p99_9_low_ms, row.p99_9_high_ms) == (0.938, 0.94, 1.0, 1.25)
    assert (row.overhead_ns_per_call, row.overhead_service_ms) == (420.5, 0.948)
    assert (row.ideal_batches_per_s, row.ceiling_batches_per_s) == (12658.2, 12600.9)
    assert row.telemetry == [reading.model_dump() for reading in samples.READINGS]
    assert (row.target_batches_per_s, row.server_trials, row.service_samples) == (None, None, None)


def test_a_server_measurement_is_stored_with_its_search_and_service(repository: Repository) -> None:
    repository.record(samples.server_measurement())
    with repository.engine.connect() as connection:
        row = connection.execute(select(MeasurementRow.__table__)).one()
    assert (row.target_batches_per_s, row.p99_limit_ms, row.arrival_seed) == (500.5, 5.0, 7)
    assert row.server_trials == [trial.model_dump() for trial in samples.TRIALS]
    assert (row.service_samples, row.service_p50_ms, row.service_p99_ms) == (12000, 0.9, 0.99)
    assert (row.service_p90_ms, row.service_p99_9_ms) == (None, 1.0)


def test_what_nobody_said_is_null_and_no_json(repository: Repository) -> None:
    repository.record(samples.measurement())
    unsaid = text("SELECT num_nonnulls(topology, telemetry, server_trials, processes) FROM measurement")
    with repository.engine.connect() as connection:
        assert connection.scalar(unsaid) == 0


def test_what_a_sweep_asks_for_is_stored(repository: Repository) -> None:
    load = LoadSpec(
        worker_mode="process", warmup="fixed", stop="duration", duration_s=30.0, relative_half_width=0.01,
        target_batches_per_s=500.0, latency_limit_ms=5.0, arrival_seed=7,
    )  # fmt: skip
    model = ModelSpec(name="bert-base-uncased", head="encoder", inputs="zeros_int32")
    spec = samples.sweep().spec.model_copy(update={"model": model, "scenario": "server", "load": load})
    repository.record(samples.sweep(spec=spec))
    with repository.engine.connect() as connection:
        row = connection.execute(select(SweepRow.__table__)).one()
    asked = {name: getattr(row, name) for name in LoadSpec.model_fields if name in row._fields}
    assert asked == {**load.model_dump(), "replicas": None, "workers": None}
    assert (row.head, row.inputs, row.model_variant) == ("encoder", "zeros_int32", "encoder zeros_int32")


def test_what_a_crashing_process_printed_is_kept_even_with_nul_in_it(repository: Repository) -> None:
    crash = samples.failure("It crashed\0.", log_tail=("ok", "garbage \0\0"))
    repository.record(samples.measurement(failure=crash))
    with repository.engine.connect() as connection:
        tail = connection.scalar(select(MeasurementRow.failure_log_tail))
    assert tail == ["ok", "garbage \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"]


def test_a_time_without_a_zone_is_utc(repository: Repository) -> None:
    with repository.engine.begin() as connection:
        name = connection.scalar(select(func.current_database()))
        connection.execute(text(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'"))
    repository.engine.dispose()
    naive = samples.measured(started_at=samples.NOON.replace(tzinfo=None))
    repository.record(samples.measurement(result=naive))
    with repository.engine.connect() as connection:
        started_at = connection.scalar(select(MeasurementRow.started_at))
    assert started_at is not None
    assert started_at.astimezone(UTC) == samples.NOON


# The comparison.


def test_rows_ascend_by_batch_size_and_carry_the_figures(repository: Repository) -> None:
    repository.record(samples.measurement(2))
    repository.record(samples.measurement(1))
    comparison = repository.comparison(SWEEP_ID)
    assert [row.batch_size for row in comparison.rows] == [1, 2]
    row = comparison.rows[0]
    assert (row.filename, row.status, row.reason) == ("model_batch_size_1.pt", "ok", "")
    assert (row.batches, row.inferences, row.workers, row.replicas) == (12000, 12000, 12, 12)
    assert (row.duration_s, row.throughput_inf_per_s) == (pytest.approx(0.949, abs=0.0005), 12649.572)
    assert (row.p50_ms, row.p95_ms, row.p99_ms) == (0.939, 0.974, 0.990)


def test_rows_say_how_sure_the_figures_are(repository: Repository) -> None:
    repository.record(samples.measurement(1, result=samples.told(1)))
    told, missing = repository.comparison(SWEEP_ID).rows
    assert (told.throughput_low_inf_per_s, told.throughput_high_inf_per_s) == (12600.5, 12700.25)
    assert (told.p90_ms, told.p99_9_ms, told.samples, told.worker_mode) == (0.96, 1.1, 12000, "native")
    assert (missing.throughput_low_inf_per_s, missing.samples, missing.worker_mode) == (None, None, None)


def test_the_head_says_under_which_load(repository: Repository) -> None:
    repository.record(samples.server_measurement())
    comparison = repository.comparison(samples.asked_of_server().sweep_id)
    assert (comparison.scenario, comparison.latency_limit_ms) == ("server", 5.0)
    assert comparison.rows[0].status == "ok"
    repository.record(samples.measurement())
    plain = repository.comparison(SWEEP_ID)
    assert (plain.scenario, plain.latency_limit_ms) == ("offline", None)


def test_the_head_says_what_was_measured_on_what(repository: Repository) -> None:
    repository.record(samples.measurement())
    comparison = repository.comparison(SWEEP_ID)
    assert (comparison.model, comparison.sequence_length) == ("bert-base-uncased", 128)
    assert (comparison.backend, comparison.precision) == ("cpu", "fp32")
    assert (comparison.device, comparison.hardware, comparison.instance_type) == ("Test CPU", False, None)
    assert (comparison.label, comparison.origin) == ("first", "dag")
    assert comparison.created_at == samples.NOON


def test_one_row_of_a_stand_in_keeps_the_sweep_from_passing_for_an_accelerators(
    repository: Repository,
) -> None:
    real = samples.HOST.model_copy(update={"hardware": True, "device": "Inferentia2"})
    repository.record(samples.measurement(1, result=samples.measured(1, environment=real)))
    assert repository.comparison(SWEEP_ID).hardware is True
    repository.record(samples.measurement(2))
    comparison = repository.comparison(SWEEP_ID)
    assert (comparison.hardware, comparison.device) == (False, "Inferentia2, Test CPU")


def test_the_latest_attempt_counts(repository: Repository) -> None:
    repository.record(samples.measurement(attempt=2, result=samples.measured(throughput_inf_per_s=13000.0)))
    repository.record(samples.measurement(attempt=1))
    assert repository.comparison(SWEEP_ID).rows[0].throughput_inf_per_s == 13000.0


def test_an_ok_attempt_beats_a_later_failure(repository: Repository) -> None:
    repository.record(samples.measurement(attempt=1))
    repository.record(samples.measurement(attempt=2, failure=samples.failure()))
    assert repository.comparison(SWEEP_ID).rows[0].status == "ok"


def test_without_an_ok_attempt_the_latest_says_why(repository: Repository) -> None:
    repository.record(samples.measurement(attempt=1, failure=samples.failure("First.")))
    repository.record(samples.measurement(attempt=2, failure=samples.failure("Second.")))
    row = repository.comparison(SWEEP_ID).rows[0]
    assert (row.status, row.reason, row.batches, row.p50_ms) == ("failed", "Second.", None, None)


def test_an_invalid_measurement_shows_its_figures_and_what_failed(repository: Repository) -> None:
    doubtful = samples.measured(checks=(samples.NOISY, samples.LITTLE, samples.QUARRELSOME))
    repository.record(samples.measurement(result=doubtful))
    row = repository.comparison(SWEEP_ID).rows[0]
    assert (row.status, row.throughput_inf_per_s) == ("invalid", 12649.572)
    assert row.reason == f"{samples.NOISY.advice} {samples.QUARRELSOME.advice}"


def test_an_asked_batch_size_without_a_trace_is_a_failed_row(repository: Repository) -> None:
    repository.record(samples.measurement(1, sweep=samples.asked(1, 2, 4)))
    rows = repository.comparison(SWEEP_ID).rows
    assert [(row.batch_size, row.status, row.reason) for row in rows] == [
        (1, "ok", ""),
        (2, "failed", "no result"),
        (4, "failed", "no result"),
    ]
    assert rows[2].filename == "model_batch_size_4.pt"


def test_a_failed_compilation_is_a_failed_row_with_its_reason(repository: Repository) -> None:
    repository.record(samples.compilation(1, failure=samples.failure("No such operator.", stage="compile")))
    repository.record(samples.compilation(2))
    rows = repository.comparison(SWEEP_ID).rows
    assert [(row.status, row.reason) for row in rows] == [
        ("failed", "No such operator."),
        ("failed", "no result"),
    ]


def test_a_compilation_that_succeeded_in_the_end_explains_no_failure(repository: Repository) -> None:
    repository.record(samples.compilation(1, failure=samples.failure("Out of disk.", stage="compile")))
    repository.record(samples.compilation(1, attempt=2))
    assert repository.comparison(SWEEP_ID).rows[0].reason == "no result"


def test_a_sweep_in_which_nothing_worked_is_still_a_table(repository: Repository) -> None:
    repository.record(samples.sweep())
    comparison = repository.comparison(SWEEP_ID)
    assert (comparison.device, comparison.hardware, comparison.precision) == ("unknown", False, None)
    assert [row.status for row in comparison.rows] == ["failed", "failed"]


def test_an_imported_sweep_needs_no_rounds(repository: Repository) -> None:
    imported = samples.sweep(origin="import")
    bare = samples.measured(rounds=(), checks=(), precision=None)
    repository.record(samples.measurement(1, sweep=imported, result=bare))
    comparison = repository.comparison(SWEEP_ID)
    assert (comparison.origin, comparison.rows[0].status) == ("import", "ok")


def test_an_unknown_sweep_is_bad_input(repository: Repository) -> None:
    with pytest.raises(BadInput, match="stored sweep"):
        repository.comparison(SWEEP_ID)


# Which sweeps there are.


@pytest.fixture
def two_sweeps(repository: Repository) -> Iterator[Repository]:
    repository.record(samples.sweep("evening", created_at=samples.NOON + timedelta(hours=8)))
    repository.record(samples.sweep("morning", created_at=samples.NOON - timedelta(hours=4)))
    return repository


def test_no_sweep_is_the_latest_of_none(repository: Repository) -> None:
    assert repository.latest_sweep_id() is None


def test_sweeps_come_newest_first(two_sweeps: Repository) -> None:
    assert [sweep.run_id for sweep in two_sweeps.sweeps()] == ["evening", "morning"]
    assert [sweep.run_id for sweep in two_sweeps.sweeps(limit=1)] == ["evening"]
    assert two_sweeps.latest_sweep_id() == samples.sweep("evening").sweep_id
    assert two_sweeps.sweeps()[0].batch_sizes == (1, 2)


def test_a_sweep_is_found_by_its_run_or_by_the_beginning_of_its_id(two_sweeps: Repository) -> None:
    morning = samples.sweep("morning").sweep_id
    assert two_sweeps.find_sweep("morning") == morning
    assert two_sweeps.find_sweep(str(morning)[:9].upper()) == morning
    assert two_sweeps.find_sweep(f" {morning}\n") == morning


@pytest.mark.parametrize("text", ["", "night", "%", "morn", "_", "\0"])
def test_what_fits_no_sweep_is_bad_input(two_sweeps: Repository, text: str) -> None:
    with pytest.raises(BadInput, match="a run id, or the first characters"):
        two_sweeps.find_sweep(text)


def test_what_fits_several_sweeps_is_bad_input(repository: Repository) -> None:
    for dag_id in ("a", "b"):
        repository.record(samples.sweep("same", dag_id=dag_id, sweep_id=sweep_id_of(dag_id, "same")))
    with pytest.raises(BadInput, match="one sweep only"):
        repository.find_sweep("same")


# The database goes away.


def test_a_connection_lost_on_the_way_is_replaced_and_the_work_done_again(
    repository: Repository, engine: Engine
) -> None:
    lost = []

    @event.listens_for(engine, "before_cursor_execute")
    def lose(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if "INSERT INTO measurement" in statement and not lost:
            lost.append(connection.connection.dbapi_connection.get_backend_pid())
            with create_engine(engine.url).connect() as other:
                other.execute(text(f"SELECT pg_terminate_backend({lost[0]}, 5000)"))

    repository.record(samples.measurement())
    assert len(lost) == 1
    assert counts(engine)["round"] == 2


def test_a_database_that_is_away_is_named_but_not_its_password() -> None:
    away = create_engine("postgresql+psycopg2://bench:open-sesame@127.0.0.1:1/results")
    with pytest.raises(DatabaseUnreachable, match=r"results at 127\.0\.0\.1:1 cannot be used") as caught:
        Repository(away).record(samples.measurement())
    assert "open-sesame" not in str(caught.value)


def test_a_database_without_tables_says_so_and_is_no_reason_to_give_a_record_up(
    empty_database_url: str,
) -> None:
    with pytest.raises(DatabaseUnreachable, match="run `bench db upgrade`"):
        Repository(create_engine(empty_database_url)).record(samples.measurement())


# Many at once.


def test_many_measurements_are_written_as_one_by_one(repository: Repository, engine: Engine) -> None:
    records = [
        samples.measurement(1),
        samples.measurement(2, failure=samples.failure()),
        samples.measurement(
            1, sweep=samples.sweep("other", sweep_id=sweep_id_of("inf2_batch_sweep", "other"))
        ),
    ]
    assert repository.record_all(records) == Written(inserted=3)
    assert counts(engine) == {"environment": 1, "sweep": 2, "compilation": 0, "measurement": 3, "round": 4}
    rows = repository.comparison(SWEEP_ID).rows
    assert [(row.batch_size, row.status) for row in rows] == [(1, "ok"), (2, "failed")]


def test_many_measurements_are_written_once(repository: Repository, engine: Engine) -> None:
    records = [samples.measurement(1), samples.measurement(2)]
    repository.record_all(records)
    before = counts(engine)
    assert repository.record_all([*records, *records, samples.measurement(4)]) == Written(inserted=1)
    assert counts(engine) == {**before, "measurement": 3, "round": 6}


def test_of_several_records_of_an_attempt_the_one_recorded_later_stays(repository: Repository) -> None:
    late = samples.measurement(result=samples.measured(throughput_inf_per_s=13000.0))
    early = samples.measurement(recorded_at=samples.NOON)
    repository.record_all([late, early])
    assert repository.comparison(SWEEP_ID).rows[0].throughput_inf_per_s == 13000.0
    assert repository.record_all([early]) == Written()
    assert repository.comparison(SWEEP_ID).rows[0].throughput_inf_per_s == 13000.0


def test_what_is_replaced_is_told_from_what_is_new_and_what_stays(repository: Repository) -> None:
    repository.record_all([samples.measurement(1), samples.measurement(2)])
    other = samples.measurement(2, result=samples.measured(2, throughput_inf_per_s=13000.0))
    written = repository.record_all([samples.measurement(1), other, samples.measurement(4)])
    assert written == Written(inserted=1, replaced=1)
    assert repository.comparison(SWEEP_ID).rows[1].throughput_inf_per_s == 13000.0
    assert counts(repository.engine)["round"] == 6


def test_an_import_replaces_all_attempts_of_a_batch_size(repository: Repository) -> None:
    imported = samples.sweep(origin="import")

    def row(place: int, rate: float, minute: int) -> MeasurementRecord:
        at = samples.NOON + timedelta(minutes=minute)
        return samples.measurement(
            1, place, sweep=imported, recorded_at=at, result=samples.measured(throughput_inf_per_s=rate)
        )

    def stored() -> list[tuple[int, float]]:
        figures = select(MeasurementRow.attempt, MeasurementRow.throughput_inf_per_s)
        with repository.engine.connect() as connection:
            return [tuple(each) for each in connection.execute(figures.order_by(MeasurementRow.attempt))]

    assert repository.record_all([row(1, 12000.0, 9)]) == Written(inserted=1)
    grown = [row(1, 13000.0, 5), row(2, 12000.0, 9)]
    assert repository.record_all(grown) == Written(inserted=1, replaced=1)
    assert stored() == [(1, 13000.0), (2, 12000.0)]
    assert repository.record_all([row(1, 12000.0, 9)]) == Written(replaced=2)
    assert stored() == [(1, 12000.0)]


CUT = Check(name=COMPLETE, passed=False, advice="Stopped.")


@pytest.mark.parametrize(
    ("attempts", "interrupted"),
    [
        ([samples.measured(checks=(CUT,))], {1}),
        ([samples.measured(checks=(CUT,)), None], {1}),
        ([samples.measured(checks=(CUT,)), samples.measured(checks=(samples.NOISY,))], set()),
        ([samples.measured(checks=(samples.NOISY,)), samples.measured(checks=(CUT,))], set()),
        ([None], set()),
    ],
)
def test_a_batch_size_is_interrupted_while_no_attempt_came_to_its_end(
    repository: Repository, attempts: list[Measurement | None], interrupted: set[int]
) -> None:
    for number, result in enumerate(attempts, start=1):
        failure = None if result else samples.failure()
        repository.record(samples.measurement(1, number, result=result, failure=failure))
    assert repository.interrupted(SWEEP_ID) == interrupted


def test_another_scenario_completes_no_batch_size(repository: Repository) -> None:
    repository.record(samples.measurement(result=samples.measured(checks=(CUT,))))
    repository.record(samples.measurement(scenario="server", result=samples.served()))
    assert repository.interrupted(SWEEP_ID) == {1}


def test_one_wrong_record_of_many_keeps_all_out(repository: Repository, engine: Engine) -> None:
    wrong = samples.measurement(2, result=samples.measured(2, duration_s=99.0))
    with pytest.raises(RecordRejected, match="throughput_matches_duration"):
        repository.record_all([samples.measurement(1), wrong])
    assert set(counts(engine).values()) == {0}


def test_nothing_is_written_where_there_is_nothing(repository: Repository) -> None:
    assert repository.record_all([]) == Written()


def test_what_an_import_does_not_know_is_stored_as_unknown(repository: Repository) -> None:
    bare = samples.measured(
        batches=None, inferences=None, duration_s=None, replicas=None, workers=None, worker_mode=None,
        latency=samples.latency(samples=None), rounds=(),
    )  # fmt: skip
    repository.record(samples.measurement(1, sweep=samples.sweep(origin="import"), result=bare))
    row = repository.comparison(SWEEP_ID).rows[0]
    assert (row.status, row.throughput_inf_per_s, row.p50_ms) == ("ok", 12649.572, 0.939)
    assert (row.batches, row.inferences, row.duration_s, row.workers) == (None, None, None, None)
