"""Series and nights, changes, baselines, annotations, prices, and the views that people ask.

Revision ID: 0003
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from benchlib.store.migrate import FUNCTIONS, VIEWS
from benchlib.store.migrations.scripts import comment_columns, run

revision = "0003"
down_revision = "0002"

TIME = sa.DateTime(timezone=True)

DIRECTION = (
    "CASE WHEN (after_value < before_value) = (metric = 'throughput_inf_per_s') "
    "THEN 'worse' ELSE 'better' END"
)

VIEW_NAMES = (
    "valid_measurement",
    "environment_field",
    "throughput_history",
    "latency_history",
    "peak",
    "sdk_comparison",
    "price_period",
    "cost",
    "series_list",
    "coverage",
    "change_history",
    "open_changes",
    "current_baseline",
    "annotation_history",
    "environment_difference",
    "compilation_history",
    "failure_history",
    "measurement_check",
    "failed_check",
    "measurement_round",
)
"""Each only asks those before it."""

OLDER_VIEWS = ("comparison_table", "latency_bucket")

ON_DEMAND = "AWS list price of 2024, us-east class: inf2_instance_prices.csv at Neuron SDK 2.19.1, on-demand"
RESERVED = (
    "AWS list price of 2024, us-east class: inf2_instance_prices.csv since Neuron SDK 2.20, effective price "
    "of a reserved instance, not on-demand"
)
PRICES = (
    ("inf2.xlarge", "0.758", "0.328"),
    ("inf2.8xlarge", "1.97", "0.850"),
    ("inf2.24xlarge", "6.49", "2.804"),
    ("inf2.48xlarge", "12.981", "5.608"),
)
"""Instance type, on demand and reserved, US dollars an hour."""


def upgrade() -> None:
    op.create_table("series", *_series_columns(), *_series_rules(), comment=SERIES)
    _add_nights()
    _create_change()
    _create_baseline()
    _create_annotation()
    _create_price()
    for name in VIEW_NAMES:
        if name == "change_history":
            run(FUNCTIONS / "environment_diff_0003.sql")
        run(VIEWS / f"{name}_0003.sql")
    comment_columns((*OLDER_VIEWS, *VIEW_NAMES), MEANINGS)
    run(FUNCTIONS / "require_valid_sweeps_0003.sql")
    for table, earlier, later in (
        ("change", "last_good_sweep_id", "first_bad_sweep_id"),
        ("baseline", "first_sweep_id", "last_sweep_id"),
    ):
        op.execute(
            f"CREATE TRIGGER require_valid_sweeps BEFORE INSERT OR UPDATE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION require_valid_sweeps('{earlier}', '{later}')"
        )


def downgrade() -> None:
    comment_columns(OLDER_VIEWS, dict.fromkeys(MEANINGS))
    for name in reversed(VIEW_NAMES):
        op.execute(f"DROP VIEW {name}")
        if name == "change_history":
            op.execute("DROP FUNCTION environment_diff")
    for table in ("price", "annotation", "baseline", "change"):
        op.drop_table(table)
    op.execute("DROP FUNCTION require_valid_sweeps")
    _remove_nights()
    op.drop_table("series")


def _add_nights() -> None:
    """The night of sweeps and measurements, and the series of measurements, also of those that are there."""
    night = sa.Computed("(created_at AT TIME ZONE 'UTC')::date", persisted=True)
    op.add_column(
        "sweep",
        sa.Column("night", sa.Date(), night, nullable=False, comment="UTC date on which the sweep began"),
    )
    op.create_index(op.f("ix_sweep_night"), "sweep", ["night"])
    sdk = sa.Computed(
        "coalesce(neuron_sdk, 'neuronx-cc ' || neuronx_cc, 'torch ' || torch, 'unknown')", persisted=True
    )
    op.add_column(
        "environment",
        sa.Column(
            "sdk",
            sa.Text(),
            sdk,
            nullable=False,
            comment="The Neuron SDK, or else the compiler, or else torch, with its version",
        ),
    )
    for column in (
        sa.Column("night", sa.Date(), comment="The sweep's night; the database fills it in"),
        sa.Column("sweep_created_at", TIME, comment="When the sweep began; the database fills it in"),
        sa.Column("origin", sa.Text(), comment="The sweep's origin; the database fills it in"),
    ):
        op.add_column("measurement", column)
    op.add_column(
        "measurement",
        sa.Column(
            "series_id",
            sa.Uuid(),
            sa.ForeignKey("series.series_id", name=op.f("fk_measurement_series_id")),
            comment="The history it belongs to; the database fills it in; NULL for a failed attempt",
        ),
    )
    run(FUNCTIONS / "place_measurement_0003.sql")
    op.execute(
        "CREATE TRIGGER place_measurement BEFORE INSERT OR UPDATE ON measurement "
        "FOR EACH ROW EXECUTE FUNCTION place_measurement()"
    )
    op.execute("UPDATE measurement SET series_id = series_id")
    for name in ("night", "sweep_created_at", "origin"):
        op.alter_column("measurement", name, nullable=False)
    op.create_check_constraint(
        op.f("ck_measurement_result_has_series"),
        "measurement",
        "(status = 'failed') = (series_id IS NULL)",
    )
    _create_indexes()
    run(FUNCTIONS / "place_again_0003.sql")
    for table in ("sweep", "environment"):
        op.execute(
            f"CREATE TRIGGER place_again AFTER UPDATE ON {table} FOR EACH ROW "
            f"WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION place_again('{table}_id')"
        )


def _create_indexes() -> None:
    op.create_index(
        "ix_measurement_history",
        "measurement",
        ["series_id", "night"],
        postgresql_include=[
            "batch_size",
            "scenario",
            "status",
            "attempt",
            "sweep_id",
            "sweep_created_at",
            "origin",
            "environment_id",
            "throughput_inf_per_s",
            "p50_ms",
            "p99_ms",
        ],
    )
    op.create_index(
        "ix_measurement_peak",
        "measurement",
        ["sweep_id", "scenario", sa.text("throughput_inf_per_s DESC"), "batch_size"],
        postgresql_where=sa.text("status = 'ok'"),
    )
    op.create_index(
        "ix_measurement_not_ok", "measurement", ["night"], postgresql_where=sa.text("status <> 'ok'")
    )
    op.create_index(
        "ix_measurement_retry",
        "measurement",
        ["sweep_id", "batch_size", "scenario", "attempt"],
        postgresql_where=sa.text("attempt > 1 AND status = 'ok'"),
    )
    op.create_index(
        "ix_compilation_failed", "compilation", ["sweep_id"], postgresql_where=sa.text("status = 'failed'")
    )
    op.create_index(
        "ix_compilation_compiled", "compilation", ["sweep_id"], postgresql_where=sa.text("NOT cache_hit")
    )
    op.execute(
        "ALTER TABLE measurement SET "
        "(autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 2000)"
    )


def _remove_nights() -> None:
    for table in ("sweep", "environment"):
        op.execute(f"DROP TRIGGER place_again ON {table}")
    op.execute("DROP TRIGGER place_measurement ON measurement")
    op.execute("DROP FUNCTION place_again")
    op.execute("DROP FUNCTION place_measurement")
    op.execute(
        "ALTER TABLE measurement RESET "
        "(autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold)"
    )
    op.drop_index("ix_compilation_compiled", "compilation")
    op.drop_index("ix_compilation_failed", "compilation")
    op.drop_index("ix_measurement_retry", "measurement")
    op.drop_index("ix_measurement_peak", "measurement")
    for name in ("series_id", "origin", "sweep_created_at", "night"):
        op.drop_column("measurement", name)
    op.drop_column("sweep", "night")
    op.drop_column("environment", "sdk")


SERIES = "The keys of the histories: measurements of one series differ in time and software only"


def _series_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "series_id",
            sa.Uuid(),
            comment="Derived from all other columns, so the same in every database",
            nullable=False,
        ),
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
        sa.Column("precision", sa.Text(), comment="Precision of the program; NULL: not known"),
        sa.Column(
            "compiler_args", sa.ARRAY(sa.Text()), comment="Flags for the device's compiler", nullable=False
        ),
        sa.Column("batch_size", sa.Integer(), comment="Inferences per call", nullable=False),
        sa.Column(
            "scenario", sa.Text(), comment="Kind of load: offline, server or single_stream", nullable=False
        ),
        sa.Column("replicas", sa.Integer(), comment="Loaded copies of the model; NULL: not known"),
        sa.Column("workers", sa.Integer(), comment="Closed loops that issued batches; NULL: not known"),
        sa.Column("worker_mode", sa.Text(), comment="What a worker was: thread or process"),
        sa.Column("backend", sa.Text(), comment="What ran the model", nullable=False),
        sa.Column("instance_type", sa.Text(), comment="The cloud's name of the machine, such as inf2.xlarge"),
        sa.Column(
            "hardware",
            sa.Boolean(),
            comment="True only for a real accelerator; results of a CPU or a stand-in never stand for one",
            nullable=False,
        ),
    ]


def _series_rules() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("series_id", name=op.f("pk_series")),
        sa.CheckConstraint(
            "series_id = left(encode(sha256(convert_to(ROW(model, model_revision, sequence_length, "
            "precision, compiler_args, batch_size, scenario, replicas, workers, worker_mode, backend, "
            "instance_type, hardware)::text, 'UTF8')), 'hex'), 32)::uuid",
            op.f("ck_series_derived"),
        ),
        sa.CheckConstraint(
            "sequence_length >= 1 AND batch_size >= 1 AND replicas >= 1 AND workers >= 1",
            op.f("ck_series_counts"),
        ),
    ]


def _create_change() -> None:
    op.create_table(
        "change",
        *_change_columns(),
        *_change_rules(),
        comment="Shifts found in a series: where, how large, which way",
    )
    op.create_index(op.f("ix_change_first_bad_sweep_id"), "change", ["first_bad_sweep_id"])
    op.create_index(op.f("ix_change_last_good_sweep_id"), "change", ["last_good_sweep_id"])


def _change_columns() -> list[sa.Column[Any]]:
    return [
        _identity("change_id", "Internal key"),
        sa.Column("series_id", sa.Uuid(), comment="The history that shifted", nullable=False),
        sa.Column(
            "metric",
            sa.Text(),
            comment="What shifted: throughput_inf_per_s or one of the latencies",
            nullable=False,
        ),
        sa.Column("last_good_sweep_id", sa.Uuid(), comment="The last sweep before the shift", nullable=False),
        sa.Column("first_bad_sweep_id", sa.Uuid(), comment="The first sweep after the shift", nullable=False),
        sa.Column(
            "before_value",
            sa.Double(),
            comment="Level before the shift, in the metric's unit",
            nullable=False,
        ),
        sa.Column(
            "after_value", sa.Double(), comment="Level after the shift, in the metric's unit", nullable=False
        ),
        sa.Column(
            "relative_change",
            sa.Double(),
            sa.Computed("after_value / before_value - 1", persisted=True),
            comment="after / before - 1: -0.03 is a loss of 3 percent",
            nullable=False,
        ),
        sa.Column(
            "relative_low",
            sa.Double(),
            comment="Lower end of the interval of relative_change",
            nullable=False,
        ),
        sa.Column(
            "relative_high",
            sa.Double(),
            comment="Upper end of the interval of relative_change",
            nullable=False,
        ),
        sa.Column(
            "confidence", sa.Double(), comment="Confidence of that interval, such as 0.95", nullable=False
        ),
        sa.Column(
            "direction",
            sa.Text(),
            sa.Computed(DIRECTION, persisted=True),
            comment="worse: less throughput or more latency; else better",
            nullable=False,
        ),
        sa.Column("detected_at", TIME, comment="When it was found", nullable=False),
        sa.Column(
            "detector",
            sa.Text(),
            comment="What found it, with the version of its thresholds",
            nullable=False,
        ),
        sa.Column("evidence", JSONB(), comment="What the detector went by, for people", nullable=False),
    ]


def _change_rules() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_change")),
        _reference("change", "series_id", "series.series_id"),
        _reference("change", "last_good_sweep_id", "sweep.sweep_id", ondelete="CASCADE"),
        _reference("change", "first_bad_sweep_id", "sweep.sweep_id", ondelete="CASCADE"),
        sa.UniqueConstraint("series_id", "metric", "first_bad_sweep_id", name=op.f("uq_change_series_id")),
        sa.CheckConstraint(
            "metric IN ('throughput_inf_per_s', 'mean_ms', 'p50_ms', 'p90_ms', 'p95_ms', 'p99_ms', "
            "'p99_9_ms', 'max_ms')",
            op.f("ck_change_metric"),
        ),
        sa.CheckConstraint(
            "before_value > 0 AND before_value < 'Infinity' AND after_value > 0 AND after_value < 'Infinity'",
            op.f("ck_change_values"),
        ),
        sa.CheckConstraint("before_value <> after_value", op.f("ck_change_differs")),
        sa.CheckConstraint(
            "relative_low <= after_value / before_value - 1 AND "
            "after_value / before_value - 1 <= relative_high "
            "AND relative_low > -1 AND relative_high < 'Infinity'",
            op.f("ck_change_interval"),
        ),
        sa.CheckConstraint("confidence > 0 AND confidence < 1", op.f("ck_change_confidence")),
        sa.CheckConstraint("detector <> ''", op.f("ck_change_named")),
        sa.CheckConstraint("last_good_sweep_id <> first_bad_sweep_id", op.f("ck_change_sweeps")),
    ]


def _create_baseline() -> None:
    op.create_table(
        "baseline",
        *_baseline_columns(),
        *_baseline_rules(),
        comment="What a series is judged against: one sweep or a range; a pinned one comes first",
    )
    op.create_index(
        "uq_baseline_current",
        "baseline",
        ["series_id", "kind"],
        unique=True,
        postgresql_where=sa.text("withdrawn_at IS NULL"),
    )
    op.create_index(op.f("ix_baseline_first_sweep_id"), "baseline", ["first_sweep_id"])
    op.create_index(op.f("ix_baseline_last_sweep_id"), "baseline", ["last_sweep_id"])


def _baseline_columns() -> list[sa.Column[Any]]:
    return [
        _identity("baseline_id", "Internal key"),
        sa.Column("series_id", sa.Uuid(), comment="The history that is judged", nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            comment="automatic: chosen by the detector; pinned: by a person",
            nullable=False,
        ),
        sa.Column("first_sweep_id", sa.Uuid(), comment="First sweep of the range", nullable=False),
        sa.Column(
            "last_sweep_id", sa.Uuid(), comment="Last sweep of the range, often the first", nullable=False
        ),
        sa.Column(
            "author", sa.Text(), comment="Who set it: a person, or the detector's name", nullable=False
        ),
        sa.Column("reason", sa.Text(), comment="Why this one", nullable=False),
        sa.Column("set_at", TIME, comment="When it was set", server_default=sa.func.now(), nullable=False),
        sa.Column("withdrawn_at", TIME, comment="When it stopped counting; NULL: it counts"),
    ]


def _baseline_rules() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("baseline_id", name=op.f("pk_baseline")),
        _reference("baseline", "series_id", "series.series_id"),
        _reference("baseline", "first_sweep_id", "sweep.sweep_id", ondelete="CASCADE"),
        _reference("baseline", "last_sweep_id", "sweep.sweep_id", ondelete="CASCADE"),
        sa.CheckConstraint("kind IN ('automatic', 'pinned')", op.f("ck_baseline_kind")),
        sa.CheckConstraint("author <> '' AND reason <> ''", op.f("ck_baseline_named")),
        sa.CheckConstraint("withdrawn_at >= set_at", op.f("ck_baseline_withdrawn")),
    ]


def _create_annotation() -> None:
    op.create_table(
        "annotation",
        *_annotation_columns(),
        *_annotation_rules(),
        comment="Who said what, when and why, about a change, a series or a sweep",
    )
    for column in ("change_id", "series_id", "sweep_id"):
        op.create_index(op.f(f"ix_annotation_{column}"), "annotation", [column])


def _annotation_columns() -> list[sa.Column[Any]]:
    return [
        _identity("annotation_id", "Internal key, ascending in time"),
        sa.Column(
            "annotated_at", TIME, comment="When it was said", server_default=sa.func.now(), nullable=False
        ),
        sa.Column("author", sa.Text(), comment="Who said it", nullable=False),
        sa.Column(
            "reason",
            sa.Text(),
            comment="What was said, or why the status is what it is",
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Text(),
            comment="Status of the change from now on: open, acknowledged, fixed, expected or false_alarm",
        ),
        sa.Column("change_id", sa.BigInteger(), comment="The change it is about"),
        sa.Column("series_id", sa.Uuid(), comment="The series it is about"),
        sa.Column("sweep_id", sa.Uuid(), comment="The sweep it is about"),
    ]


def _annotation_rules() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("annotation_id", name=op.f("pk_annotation")),
        _reference("annotation", "change_id", "change.change_id", ondelete="CASCADE"),
        _reference("annotation", "series_id", "series.series_id"),
        _reference("annotation", "sweep_id", "sweep.sweep_id", ondelete="CASCADE"),
        sa.CheckConstraint("author <> '' AND reason <> ''", op.f("ck_annotation_named")),
        sa.CheckConstraint(
            "num_nonnulls(change_id, series_id, sweep_id) >= 1", op.f("ck_annotation_subject")
        ),
        sa.CheckConstraint(
            "status IN ('open', 'acknowledged', 'fixed', 'expected', 'false_alarm')",
            op.f("ck_annotation_status"),
        ),
        sa.CheckConstraint(
            "status IS NULL OR change_id IS NOT NULL", op.f("ck_annotation_status_is_of_a_change")
        ),
    ]


def _create_price() -> None:
    op.create_table(
        "price",
        *_price_columns(),
        *_price_rules(),
        comment="Prices of machines; each is in force until the next of the same kind",
    )
    rows = (
        f"('{instance_type}', 'us-east', '{kind}', DATE '2024-01-01', {usd_per_hour}, '{source}')"
        for instance_type, on_demand, reserved in PRICES
        for kind, usd_per_hour, source in (
            ("on_demand", on_demand, ON_DEMAND),
            ("reserved_effective", reserved, RESERVED),
        )
    )
    op.execute(
        "INSERT INTO price (instance_type, region_class, kind, valid_from, usd_per_hour, source) VALUES\n"
        + ",\n".join(rows)
    )


def _price_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "instance_type",
            sa.Text(),
            comment="The cloud's name of the machine, such as inf2.xlarge",
            nullable=False,
        ),
        sa.Column(
            "region_class",
            sa.Text(),
            comment="Regions that share a price list, such as us-east",
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.Text(),
            comment="on_demand, or reserved_effective: a reservation spread over its hours",
            nullable=False,
        ),
        sa.Column("valid_from", sa.Date(), comment="First day it is in force", nullable=False),
        sa.Column(
            "usd_per_hour", sa.Numeric(12, 6), comment="US dollars per machine and hour", nullable=False
        ),
        sa.Column("source", sa.Text(), comment="Where the figure is from, and what it is", nullable=False),
    ]


def _price_rules() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("instance_type", "region_class", "kind", "valid_from", name=op.f("pk_price")),
        sa.CheckConstraint(
            "instance_type <> '' AND region_class <> '' AND source <> ''", op.f("ck_price_named")
        ),
        sa.CheckConstraint("kind IN ('on_demand', 'reserved_effective')", op.f("ck_price_kind")),
        sa.CheckConstraint("usd_per_hour > 0 AND usd_per_hour < 'NaN'", op.f("ck_price_usd_per_hour")),
        sa.CheckConstraint("isfinite(valid_from)", op.f("ck_price_valid_from")),
    ]


def _identity(name: str, comment: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), sa.Identity(always=True), comment=comment, nullable=False)


def _reference(table: str, column: str, target: str, ondelete: str | None = None) -> sa.Constraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"), ondelete=ondelete)


MEANINGS: dict[str, str] = {
    "series_id": "The series: the same in every database",
    "model": "Hub id, directory, or config:NAME for seeded random weights",
    "model_revision": "Branch, tag or commit on the hub",
    "sequence_length": "Tokens per sequence, padding included",
    "precision": "Precision of the program; NULL: not known",
    "compiler_args": "Flags for the device's compiler",
    "batch_size": "Inferences per call",
    "scenario": "Kind of load: offline, server or single_stream",
    "replicas": "Loaded copies of the model; NULL: not known",
    "workers": "Closed loops that issued batches; NULL: not known",
    "worker_mode": "What a worker was: thread or process",
    "backend": "What ran the model",
    "instance_type": "The cloud's name of the machine, such as inf2.xlarge",
    "hardware": "True only for a real accelerator; results of a CPU or a stand-in never stand for one",
    "device": "What ran the model, in words",
    "night": "UTC date on which the sweep began",
    "created_at": "When the sweep began",
    "sweep_id": "The sweep",
    "origin": "dag: measured here; import: read from somebody's table",
    "label": "Short name of the sweep, given by a person",
    "sdk": "The Neuron SDK, or else the compiler, or else torch, with its version",
    "environment_id": "The environment, for environment_diff and environment_field",
    "measurement_id": "Internal key of the measurement",
    "attempt": "1 for the first try",
    "started_at": "When the measuring began",
    "recorded_at": "When the attempt ended",
    "filename": "Name of the program's file",
    "batches": "Measured batches of all workers in all rounds",
    "inferences": "batches x batch_size",
    "duration_s": "inferences / throughput: the time in which all workers were busy, s",
    "throughput_inf_per_s": "Inferences per second of all workers",
    "samples": "Batches that the latencies are taken from",
    "mean_ms": "Mean latency of one batch, ms",
    "p50_ms": "Median latency of one batch, ms",
    "p90_ms": "90th percentile of the latency of one batch, ms; NULL where too few samples support it",
    "p95_ms": "95th percentile of the latency of one batch, ms; NULL where too few samples support it",
    "p99_ms": "99th percentile of the latency of one batch, ms; NULL where too few samples support it",
    "p99_9_ms": "99.9th percentile of the latency of one batch, ms; NULL where too few samples support it",
    "max_ms": "Longest latency of one batch, ms",
    "load_duration_s": "Time to load all replicas, s",
    "status": "ok; invalid: measured but a check says not to believe it; failed: no figures",
    "reason": "Why it failed or cannot be believed; empty when ok",
    "bucket": "Number of the histogram's bucket",
    "latency_bucket.batches": "Batches in this bucket",
    "above_ms": "Lower end of the bucket, exclusive, ms",
    "up_to_ms": "Upper end of the bucket, inclusive, ms",
    "neuron_sdk": "Release of the Neuron SDK",
    "neuronx_cc": "Version of the Neuron compiler",
    "torch_neuronx": "Version of torch-neuronx",
    "neuron_runtime": "Version of the Neuron runtime library",
    "neuron_driver": "Version of the Neuron kernel driver",
    "torch": "Version of torch",
    "first_night": "First night with a measurement",
    "last_night": "Last night with a measurement",
    "nights": "Nights with a valid measurement",
    "median_throughput_inf_per_s": "Median over the sweeps of the inferences per second",
    "median_p50_ms": "Median over the sweeps of the median latency of one batch, ms",
    "median_p99_ms": "Median over the sweeps of the 99th percentile of the latency of one batch, ms",
    "previous_sdk": "The SDK of the same series before this one; NULL for the first",
    "throughput_change": "Median throughput / that under the previous SDK - 1: -0.03 is a loss of 3 percent",
    "p50_change": "Median p50_ms / that under the previous SDK - 1: 0.03 is 3 percent slower",
    "p99_change": "Median p99_ms / that under the previous SDK - 1: 0.03 is 3 percent slower",
    "region_class": "Regions that share a price list, such as us-east",
    "price_kind": "on_demand, or reserved_effective: a reservation spread over its hours",
    "valid_from": "First day the price is in force",
    "valid_before": "Day from which the next price is in force; NULL: there is none yet",
    "usd_per_hour": "US dollars per machine and hour",
    "price_source": "Where the price is from, and what it is",
    "usd_per_million_inferences": "(1e6 / throughput_inf_per_s) * (usd_per_hour / 3600)",
    "state": "valid; invalid: measured, not believed; failed: asked for, no result; none: not asked for",
    "coverage.sweep_id": "The sweep that measured, or that should have; NULL: there was none",
    "coverage.reason": "Why there is no valid figure; empty when there is one",
    "coverage.last_night": "Last night on which the series was measured here, valid or not",
    "change_id": "Key of the change, for annotations",
    "metric": "What shifted: throughput_inf_per_s or one of the latencies",
    "direction": "worse: less throughput or more latency; else better",
    "before_value": "Level before the shift, in the metric's unit",
    "after_value": "Level after the shift, in the metric's unit",
    "relative_change": "after / before - 1: -0.03 is a loss of 3 percent",
    "relative_low": "Lower end of the interval of relative_change",
    "relative_high": "Upper end of the interval of relative_change",
    "confidence": "Confidence of that interval, such as 0.95",
    "last_good_sweep_id": "The last sweep before the shift",
    "last_good_night": "Its night",
    "first_bad_sweep_id": "The first sweep after the shift",
    "first_bad_night": "Its night",
    "detected_at": "When the change was found",
    "detector": "What found it, with the version of its thresholds",
    "change_history.status": "open, acknowledged, fixed, expected or false_alarm",
    "open_changes.status": "open or acknowledged",
    "author": "Who said so; NULL: nobody yet",
    "annotated_at": "When it was said",
    "change_history.reason": "Why the status is what it is",
    "open_changes.reason": "Why the status is what it is",
    "environment_changes": "What differs in the environment, likeliest cause first; or: nothing, not known",
    "baseline_kind": "automatic: chosen by the detector; pinned: by a person",
    "current_baseline.author": "Who set it: a person, or the detector's name",
    "current_baseline.reason": "Why this one",
    "set_at": "When it was set",
    "first_sweep_id": "First sweep of the range",
    "current_baseline.first_night": "Its night",
    "last_sweep_id": "Last sweep of the range",
    "current_baseline.last_night": "Its night",
    "sweeps": "Valid measurements in the range",
    "annotation_id": "Internal key, ascending in time",
    "annotation_history.author": "Who said it",
    "annotation_history.reason": "What was said, or why the status is what it is",
    "annotation_history.status": "Status that the change has from then on; NULL: a remark",
    "annotation_history.change_id": "The change it is about; NULL: none",
    "annotation_history.series_id": "The series it is about, or that of the change",
    "annotation_history.sweep_id": "The sweep it is about, or the change's first bad one",
    "annotation_history.night": "Night of that sweep",
    "rank": "Place in the order of how likely the field is to change a figure; 1 is the likeliest",
    "field": "Name of the field, as in the environment",
    "value": "Its value as text; NULL: not present or not known",
    "previous_sweep_id": "The last sweep before it that asked the same of the same kind of machine",
    "previous_night": "Its night",
    "before": "Value in the previous sweep's environment",
    "after": "Value in this sweep's environment",
    "compilation_history.status": "ok or failed",
    "compilation_history.backend": "What compiled the model; NULL: the attempt failed",
    "compilation_history.environment_id": "What it was compiled with; NULL: the attempt failed",
    "cache_hit": "True: found in the artifact store, not compiled",
    "compile_duration_s": "Duration of the compilation that made the artifact, s",
    "peak_rss_bytes": "Highest resident memory of the compiling process, bytes",
    "artifact_key": "SHA-256 of everything that shapes the program",
    "artifact_size_bytes": "Size of the program's file, bytes",
    "failure_kind": "bad_input, error, crashed or timeout",
    "failure_message": "Why it failed, one sentence",
    "failure_log_tail": "Last lines of the failed process",
    "failure_history.backend": "What was asked to compile and run the model",
    "stage": "compile or measure",
    "recovered": "True: a later attempt of the same sweep got a result",
    "failed_check.throughput_inf_per_s": "Inferences per second of all workers, not to be believed",
    "check_name": "Name of the check",
    "passed": "False: the measurement is not to be believed",
    "round_index": "0 for the first round",
    "measurement_round.batches": "Measured batches of all workers in this round",
    "figure": "What was found, in the unit; NULL: not a number",
    "figure_limit": "What it was held against, in the unit; NULL: not a number",
    "unit": "Unit of both",
    "advice": "What was found and what to do about it",
}
"""What a column of a view is, by its name, or by ``view.column`` where it means something else there."""
