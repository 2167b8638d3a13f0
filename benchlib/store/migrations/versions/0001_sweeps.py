"""Environments, sweeps, compilations, measurements, rounds and the comparison table.

Revision ID: 0001
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from benchlib.store.migrate import VIEWS

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "environment",
        *_environment_columns(),
        *_environment_rules(),
        comment="Hardware and software that results were made with; rows never change",
    )
    op.create_index(op.f("ix_environment_fingerprint"), "environment", ["fingerprint"])
    op.create_table(
        "sweep",
        *_sweep_columns(),
        *_sweep_rules(),
        comment="What was asked: one model, several batch sizes; one row per DAG run or import",
    )
    op.create_index(op.f("ix_sweep_created_at"), "sweep", ["created_at"])
    op.create_table(
        "compilation",
        *_compilation_columns(),
        *_compilation_rules(),
        comment="Attempts to compile the model at one batch size",
    )
    op.create_index(op.f("ix_compilation_environment_id"), "compilation", ["environment_id"])
    op.create_table(
        "measurement",
        *_measurement_columns(),
        *_measurement_rules(),
        comment="Attempts to measure one batch size; an invalid one is kept and shown, never a peak",
    )
    op.create_index(op.f("ix_measurement_environment_id"), "measurement", ["environment_id"])
    op.create_table(
        "round",
        *_round_columns(),
        *_round_rules(),
        comment="The measured windows of a measurement, from which its variance comes",
    )
    op.execute((VIEWS / "comparison_table_0001.sql").read_text().rstrip(";\n"))


def downgrade() -> None:
    op.execute("DROP VIEW comparison_table")
    for table in ("round", "measurement", "compilation", "sweep", "environment"):
        op.drop_table(table)


def _environment_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "environment_id",
            sa.Uuid(),
            comment="Derived from all other columns: equal environments share one row",
            nullable=False,
        ),
        sa.Column(
            "fingerprint",
            sa.Text(),
            comment="Equal for environments whose results may be compared",
            nullable=False,
        ),
        sa.Column(
            "hardware",
            sa.Boolean(),
            comment="True only for a real accelerator; results of a CPU or a stand-in never stand for one",
            nullable=False,
        ),
        sa.Column("device", sa.Text(), comment="What ran the model", nullable=False),
        sa.Column("instance_type", sa.Text(), comment="The cloud's name of the machine, such as inf2.xlarge"),
        sa.Column("cores", sa.Integer(), comment="Accelerator cores, or CPUs that may be used"),
        sa.Column("host", sa.Text(), comment="Host name"),
        sa.Column("memory_bytes", sa.BigInteger(), comment="Main memory, bytes"),
        sa.Column("kernel", sa.Text(), comment="Release of the operating system's kernel"),
        sa.Column("python", sa.Text(), comment="Version of the data plane's Python"),
        sa.Column("torch", sa.Text(), comment="Version of torch"),
        sa.Column("transformers", sa.Text(), comment="Version of transformers"),
        sa.Column("numpy", sa.Text(), comment="Version of numpy"),
        sa.Column("torch_neuronx", sa.Text(), comment="Version of torch-neuronx"),
        sa.Column("neuronx_cc", sa.Text(), comment="Version of the Neuron compiler"),
        sa.Column("neuron_runtime", sa.Text(), comment="Version of the Neuron runtime library"),
        sa.Column("neuron_driver", sa.Text(), comment="Version of the Neuron kernel driver"),
        sa.Column("benchlib", sa.Text(), comment="Version of the code that measured"),
        sa.Column("image", sa.Text(), comment="Container or machine image"),
    ]


def _environment_rules() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("environment_id", name=op.f("pk_environment")),
        sa.CheckConstraint("fingerprint <> '' AND device <> ''", op.f("ck_environment_named")),
        sa.CheckConstraint("cores >= 1 AND memory_bytes >= 1", op.f("ck_environment_counts")),
    ]


def _sweep_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("sweep_id", sa.Uuid(), comment="Derived from dag_id and run_id", nullable=False),
        sa.Column("dag_id", sa.Text(), comment="Which DAG ran, or what imported", nullable=False),
        sa.Column("run_id", sa.Text(), comment="Which run of it", nullable=False),
        sa.Column(
            "origin",
            sa.Text(),
            comment="dag: measured here; import: read from somebody's table",
            nullable=False,
        ),
        sa.Column("created_at", TIME, comment="When the sweep began", nullable=False),
        sa.Column("label", sa.Text(), comment="Short name given by a person"),
        sa.Column("note", sa.Text(), comment="Why the run was started"),
        sa.Column(
            "model",
            sa.Text(),
            comment="Hub id, directory, or config:NAME for seeded random weights",
            nullable=False,
        ),
        sa.Column("model_revision", sa.Text(), comment="Branch, tag or commit on the hub"),
        sa.Column(
            "sequence_length", sa.Integer(), comment="Tokens per sequence, padding included", nullable=False
        ),
        sa.Column("seed", sa.BigInteger(), comment="Seed of random weights", nullable=False),
        sa.Column(
            "batch_sizes",
            sa.ARRAY(sa.Integer()),
            comment="Asked batch sizes, inferences per call",
            nullable=False,
        ),
        sa.Column("backend", sa.Text(), comment="What compiles and runs the model", nullable=False),
        sa.Column(
            "precision", sa.Text(), comment="Asked precision; auto leaves it to the device", nullable=False
        ),
        sa.Column(
            "compiler_args", sa.ARRAY(sa.Text()), comment="Flags for the device's compiler", nullable=False
        ),
        sa.Column(
            "scenario", sa.Text(), comment="Kind of load: offline, server or single_stream", nullable=False
        ),
        sa.Column("replicas", sa.Integer(), comment="Asked loaded copies of the model; NULL: one per core"),
        sa.Column("workers", sa.Integer(), comment="Asked closed loops; NULL: one per replica"),
        sa.Column(
            "batches_per_worker", sa.Integer(), comment="Asked batches per worker and round", nullable=False
        ),
        sa.Column(
            "warmup_batches",
            sa.Integer(),
            comment="Asked batches per worker before anything counts",
            nullable=False,
        ),
        sa.Column("rounds", sa.Integer(), comment="Asked measured windows", nullable=False),
        sa.Column("interpreter", sa.Text(), comment="Asked Python of the data plane", nullable=False),
    ]


def _sweep_rules() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("sweep_id", name=op.f("pk_sweep")),
        sa.UniqueConstraint("dag_id", "run_id", name=op.f("uq_sweep_dag_id")),
        sa.CheckConstraint("origin IN ('dag', 'import')", op.f("ck_sweep_origin")),
        sa.CheckConstraint(
            "cardinality(batch_sizes) >= 1 AND 1 <= ALL (batch_sizes)", op.f("ck_sweep_batch_sizes")
        ),
        sa.CheckConstraint("precision IN ('auto', 'fp32', 'bf16')", op.f("ck_sweep_precision")),
        sa.CheckConstraint("scenario IN ('offline', 'server', 'single_stream')", op.f("ck_sweep_scenario")),
        sa.CheckConstraint(
            "sequence_length >= 1 AND replicas >= 1 AND workers >= 1 AND batches_per_worker >= 1 "
            "AND warmup_batches >= 1 AND rounds >= 1",
            op.f("ck_sweep_counts"),
        ),
        sa.CheckConstraint("seed >= 0", op.f("ck_sweep_seed")),
    ]


def _compilation_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "compilation_id",
            sa.BigInteger(),
            sa.Identity(always=True),
            comment="Internal key",
            nullable=False,
        ),
        sa.Column("sweep_id", sa.Uuid(), comment="The sweep it belongs to", nullable=False),
        sa.Column("batch_size", sa.Integer(), comment="Inferences per call", nullable=False),
        sa.Column("attempt", sa.Integer(), comment="1 for the first try", nullable=False),
        sa.Column("status", sa.Text(), comment="ok or failed", nullable=False),
        sa.Column("recorded_at", TIME, comment="When the attempt ended", nullable=False),
        sa.Column("environment_id", sa.Uuid(), comment="What it was compiled with"),
        sa.Column("backend", sa.Text(), comment="What compiled the model"),
        sa.Column("precision", sa.Text(), comment="Precision of the program"),
        sa.Column("artifact_key", sa.Text(), comment="SHA-256 of everything that shapes the program"),
        sa.Column("artifact_filename", sa.Text(), comment="Name of the program's file"),
        sa.Column("artifact_sha256", sa.Text(), comment="SHA-256 of that file"),
        sa.Column("artifact_size_bytes", sa.BigInteger(), comment="Size of that file, bytes"),
        sa.Column("cache_hit", sa.Boolean(), comment="True: found in the artifact store, not compiled"),
        sa.Column(
            "compile_duration_s", sa.Double(), comment="Duration of the compilation that made the artifact, s"
        ),
        sa.Column(
            "peak_rss_bytes",
            sa.BigInteger(),
            comment="Highest resident memory of the compiling process, bytes",
        ),
        sa.Column(
            "warnings", sa.ARRAY(sa.Text()), comment="What the compiling process warned of", nullable=False
        ),
        sa.Column("failure_kind", sa.Text(), comment="bad_input, error, crashed or timeout"),
        sa.Column("failure_message", sa.Text(), comment="Why it failed, one sentence"),
        sa.Column("failure_log_tail", sa.ARRAY(sa.Text()), comment="Last lines of the failed process"),
    ]


def _compilation_rules() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("compilation_id", name=op.f("pk_compilation")),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.environment_id"], name=op.f("fk_compilation_environment_id")
        ),
        sa.ForeignKeyConstraint(
            ["sweep_id"], ["sweep.sweep_id"], name=op.f("fk_compilation_sweep_id"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint("sweep_id", "batch_size", "attempt", name=op.f("uq_compilation_sweep_id")),
        sa.CheckConstraint("status IN ('ok', 'failed')", op.f("ck_compilation_status")),
        sa.CheckConstraint("precision IN ('fp32', 'bf16')", op.f("ck_compilation_precision")),
        sa.CheckConstraint(
            "batch_size >= 1 AND attempt >= 1 AND artifact_size_bytes >= 1 AND peak_rss_bytes >= 1",
            op.f("ck_compilation_counts"),
        ),
        sa.CheckConstraint(
            "artifact_key ~ '^[0-9a-f]{64}$' AND artifact_sha256 ~ '^[0-9a-f]{64}$'",
            op.f("ck_compilation_artifact"),
        ),
        sa.CheckConstraint(
            "compile_duration_s >= 0 AND compile_duration_s < 'Infinity'", op.f("ck_compilation_duration")
        ),
        sa.CheckConstraint(
            "status <> 'ok' OR (num_nonnulls(failure_kind, failure_message, failure_log_tail) = "
            "0 AND num_nulls(environment_id, backend, precision, artifact_key, "
            "artifact_filename, artifact_sha256, artifact_size_bytes, cache_hit, "
            "compile_duration_s) = 0)",
            op.f("ck_compilation_ok_has_artifact"),
        ),
        sa.CheckConstraint(
            "status <> 'failed' OR (num_nulls(failure_kind, failure_message) = 0 AND "
            "num_nonnulls(artifact_key, artifact_sha256, artifact_size_bytes, "
            "compile_duration_s) = 0)",
            op.f("ck_compilation_failed_has_reason"),
        ),
        sa.CheckConstraint(
            "failure_kind IN ('bad_input', 'error', 'crashed', 'timeout')",
            op.f("ck_compilation_failure_kind"),
        ),
    ]


def _measurement_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "measurement_id",
            sa.BigInteger(),
            sa.Identity(always=True),
            comment="Internal key",
            nullable=False,
        ),
        sa.Column("sweep_id", sa.Uuid(), comment="The sweep it belongs to", nullable=False),
        sa.Column("batch_size", sa.Integer(), comment="Inferences per call", nullable=False),
        sa.Column(
            "scenario", sa.Text(), comment="Kind of load: offline, server or single_stream", nullable=False
        ),
        sa.Column("attempt", sa.Integer(), comment="1 for the first try", nullable=False),
        sa.Column(
            "status",
            sa.Text(),
            comment="ok; invalid: measured but a check says not to believe it; failed: no figures",
            nullable=False,
        ),
        sa.Column("recorded_at", TIME, comment="When the attempt ended", nullable=False),
        sa.Column("started_at", TIME, comment="When the measuring began"),
        sa.Column("environment_id", sa.Uuid(), comment="What it was measured with"),
        sa.Column("filename", sa.Text(), comment="Name of the program's file"),
        sa.Column("backend", sa.Text(), comment="What ran the model"),
        sa.Column("precision", sa.Text(), comment="Precision of the program; NULL: not known"),
        sa.Column("replicas", sa.Integer(), comment="Loaded copies of the model"),
        sa.Column("workers", sa.Integer(), comment="Closed loops that issued batches"),
        sa.Column("worker_mode", sa.Text(), comment="What a worker was: thread or process"),
        sa.Column("batches", sa.BigInteger(), comment="Measured batches of all workers in all rounds"),
        sa.Column("inferences", sa.BigInteger(), comment="batches x batch_size"),
        sa.Column(
            "duration_s",
            sa.Double(),
            comment="inferences / throughput: the time in which all workers were busy, s",
        ),
        sa.Column("throughput_inf_per_s", sa.Double(), comment="Inferences per second of all workers"),
        sa.Column("samples", sa.BigInteger(), comment="Batches that the latencies are taken from"),
        *_latency_columns(),
        sa.Column("load_duration_s", sa.Double(), comment="Time to load all replicas, s"),
        sa.Column(
            "checks",
            JSONB(),
            comment="Reasons to believe the figures or not: name, passed, figure, limit, unit, advice",
            nullable=False,
        ),
        sa.Column(
            "warnings", sa.ARRAY(sa.Text()), comment="What the measuring process warned of", nullable=False
        ),
        sa.Column("failure_kind", sa.Text(), comment="bad_input, error, crashed or timeout"),
        sa.Column("failure_message", sa.Text(), comment="Why it failed, one sentence"),
        sa.Column("failure_log_tail", sa.ARRAY(sa.Text()), comment="Last lines of the failed process"),
    ]


def _measurement_rules() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("measurement_id", name=op.f("pk_measurement")),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.environment_id"], name=op.f("fk_measurement_environment_id")
        ),
        sa.ForeignKeyConstraint(
            ["sweep_id"], ["sweep.sweep_id"], name=op.f("fk_measurement_sweep_id"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint(
            "sweep_id", "batch_size", "scenario", "attempt", name=op.f("uq_measurement_sweep_id")
        ),
        sa.CheckConstraint("status IN ('ok', 'invalid', 'failed')", op.f("ck_measurement_status")),
        sa.CheckConstraint(
            "scenario IN ('offline', 'server', 'single_stream')", op.f("ck_measurement_scenario")
        ),
        sa.CheckConstraint("precision IN ('fp32', 'bf16')", op.f("ck_measurement_precision")),
        sa.CheckConstraint("worker_mode IN ('thread', 'process')", op.f("ck_measurement_worker_mode")),
        sa.CheckConstraint(
            "batch_size >= 1 AND attempt >= 1 AND replicas >= 1 AND workers >= 1", op.f("ck_measurement_load")
        ),
        sa.CheckConstraint("inferences = batches * batch_size", op.f("ck_measurement_inferences")),
        *_window_rules("measurement"),
        sa.CheckConstraint(
            "load_duration_s >= 0 AND load_duration_s < 'Infinity'", op.f("ck_measurement_load_duration")
        ),
        sa.CheckConstraint(
            "status = 'failed' OR (num_nonnulls(failure_kind, failure_message, failure_log_tail) "
            "= 0 AND num_nulls(environment_id, started_at, filename, backend, replicas, workers, "
            "worker_mode, batches, inferences, duration_s, throughput_inf_per_s, samples) = 0)",
            op.f("ck_measurement_result_has_figures"),
        ),
        sa.CheckConstraint(
            "status <> 'failed' OR (num_nulls(failure_kind, failure_message) = 0 AND "
            "num_nonnulls(batches, inferences, duration_s, throughput_inf_per_s, samples, "
            "mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, p99_9_ms, max_ms) = 0)",
            op.f("ck_measurement_failed_has_reason"),
        ),
        sa.CheckConstraint(
            "status = 'failed' OR (status = 'invalid') = jsonb_path_exists(checks, '$[*] ? "
            "(@.passed == false)')",
            op.f("ck_measurement_status_matches_checks"),
        ),
        sa.CheckConstraint(
            "failure_kind IN ('bad_input', 'error', 'crashed', 'timeout')",
            op.f("ck_measurement_failure_kind"),
        ),
    ]


def _round_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("measurement_id", sa.BigInteger(), comment="The measurement it belongs to", nullable=False),
        sa.Column("round_index", sa.Integer(), comment="0 for the first round", nullable=False),
        sa.Column("batches", sa.BigInteger(), comment="Measured batches of all workers", nullable=False),
        sa.Column("inferences", sa.BigInteger(), comment="batches x batch size", nullable=False),
        sa.Column("duration_s", sa.Double(), comment="inferences / throughput, s", nullable=False),
        sa.Column(
            "throughput_inf_per_s",
            sa.Double(),
            comment="Inferences per second of all workers",
            nullable=False,
        ),
        sa.Column(
            "samples", sa.BigInteger(), comment="Batches that the latencies are taken from", nullable=False
        ),
        *_latency_columns(),
    ]


def _round_rules() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("measurement_id", "round_index", name=op.f("pk_round")),
        sa.ForeignKeyConstraint(
            ["measurement_id"],
            ["measurement.measurement_id"],
            name=op.f("fk_round_measurement_id"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("round_index >= 0", op.f("ck_round_index")),
        sa.CheckConstraint(
            "mod(inferences, batches) = 0 AND inferences >= batches", op.f("ck_round_inferences")
        ),
        *_window_rules("round"),
    ]


def _latency_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "mean_ms",
            sa.Double(),
            comment="Mean of the latency of one batch, ms; NULL where too few samples support it",
        ),
        sa.Column(
            "p50_ms",
            sa.Double(),
            comment="Median of the latency of one batch, ms; NULL where too few samples support it",
        ),
        sa.Column(
            "p90_ms",
            sa.Double(),
            comment="90th percentile of the latency of one batch, ms; NULL where too few samples support it",
        ),
        sa.Column(
            "p95_ms",
            sa.Double(),
            comment="95th percentile of the latency of one batch, ms; NULL where too few samples support it",
        ),
        sa.Column(
            "p99_ms",
            sa.Double(),
            comment="99th percentile of the latency of one batch, ms; NULL where too few samples support it",
        ),
        sa.Column(
            "p99_9_ms",
            sa.Double(),
            comment="99.9th percentile of the latency of one batch, ms; NULL where too few samples "
            "support it",
        ),
        sa.Column(
            "max_ms",
            sa.Double(),
            comment="Maximum of the latency of one batch, ms; NULL where too few samples support it",
        ),
    ]


def _window_rules(table: str) -> list[sa.Constraint]:
    return [
        sa.CheckConstraint("batches >= 1 AND samples >= 1", op.f(f"ck_{table}_counts")),
        sa.CheckConstraint(
            "duration_s > 0 AND duration_s < 'Infinity' AND throughput_inf_per_s > 0 AND "
            "throughput_inf_per_s < 'Infinity'",
            op.f(f"ck_{table}_rates"),
        ),
        sa.CheckConstraint(
            "abs(throughput_inf_per_s * duration_s - inferences) <= 0.01 * inferences + 0.0005 * "
            "throughput_inf_per_s",
            op.f(f"ck_{table}_throughput_matches_duration"),
        ),
        sa.CheckConstraint(
            "mean_ms > 0 AND mean_ms < 'Infinity' AND p50_ms > 0 AND p50_ms < 'Infinity' AND "
            "p90_ms > 0 AND p90_ms < 'Infinity' AND p95_ms > 0 AND p95_ms < 'Infinity' AND "
            "p99_ms > 0 AND p99_ms < 'Infinity' AND p99_9_ms > 0 AND p99_9_ms < 'Infinity' AND "
            "max_ms > 0 AND max_ms < 'Infinity'",
            op.f(f"ck_{table}_latencies"),
        ),
        sa.CheckConstraint(
            "p50_ms <= LEAST(p90_ms, p95_ms, p99_ms, p99_9_ms, max_ms) AND p90_ms <= "
            "LEAST(p95_ms, p99_ms, p99_9_ms, max_ms) AND p95_ms <= LEAST(p99_ms, p99_9_ms, "
            "max_ms) AND p99_ms <= LEAST(p99_9_ms, max_ms) AND p99_9_ms <= LEAST(max_ms) AND "
            "mean_ms <= 1.000001 * max_ms",
            op.f(f"ck_{table}_latencies_ordered"),
        ),
    ]
