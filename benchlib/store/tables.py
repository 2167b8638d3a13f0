"""The tables, their units and the rules that no row may break.

The constraints repeat what the data plane promises, because rows also come from imports, from the spool of an
older version and from people with psql. `benchlib.store.migrations` creates all this; a test holds the two
together.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

LATENCIES = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms", "max_ms")
"""In ascending order."""

SHA256 = "'^[0-9a-f]{64}$'"


class Base(DeclarativeBase):
    """Every table; each constraint has a name that an error message can show."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own protocol
        str: Text,
        float: Double,
        datetime: DateTime(timezone=True),
        list[str]: ARRAY(Text),
        list[int]: ARRAY(Integer),
    }


def _positive(*columns: str) -> str:
    # PostgreSQL sorts NaN above infinity: the second half refuses both.
    return " AND ".join(f"{column} > 0 AND {column} < 'Infinity'" for column in columns)


def _ascending(*columns: str) -> str:
    # LEAST passes over what is NULL, so that a missing percentile hides no disorder around it.
    pairs = (f"{column} <= LEAST({', '.join(columns[i + 1 :])})" for i, column in enumerate(columns[:-1]))
    return " AND ".join(pairs)


def _one_of(column: str, *values: str) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _at_least_1(*columns: str) -> str:
    return " AND ".join(f"{column} >= 1" for column in columns)


def _window_rules() -> list[CheckConstraint]:
    """Rules of a measured window, one round or all of them.

    Inferences = throughput x duration within 1 %; an imported duration may have been rounded to milliseconds,
    so half of one is allowed on top. The mean of equal latencies may exceed them in its last digit.
    """
    rounding = "0.0005 * throughput_inf_per_s"
    return [
        CheckConstraint(_at_least_1("batches", "samples"), "counts"),
        CheckConstraint(_positive("duration_s", "throughput_inf_per_s"), "rates"),
        CheckConstraint(
            "abs(throughput_inf_per_s * duration_s - inferences) <= 0.01 * inferences + " + rounding,
            "throughput_matches_duration",
        ),
        CheckConstraint(_positive("mean_ms", *LATENCIES), "latencies"),
        CheckConstraint(f"{_ascending(*LATENCIES)} AND mean_ms <= 1.000001 * max_ms", "latencies_ordered"),
    ]


def _latency(what: str) -> Mapped[float | None]:
    return mapped_column(
        comment=f"{what} of the latency of one batch, ms; NULL where too few samples support it"
    )


class EnvironmentRow(Base):
    """Hardware and software, one row per distinct combination ever seen."""

    __tablename__ = "environment"
    __table_args__ = (
        CheckConstraint("fingerprint <> '' AND device <> ''", "named"),
        CheckConstraint(_at_least_1("cores", "memory_bytes"), "counts"),
        Index(None, "fingerprint"),
        {"comment": "Hardware and software that results were made with; rows never change"},
    )

    environment_id: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, comment="Derived from all other columns: equal environments share one row"
    )
    fingerprint: Mapped[str] = mapped_column(comment="Equal for environments whose results may be compared")
    hardware: Mapped[bool] = mapped_column(
        comment="True only for a real accelerator; results of a CPU or a stand-in never stand for one"
    )
    device: Mapped[str] = mapped_column(comment="What ran the model")
    instance_type: Mapped[str | None] = mapped_column(
        comment="The cloud's name of the machine, such as inf2.xlarge"
    )
    cores: Mapped[int | None] = mapped_column(comment="Accelerator cores, or CPUs that may be used")
    host: Mapped[str | None] = mapped_column(comment="Host name")
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger, comment="Main memory, bytes")
    kernel: Mapped[str | None] = mapped_column(comment="Release of the operating system's kernel")
    python: Mapped[str | None] = mapped_column(comment="Version of the data plane's Python")
    torch: Mapped[str | None] = mapped_column(comment="Version of torch")
    transformers: Mapped[str | None] = mapped_column(comment="Version of transformers")
    numpy: Mapped[str | None] = mapped_column(comment="Version of numpy")
    torch_neuronx: Mapped[str | None] = mapped_column(comment="Version of torch-neuronx")
    neuronx_cc: Mapped[str | None] = mapped_column(comment="Version of the Neuron compiler")
    neuron_runtime: Mapped[str | None] = mapped_column(comment="Version of the Neuron runtime library")
    neuron_driver: Mapped[str | None] = mapped_column(comment="Version of the Neuron kernel driver")
    benchlib: Mapped[str | None] = mapped_column(comment="Version of the code that measured")
    image: Mapped[str | None] = mapped_column(comment="Container or machine image")


class SweepRow(Base):
    """What one DAG run, or one import, asked for."""

    __tablename__ = "sweep"
    __table_args__ = (
        UniqueConstraint("dag_id", "run_id"),
        CheckConstraint(_one_of("origin", "dag", "import"), "origin"),
        CheckConstraint("cardinality(batch_sizes) >= 1 AND 1 <= ALL (batch_sizes)", "batch_sizes"),
        CheckConstraint(_one_of("precision", "auto", "fp32", "bf16"), "precision"),
        CheckConstraint(_one_of("scenario", "offline", "server", "single_stream"), "scenario"),
        CheckConstraint(
            _at_least_1(
                "sequence_length", "replicas", "workers", "batches_per_worker", "warmup_batches", "rounds"
            ),
            "counts",
        ),
        CheckConstraint("seed >= 0", "seed"),
        Index(None, "created_at"),
        {"comment": "What was asked: one model, several batch sizes; one row per DAG run or import"},
    )

    sweep_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, comment="Derived from dag_id and run_id")
    dag_id: Mapped[str] = mapped_column(comment="Which DAG ran, or what imported")
    run_id: Mapped[str] = mapped_column(comment="Which run of it")
    origin: Mapped[str] = mapped_column(comment="dag: measured here; import: read from somebody's table")
    created_at: Mapped[datetime] = mapped_column(comment="When the sweep began")
    label: Mapped[str | None] = mapped_column(comment="Short name given by a person")
    note: Mapped[str | None] = mapped_column(comment="Why the run was started")
    model: Mapped[str] = mapped_column(comment="Hub id, directory, or config:NAME for seeded random weights")
    model_revision: Mapped[str | None] = mapped_column(comment="Branch, tag or commit on the hub")
    sequence_length: Mapped[int] = mapped_column(comment="Tokens per sequence, padding included")
    seed: Mapped[int] = mapped_column(BigInteger, comment="Seed of random weights")
    batch_sizes: Mapped[list[int]] = mapped_column(comment="Asked batch sizes, inferences per call")
    backend: Mapped[str] = mapped_column(comment="What compiles and runs the model")
    precision: Mapped[str] = mapped_column(comment="Asked precision; auto leaves it to the device")
    compiler_args: Mapped[list[str]] = mapped_column(comment="Flags for the device's compiler")
    scenario: Mapped[str] = mapped_column(comment="Kind of load: offline, server or single_stream")
    replicas: Mapped[int | None] = mapped_column(
        comment="Asked loaded copies of the model; NULL: one per core"
    )
    workers: Mapped[int | None] = mapped_column(comment="Asked closed loops; NULL: one per replica")
    batches_per_worker: Mapped[int] = mapped_column(comment="Asked batches per worker and round")
    warmup_batches: Mapped[int] = mapped_column(comment="Asked batches per worker before anything counts")
    rounds: Mapped[int] = mapped_column(comment="Asked measured windows")
    interpreter: Mapped[str] = mapped_column(comment="Asked Python of the data plane")


class CompilationRow(Base):
    """One attempt to compile one batch size."""

    __tablename__ = "compilation"
    __table_args__ = (
        UniqueConstraint("sweep_id", "batch_size", "attempt"),
        CheckConstraint(_one_of("status", "ok", "failed"), "status"),
        CheckConstraint(_one_of("precision", "fp32", "bf16"), "precision"),
        CheckConstraint(
            _at_least_1("batch_size", "attempt", "artifact_size_bytes", "peak_rss_bytes"), "counts"
        ),
        CheckConstraint(f"artifact_key ~ {SHA256} AND artifact_sha256 ~ {SHA256}", "artifact"),
        CheckConstraint("compile_duration_s >= 0 AND compile_duration_s < 'Infinity'", "duration"),
        CheckConstraint(
            "status <> 'ok' OR (num_nonnulls(failure_kind, failure_message, failure_log_tail) = 0 AND "
            "num_nulls(environment_id, backend, precision, artifact_key, artifact_filename, artifact_sha256, "
            "artifact_size_bytes, cache_hit, compile_duration_s) = 0)",
            "ok_has_artifact",
        ),
        CheckConstraint(
            "status <> 'failed' OR (num_nulls(failure_kind, failure_message) = 0 AND "
            "num_nonnulls(artifact_key, artifact_sha256, artifact_size_bytes, compile_duration_s) = 0)",
            "failed_has_reason",
        ),
        CheckConstraint(_one_of("failure_kind", "bad_input", "error", "crashed", "timeout"), "failure_kind"),
        Index(None, "environment_id"),
        {"comment": "Attempts to compile the model at one batch size"},
    )

    compilation_id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Internal key"
    )
    sweep_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(SweepRow.sweep_id, ondelete="CASCADE"), comment="The sweep it belongs to"
    )
    batch_size: Mapped[int] = mapped_column(comment="Inferences per call")
    attempt: Mapped[int] = mapped_column(comment="1 for the first try")
    status: Mapped[str] = mapped_column(comment="ok or failed")
    recorded_at: Mapped[datetime] = mapped_column(comment="When the attempt ended")
    environment_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(EnvironmentRow.environment_id), comment="What it was compiled with"
    )
    backend: Mapped[str | None] = mapped_column(comment="What compiled the model")
    precision: Mapped[str | None] = mapped_column(comment="Precision of the program")
    artifact_key: Mapped[str | None] = mapped_column(comment="SHA-256 of everything that shapes the program")
    artifact_filename: Mapped[str | None] = mapped_column(comment="Name of the program's file")
    artifact_sha256: Mapped[str | None] = mapped_column(comment="SHA-256 of that file")
    artifact_size_bytes: Mapped[int | None] = mapped_column(BigInteger, comment="Size of that file, bytes")
    cache_hit: Mapped[bool | None] = mapped_column(comment="True: found in the artifact store, not compiled")
    compile_duration_s: Mapped[float | None] = mapped_column(
        comment="Duration of the compilation that made the artifact, s"
    )
    peak_rss_bytes: Mapped[int | None] = mapped_column(
        BigInteger, comment="Highest resident memory of the compiling process, bytes"
    )
    warnings: Mapped[list[str]] = mapped_column(comment="What the compiling process warned of")
    failure_kind: Mapped[str | None] = mapped_column(comment="bad_input, error, crashed or timeout")
    failure_message: Mapped[str | None] = mapped_column(comment="Why it failed, one sentence")
    failure_log_tail: Mapped[list[str] | None] = mapped_column(comment="Last lines of the failed process")


FIGURES = "batches, inferences, duration_s, throughput_inf_per_s, samples"


class MeasurementRow(Base):
    """One attempt to measure one batch size in one scenario."""

    __tablename__ = "measurement"
    __table_args__ = (
        UniqueConstraint("sweep_id", "batch_size", "scenario", "attempt"),
        CheckConstraint(_one_of("status", "ok", "invalid", "failed"), "status"),
        CheckConstraint(_one_of("scenario", "offline", "server", "single_stream"), "scenario"),
        CheckConstraint(_one_of("precision", "fp32", "bf16"), "precision"),
        CheckConstraint(_one_of("worker_mode", "thread", "process"), "worker_mode"),
        CheckConstraint(_at_least_1("batch_size", "attempt", "replicas", "workers"), "load"),
        CheckConstraint("inferences = batches * batch_size", "inferences"),
        *_window_rules(),
        CheckConstraint("load_duration_s >= 0 AND load_duration_s < 'Infinity'", "load_duration"),
        CheckConstraint(
            "status = 'failed' OR (num_nonnulls(failure_kind, failure_message, failure_log_tail) = 0 AND "
            "num_nulls(environment_id, started_at, filename, backend, replicas, workers, worker_mode, "
            f"{FIGURES}) = 0)",
            "result_has_figures",
        ),
        CheckConstraint(
            "status <> 'failed' OR (num_nulls(failure_kind, failure_message) = 0 AND "
            f"num_nonnulls({FIGURES}, mean_ms, {', '.join(LATENCIES)}) = 0)",
            "failed_has_reason",
        ),
        CheckConstraint(
            "status = 'failed' OR (status = 'invalid') = "
            "jsonb_path_exists(checks, '$[*] ? (@.passed == false)')",
            "status_matches_checks",
        ),
        CheckConstraint(_one_of("failure_kind", "bad_input", "error", "crashed", "timeout"), "failure_kind"),
        Index(None, "environment_id"),
        {"comment": "Attempts to measure one batch size; an invalid one is kept and shown, never a peak"},
    )

    measurement_id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Internal key"
    )
    sweep_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(SweepRow.sweep_id, ondelete="CASCADE"), comment="The sweep it belongs to"
    )
    batch_size: Mapped[int] = mapped_column(comment="Inferences per call")
    scenario: Mapped[str] = mapped_column(comment="Kind of load: offline, server or single_stream")
    attempt: Mapped[int] = mapped_column(comment="1 for the first try")
    status: Mapped[str] = mapped_column(
        comment="ok; invalid: measured but a check says not to believe it; failed: no figures"
    )
    recorded_at: Mapped[datetime] = mapped_column(comment="When the attempt ended")
    started_at: Mapped[datetime | None] = mapped_column(comment="When the measuring began")
    environment_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(EnvironmentRow.environment_id), comment="What it was measured with"
    )
    filename: Mapped[str | None] = mapped_column(comment="Name of the program's file")
    backend: Mapped[str | None] = mapped_column(comment="What ran the model")
    precision: Mapped[str | None] = mapped_column(comment="Precision of the program; NULL: not known")
    replicas: Mapped[int | None] = mapped_column(comment="Loaded copies of the model")
    workers: Mapped[int | None] = mapped_column(comment="Closed loops that issued batches")
    worker_mode: Mapped[str | None] = mapped_column(comment="What a worker was: thread or process")
    batches: Mapped[int | None] = mapped_column(
        BigInteger, comment="Measured batches of all workers in all rounds"
    )
    inferences: Mapped[int | None] = mapped_column(BigInteger, comment="batches x batch_size")
    duration_s: Mapped[float | None] = mapped_column(
        comment="inferences / throughput: the time in which all workers were busy, s"
    )
    throughput_inf_per_s: Mapped[float | None] = mapped_column(comment="Inferences per second of all workers")
    samples: Mapped[int | None] = mapped_column(
        BigInteger, comment="Batches that the latencies are taken from"
    )
    mean_ms: Mapped[float | None] = _latency("Mean")
    p50_ms: Mapped[float | None] = _latency("Median")
    p90_ms: Mapped[float | None] = _latency("90th percentile")
    p95_ms: Mapped[float | None] = _latency("95th percentile")
    p99_ms: Mapped[float | None] = _latency("99th percentile")
    p99_9_ms: Mapped[float | None] = _latency("99.9th percentile")
    max_ms: Mapped[float | None] = _latency("Maximum")
    load_duration_s: Mapped[float | None] = mapped_column(comment="Time to load all replicas, s")
    checks: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, comment="Reasons to believe the figures or not: name, passed, figure, limit, unit, advice"
    )
    warnings: Mapped[list[str]] = mapped_column(comment="What the measuring process warned of")
    failure_kind: Mapped[str | None] = mapped_column(comment="bad_input, error, crashed or timeout")
    failure_message: Mapped[str | None] = mapped_column(comment="Why it failed, one sentence")
    failure_log_tail: Mapped[list[str] | None] = mapped_column(comment="Last lines of the failed process")


class RoundRow(Base):
    """One measured window of a measurement."""

    __tablename__ = "round"
    __table_args__ = (
        CheckConstraint("round_index >= 0", "index"),
        CheckConstraint("mod(inferences, batches) = 0 AND inferences >= batches", "inferences"),
        *_window_rules(),
        {"comment": "The measured windows of a measurement, from which its variance comes"},
    )

    measurement_id: Mapped[int] = mapped_column(
        ForeignKey(MeasurementRow.measurement_id, ondelete="CASCADE"),
        primary_key=True,
        comment="The measurement it belongs to",
    )
    round_index: Mapped[int] = mapped_column(primary_key=True, comment="0 for the first round")
    batches: Mapped[int] = mapped_column(BigInteger, comment="Measured batches of all workers")
    inferences: Mapped[int] = mapped_column(BigInteger, comment="batches x batch size")
    duration_s: Mapped[float] = mapped_column(comment="inferences / throughput, s")
    throughput_inf_per_s: Mapped[float] = mapped_column(comment="Inferences per second of all workers")
    samples: Mapped[int] = mapped_column(BigInteger, comment="Batches that the latencies are taken from")
    mean_ms: Mapped[float | None] = _latency("Mean")
    p50_ms: Mapped[float | None] = _latency("Median")
    p90_ms: Mapped[float | None] = _latency("90th percentile")
    p95_ms: Mapped[float | None] = _latency("95th percentile")
    p99_ms: Mapped[float | None] = _latency("99th percentile")
    p99_9_ms: Mapped[float | None] = _latency("99.9th percentile")
    max_ms: Mapped[float | None] = _latency("Maximum")
