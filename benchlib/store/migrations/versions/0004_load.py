"""How the load was driven: stop rules, intervals, the harness' own cost, the scenario server and telemetry.

And what else than a classification of text was measured.

Revision ID: 0004
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import JSONB

from benchlib.store.migrate import FUNCTIONS, VIEWS
from benchlib.store.migrations.scripts import comment_columns, replace, run

revision = "0004"
down_revision = "0003"

NEW_VIEWS = ("server_history", "server_trial", "measurement_reading", "measurement_harness", "sweep_list")

GROWN_VIEWS = {
    "comparison_table": "0001",
    "valid_measurement": "0003",
    "throughput_history": "0003",
    "latency_history": "0003",
    "peak": "0003",
    "sdk_comparison": "0003",
    "cost": "0003",
    "series_list": "0003",
    "coverage": "0003",
    "change_history": "0003",
    "open_changes": "0003",
    "current_baseline": "0003",
    "measurement_check": "0003",
    "failed_check": "0003",
    "compilation_history": "0003",
}
"""Each with the revision that made it as it was; each only asks those before it."""

WORKER_MODE = "What a worker was: thread, process or native"
OLD_WORKER_MODE = "What a worker was: thread or process"
MODEL_VARIANT = "Head and inputs where they are others than classification of text; NULL: they are those"
ARRIVALS = "server: rate 500/s, or search p99<=5ms for the highest rate within a limit; else NULL"

KEY = (
    "model, model_revision, sequence_length, precision, compiler_args, batch_size, scenario, replicas, "
    "workers, worker_mode, backend, instance_type, hardware"
)
OLD_KEY_TEXT = f"ROW({KEY})::text"
KEY_TEXT = (
    f"CASE WHEN num_nonnulls(model_variant, arrivals) = 0 THEN {OLD_KEY_TEXT} "
    f"ELSE ROW({KEY}, model_variant, arrivals)::text END"
)

OLD_FIGURES = (
    "batches, inferences, duration_s, throughput_inf_per_s, samples, mean_ms, p50_ms, p90_ms, p95_ms, "
    "p99_ms, p99_9_ms, max_ms"
)
FIGURES = (
    f"{OLD_FIGURES}, overhead_ns_per_call, overhead_service_ms, ideal_batches_per_s, ceiling_batches_per_s, "
    "target_batches_per_s, arrival_seed, server_trials, telemetry"
)


def upgrade() -> None:
    for column in _sweep_columns():
        op.add_column("sweep", column)
        if column.computed is None:
            op.alter_column("sweep", column.name, server_default=None)
    _add_rules("sweep", SWEEP_RULES)
    for column in _measurement_columns():
        op.add_column("measurement", column)
    _add_rules("measurement", MEASUREMENT_RULES)
    _add_rules_for_new_rows("measurement", STRICTER_RULES)
    _replace_rules("'thread', 'process', 'native'", FIGURES)
    _grow_series()
    op.drop_index("ix_sweep_night", "sweep")
    op.create_index("ix_sweep_night_model", "sweep", ["night", "model"])
    op.create_index("ix_change_detected_at", "change", ["detected_at"])
    for name in GROWN_VIEWS:
        replace(VIEWS / f"{name}_0004.sql")
    for name in NEW_VIEWS:
        run(VIEWS / f"{name}_0004.sql")
    comment_columns((*GROWN_VIEWS, *NEW_VIEWS), {**_older_meanings(), **MEANINGS})


def downgrade() -> None:
    for name in reversed((*GROWN_VIEWS, *NEW_VIEWS)):
        op.execute(f"DROP VIEW {name}")
    op.drop_index("ix_change_detected_at", "change")
    op.drop_index("ix_sweep_night_model", "sweep")
    op.create_index("ix_sweep_night", "sweep", ["night"])
    _shrink_series()
    _replace_rules("'thread', 'process'", OLD_FIGURES)
    for table, rules, columns in (
        ("measurement", (*MEASUREMENT_RULES, *STRICTER_RULES), _measurement_columns()),
        ("sweep", SWEEP_RULES, _sweep_columns()),
    ):
        for rule in rules:
            op.drop_constraint(f"ck_{table}_{rule}", table)
        for column in reversed(columns):
            op.drop_column(table, column.name)
    for name, made_by in GROWN_VIEWS.items():
        run(VIEWS / f"{name}_{made_by}.sql")
    comment_columns(GROWN_VIEWS, _older_meanings())


def _older_meanings() -> dict[str, str]:
    older = context.script.get_revision(down_revision)
    assert older is not None
    meanings: dict[str, str] = older.module.MEANINGS
    return meanings


def _grow_series() -> None:
    """Other heads, inputs or arrivals are another series; a series of the usual ones keeps its id."""
    op.add_column("series", sa.Column("model_variant", sa.Text(), comment=MODEL_VARIANT))
    op.add_column("series", sa.Column("arrivals", sa.Text(), comment=ARRIVALS))
    _derive_series(KEY_TEXT)
    _add_rules("series", {"arrivals": "arrivals <> '' AND scenario = 'server' OR arrivals IS NULL"})
    run(FUNCTIONS / "server_arrivals_0004.sql")
    replace(FUNCTIONS / "place_measurement_0004.sql")
    for table in ("series", "measurement"):
        op.alter_column(table, "worker_mode", comment=WORKER_MODE, existing_comment=OLD_WORKER_MODE)


def _shrink_series() -> None:
    """Measurements that the older tables do not know go, with their series and all that was said of those."""
    unknown = "SELECT series_id FROM series WHERE num_nonnulls(model_variant, arrivals) > 0 "
    unknown += "OR worker_mode = 'native'"
    for table in ("annotation", "change", "baseline", "measurement", "series"):
        op.execute(f"DELETE FROM {table} WHERE series_id IN ({unknown})")  # noqa: S608
    # What is left of these, and what is restored later, would pass for classification of text.
    op.execute("DELETE FROM sweep WHERE model_variant IS NOT NULL")
    replace(FUNCTIONS / "place_measurement_0003.sql")
    op.execute("DROP FUNCTION server_arrivals")
    _derive_series(OLD_KEY_TEXT)
    op.drop_constraint("ck_series_arrivals", "series")
    for name in ("arrivals", "model_variant"):
        op.drop_column("series", name)
    for table in ("series", "measurement"):
        op.alter_column(table, "worker_mode", comment=OLD_WORKER_MODE, existing_comment=WORKER_MODE)


def _derive_series(key_text: str) -> None:
    _replace_rule(
        "series",
        "derived",
        f"series_id = left(encode(sha256(convert_to({key_text}, 'UTF8')), 'hex'), 32)::uuid",
    )


def _replace_rules(worker_modes: str, figures: str) -> None:
    _replace_rule("measurement", "worker_mode", f"worker_mode IN ({worker_modes})")
    _replace_rule(
        "measurement",
        "failed_has_reason",
        "status <> 'failed' OR (num_nulls(failure_kind, failure_message) = 0 AND "
        f"num_nonnulls({figures}) = 0)",
    )


def _replace_rule(table: str, name: str, rule: str) -> None:
    op.drop_constraint(f"ck_{table}_{name}", table)
    _add_rules(table, {name: rule})


def _add_rules(table: str, rules: dict[str, str]) -> None:
    for name, rule in rules.items():
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)


def _add_rules_for_new_rows(table: str, rules: dict[str, str]) -> None:
    """Older rows may break these: then they stay, and the rule is for new rows only."""
    for name, rule in rules.items():
        constraint = f"ck_{table}_{name}"
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK ({rule}) NOT VALID")
        op.execute(
            f"DO $$ BEGIN ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}; "
            "EXCEPTION WHEN check_violation THEN "
            f"RAISE NOTICE 'older rows break {constraint}: it holds for new ones only'; END $$"
        )


def _sweep_columns() -> list[sa.Column[Any]]:
    """Sweeps that are there ran as everything did then; figures that steered nothing get today's defaults."""
    variant = (
        "nullif(btrim(coalesce(nullif(head, 'classification'), '') || ' ' || "
        "coalesce(nullif(inputs, 'text'), '')), '')"
    )
    rate = "server: asked mean rate of the arrivals; NULL: search the highest that meets the limit"
    width = "Asked half of the 95 percent interval over its value, for stop precision"
    warmup = "fixed: warmup_batches and no more; stable: until it settled"
    head = "What the network ends in: classification, or encoder for none"
    interleave = "Asked to measure all batch sizes in turns, round by round"
    return [
        _asked("head", sa.Text(), "classification", head),
        _asked("inputs", sa.Text(), "text", "What it is called with: text, or zeros_int32"),
        sa.Column("model_variant", sa.Text(), sa.Computed(variant, persisted=True), comment=MODEL_VARIANT),
        _asked("worker_mode", sa.Text(), "thread", "Asked kind of worker; auto leaves it to a calibration"),
        _asked("warmup", sa.Text(), "fixed", warmup),
        _asked("stop", sa.Text(), "rounds", "What ends the measuring: rounds, duration or precision"),
        _asked("duration_s", sa.Double(), "60", "Asked measured time, or the longest for stop precision, s"),
        _asked("relative_half_width", sa.Double(), "0.005", width),
        sa.Column("target_batches_per_s", sa.Double(), comment=rate),
        sa.Column("latency_limit_ms", sa.Double(), comment="Highest acceptable P99, ms; NULL: none"),
        _asked("arrival_seed", sa.BigInteger(), "0", "server: asked seed of the random arrivals"),
        _asked("interleave", sa.Boolean(), "false", interleave),
    ]


def _asked(name: str, type_: sa.types.TypeEngine[Any], before: str, comment: str) -> sa.Column[Any]:
    """What every sweep asks for; ``before`` is how the ones that are there were run."""
    return sa.Column(name, type_, server_default=sa.text(f"'{before}'"), nullable=False, comment=comment)


SWEEP_RULES = {
    "head": "head IN ('classification', 'encoder')",
    "inputs": "inputs IN ('text', 'zeros_int32')",
    "worker_mode": "worker_mode IN ('auto', 'thread', 'process', 'native')",
    "warmup": "warmup IN ('stable', 'fixed')",
    "stop": "stop IN ('rounds', 'duration', 'precision')",
    "stop_rule": "duration_s > 0 AND duration_s < 'Infinity' AND relative_half_width > 0 AND "
    "relative_half_width < 1",
    "arrivals": "target_batches_per_s > 0 AND target_batches_per_s < 'Infinity' AND arrival_seed >= 0 AND "
    "(scenario = 'server' OR target_batches_per_s IS NULL)",
    "latency_limit": "latency_limit_ms > 0 AND latency_limit_ms < 'Infinity'",
}


def _measurement_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("processes", sa.Integer(), comment="Processes that the workers were spread over"),
        sa.Column("topology", sa.Text(), comment="What issued the calls and why, one sentence"),
        *_limit_columns(),
        sa.Column(
            "overhead_ns_per_call",
            sa.Double(),
            comment="Median time of the load generator's loop around an empty replica, ns",
        ),
        sa.Column(
            "overhead_service_ms",
            sa.Double(),
            comment="Time of one call that ideal_batches_per_s and ceiling_batches_per_s are for, ms",
        ),
        sa.Column("ideal_batches_per_s", sa.Double(), comment="workers / overhead_service_ms"),
        sa.Column(
            "ceiling_batches_per_s",
            sa.Double(),
            comment="What the load generator shows of an ideal device that takes exactly overhead_service_ms",
        ),
        *_server_columns(),
        sa.Column(
            "telemetry",
            JSONB(),
            comment="What the device said of itself: name, value, unit, core; NULL: nothing",
        ),
    ]


def _limit_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column(name, sa.Double(), comment=f"{end} end of the 95 percent interval of {figure}, in its unit")
        for figure, low, high in LIMITS
        for end, name in (("Lower", low), ("Upper", high))
    ]


LIMITS = (
    ("throughput_inf_per_s", "throughput_low_inf_per_s", "throughput_high_inf_per_s"),
    ("p50_ms", "p50_low_ms", "p50_high_ms"),
    ("p90_ms", "p90_low_ms", "p90_high_ms"),
    ("p95_ms", "p95_low_ms", "p95_high_ms"),
    ("p99_ms", "p99_low_ms", "p99_high_ms"),
    ("p99_9_ms", "p99_9_low_ms", "p99_9_high_ms"),
)


def _server_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "target_batches_per_s",
            sa.Double(),
            comment="server: mean rate of the random arrivals, given or found by the search",
        ),
        sa.Column("p99_limit_ms", sa.Double(), comment="server: highest acceptable P99, ms"),
        sa.Column("arrival_seed", sa.BigInteger(), comment="server: seed of the random arrivals"),
        sa.Column(
            "server_trials",
            JSONB(),
            comment="server: rates that the search tried, in order: target_batches_per_s, "
            "achieved_batches_per_s, samples, p99_ms, met; empty: the rate was given",
        ),
        sa.Column(
            "service_samples",
            sa.BigInteger(),
            comment="server: calls that the service latencies are taken from",
        ),
        *(
            sa.Column(
                f"service_{name}_ms",
                sa.Double(),
                comment=f"server: {what} of the calls alone, without waiting for a worker, ms",
            )
            for name, what in (
                ("mean", "mean latency"),
                ("p50", "median latency"),
                ("p90", "90th percentile of the latency"),
                ("p95", "95th percentile of the latency"),
                ("p99", "99th percentile of the latency"),
                ("p99_9", "99.9th percentile of the latency"),
                ("max", "maximum of the latency"),
            )
        ),
    ]


SERVICE = (
    "service_samples, service_mean_ms, service_p50_ms, service_p90_ms, service_p95_ms, service_p99_ms, "
    "service_p99_9_ms, service_max_ms"
)

MEASUREMENT_RULES = {
    "processes": "processes >= 1",
    "limits": " AND ".join(
        f"num_nulls({low}, {high}) <> 1 AND ({low} IS NULL OR {figure} IS NOT NULL)"
        for figure, low, high in LIMITS
    ),
    "limits_ordered": "throughput_low_inf_per_s <= throughput_high_inf_per_s AND "
    "throughput_low_inf_per_s > '-Infinity' AND throughput_high_inf_per_s < 'Infinity' AND "
    + " AND ".join(f"{low} <= {figure} AND {figure} <= {high}" for figure, low, high in LIMITS[1:])
    + " AND "
    + " AND ".join(f"{name} > 0 AND {name} < 'Infinity'" for _, *limits in LIMITS[1:] for name in limits),
    "overhead": "num_nulls(overhead_ns_per_call, overhead_service_ms, ideal_batches_per_s, "
    "ceiling_batches_per_s) IN (0, 4) AND overhead_ns_per_call >= 0 AND overhead_ns_per_call < 'Infinity' "
    "AND overhead_service_ms > 0 AND overhead_service_ms < 'Infinity' AND ideal_batches_per_s > 0 AND "
    "ideal_batches_per_s < 'Infinity' AND ceiling_batches_per_s > 0 AND ceiling_batches_per_s < 'Infinity'",
    "server_only": "scenario = 'server' OR num_nonnulls(target_batches_per_s, arrival_seed, server_trials, "
    f"p99_limit_ms, {SERVICE}) = 0",
    "arrivals": "num_nulls(target_batches_per_s, arrival_seed, server_trials) IN (0, 3) AND "
    f"(target_batches_per_s IS NOT NULL OR num_nonnulls(p99_limit_ms, {SERVICE}) = 0) AND "
    "target_batches_per_s > 0 AND target_batches_per_s < 'Infinity' AND p99_limit_ms > 0 AND "
    "p99_limit_ms < 'Infinity' AND arrival_seed >= 0 AND jsonb_typeof(server_trials) = 'array' AND "
    "(server_trials = '[]' OR p99_limit_ms IS NOT NULL)",
    "service": "service_samples >= 1 AND service_mean_ms > 0 AND service_mean_ms < 'Infinity' AND "
    "service_p50_ms > 0 AND service_p50_ms < 'Infinity' AND service_p90_ms > 0 AND "
    "service_p90_ms < 'Infinity' AND service_p95_ms > 0 AND service_p95_ms < 'Infinity' AND "
    "service_p99_ms > 0 AND service_p99_ms < 'Infinity' AND service_p99_9_ms > 0 AND "
    "service_p99_9_ms < 'Infinity' AND service_max_ms > 0 AND service_max_ms < 'Infinity' AND "
    "service_p50_ms <= LEAST(service_p90_ms, service_p95_ms, service_p99_ms, service_p99_9_ms, "
    "service_max_ms) AND service_p90_ms <= LEAST(service_p95_ms, service_p99_ms, service_p99_9_ms, "
    "service_max_ms) AND service_p95_ms <= LEAST(service_p99_ms, service_p99_9_ms, service_max_ms) AND "
    "service_p99_ms <= LEAST(service_p99_9_ms, service_max_ms) AND "
    "service_p99_9_ms <= LEAST(service_max_ms) AND service_mean_ms <= 1.000001 * service_max_ms",
    "telemetry": "jsonb_typeof(telemetry) = 'array'",
}

STRICTER_RULES = {
    "load_is_known": "origin <> 'dag' OR status = 'failed' OR "
    "num_nulls(replicas, workers, worker_mode, batches) = 0",
    "samples": "samples <= batches",
    "single_stream": "origin <> 'dag' OR scenario <> 'single_stream' OR (replicas = 1 AND workers = 1)",
}
"""Rules that rows of the older revisions may break."""

MEANINGS: dict[str, str] = {
    "worker_mode": WORKER_MODE,
    "model_variant": MODEL_VARIANT,
    "arrivals": ARRIVALS,
    "processes": "Processes that the workers were spread over; NULL: not known",
    "topology": "What issued the calls and why, one sentence; NULL: not known",
    **{
        name: f"{end} end of the 95 percent interval of {figure}; NULL: not known"
        for figure, low, high in LIMITS
        for end, name in (("Lower", low), ("Upper", high))
    },
    "overhead_ns_per_call": "Median time of the load generator's loop around an empty replica, ns",
    "overhead_service_ms": "Time of one call that ideal_batches_per_s and ceiling_batches_per_s are for, ms",
    "ideal_batches_per_s": "workers / overhead_service_ms",
    "ceiling_batches_per_s": "What the load generator shows of an ideal device that takes exactly so long",
    "target_batches_per_s": "server: mean rate of the random arrivals, given or found by the search",
    "p99_limit_ms": "server: highest acceptable P99, ms; NULL: none",
    "arrival_seed": "server: seed of the random arrivals",
    "latency_limit_ms": "Highest acceptable P99 that the sweep asked for, ms; NULL: none",
    "service_samples": "server: calls that the service latencies are taken from",
    "service_mean_ms": "server: mean latency of the calls alone, without waiting for a worker, ms",
    "service_p50_ms": "server: median latency of the calls alone, without waiting for a worker, ms",
    "service_p90_ms": "server: 90th percentile of the latency of the calls alone, ms",
    "service_p95_ms": "server: 95th percentile of the latency of the calls alone, ms",
    "service_p99_ms": "server: 99th percentile of the latency of the calls alone, ms",
    "service_p99_9_ms": "server: 99.9th percentile of the latency of the calls alone, ms",
    "service_max_ms": "server: longest latency of the calls alone, ms",
    "server_history.p50_ms": "Median latency from the scheduled arrival, ms",
    "server_history.p99_ms": "99th percentile of the latency from the scheduled arrival, ms",
    "trial_number": "Place in the search; 1 is the first",
    "server_trial.target_batches_per_s": "Mean rate of the random arrivals that was tried",
    "achieved_batches_per_s": "Batches per second that were served",
    "server_trial.samples": "Batches that the latency is taken from",
    "server_trial.p99_ms": "99th percentile of the latency from the arrival, ms; NULL: too few samples",
    "met": "True: the limit was met and the arrivals were kept up with",
    "reading_name": "What was read, such as core_utilisation",
    "measurement_reading.figure": "What the device said, in the unit",
    "measurement_reading.unit": "Unit of the figure, such as ratio, bytes or count",
    "core": "The core that it is of; NULL: the whole device",
    "share_of_latency": "overhead_ns_per_call over the time of one call: 0.01 is 1 percent of the latency",
    "dag_id": "Which DAG ran, or what imported",
    "run_id": "Which run of it",
    "note": "Why the run was started",
    "batch_sizes": "Asked batch sizes, inferences per call",
    "sweep_list.precision": "Asked precision; auto leaves it to the device",
    "sweep_list.replicas": "Asked loaded copies of the model; NULL: one per core",
    "sweep_list.workers": "Asked closed loops; NULL: one per replica",
    "sweep_list.worker_mode": "Asked kind of worker; auto leaves it to a calibration",
    "share_of_ideal": "ceiling_batches_per_s / ideal_batches_per_s; 1 is perfect",
}
"""What a new column of a view is, by its name, or by ``view.column``."""
