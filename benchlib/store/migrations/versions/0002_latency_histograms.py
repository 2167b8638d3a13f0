"""Latency histograms that add up, the Neuron SDK of an environment, and imports that lack their counts.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from benchlib.store.migrate import FUNCTIONS, VIEWS

revision = "0002"
down_revision = "0001"

HAS_FIGURES = "ck_measurement_result_has_figures"
NO_FAILURE = (
    "status = 'failed' OR (num_nonnulls(failure_kind, failure_message, failure_log_tail) = 0 AND num_nulls("
)


def upgrade() -> None:
    op.add_column(
        "environment", sa.Column("neuron_sdk", sa.Text(), comment="Release of the Neuron SDK, such as 2.26.0")
    )
    op.add_column(
        "measurement",
        sa.Column(
            "latency_buckets",
            sa.ARRAY(sa.Integer()),
            comment="Histogram of the latency of one batch: bucket i ends at (1.01 / 0.99) ^ i ms",
        ),
    )
    op.add_column(
        "measurement",
        sa.Column(
            "latency_bucket_batches",
            sa.ARRAY(sa.BigInteger()),
            comment="Batches in each of the latency_buckets",
        ),
    )
    op.create_check_constraint(
        op.f("ck_measurement_latency_histogram"),
        "measurement",
        "num_nulls(latency_buckets, latency_bucket_batches) <> 1 AND "
        "(latency_buckets IS NULL OR samples IS NOT NULL) AND cardinality(latency_buckets) >= 1 AND "
        "cardinality(latency_buckets) = cardinality(latency_bucket_batches) AND "
        "array_position(latency_buckets, NULL) IS NULL AND "
        "array_position(latency_bucket_batches, NULL) IS NULL AND 1 <= ALL (latency_bucket_batches)",
    )
    _replace_rule(
        f"{NO_FAILURE}environment_id, started_at, filename, backend, throughput_inf_per_s) = 0 AND "
        "num_nulls(batches, inferences, duration_s, samples) IN (0, 4))"
    )
    for script in (FUNCTIONS / "latency_percentile_0002.sql", VIEWS / "latency_bucket_0002.sql"):
        op.execute(script.read_text().rstrip(";\n"))


def downgrade() -> None:
    op.execute("DROP VIEW latency_bucket")
    op.execute("DROP FUNCTION latency_percentile")
    op.execute(
        "DELETE FROM measurement WHERE status <> 'failed' "
        "AND num_nulls(batches, replicas, workers, worker_mode) > 0"
    )
    _replace_rule(
        f"{NO_FAILURE}environment_id, started_at, filename, backend, replicas, workers, worker_mode, "
        "batches, inferences, duration_s, throughput_inf_per_s, samples) = 0)"
    )
    op.drop_constraint("ck_measurement_latency_histogram", "measurement")
    op.drop_column("measurement", "latency_bucket_batches")
    op.drop_column("measurement", "latency_buckets")
    op.drop_column("environment", "neuron_sdk")


def _replace_rule(rule: str) -> None:
    op.drop_constraint(HAS_FIGURES, "measurement")
    op.create_check_constraint(op.f(HAS_FIGURES), "measurement", rule)
