"""The tables, their units and the rules that no row may break.

The constraints repeat what the data plane promises, because rows also come from imports, from the spool of an
older version and from people with psql. `benchlib.store.migrations` creates all this; a test holds the two
together.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchlib.results import PERCENTILES

LATENCIES = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms", "max_ms")
"""In ascending order."""

LIMITS: Mapping[str, tuple[str, str]] = {
    "throughput_inf_per_s": ("throughput_low_inf_per_s", "throughput_high_inf_per_s"),
    **{name: (name.replace("_ms", "_low_ms"), name.replace("_ms", "_high_ms")) for name in PERCENTILES},
}
"""Figure to the columns of its 95 % interval."""

OVERHEAD = ("overhead_ns_per_call", "overhead_service_ms", "ideal_batches_per_s", "ceiling_batches_per_s")
"""What the load generator costs and can show; known together or not at all."""

SERVICE = ("service_samples", "service_mean_ms", *(f"service_{name}" for name in LATENCIES))
"""Latency of the calls alone; a mean that is missing hides no disorder of the others."""

ARRIVALS = ("target_batches_per_s", "arrival_seed", "server_trials")
"""What every measurement of the scenario server has."""

MODEL_VARIANT = (
    "nullif(btrim(coalesce(nullif(head, 'classification'), '') || ' ' || "
    "coalesce(nullif(inputs, 'text'), '')), '')"
)

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


def _limit_rules() -> list[CheckConstraint]:
    """Rules of the intervals.

    The limits of a percentile are samples around it. Those of the throughput may come from the mean of parts
    of the run: one slow part can take the throughput of the whole time out of them, which is no reason to
    refuse the figure.
    """
    pairs = [
        f"num_nulls({low}, {high}) <> 1 AND ({low} IS NULL OR {figure} IS NOT NULL)"
        for figure, (low, high) in LIMITS.items()
    ]
    throughput_low, throughput_high = LIMITS["throughput_inf_per_s"]
    around = [f"{LIMITS[name][0]} <= {name} AND {name} <= {LIMITS[name][1]}" for name in PERCENTILES]
    positive = _positive(*(limit for name in PERCENTILES for limit in LIMITS[name]))
    finite = f"{throughput_low} > '-Infinity' AND {throughput_high} < 'Infinity'"
    ordered = [f"{throughput_low} <= {throughput_high}", finite, *around, positive]
    return [
        CheckConstraint(" AND ".join(pairs), "limits"),
        CheckConstraint(" AND ".join(ordered), "limits_ordered"),
    ]


def _server_rules() -> list[CheckConstraint]:
    """Rules of what only the scenario server has."""
    service = f"service_samples >= 1 AND {_positive(*SERVICE[1:])} AND {_ascending(*SERVICE[2:])}"
    others = ", ".join(("p99_limit_ms", *SERVICE))
    return [
        CheckConstraint(
            f"scenario = 'server' OR num_nonnulls({', '.join(ARRIVALS)}, {others}) = 0", "server_only"
        ),
        CheckConstraint(
            f"num_nulls({', '.join(ARRIVALS)}) IN (0, {len(ARRIVALS)}) AND "
            f"(target_batches_per_s IS NOT NULL OR num_nonnulls({others}) = 0) AND "
            f"{_positive('target_batches_per_s', 'p99_limit_ms')} AND arrival_seed >= 0 AND "
            "jsonb_typeof(server_trials) = 'array' AND (server_trials = '[]' OR p99_limit_ms IS NOT NULL)",
            "arrivals",
        ),
        CheckConstraint(f"{service} AND service_mean_ms <= 1.000001 * service_max_ms", "service"),
    ]


def _latency(what: str) -> Mapped[float | None]:
    return mapped_column(
        comment=f"{what} of the latency of one batch, ms; NULL where too few samples support it"
    )


def _lower(figure: str) -> Mapped[float | None]:
    return mapped_column(comment=f"Lower end of the 95 percent interval of {figure}, in its unit")


def _upper(figure: str) -> Mapped[float | None]:
    return mapped_column(comment=f"Upper end of the 95 percent interval of {figure}, in its unit")


def _service(what: str) -> Mapped[float | None]:
    return mapped_column(comment=f"server: {what} of the calls alone, without waiting for a worker, ms")


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
    neuron_sdk: Mapped[str | None] = mapped_column(comment="Release of the Neuron SDK, such as 2.26.0")
    sdk: Mapped[str] = mapped_column(
        Computed(
            "coalesce(neuron_sdk, 'neuronx-cc ' || neuronx_cc, 'torch ' || torch, 'unknown')", persisted=True
        ),
        comment="The Neuron SDK, or else the compiler, or else torch, with its version",
        nullable=False,
    )


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
        CheckConstraint(_one_of("head", "classification", "encoder"), "head"),
        CheckConstraint(_one_of("inputs", "text", "zeros_int32"), "inputs"),
        CheckConstraint(_one_of("worker_mode", "auto", "thread", "process", "native"), "worker_mode"),
        CheckConstraint(_one_of("warmup", "stable", "fixed"), "warmup"),
        CheckConstraint(_one_of("stop", "rounds", "duration", "precision"), "stop"),
        CheckConstraint(
            f"{_positive('duration_s')} AND relative_half_width > 0 AND relative_half_width < 1", "stop_rule"
        ),
        CheckConstraint(
            f"{_positive('target_batches_per_s')} AND arrival_seed >= 0 AND "
            "(scenario = 'server' OR target_batches_per_s IS NULL)",
            "arrivals",
        ),
        CheckConstraint(_positive("latency_limit_ms"), "latency_limit"),
        CheckConstraint("confirms_sweep_id <> sweep_id", "confirms"),
        Index(
            "ix_sweep_confirms", "confirms_sweep_id", postgresql_where=text("confirms_sweep_id IS NOT NULL")
        ),
        Index(None, "created_at"),
        # Of one model on one night, which coverage looks for at every gap.
        Index("ix_sweep_night_model", "night", "model"),
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
    night: Mapped[date] = mapped_column(
        Date,
        Computed("(created_at AT TIME ZONE 'UTC')::date", persisted=True),
        comment="UTC date on which the sweep began",
        nullable=False,
    )
    head: Mapped[str] = mapped_column(comment="What the network ends in: classification, or encoder for none")
    inputs: Mapped[str] = mapped_column(comment="What it is called with: text, or zeros_int32")
    model_variant: Mapped[str | None] = mapped_column(
        Computed(MODEL_VARIANT, persisted=True),
        comment="Head and inputs where they are others than classification of text; NULL: they are those",
    )
    worker_mode: Mapped[str] = mapped_column(comment="Asked kind of worker; auto leaves it to a calibration")
    warmup: Mapped[str] = mapped_column(comment="fixed: warmup_batches and no more; stable: until it settled")
    stop: Mapped[str] = mapped_column(comment="What ends the measuring: rounds, duration or precision")
    duration_s: Mapped[float] = mapped_column(
        comment="Asked measured time, or the longest for stop precision, s"
    )
    relative_half_width: Mapped[float] = mapped_column(
        comment="Asked half of the 95 percent interval over its value, for stop precision"
    )
    target_batches_per_s: Mapped[float | None] = mapped_column(
        comment="server: asked mean rate of the arrivals; NULL: search the highest that meets the limit"
    )
    latency_limit_ms: Mapped[float | None] = mapped_column(comment="Highest acceptable P99, ms; NULL: none")
    arrival_seed: Mapped[int] = mapped_column(BigInteger, comment="server: asked seed of the random arrivals")
    interleave: Mapped[bool] = mapped_column(
        comment="Asked to measure all batch sizes in turns, round by round"
    )
    confirms_sweep_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("sweep.sweep_id", ondelete="CASCADE"),
        comment="The sweep whose suspicious figures were measured again, in the same night; NULL: it stands "
        "by itself",
    )


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
        # Most rows say that the artifact store had it: these are the others.
        Index("ix_compilation_failed", "sweep_id", postgresql_where=text("status = 'failed'")),
        Index("ix_compilation_compiled", "sweep_id", postgresql_where=text("NOT cache_hit")),
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


SERIES_KEY = (
    "model", "model_revision", "sequence_length", "precision", "compiler_args", "batch_size", "scenario",
    "replicas", "workers", "worker_mode", "backend", "instance_type", "hardware",
)  # fmt: skip
"""What stays the same along a series. The versions of the software are not in it: they are what changes.

The model's variant and the arrivals of the scenario server are part of it too. They came later and are left
out of the derived id where there are none, so that ids that people and other databases know stay as they are.
"""

SERIES_ROW = (
    f"CASE WHEN num_nonnulls(model_variant, arrivals) = 0 THEN ROW({', '.join(SERIES_KEY)})::text "
    f"ELSE ROW({', '.join(SERIES_KEY)}, model_variant, arrivals)::text END"
)


CONFIGURATION_KEY = (
    *(name for name in SERIES_KEY if name != "batch_size"), "model_variant", "arrivals",
)  # fmt: skip
"""What the series of one model have in common, at all its batch sizes."""

CONFIGURATION_DERIVED = (
    f"configuration_id = left(encode(sha256(convert_to(ROW({', '.join(CONFIGURATION_KEY)})::text, 'UTF8')), "
    "'hex'), 32)::uuid"
)


class ConfigurationRow(Base):
    """What is measured at several batch sizes; the database adds a row with the first series of one."""

    __tablename__ = "configuration"
    __table_args__ = (
        CheckConstraint(CONFIGURATION_DERIVED, "derived"),
        {"comment": "What is measured at several batch sizes: the key of its series without the batch size"},
    )

    configuration_id: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, comment="Derived from all other columns, so the same in every database"
    )
    model: Mapped[str] = mapped_column(comment="Hub id, directory, or config:NAME for seeded random weights")
    model_revision: Mapped[str | None] = mapped_column(comment="Branch, tag or commit on the hub")
    sequence_length: Mapped[int] = mapped_column(comment="Tokens per sequence, padding included")
    precision: Mapped[str | None] = mapped_column(comment="Precision of the program; NULL: not known")
    compiler_args: Mapped[list[str]] = mapped_column(comment="Flags for the device's compiler")
    scenario: Mapped[str] = mapped_column(comment="Kind of load: offline, server or single_stream")
    replicas: Mapped[int | None] = mapped_column(comment="Loaded copies of the model; NULL: not known")
    workers: Mapped[int | None] = mapped_column(comment="Closed loops that issued batches; NULL: not known")
    worker_mode: Mapped[str | None] = mapped_column(comment="What a worker was: thread, process or native")
    backend: Mapped[str] = mapped_column(comment="What ran the model")
    instance_type: Mapped[str | None] = mapped_column(
        comment="The cloud's name of the machine, such as inf2.xlarge"
    )
    hardware: Mapped[bool] = mapped_column(
        comment="True only for a real accelerator; results of a CPU or a stand-in never stand for one"
    )
    model_variant: Mapped[str | None] = mapped_column(
        comment="Head and inputs where they are others than classification of text; NULL: they are those"
    )
    arrivals: Mapped[str | None] = mapped_column(
        comment="server: rate 500/s, or search p99<=5ms for the highest rate within a limit; else NULL"
    )


class SeriesRow(Base):
    """What may be compared from night to night; the database adds a row with the first measurement of one."""

    __tablename__ = "series"
    __table_args__ = (
        CheckConstraint(
            f"series_id = left(encode(sha256(convert_to({SERIES_ROW}, 'UTF8')), 'hex'), 32)::uuid",
            "derived",
        ),
        CheckConstraint("arrivals <> '' AND scenario = 'server' OR arrivals IS NULL", "arrivals"),
        CheckConstraint(_at_least_1("sequence_length", "batch_size", "replicas", "workers"), "counts"),
        CheckConstraint(CONFIGURATION_DERIVED, "configuration_derived"),
        UniqueConstraint("series_id", "configuration_id"),
        Index(None, "configuration_id"),
        {"comment": "The keys of the histories: measurements of one series differ in time and software only"},
    )

    series_id: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, comment="Derived from all other columns, so the same in every database"
    )
    model: Mapped[str] = mapped_column(comment="Hub id, directory, or config:NAME for seeded random weights")
    model_revision: Mapped[str | None] = mapped_column(comment="Branch, tag or commit on the hub")
    sequence_length: Mapped[int] = mapped_column(comment="Tokens per sequence, padding included")
    precision: Mapped[str | None] = mapped_column(comment="Precision of the program; NULL: not known")
    compiler_args: Mapped[list[str]] = mapped_column(comment="Flags for the device's compiler")
    batch_size: Mapped[int] = mapped_column(comment="Inferences per call")
    scenario: Mapped[str] = mapped_column(comment="Kind of load: offline, server or single_stream")
    replicas: Mapped[int | None] = mapped_column(comment="Loaded copies of the model; NULL: not known")
    workers: Mapped[int | None] = mapped_column(comment="Closed loops that issued batches; NULL: not known")
    worker_mode: Mapped[str | None] = mapped_column(comment="What a worker was: thread, process or native")
    backend: Mapped[str] = mapped_column(comment="What ran the model")
    instance_type: Mapped[str | None] = mapped_column(
        comment="The cloud's name of the machine, such as inf2.xlarge"
    )
    hardware: Mapped[bool] = mapped_column(
        comment="True only for a real accelerator; results of a CPU or a stand-in never stand for one"
    )
    model_variant: Mapped[str | None] = mapped_column(
        comment="Head and inputs where they are others than classification of text; NULL: they are those"
    )
    arrivals: Mapped[str | None] = mapped_column(
        comment="server: rate 500/s, or search p99<=5ms for the highest rate within a limit; else NULL"
    )
    configuration_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(ConfigurationRow.configuration_id),
        comment="The same without the batch size; the database fills it in",
    )


FIGURES = (
    "batches", "inferences", "duration_s", "throughput_inf_per_s", "samples", "mean_ms", *LATENCIES,
    *OVERHEAD, *ARRIVALS, "telemetry",
)  # fmt: skip
"""What a failed attempt cannot have; other rules let the rest come with these only."""


HISTORY_COLUMNS = (
    "batch_size", "scenario", "status", "attempt", "sweep_id", "sweep_created_at", "origin", "environment_id",
    "throughput_inf_per_s", "p50_ms", "p99_ms",
)  # fmt: skip

EAGER_VACUUM = {"autovacuum_vacuum_insert_scale_factor": 0, "autovacuum_vacuum_insert_threshold": 2000}
"""An index answers alone only for pages that a vacuum has seen. By default the newest fifth of the rows,
years of nights, would wait for one."""


class MeasurementRow(Base):
    """One attempt to measure one batch size in one scenario.

    Only in an import may a result lack its load or, all together, its counts: there nobody knows them.
    """

    __tablename__ = "measurement"
    __table_args__ = (
        UniqueConstraint("sweep_id", "batch_size", "scenario", "attempt"),
        CheckConstraint(_one_of("status", "ok", "invalid", "failed"), "status"),
        CheckConstraint(_one_of("scenario", "offline", "server", "single_stream"), "scenario"),
        CheckConstraint(_one_of("precision", "fp32", "bf16"), "precision"),
        CheckConstraint(_one_of("worker_mode", "thread", "process", "native"), "worker_mode"),
        CheckConstraint(_at_least_1("batch_size", "attempt", "replicas", "workers"), "load"),
        CheckConstraint("inferences = batches * batch_size", "inferences"),
        *_window_rules(),
        *_limit_rules(),
        *_server_rules(),
        CheckConstraint("processes >= 1", "processes"),
        CheckConstraint(
            f"num_nulls({', '.join(OVERHEAD)}) IN (0, {len(OVERHEAD)}) AND overhead_ns_per_call >= 0 AND "
            f"overhead_ns_per_call < 'Infinity' AND {_positive(*OVERHEAD[1:])}",
            "overhead",
        ),
        CheckConstraint("jsonb_typeof(telemetry) = 'array'", "telemetry"),
        CheckConstraint("samples_url <> '' AND status <> 'failed' OR samples_url IS NULL", "samples_url"),
        CheckConstraint(
            "origin <> 'dag' OR status = 'failed' OR num_nulls(replicas, workers, worker_mode, batches) = 0",
            "load_is_known",
        ),
        CheckConstraint("samples <= batches", "samples"),
        CheckConstraint(
            "origin <> 'dag' OR scenario <> 'single_stream' OR (replicas = 1 AND workers = 1)",
            "single_stream",
        ),
        CheckConstraint("load_duration_s >= 0 AND load_duration_s < 'Infinity'", "load_duration"),
        CheckConstraint(
            "status = 'failed' OR (num_nonnulls(failure_kind, failure_message, failure_log_tail) = 0 AND "
            "num_nulls(environment_id, started_at, filename, backend, throughput_inf_per_s) = 0 AND "
            "num_nulls(batches, inferences, duration_s, samples) IN (0, 4))",
            "result_has_figures",
        ),
        CheckConstraint(
            "num_nulls(latency_buckets, latency_bucket_batches) <> 1 AND "
            "(latency_buckets IS NULL OR samples IS NOT NULL) AND "
            "cardinality(latency_buckets) >= 1 AND "
            "cardinality(latency_buckets) = cardinality(latency_bucket_batches) AND "
            "array_position(latency_buckets, NULL) IS NULL AND "
            "array_position(latency_bucket_batches, NULL) IS NULL AND 1 <= ALL (latency_bucket_batches)",
            "latency_histogram",
        ),
        CheckConstraint(
            "status <> 'failed' OR (num_nulls(failure_kind, failure_message) = 0 AND "
            f"num_nonnulls({', '.join(FIGURES)}) = 0)",
            "failed_has_reason",
        ),
        CheckConstraint(
            "status = 'failed' OR (status = 'invalid') = "
            "jsonb_path_exists(checks, '$[*] ? (@.passed == false)')",
            "status_matches_checks",
        ),
        CheckConstraint(_one_of("failure_kind", "bad_input", "error", "crashed", "timeout"), "failure_kind"),
        CheckConstraint("(status = 'failed') = (series_id IS NULL)", "result_has_series"),
        Index(None, "environment_id"),
        # Wide enough for a history, or the judgement of all of them, to be read without the table.
        Index(
            "ix_measurement_history",
            "series_id",
            "night",
            postgresql_include=HISTORY_COLUMNS,
        ),
        # In the order in which the peak of a sweep is looked for.
        Index(
            "ix_measurement_peak",
            "sweep_id",
            "scenario",
            text("throughput_inf_per_s DESC"),
            "batch_size",
            postgresql_where=text("status = 'ok'"),
        ),
        Index("ix_measurement_not_ok", "night", postgresql_where=text("status <> 'ok'")),
        # The few rows that overrule an earlier attempt.
        Index(
            "ix_measurement_retry",
            "sweep_id",
            "batch_size",
            "scenario",
            "attempt",
            postgresql_where=text("attempt > 1 AND status = 'ok'"),
        ),
        {
            "comment": "Attempts to measure one batch size; an invalid one is kept and shown, never a peak",
            "postgresql_with": EAGER_VACUUM,
        },
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
    worker_mode: Mapped[str | None] = mapped_column(comment="What a worker was: thread, process or native")
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
    latency_buckets: Mapped[list[int] | None] = mapped_column(
        comment="Histogram of the latency of one batch: bucket i ends at (1.01 / 0.99) ^ i ms"
    )
    latency_bucket_batches: Mapped[list[int] | None] = mapped_column(
        ARRAY(BigInteger), comment="Batches in each of the latency_buckets"
    )
    night: Mapped[date] = mapped_column(Date, comment="The sweep's night; the database fills it in")
    sweep_created_at: Mapped[datetime] = mapped_column(
        comment="When the sweep began; the database fills it in"
    )
    origin: Mapped[str] = mapped_column(comment="The sweep's origin; the database fills it in")
    series_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(SeriesRow.series_id),
        comment="The history it belongs to; the database fills it in; NULL for a failed attempt",
    )
    processes: Mapped[int | None] = mapped_column(comment="Processes that the workers were spread over")
    topology: Mapped[str | None] = mapped_column(comment="What issued the calls and why, one sentence")
    throughput_low_inf_per_s: Mapped[float | None] = _lower("throughput_inf_per_s")
    throughput_high_inf_per_s: Mapped[float | None] = _upper("throughput_inf_per_s")
    p50_low_ms: Mapped[float | None] = _lower("p50_ms")
    p50_high_ms: Mapped[float | None] = _upper("p50_ms")
    p90_low_ms: Mapped[float | None] = _lower("p90_ms")
    p90_high_ms: Mapped[float | None] = _upper("p90_ms")
    p95_low_ms: Mapped[float | None] = _lower("p95_ms")
    p95_high_ms: Mapped[float | None] = _upper("p95_ms")
    p99_low_ms: Mapped[float | None] = _lower("p99_ms")
    p99_high_ms: Mapped[float | None] = _upper("p99_ms")
    p99_9_low_ms: Mapped[float | None] = _lower("p99_9_ms")
    p99_9_high_ms: Mapped[float | None] = _upper("p99_9_ms")
    overhead_ns_per_call: Mapped[float | None] = mapped_column(
        comment="Median time of the load generator's loop around an empty replica, ns"
    )
    overhead_service_ms: Mapped[float | None] = mapped_column(
        comment="Time of one call that ideal_batches_per_s and ceiling_batches_per_s are for, ms"
    )
    ideal_batches_per_s: Mapped[float | None] = mapped_column(comment="workers / overhead_service_ms")
    ceiling_batches_per_s: Mapped[float | None] = mapped_column(
        comment="What the load generator shows of an ideal device that takes exactly overhead_service_ms"
    )
    target_batches_per_s: Mapped[float | None] = mapped_column(
        comment="server: mean rate of the random arrivals, given or found by the search"
    )
    p99_limit_ms: Mapped[float | None] = mapped_column(comment="server: highest acceptable P99, ms")
    arrival_seed: Mapped[int | None] = mapped_column(
        BigInteger, comment="server: seed of the random arrivals"
    )
    server_trials: Mapped[list[dict[str, Any]] | None] = mapped_column(
        JSONB(none_as_null=True),
        comment="server: rates that the search tried, in order: target_batches_per_s, "
        "achieved_batches_per_s, samples, p99_ms, met; empty: the rate was given",
    )
    service_samples: Mapped[int | None] = mapped_column(
        BigInteger, comment="server: calls that the service latencies are taken from"
    )
    service_mean_ms: Mapped[float | None] = _service("mean latency")
    service_p50_ms: Mapped[float | None] = _service("median latency")
    service_p90_ms: Mapped[float | None] = _service("90th percentile of the latency")
    service_p95_ms: Mapped[float | None] = _service("95th percentile of the latency")
    service_p99_ms: Mapped[float | None] = _service("99th percentile of the latency")
    service_p99_9_ms: Mapped[float | None] = _service("99.9th percentile of the latency")
    service_max_ms: Mapped[float | None] = _service("maximum of the latency")
    telemetry: Mapped[list[dict[str, Any]] | None] = mapped_column(
        JSONB(none_as_null=True),
        comment="What the device said of itself: name, value, unit, core; NULL: nothing",
    )
    samples_url: Mapped[str | None] = mapped_column(
        comment="Where the clock readings of every batch are kept, an npz file; NULL: nowhere, or no longer"
    )


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


METRICS = ("throughput_inf_per_s", "mean_ms", *LATENCIES)
"""What a measurement says, and a change may be found in."""

COMPILE_METRICS = ("compile_duration_s", "artifact_size_bytes", "peak_rss_bytes")
"""What a compilation says, and a change may be found in."""

STATUSES = (
    "suspect", "confirmed", "acknowledged", "expected", "infra", "fixed", "wont_fix", "false_alarm",
    "recovered", "reopened",
)  # fmt: skip
"""Where an incident can stand."""


class IncidentRow(Base):
    """Changes that belong together: what people judge. What they made of it is in the annotations."""

    __tablename__ = "incident"
    __table_args__ = (
        UniqueConstraint("incident_id", "configuration_id"),
        UniqueConstraint("configuration_id", "direction", "first_bad_sweep_id"),
        CheckConstraint(_one_of("direction", "worse", "better"), "direction"),
        CheckConstraint("last_good_sweep_id <> first_bad_sweep_id", "sweeps"),
        Index(None, "first_bad_sweep_id"),
        Index(None, "last_good_sweep_id"),
        # The newest first, as pages list them.
        Index(None, "opened_at"),
        {"comment": "Changes of one configuration within three nights in one direction: what people judge"},
    )

    incident_id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="The number by which people know it"
    )
    configuration_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(ConfigurationRow.configuration_id), comment="What shifted, at one or more batch sizes"
    )
    direction: Mapped[str] = mapped_column(
        comment="worse: less throughput, more latency, time or size; else better"
    )
    last_good_sweep_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(SweepRow.sweep_id, ondelete="CASCADE"), comment="The last sweep before its leading change"
    )
    first_bad_sweep_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(SweepRow.sweep_id, ondelete="CASCADE"), comment="The first sweep after its leading change"
    )
    opened_at: Mapped[datetime] = mapped_column(comment="When it was found")


class ChangeRow(Base):
    """A shift that was found in a series, or in the geometric mean of all series of a configuration."""

    __tablename__ = "change"
    __table_args__ = (
        UniqueConstraint("series_id", "metric", "first_bad_sweep_id"),
        CheckConstraint(_one_of("metric", *METRICS, *COMPILE_METRICS), "metric"),
        CheckConstraint(_positive("before_value", "after_value"), "values"),
        CheckConstraint("before_value <> after_value", "differs"),
        CheckConstraint(
            "relative_low <= after_value / before_value - 1 AND "
            "after_value / before_value - 1 <= relative_high "
            "AND relative_low > -1 AND relative_high < 'Infinity'",
            "interval",
        ),
        CheckConstraint("confidence > 0 AND confidence < 1", "confidence"),
        CheckConstraint("detector <> ''", "named"),
        CheckConstraint("last_good_sweep_id <> first_bad_sweep_id", "sweeps"),
        ForeignKeyConstraint(
            ["incident_id", "configuration_id"],
            [IncidentRow.incident_id, IncidentRow.configuration_id],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["series_id", "configuration_id"],
            [SeriesRow.series_id, SeriesRow.configuration_id],
            name="fk_change_series_of_configuration",
        ),
        # The newest first, as pages list them.
        Index(None, "detected_at"),
        Index(None, "first_bad_sweep_id"),
        Index(None, "last_good_sweep_id"),
        Index(None, "incident_id"),
        Index(
            "uq_change_geometric_mean",
            "configuration_id",
            "metric",
            "first_bad_sweep_id",
            unique=True,
            postgresql_where=text("series_id IS NULL"),
        ),
        {"comment": "Shifts found in a series: where, how large, which way"},
    )

    change_id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Internal key"
    )
    series_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(SeriesRow.series_id),
        comment="The history that shifted; NULL: the geometric mean over the batch sizes",
    )
    metric: Mapped[str] = mapped_column(
        comment="What shifted: throughput_inf_per_s, a latency, or a figure of the compilation"
    )
    last_good_sweep_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(SweepRow.sweep_id, ondelete="CASCADE"), comment="The last sweep before the shift"
    )
    first_bad_sweep_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(SweepRow.sweep_id, ondelete="CASCADE"), comment="The first sweep after the shift"
    )
    before_value: Mapped[float] = mapped_column(comment="Level before the shift, in the metric's unit")
    after_value: Mapped[float] = mapped_column(comment="Level after the shift, in the metric's unit")
    relative_change: Mapped[float] = mapped_column(
        Computed("after_value / before_value - 1", persisted=True),
        comment="after / before - 1: -0.03 is a loss of 3 percent",
        nullable=False,
    )
    relative_low: Mapped[float] = mapped_column(comment="Lower end of the interval of relative_change")
    relative_high: Mapped[float] = mapped_column(comment="Upper end of the interval of relative_change")
    confidence: Mapped[float] = mapped_column(comment="Confidence of that interval, such as 0.95")
    direction: Mapped[str] = mapped_column(
        Computed(
            "CASE WHEN (after_value < before_value) = (metric = 'throughput_inf_per_s') "
            "THEN 'worse' ELSE 'better' END",
            persisted=True,
        ),
        comment="worse: less throughput or more latency; else better",
        nullable=False,
    )
    detected_at: Mapped[datetime] = mapped_column(comment="When it was found")
    detector: Mapped[str] = mapped_column(comment="What found it, with the version of its thresholds")
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="What the detector went by, for people")
    incident_id: Mapped[int] = mapped_column(BigInteger, comment="The incident that it is part of")
    configuration_id: Mapped[uuid.UUID] = mapped_column(comment="What shifted, at one batch size or at all")
    level: Mapped[str] = mapped_column(
        Computed(
            "CASE WHEN series_id IS NULL THEN 'geometric_mean' ELSE 'batch_size' END",
            persisted=True,
        ),
        comment="batch_size: one series; geometric_mean: the mean over all batch sizes",
        nullable=False,
    )
    agreed: Mapped[bool | None] = mapped_column(
        comment="A second method finds it too; NULL: it was not asked or cannot tell"
    )


class BaselineRow(Base):
    """The sweeps that a series is judged against."""

    __tablename__ = "baseline"
    __table_args__ = (
        CheckConstraint(_one_of("kind", "automatic", "pinned"), "kind"),
        CheckConstraint("author <> '' AND reason <> ''", "named"),
        CheckConstraint("withdrawn_at >= set_at", "withdrawn"),
        CheckConstraint(
            "superseded_by IS NULL OR (superseded_by <> baseline_id AND withdrawn_at IS NOT NULL)",
            "superseded",
        ),
        Index(None, "superseded_by"),
        Index(
            "uq_baseline_current",
            "series_id",
            "kind",
            unique=True,
            postgresql_where=text("withdrawn_at IS NULL"),
        ),
        Index(None, "first_sweep_id"),
        Index(None, "last_sweep_id"),
        {"comment": "What a series is judged against: one sweep or a range; a pinned one comes first"},
    )

    baseline_id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Internal key"
    )
    series_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(SeriesRow.series_id), comment="The history that is judged"
    )
    kind: Mapped[str] = mapped_column(comment="automatic: chosen by the detector; pinned: by a person")
    first_sweep_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(SweepRow.sweep_id, ondelete="CASCADE"), comment="First sweep of the range"
    )
    last_sweep_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(SweepRow.sweep_id, ondelete="CASCADE"), comment="Last sweep of the range, often the first"
    )
    author: Mapped[str] = mapped_column(comment="Who set it: a person, or the detector's name")
    reason: Mapped[str] = mapped_column(comment="Why this one")
    set_at: Mapped[datetime] = mapped_column(comment="When it was set", server_default=func.now())
    withdrawn_at: Mapped[datetime | None] = mapped_column(comment="When it stopped counting; NULL: it counts")
    superseded_by: Mapped[int | None] = mapped_column(
        ForeignKey("baseline.baseline_id", ondelete="CASCADE"),
        comment="The pinned baseline that took its place; NULL: it counts, or it was withdrawn",
    )


class AnnotationRow(Base):
    """What a person or the detector said about an incident, a series or a sweep. Rows are only added.

    An incident stands where the latest annotation with a status says; it is confirmed without any. So no
    status changes without a name, a time and a reason.
    """

    __tablename__ = "annotation"
    __table_args__ = (
        CheckConstraint("author <> '' AND reason <> ''", "named"),
        CheckConstraint("num_nonnulls(incident_id, change_id, series_id, sweep_id) >= 1", "subject"),
        CheckConstraint(_one_of("status", *STATUSES), "status"),
        CheckConstraint("status IS NULL OR incident_id IS NOT NULL", "status_is_of_an_incident"),
        Index(None, "incident_id"),
        Index(None, "change_id"),
        Index(None, "series_id"),
        Index(None, "sweep_id"),
        {"comment": "Who said what, when and why, about a change, a series or a sweep"},
    )

    annotation_id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Internal key, ascending in time"
    )
    annotated_at: Mapped[datetime] = mapped_column(comment="When it was said", server_default=func.now())
    author: Mapped[str] = mapped_column(comment="Who said it")
    reason: Mapped[str] = mapped_column(comment="What was said, or why the status is what it is")
    status: Mapped[str | None] = mapped_column(
        comment="Status of the incident from now on: suspect, confirmed, acknowledged, expected, infra, "
        "fixed, wont_fix, false_alarm, recovered or reopened"
    )
    change_id: Mapped[int | None] = mapped_column(
        ForeignKey(ChangeRow.change_id, ondelete="CASCADE"), comment="The change it is about"
    )
    series_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(SeriesRow.series_id), comment="The series it is about"
    )
    sweep_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(SweepRow.sweep_id, ondelete="CASCADE"), comment="The sweep it is about"
    )
    incident_id: Mapped[int | None] = mapped_column(
        ForeignKey(IncidentRow.incident_id, ondelete="CASCADE"), comment="The incident it is about"
    )


EVENT_KINDS = ("missing", "failed", "insufficient_data", "suspect", "outlier", "trend")
"""What a night can have that is no lasting change."""


class NightEventRow(Base):
    """Something that a night had and that is no lasting change."""

    __tablename__ = "night_event"
    __table_args__ = (
        ForeignKeyConstraint(
            ["series_id", "configuration_id"], [SeriesRow.series_id, SeriesRow.configuration_id]
        ),
        CheckConstraint(_one_of("kind", *EVENT_KINDS), "kind"),
        CheckConstraint(_one_of("metric", *METRICS, *COMPILE_METRICS), "metric"),
        CheckConstraint(
            "(kind IN ('suspect', 'outlier', 'trend')) = (metric IS NOT NULL) AND "
            "(kind IN ('suspect', 'outlier', 'trend') OR series_id IS NOT NULL) AND "
            "(kind <> 'trend' OR extract(isodow FROM night) = 1)",
            "subject",
        ),
        CheckConstraint("detector <> ''", "named"),
        Index(
            "uq_night_event_subject",
            "night",
            "configuration_id",
            text("coalesce(series_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
            "kind",
            text("coalesce(metric, ''::text)"),
            unique=True,
        ),
        Index(None, "configuration_id"),
        Index(None, "series_id"),
        Index(None, "sweep_id"),
        {"comment": "What a night had that is no lasting change: gaps, outliers, and slow trends of a week"},
    )

    night_event_id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Internal key"
    )
    night: Mapped[date] = mapped_column(
        Date, comment="UTC date of the sweeps that it is about; of a trend, the week's Monday"
    )
    kind: Mapped[str] = mapped_column(
        comment="missing: no figure and no sweep; failed: asked for, no result; insufficient_data: not to be "
        "believed; suspect: one night far off, not yet measured again; outlier: far off, and not the next "
        "time; trend: slow"
    )
    configuration_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(ConfigurationRow.configuration_id), comment="What it is about"
    )
    series_id: Mapped[uuid.UUID | None] = mapped_column(
        comment="The history it is about; NULL: the mean over all batch sizes"
    )
    metric: Mapped[str | None] = mapped_column(comment="Which figure; NULL: all, there is none")
    sweep_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(SweepRow.sweep_id, ondelete="CASCADE"),
        comment="The sweep that measured, or should have; NULL: there was none",
    )
    detected_at: Mapped[datetime] = mapped_column(comment="When it was found")
    detector: Mapped[str] = mapped_column(comment="What found it, with the version of its thresholds")
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="What the detector went by, for people")


class MuteRow(Base):
    """What nobody wants to hear of until a day that must be named."""

    __tablename__ = "mute"
    __table_args__ = (
        CheckConstraint("num_nonnulls(series_id, model_glob) = 1", "subject"),
        CheckConstraint(_one_of("metric", *METRICS, *COMPILE_METRICS), "metric"),
        CheckConstraint("author <> '' AND reason <> '' AND model_glob <> ''", "named"),
        CheckConstraint("expires_at > set_at AND isfinite(expires_at)", "expires"),
        CheckConstraint(
            "num_nulls(lifted_at, lifted_by, lifted_reason) IN (0, 3) AND lifted_at >= set_at AND "
            "lifted_by <> '' AND lifted_reason <> ''",
            "lifted",
        ),
        Index(None, "expires_at"),
        Index(None, "series_id"),
        {"comment": "What nobody wants to hear of for a while, and until when"},
    )

    mute_id: Mapped[int] = mapped_column(
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="The number by which people know it",
    )
    series_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(SeriesRow.series_id), comment="The history that is muted; NULL: those of models"
    )
    model_glob: Mapped[str | None] = mapped_column(
        comment="Pattern of the models that are muted, with * and ?; NULL: a single history"
    )
    metric: Mapped[str | None] = mapped_column(comment="Only this figure; NULL: all")
    author: Mapped[str] = mapped_column(comment="Who muted it")
    reason: Mapped[str] = mapped_column(comment="Why")
    set_at: Mapped[datetime] = mapped_column(comment="When it was muted", server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(comment="When it is heard again by itself")
    lifted_at: Mapped[datetime | None] = mapped_column(
        comment="When a person ended it before that; NULL: nobody did"
    )
    lifted_by: Mapped[str | None] = mapped_column(comment="Who ended it")
    lifted_reason: Mapped[str | None] = mapped_column(comment="Why it was ended")


class PriceRow(Base):
    """What an hour of a machine costs from some day on."""

    __tablename__ = "price"
    __table_args__ = (
        CheckConstraint("instance_type <> '' AND region_class <> '' AND source <> ''", "named"),
        CheckConstraint(_one_of("kind", "on_demand", "reserved_effective"), "kind"),
        CheckConstraint("usd_per_hour > 0 AND usd_per_hour < 'NaN'", "usd_per_hour"),
        CheckConstraint("isfinite(valid_from)", "valid_from"),
        {"comment": "Prices of machines; each is in force until the next of the same kind"},
    )

    instance_type: Mapped[str] = mapped_column(
        primary_key=True, comment="The cloud's name of the machine, such as inf2.xlarge"
    )
    region_class: Mapped[str] = mapped_column(
        primary_key=True, comment="Regions that share a price list, such as us-east"
    )
    kind: Mapped[str] = mapped_column(
        primary_key=True, comment="on_demand, or reserved_effective: a reservation spread over its hours"
    )
    valid_from: Mapped[date] = mapped_column(Date, primary_key=True, comment="First day it is in force")
    usd_per_hour: Mapped[Decimal] = mapped_column(Numeric(12, 6), comment="US dollars per machine and hour")
    source: Mapped[str] = mapped_column(comment="Where the figure is from, and what it is")


class NoticeRow(Base):
    """Something that people were told about, and are not told about again."""

    __tablename__ = "notice"
    __table_args__ = (
        CheckConstraint("subject <> ''", "named"),
        CheckConstraint("cardinality(told_to) >= 1", "told"),
        {"comment": "What has been told to people through the notification channels, each subject once"},
    )

    subject: Mapped[str] = mapped_column(
        primary_key=True, comment="What it was about, such as one missing night"
    )
    told_at: Mapped[datetime] = mapped_column(comment="When it was told", server_default=func.now())
    told_to: Mapped[list[str]] = mapped_column(
        comment="The channels that took it, such as slack:bench_slack:#performance"
    )


EXPERIMENT_VERDICTS = ("worse", "better", "no worse", "undecided", "not compared")


class ExperimentRow(Base):
    """A comparison of two interpreters in turns on one host, and what became of it."""

    __tablename__ = "experiment"
    __table_args__ = (
        UniqueConstraint("dag_id", "run_id"),
        CheckConstraint("author <> '' AND old_interpreter <> '' AND new_interpreter <> ''", "named"),
        CheckConstraint("cardinality(batch_sizes) >= 1 AND 1 <= ALL (batch_sizes)", "batch_sizes"),
        CheckConstraint("pairs >= 1 AND max_pairs >= pairs", "counts"),
        CheckConstraint(
            "min_effect > 0 AND min_effect < 1 AND p99_min_effect > 0 AND p99_min_effect < 1", "effects"
        ),
        CheckConstraint(_one_of("verdict", *EXPERIMENT_VERDICTS), "verdict"),
        CheckConstraint(
            "num_nulls(finished_at, verdict, sentence) IN (0, 3) AND "
            "jsonb_typeof(judgements) = 'array' AND jsonb_typeof(problems) = 'array'",
            "outcome",
        ),
        CheckConstraint(
            "num_nulls(accepted_at, accepted_by, accepted_reason) IN (0, 3) AND accepted_by <> '' AND "
            "accepted_reason <> '' AND (accepted_at IS NULL OR verdict IS NOT NULL)",
            "accepted",
        ),
        Index(None, "created_at"),
        Index(None, "old_environment_id"),
        Index(None, "new_environment_id"),
        {"comment": "Comparisons of two interpreters, measured in turns on one host"},
    )

    experiment_id: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, comment="Derived from dag_id and run_id"
    )
    dag_id: Mapped[str] = mapped_column(comment="Which DAG ran it, or bench compare")
    run_id: Mapped[str] = mapped_column(comment="Which run of it")
    author: Mapped[str] = mapped_column(comment="Who asked for it")
    created_at: Mapped[datetime] = mapped_column(comment="When it was asked for")
    label: Mapped[str | None] = mapped_column(comment="Short name given by a person")
    note: Mapped[str | None] = mapped_column(comment="Why it was asked for")
    host: Mapped[str | None] = mapped_column(comment="Host that compiled its programs")
    model: Mapped[str] = mapped_column(comment="Hub id, directory, or config:NAME for seeded random weights")
    model_revision: Mapped[str | None] = mapped_column(comment="Branch, tag or commit on the hub")
    sequence_length: Mapped[int] = mapped_column(comment="Tokens per sequence, padding included")
    batch_sizes: Mapped[list[int]] = mapped_column(comment="Asked batch sizes, inferences per call")
    scenario: Mapped[str] = mapped_column(comment="Kind of load: offline or single_stream")
    backend: Mapped[str] = mapped_column(comment="What compiles and runs the model")
    old_interpreter: Mapped[str] = mapped_column(comment="Asked Python of the old side")
    new_interpreter: Mapped[str] = mapped_column(
        comment="Asked Python of the new side; the same as the old one: the procedure measures itself"
    )
    pairs: Mapped[int] = mapped_column(comment="Asked pairs per batch size before the first verdict")
    max_pairs: Mapped[int] = mapped_column(comment="Asked most pairs per batch size")
    min_effect: Mapped[float] = mapped_column(
        comment="Smallest relative difference of throughput and P50 that matters"
    )
    p99_min_effect: Mapped[float] = mapped_column(comment="Smallest relative difference of P99 that matters")
    spec: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="All that was asked for")
    old_environment_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(EnvironmentRow.environment_id), comment="What the old side ran in; NULL: nothing compiled"
    )
    new_environment_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(EnvironmentRow.environment_id), comment="What the new side ran in; NULL: nothing compiled"
    )
    finished_at: Mapped[datetime | None] = mapped_column(comment="When the verdict was found; NULL: not yet")
    verdict: Mapped[str | None] = mapped_column(
        comment="Of the new side: worse, better, no worse, undecided or not compared; NULL: not yet"
    )
    sentence: Mapped[str | None] = mapped_column(comment="The verdict for people")
    judgements: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, comment="Each metric at each batch size: estimate, interval, p-value, verdict"
    )
    problems: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, comment="Batch sizes that could not be compared: side, stage, reason"
    )
    notes: Mapped[list[str]] = mapped_column(comment="What one must know beside the verdict, for people")
    accepted_at: Mapped[datetime | None] = mapped_column(comment="When the new side was accepted; NULL: not")
    accepted_by: Mapped[str | None] = mapped_column(comment="Who accepted it")
    accepted_reason: Mapped[str | None] = mapped_column(comment="Why")


PAIR_FIGURES = ("throughput_inf_per_s", "p50_ms", "p99_ms")
_PAIR_COLUMNS = tuple(f"{side}_{name}" for side in ("old", "new") for name in PAIR_FIGURES)


class PairRow(Base):
    """One short measurement of either side, one right after the other."""

    __tablename__ = "pair"
    __table_args__ = (
        CheckConstraint(_at_least_1("batch_size", "pair_number"), "counts"),
        CheckConstraint(_one_of("first_side", "old", "new"), "first_side"),
        CheckConstraint(_positive(*_PAIR_COLUMNS), "figures"),
        CheckConstraint("old_output_error >= 0 AND new_output_error >= 0", "output_errors"),
        CheckConstraint(
            "(reason IS NULL) = counts AND (NOT counts OR "
            "num_nulls(old_throughput_inf_per_s, new_throughput_inf_per_s) = 0)",
            "counts_or_has_reason",
        ),
        {"comment": "The pairs of an experiment: both sides measured one right after the other"},
    )

    experiment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey(ExperimentRow.experiment_id, ondelete="CASCADE"),
        primary_key=True,
        comment="The experiment it belongs to",
    )
    batch_size: Mapped[int] = mapped_column(primary_key=True, comment="Inferences per call")
    pair_number: Mapped[int] = mapped_column(
        primary_key=True, comment="From 1 for each batch size, unusable ones included"
    )
    first_side: Mapped[str] = mapped_column(comment="Which side was measured first: old or new")
    counts: Mapped[bool] = mapped_column(comment="False: it cannot be used, see reason")
    reason: Mapped[str | None] = mapped_column(comment="Why it cannot be used; NULL: it can")
    host: Mapped[str | None] = mapped_column(comment="Host on which both were measured")
    recorded_at: Mapped[datetime] = mapped_column(comment="When the second of the two ended")
    old_throughput_inf_per_s: Mapped[float | None] = mapped_column(comment="Inferences per second, old side")
    new_throughput_inf_per_s: Mapped[float | None] = mapped_column(comment="Inferences per second, new side")
    old_p50_ms: Mapped[float | None] = mapped_column(comment="Median latency of one batch, old side, ms")
    new_p50_ms: Mapped[float | None] = mapped_column(comment="Median latency of one batch, new side, ms")
    old_p99_ms: Mapped[float | None] = mapped_column(
        comment="99th percentile of the latency of one batch, old side, ms; NULL: too few samples"
    )
    new_p99_ms: Mapped[float | None] = mapped_column(
        comment="99th percentile of the latency of one batch, new side, ms; NULL: too few samples"
    )
    old_output_error: Mapped[float | None] = mapped_column(
        comment="Largest relative difference of an output from the CPU reference, old side"
    )
    new_output_error: Mapped[float | None] = mapped_column(
        comment="Largest relative difference of an output from the CPU reference, new side"
    )
    old_failed_checks: Mapped[list[str]] = mapped_column(comment="Checks that failed on the old side")
    new_failed_checks: Mapped[list[str]] = mapped_column(comment="Checks that failed on the new side")
