"""Experiments: two interpreters compared in turns on one host, with every pair and the verdict.

Revision ID: 0007
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from benchlib.store.migrate import VIEWS
from benchlib.store.migrations.scripts import comment_columns, run

revision = "0007"
down_revision = "0006"

TIME = sa.DateTime(timezone=True)

VIEW_NAMES = ("experiment_history", "experiment_judgement", "experiment_pair")
INDEXED = ("created_at", "new_environment_id", "old_environment_id")


def upgrade() -> None:
    op.create_table(
        "experiment",
        *_experiment_columns(),
        *_experiment_rules(),
        comment="Comparisons of two interpreters, measured in turns on one host",
    )
    for name in INDEXED:
        op.create_index(op.f(f"ix_experiment_{name}"), "experiment", [name])
    op.create_table(
        "pair",
        *_pair_columns(),
        *_pair_rules(),
        comment="The pairs of an experiment: both sides measured one right after the other",
    )
    for name in VIEW_NAMES:
        run(VIEWS / f"{name}_0007.sql")
    comment_columns(VIEW_NAMES, MEANINGS)


def downgrade() -> None:
    for name in reversed(VIEW_NAMES):
        op.execute(f"DROP VIEW {name}")
    op.drop_table("pair")
    op.drop_table("experiment")


def _experiment_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("experiment_id", sa.Uuid(), comment="Derived from dag_id and run_id", nullable=False),
        sa.Column("dag_id", sa.Text(), comment="Which DAG ran it, or bench compare", nullable=False),
        sa.Column("run_id", sa.Text(), comment="Which run of it", nullable=False),
        sa.Column("author", sa.Text(), comment="Who asked for it", nullable=False),
        sa.Column("created_at", TIME, comment="When it was asked for", nullable=False),
        sa.Column("label", sa.Text(), comment="Short name given by a person"),
        sa.Column("note", sa.Text(), comment="Why it was asked for"),
        sa.Column("host", sa.Text(), comment="Host that compiled its programs"),
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
        sa.Column(
            "batch_sizes",
            sa.ARRAY(sa.Integer()),
            comment="Asked batch sizes, inferences per call",
            nullable=False,
        ),
        sa.Column("scenario", sa.Text(), comment="Kind of load: offline or single_stream", nullable=False),
        sa.Column("backend", sa.Text(), comment="What compiles and runs the model", nullable=False),
        sa.Column("old_interpreter", sa.Text(), comment="Asked Python of the old side", nullable=False),
        sa.Column(
            "new_interpreter",
            sa.Text(),
            comment="Asked Python of the new side; the same as the old one: the procedure measures itself",
            nullable=False,
        ),
        sa.Column(
            "pairs",
            sa.Integer(),
            comment="Asked pairs per batch size before the first verdict",
            nullable=False,
        ),
        sa.Column("max_pairs", sa.Integer(), comment="Asked most pairs per batch size", nullable=False),
        sa.Column(
            "min_effect",
            sa.Double(),
            comment="Smallest relative difference of throughput and P50 that matters",
            nullable=False,
        ),
        sa.Column(
            "p99_min_effect",
            sa.Double(),
            comment="Smallest relative difference of P99 that matters",
            nullable=False,
        ),
        sa.Column("spec", JSONB(), comment="All that was asked for", nullable=False),
        *_outcome_columns(),
    ]


def _outcome_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "old_environment_id", sa.Uuid(), comment="What the old side ran in; NULL: nothing compiled"
        ),
        sa.Column(
            "new_environment_id", sa.Uuid(), comment="What the new side ran in; NULL: nothing compiled"
        ),
        sa.Column("finished_at", TIME, comment="When the verdict was found; NULL: not yet"),
        sa.Column(
            "verdict",
            sa.Text(),
            comment="Of the new side: worse, better, no worse, undecided or not compared; NULL: not yet",
        ),
        sa.Column("sentence", sa.Text(), comment="The verdict for people"),
        sa.Column(
            "judgements",
            JSONB(),
            comment="Each metric at each batch size: estimate, interval, p-value, verdict",
            nullable=False,
        ),
        sa.Column(
            "problems",
            JSONB(),
            comment="Batch sizes that could not be compared: side, stage, reason",
            nullable=False,
        ),
        sa.Column(
            "notes",
            sa.ARRAY(sa.Text()),
            comment="What one must know beside the verdict, for people",
            nullable=False,
        ),
        sa.Column("accepted_at", TIME, comment="When the new side was accepted; NULL: not"),
        sa.Column("accepted_by", sa.Text(), comment="Who accepted it"),
        sa.Column("accepted_reason", sa.Text(), comment="Why"),
    ]


def _experiment_rules() -> list[sa.Constraint]:
    return [
        sa.CheckConstraint(
            "num_nulls(accepted_at, accepted_by, accepted_reason) IN (0, 3) AND accepted_by <> '' AND "
            "accepted_reason <> '' AND (accepted_at IS NULL OR verdict IS NOT NULL)",
            op.f("ck_experiment_accepted"),
        ),
        sa.CheckConstraint(
            "cardinality(batch_sizes) >= 1 AND 1 <= ALL (batch_sizes)", op.f("ck_experiment_batch_sizes")
        ),
        sa.CheckConstraint("pairs >= 1 AND max_pairs >= pairs", op.f("ck_experiment_counts")),
        sa.CheckConstraint(
            "min_effect > 0 AND min_effect < 1 AND p99_min_effect > 0 AND p99_min_effect < 1",
            op.f("ck_experiment_effects"),
        ),
        sa.CheckConstraint(
            "author <> '' AND old_interpreter <> '' AND new_interpreter <> ''", op.f("ck_experiment_named")
        ),
        sa.CheckConstraint(
            "num_nulls(finished_at, verdict, sentence) IN (0, 3) AND "
            "jsonb_typeof(judgements) = 'array' AND jsonb_typeof(problems) = 'array'",
            op.f("ck_experiment_outcome"),
        ),
        sa.CheckConstraint(
            "verdict IN ('worse', 'better', 'no worse', 'undecided', 'not compared')",
            op.f("ck_experiment_verdict"),
        ),
        sa.ForeignKeyConstraint(
            ["new_environment_id"],
            ["environment.environment_id"],
            name=op.f("fk_experiment_new_environment_id"),
        ),
        sa.ForeignKeyConstraint(
            ["old_environment_id"],
            ["environment.environment_id"],
            name=op.f("fk_experiment_old_environment_id"),
        ),
        sa.PrimaryKeyConstraint("experiment_id", name=op.f("pk_experiment")),
        sa.UniqueConstraint("dag_id", "run_id", name=op.f("uq_experiment_dag_id")),
    ]


def _pair_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("experiment_id", sa.Uuid(), comment="The experiment it belongs to", nullable=False),
        sa.Column("batch_size", sa.Integer(), comment="Inferences per call", nullable=False),
        sa.Column(
            "pair_number",
            sa.Integer(),
            comment="From 1 for each batch size, unusable ones included",
            nullable=False,
        ),
        sa.Column(
            "first_side", sa.Text(), comment="Which side was measured first: old or new", nullable=False
        ),
        sa.Column("counts", sa.Boolean(), comment="False: it cannot be used, see reason", nullable=False),
        sa.Column("reason", sa.Text(), comment="Why it cannot be used; NULL: it can"),
        sa.Column("host", sa.Text(), comment="Host on which both were measured"),
        sa.Column("recorded_at", TIME, comment="When the second of the two ended", nullable=False),
        sa.Column("old_throughput_inf_per_s", sa.Double(), comment="Inferences per second, old side"),
        sa.Column("new_throughput_inf_per_s", sa.Double(), comment="Inferences per second, new side"),
        sa.Column("old_p50_ms", sa.Double(), comment="Median latency of one batch, old side, ms"),
        sa.Column("new_p50_ms", sa.Double(), comment="Median latency of one batch, new side, ms"),
        sa.Column(
            "old_p99_ms",
            sa.Double(),
            comment="99th percentile of the latency of one batch, old side, ms; NULL: too few samples",
        ),
        sa.Column(
            "new_p99_ms",
            sa.Double(),
            comment="99th percentile of the latency of one batch, new side, ms; NULL: too few samples",
        ),
        sa.Column(
            "old_output_error",
            sa.Double(),
            comment="Largest relative difference of an output from the CPU reference, old side",
        ),
        sa.Column(
            "new_output_error",
            sa.Double(),
            comment="Largest relative difference of an output from the CPU reference, new side",
        ),
        sa.Column(
            "old_failed_checks",
            sa.ARRAY(sa.Text()),
            comment="Checks that failed on the old side",
            nullable=False,
        ),
        sa.Column(
            "new_failed_checks",
            sa.ARRAY(sa.Text()),
            comment="Checks that failed on the new side",
            nullable=False,
        ),
    ]


def _pair_rules() -> list[sa.Constraint]:
    return [
        sa.CheckConstraint("batch_size >= 1 AND pair_number >= 1", op.f("ck_pair_counts")),
        sa.CheckConstraint(
            "(reason IS NULL) = counts AND "
            "(NOT counts OR num_nulls(old_throughput_inf_per_s, new_throughput_inf_per_s) = 0)",
            op.f("ck_pair_counts_or_has_reason"),
        ),
        sa.CheckConstraint(
            "old_throughput_inf_per_s > 0 AND old_throughput_inf_per_s < 'Infinity' AND "
            "old_p50_ms > 0 AND old_p50_ms < 'Infinity' AND old_p99_ms > 0 AND "
            "old_p99_ms < 'Infinity' AND new_throughput_inf_per_s > 0 AND "
            "new_throughput_inf_per_s < 'Infinity' AND new_p50_ms > 0 AND new_p50_ms < 'Infinity' AND "
            "new_p99_ms > 0 AND new_p99_ms < 'Infinity'",
            op.f("ck_pair_figures"),
        ),
        sa.CheckConstraint("first_side IN ('old', 'new')", op.f("ck_pair_first_side")),
        sa.CheckConstraint("old_output_error >= 0 AND new_output_error >= 0", op.f("ck_pair_output_errors")),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiment.experiment_id"],
            name=op.f("fk_pair_experiment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("experiment_id", "batch_size", "pair_number", name=op.f("pk_pair")),
    ]


MEANINGS: dict[str, str | None] = {
    "experiment_id": "The experiment, for bench experiment show",
    "dag_id": "Which DAG ran it, or bench compare",
    "run_id": "Which run of it",
    "author": "Who asked for it",
    "created_at": "When it was asked for",
    "label": "Short name given by a person",
    "note": "Why it was asked for",
    "experiment_history.host": "Host that compiled its programs",
    "experiment_pair.host": "Host on which both were measured",
    "model": "Hub id, directory, or config:NAME for seeded random weights",
    "model_revision": "Branch, tag or commit on the hub",
    "sequence_length": "Tokens per sequence, padding included",
    "batch_sizes": "Asked batch sizes",
    "batch_size": "Inferences per call",
    "experiment_judgement.batch_size": "Inferences per call; NULL: the geometric mean over all batch sizes",
    "scenario": "Kind of load: offline or single_stream",
    "backend": "What ran the model",
    "instance_type": "The cloud's name of the machine, such as inf2.xlarge",
    "hardware": "True only where both sides ran on a real accelerator; NULL: nothing compiled",
    "device": "What ran the model, in words",
    "old_interpreter": "Asked Python of the old side",
    "new_interpreter": "Asked Python of the new side",
    "with_itself": "True: both sides are the same, and what is found is the procedure's own error",
    "old_environment_id": "What the old side ran in, for environment_diff",
    "new_environment_id": "What the new side ran in, for environment_diff",
    "old_sdk": "The Neuron SDK of the old side, or else the compiler, or else torch, with its version",
    "new_sdk": "The Neuron SDK of the new side, or else the compiler, or else torch, with its version",
    "environment_changes": "What differs from the old to the new side, likeliest cause first; or: nothing",
    "asked_pairs": "Asked pairs per batch size before the first verdict",
    "max_pairs": "Asked most pairs per batch size",
    "experiment_history.min_effect": "Smallest relative difference of throughput and P50 that matters",
    "experiment_judgement.min_effect": "Smallest relative difference that matters in this metric",
    "p99_min_effect": "Smallest relative difference of P99 that matters",
    "pairs": "Pairs that count",
    "unusable_pairs": "Pairs that were measured and cannot be used",
    "finished_at": "When the verdict was found; NULL: not yet",
    "experiment_history.verdict": "Of the new side: worse, better, no worse, undecided or not compared",
    "sentence": "The verdict for people",
    "problems": "Batch sizes that could not be compared: batch_size, side, stage, reason",
    "notes": "What one must know beside the verdict, for people",
    "accepted_at": "When the new side was accepted; NULL: it is not",
    "accepted_by": "Who accepted it",
    "accepted_reason": "Why",
    "spec": "All that was asked for",
    "metric": "throughput_inf_per_s, p50_ms or p99_ms",
    "old_value": "Median over the pairs, old side, in the metric's unit; NULL for the geometric mean",
    "new_value": "Median over the pairs, new side, in the metric's unit; NULL for the geometric mean",
    "relative_change": "new / old - 1, Hodges-Lehmann estimate over the pairs: -0.02 is 2 percent less",
    "relative_low": "Lower end of the 95 percent interval of relative_change",
    "relative_high": "Upper end of the 95 percent interval of relative_change",
    "p_value": "Of no difference, by Wilcoxon's signed-rank test, for this one alone",
    "adjusted_p_value": "By Benjamini and Hochberg, over all judgements of the experiment",
    "experiment_judgement.verdict": "worse, better, no worse or undecided",
    "pair_number": "From 1 for each batch size, unusable ones included",
    "first_side": "Which side was measured first: old or new",
    "counts": "False: it cannot be used, see reason",
    "reason": "Why it cannot be used; NULL: it can",
    "recorded_at": "When the second of the two ended",
    "old_throughput_inf_per_s": "Inferences per second, old side",
    "new_throughput_inf_per_s": "Inferences per second, new side",
    "old_p50_ms": "Median latency of one batch, old side, ms",
    "new_p50_ms": "Median latency of one batch, new side, ms",
    "old_p99_ms": "99th percentile of the latency of one batch, old side, ms; NULL: too few samples",
    "new_p99_ms": "99th percentile of the latency of one batch, new side, ms; NULL: too few samples",
    "old_output_error": "Largest relative difference of an output from the CPU reference, old side",
    "new_output_error": "Largest relative difference of an output from the CPU reference, new side",
    "old_failed_checks": "Checks that failed on the old side; of a pair that counts, about noise only",
    "new_failed_checks": "Checks that failed on the new side; of a pair that counts, about noise only",
}
"""What a column of a view is, by its name, or by ``view.column`` where it means something else there."""
