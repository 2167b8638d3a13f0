"""No row breaks a rule of its table, whoever writes it."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

import pytest
from sqlalchemy import (
    CheckConstraint,
    Engine,
    Table,
    create_engine,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.exc import DataError, IntegrityError

from benchlib import spec
from benchlib.records import SweepRecord
from benchlib.results import CompileResult, Environment, FailureKind, Interval, WorkerMode
from benchlib.store import rows
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.experiments import record_outcome, record_pairs
from benchlib.store.notices import tell_once
from benchlib.store.repository import Repository
from benchlib.store.tables import Base
from tests.conftest import new_database
from tests.store import experiments, judgements, samples

TABLES = Base.metadata.tables
COMPUTED = {
    column.name for table in TABLES.values() for column in table.columns if column.computed is not None
}

NEXT = samples.sweep("run-2", origin="import", created_at=samples.NOON + timedelta(days=1))

ARRIVING = {"target_batches_per_s": 500.0, "arrival_seed": 0, "server_trials": []}

BROKEN: dict[str, dict[str, Any]] = {
    "ck_environment_named": {"device": ""},
    "ck_environment_counts": {"cores": 0},
    "ck_sweep_origin": {"origin": "hearsay"},
    "ck_sweep_batch_sizes": {"batch_sizes": [1, 0]},
    "ck_sweep_precision": {"precision": "fp8"},
    "ck_sweep_scenario": {"scenario": "online"},
    "ck_sweep_counts": {"rounds": 0},
    "ck_sweep_seed": {"seed": -1},
    "ck_sweep_head": {"head": "decoder"},
    "ck_sweep_inputs": {"inputs": "images"},
    "ck_sweep_worker_mode": {"worker_mode": "fibre"},
    "ck_sweep_warmup": {"warmup": "none"},
    "ck_sweep_stop": {"stop": "never"},
    "ck_sweep_stop_rule": {"duration_s": 0.0},
    "ck_sweep_arrivals": {"target_batches_per_s": 500.0},
    "ck_sweep_latency_limit": {"latency_limit_ms": math.nan},
    "ck_compilation_status": {"status": "invalid"},
    "ck_compilation_precision": {"precision": "fp8"},
    "ck_compilation_counts": {"attempt": 0},
    "ck_compilation_artifact": {"artifact_sha256": "short"},
    "ck_compilation_duration": {"compile_duration_s": -0.1},
    "ck_compilation_ok_has_artifact": {"artifact_key": None},
    "ck_compilation_failed_has_reason": {"status": "failed"},
    "ck_compilation_failure_kind": {"failure_kind": "tired"},
    "ck_measurement_status": {"status": "good"},
    "ck_measurement_scenario": {"scenario": "online"},
    "ck_measurement_precision": {"precision": "fp8"},
    "ck_measurement_worker_mode": {"worker_mode": "fibre"},
    "ck_measurement_load": {"workers": 0},
    "ck_measurement_load_is_known": {"worker_mode": None},
    "ck_measurement_samples": {"samples": 12001},
    "ck_measurement_single_stream": {"scenario": "single_stream"},
    "ck_measurement_inferences": {"batches": 11999},
    "ck_measurement_counts": {"samples": 0},
    "ck_measurement_rates": {"throughput_inf_per_s": math.inf},
    "ck_measurement_throughput_matches_duration": {"duration_s": 0.97},
    "ck_measurement_latencies": {"p99_ms": math.nan},
    "ck_measurement_latencies_ordered": {"p50_ms": 0.975},
    "ck_measurement_limits": {"p50_low_ms": 0.9},
    "ck_measurement_limits_ordered": {"p50_low_ms": 0.94, "p50_high_ms": 0.95},
    "ck_measurement_processes": {"processes": 0},
    "ck_measurement_overhead": {"overhead_ns_per_call": 420.0},
    "ck_measurement_telemetry": {"telemetry": {}},
    "ck_measurement_samples_url": {"samples_url": ""},
    "ck_notice_named": {"subject": ""},
    "ck_notice_told": {"told_to": []},
    "ck_measurement_server_only": ARRIVING,
    "ck_measurement_arrivals": {**ARRIVING, "scenario": "server", "arrival_seed": None},
    "ck_measurement_service": {
        **ARRIVING,
        "scenario": "server",
        "service_p50_ms": 2.0,
        "service_p99_ms": 1.0,
    },
    "ck_measurement_load_duration": {"load_duration_s": -1.0},
    "ck_measurement_result_has_figures": {"throughput_inf_per_s": None},
    "ck_measurement_failed_has_reason": {"status": "failed"},
    "ck_measurement_latency_histogram": {"latency_buckets": [1, 2], "latency_bucket_batches": [12000]},
    "ck_measurement_status_matches_checks": {"status": "invalid"},
    "ck_measurement_failure_kind": {"failure_kind": "tired"},
    "ck_measurement_result_has_series": {"series_id": None},
    "ck_series_derived": {"model": "bert-large-uncased"},
    "ck_series_counts": {"workers": 0},
    "ck_series_arrivals": {"arrivals": "rate 500/s"},
    "ck_round_index": {"round_index": -1},
    "ck_round_inferences": {"inferences": 6001},
    "ck_round_counts": {"samples": 0},
    "ck_round_rates": {"duration_s": 0.0},
    "ck_round_throughput_matches_duration": {"throughput_inf_per_s": 12000.0},
    "ck_round_latencies": {"p50_ms": -1.0},
    "ck_round_latencies_ordered": {"max_ms": 0.98},
    "ck_change_metric": {"metric": "cores"},
    "ck_change_values": {"before_value": -1000.0, "after_value": -970.0},
    "ck_change_differs": {"after_value": 1000.0},
    "ck_change_interval": {"relative_low": -0.02},
    "ck_change_confidence": {"confidence": 1.0},
    "ck_change_named": {"detector": ""},
    "ck_change_sweeps": {"last_good_sweep_id": NEXT.sweep_id},
    "ck_change_valid_sweeps": {"last_good_sweep_id": uuid.uuid4()},
    "ck_change_sweeps_ascend": {
        "last_good_sweep_id": NEXT.sweep_id,
        "first_bad_sweep_id": samples.sweep().sweep_id,
    },
    "ck_baseline_kind": {"kind": "guessed"},
    "ck_baseline_named": {"author": ""},
    "ck_baseline_withdrawn": {"withdrawn_at": samples.NOON, "set_at": samples.NOON + timedelta(seconds=1)},
    "ck_baseline_superseded": {"superseded_by": 1},
    "ck_baseline_valid_sweeps": {"last_sweep_id": uuid.uuid4()},
    "ck_baseline_sweeps_ascend": {"first_sweep_id": NEXT.sweep_id, "last_sweep_id": samples.sweep().sweep_id},
    "ck_annotation_named": {"reason": ""},
    "ck_annotation_subject": {"incident_id": None, "status": None},
    "ck_annotation_status": {"status": "closed"},
    "ck_annotation_status_is_of_an_incident": {"incident_id": None, "sweep_id": NEXT.sweep_id},
    "ck_experiment_named": {"author": ""},
    "ck_experiment_batch_sizes": {"batch_sizes": []},
    "ck_experiment_counts": {"max_pairs": 5},
    "ck_experiment_effects": {"min_effect": 1.0},
    "ck_experiment_verdict": {"verdict": "fine"},
    "ck_experiment_outcome": {"sentence": None},
    "ck_experiment_accepted": {"accepted_by": "Ana"},
    "ck_pair_counts": {"pair_number": 0},
    "ck_pair_first_side": {"first_side": "both"},
    "ck_pair_figures": {"new_p99_ms": math.nan},
    "ck_pair_output_errors": {"new_output_error": -0.1},
    "ck_pair_counts_or_has_reason": {"new_throughput_inf_per_s": None},
    "ck_sweep_confirms": {"confirms_sweep_id": literal_column("sweep_id")},
    "ck_configuration_derived": {"scenario": "server"},
    "ck_series_configuration_derived": {"configuration_id": uuid.uuid4()},
    "ck_incident_direction": {"direction": "sideways"},
    "ck_incident_sweeps": {"last_good_sweep_id": NEXT.sweep_id},
    "ck_night_event_kind": {"kind": "quiet"},
    "ck_night_event_metric": {"metric": "cores"},
    "ck_night_event_subject": {"metric": None},
    "ck_night_event_named": {"detector": ""},
    "ck_mute_subject": {"model_glob": None},
    "ck_mute_metric": {"metric": "cores"},
    "ck_mute_named": {"reason": ""},
    "ck_mute_expires": {"expires_at": samples.NOON - timedelta(days=1)},
    "ck_mute_lifted": {"lifted_by": "Ana"},
    "ck_price_named": {"source": ""},
    "ck_price_kind": {"kind": "spot"},
    "ck_price_usd_per_hour": {"usd_per_hour": 0},
    "ck_price_valid_from": {"valid_from": literal_column("'infinity'::date")},
}
"""Constraint to a change that breaks it in an otherwise sound row."""

TRIGGERS = {
    f"ck_{table}_{rule}" for table in ("change", "baseline") for rule in ("valid_sweeps", "sweeps_ascend")
}
"""The rules about several tables, which no constraint can hold."""


SEED = [
    (1, 0.949, 12649.572, 0.939, 0.974, 0.990),
    (2, 1.559, 15394.022, 1.522, 1.594, 1.631),
    (3, 2.134, 16869.460, 2.115, 2.192, 2.220),
    (4, 2.730, 17584.681, 2.723, 2.794, 2.820),
    (5, 3.561, 16851.301, 3.512, 3.659, 3.694),
    (6, 4.331, 16624.728, 4.302, 4.486, 4.569),
    (7, 5.018, 16738.430, 4.940, 5.292, 5.331),
    (8, 5.827, 16475.001, 5.760, 6.305, 6.426),
    (9, 7.002, 15423.520, 6.826, 7.422, 7.536),
    (10, 7.752, 15480.798, 7.577, 8.229, 8.504),
]
"""Batch size, duration (s), throughput (inf/s), P50, P95 and P99 (ms)."""


def table_of(constraint: str) -> Table:
    return next(table for name, table in TABLES.items() if constraint.startswith(f"ck_{name}_"))


@pytest.fixture(scope="module")
def filled(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """A database with a row in every table. Tests leave it so: what they try is refused or rolled back."""
    with new_database(postgres) as url:
        engine = create_engine(url)
        repository = Repository(engine)
        repository.record(samples.compilation())
        repository.record(samples.measurement())
        repository.record(samples.measurement(sweep=NEXT, result=samples.measured(rounds=())))
        with engine.begin() as connection:
            change_id = judgements.add_change(connection, samples.sweep().sweep_id, NEXT.sweep_id)
            judgements.add_baseline(connection, samples.sweep().sweep_id, NEXT.sweep_id)
            judgements.annotate(connection, change_id=change_id, status="acknowledged")
            judgements.add_event(connection, NEXT.sweep_id)
            judgements.add_mute(connection)
        tell_once(engine, ["a missing night"], lambda _: ["slack:a:#b"])
        record_pairs(engine, experiments.experiment(), [experiments.pair()])
        record_outcome(engine, experiments.experiment(), experiments.outcome())
        yield engine
        engine.dispose()


@pytest.mark.parametrize("constraint", BROKEN)
def test_a_row_that_breaks_a_rule_is_refused(filled: Engine, constraint: str) -> None:
    with filled.connect() as connection:
        if constraint == "ck_measurement_result_has_series":  # else the database fills it in
            connection.execute(text("ALTER TABLE measurement DISABLE TRIGGER place_measurement"))
        if constraint == "ck_series_configuration_derived":  # likewise
            connection.execute(text("ALTER TABLE series DISABLE TRIGGER place_series"))
        with pytest.raises(IntegrityError) as refusal:
            connection.execute(update(table_of(constraint)).values(BROKEN[constraint]))
    assert refusal.value.orig is not None
    assert refusal.value.orig.diag.constraint_name == constraint


def test_every_rule_is_tried_above() -> None:
    rules = {
        str(constraint.name)
        for table in TABLES.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert rules | TRIGGERS == set(BROKEN)


@pytest.mark.parametrize(
    ("table", "key", "other"),
    [
        ("sweep", "sweep_id", {"sweep_id": uuid.uuid4()}),
        ("compilation", "compilation_id", {}),
        ("measurement", "measurement_id", {}),
    ],
)
def test_a_run_and_an_attempt_have_one_row_each(
    filled: Engine, table: str, key: str, other: dict[str, Any]
) -> None:
    with filled.connect() as connection:
        row = dict(connection.execute(select(TABLES[table])).mappings().first() or {})
    row = {name: value for name, value in row.items() if name not in (key, *COMPUTED)}
    with pytest.raises(IntegrityError, match=f"uq_{table}"), filled.begin() as connection:
        connection.execute(insert(TABLES[table]).values(**row, **other))


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("compilation", "sweep_id", uuid.uuid4()),
        ("compilation", "environment_id", uuid.uuid4()),
        ("measurement", "sweep_id", uuid.uuid4()),
        ("measurement", "environment_id", uuid.uuid4()),
        ("round", "measurement_id", 4711),
    ],
)
def test_a_row_that_belongs_to_nothing_is_refused(
    filled: Engine, table: str, column: str, value: object
) -> None:
    with pytest.raises(IntegrityError, match=f"fk_{table}_{column}"), filled.begin() as connection:
        connection.execute(update(TABLES[table]).values({column: value}))


def test_the_table_that_the_project_started_from_fits(engine: Engine) -> None:
    """Its durations are rounded to milliseconds and its latencies lack what nobody wrote down."""
    for batch_size, duration_s, throughput, p50, p95, p99 in SEED:
        record = samples.measurement(
            batch_size,
            sweep=samples.sweep(origin="import"),
            result=samples.measured(
                batch_size,
                throughput,
                duration_s=duration_s,
                latency=samples.latency(mean_ms=None, p50_ms=p50, p95_ms=p95, p99_ms=p99),
                rounds=(),
                checks=(),
                precision=None,
                environment=Environment(hardware=True, device="Inferentia2", fingerprint="unknown"),
            ),
        )
        Repository(engine).record(record)
    with engine.connect() as connection:
        assert len(connection.execute(select(TABLES["measurement"])).all()) == len(SEED)


def test_a_missing_percentile_hides_no_disorder_around_it(filled: Engine) -> None:
    with pytest.raises(IntegrityError, match="latencies_ordered"), filled.begin() as connection:
        connection.execute(update(TABLES["measurement"]).values(p90_ms=None, p95_ms=None, p50_ms=0.991))


@pytest.mark.parametrize(
    "limits",
    [
        {"p99_low_ms": 0.97, "p99_high_ms": 0.98},
        {"p90_low_ms": 0.95, "p90_high_ms": 0.96},
        {"p50_low_ms": -1.0, "p50_high_ms": 0.94},
        {"throughput_low_inf_per_s": 2.0, "throughput_high_inf_per_s": 1.0},
        {"throughput_low_inf_per_s": 1.0, "throughput_high_inf_per_s": math.nan},
    ],
)
def test_limits_that_do_not_belong_to_the_figure_are_refused(
    filled: Engine, limits: dict[str, float]
) -> None:
    with pytest.raises(IntegrityError, match="ck_measurement_limits"), filled.begin() as connection:
        connection.execute(update(TABLES["measurement"]).values(limits))


def test_a_throughput_beside_the_limits_of_its_rounds_is_no_reason_to_refuse_it(engine: Engine) -> None:
    result = samples.told(throughput_interval=Interval(low=13000.0, high=13100.0))
    Repository(engine).record(samples.measurement(result=result))
    with engine.connect() as connection:
        assert connection.scalar(select(TABLES["measurement"].c.throughput_low_inf_per_s)) == 13000.0


@pytest.mark.parametrize(
    "changes",
    [
        {"p99_limit_ms": None},
        {"server_trials": {}},
        {"target_batches_per_s": None, "arrival_seed": None, "server_trials": None},
        {"arrival_seed": -1},
        {"target_batches_per_s": math.inf},
        {"service_samples": 0},
        {"service_mean_ms": 1.01, "service_max_ms": 1.0},
        {"scenario": "offline"},
    ],
    ids=str,
)
def test_a_server_measurement_is_whole(engine: Engine, changes: dict[str, Any]) -> None:
    Repository(engine).record(samples.server_measurement())
    with pytest.raises(IntegrityError, match="ck_measurement"), engine.begin() as connection:
        connection.execute(update(TABLES["measurement"]).values(changes))


def test_a_number_beyond_its_column_is_refused(filled: Engine) -> None:
    with pytest.raises(DataError), filled.begin() as connection:
        connection.execute(update(TABLES["measurement"]).values(workers=2**31))


def test_a_sweep_takes_all_that_belongs_to_it_along(filled: Engine) -> None:
    with filled.connect() as connection:
        connection.execute(TABLES["sweep"].delete())
        left = {name: len(connection.execute(select(table)).all()) for name, table in TABLES.items()}
        connection.rollback()
    kept = {name: count for name, count in left.items() if count}
    apart = {"price": 8, "mute": 1, "experiment": 1, "pair": 1, "notice": 1}
    assert kept == {"environment": 3, "configuration": 1, "series": 1, **apart}


def test_the_environment_table_has_a_column_for_every_field() -> None:
    columns = {column.name for column in TABLES["environment"].columns} - {"environment_id", *COMPUTED}
    assert columns == set(Environment.model_fields)


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("sweep", rows.sweep_values(samples.sweep())),
        ("compilation", rows.compilation_values(samples.compilation())),
        ("compilation", rows.compilation_values(samples.compilation(failure=samples.failure()))),
        ("measurement", rows.measurement_values(samples.measurement())),
        ("measurement", rows.measurement_values(samples.measurement(failure=samples.failure()))),
        ("measurement", rows.measurement_values(samples.measurement(result=samples.told()))),
        ("measurement", rows.measurement_values(samples.server_measurement())),
    ],
)
def test_records_have_no_field_without_a_column(table: str, values: rows.Values) -> None:
    assert set(values) - {column.name for column in TABLES[table].columns} == set()


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ("ck_sweep_origin", SweepRecord.model_fields["origin"].annotation),
        ("ck_sweep_precision", spec.Precision),
        ("ck_sweep_scenario", spec.Scenario),
        ("ck_sweep_head", spec.ModelSpec.model_fields["head"].annotation),
        ("ck_sweep_inputs", spec.ModelSpec.model_fields["inputs"].annotation),
        ("ck_sweep_worker_mode", spec.LoadSpec.model_fields["worker_mode"].annotation),
        ("ck_sweep_warmup", spec.LoadSpec.model_fields["warmup"].annotation),
        ("ck_sweep_stop", spec.LoadSpec.model_fields["stop"].annotation),
        ("ck_measurement_scenario", spec.Scenario),
        ("ck_measurement_worker_mode", WorkerMode),
        ("ck_compilation_precision", CompileResult.model_fields["precision"].annotation),
        ("ck_compilation_failure_kind", FailureKind),
        ("ck_measurement_failure_kind", FailureKind),
    ],
)
def test_every_word_that_the_data_plane_may_say_is_accepted(constraint: str, words: object) -> None:
    (rule,) = (each for each in table_of(constraint).constraints if each.name == constraint)
    assert isinstance(rule, CheckConstraint)
    accepted = set(re.findall(r"'(\w+)'", str(rule.sqltext)))
    assert set(get_args(words)) - accepted == set()
    assert get_args(words)
