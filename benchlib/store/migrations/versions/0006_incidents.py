"""Incidents: what the detector finds is grouped, stands somewhere, and can be muted.

Changes that were found before become incidents, one per sweep, configuration and direction; what people said
of their status is said of the incident from then on.

Revision ID: 0006
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from benchlib.store.migrate import FUNCTIONS, VIEWS
from benchlib.store.migrations.scripts import comment_columns, replace, run

revision = "0006"
down_revision = "0005"

TIME = sa.DateTime(timezone=True)

NEW_VIEWS = (
    "valid_attempt",
    "night_value",
    "mute_history",
    "incident_change",
    "incident_history",
    "open_incidents",
    "night_event_history",
)
"""Each only asks those before it."""

GROWN_VIEWS = {
    "change_history": "0004",
    "open_changes": "0004",
    "annotation_history": "0003",
    "sweep_list": "0004",
}

KEY = (
    "model, model_revision, sequence_length, precision, compiler_args, scenario, replicas, workers, "
    "worker_mode, backend, instance_type, hardware, model_variant, arrivals"
)
DERIVED = f"left(encode(sha256(convert_to(ROW({KEY})::text, 'UTF8')), 'hex'), 32)::uuid"

OLD_METRICS = (
    "'throughput_inf_per_s', 'mean_ms', 'p50_ms', 'p90_ms', 'p95_ms', 'p99_ms', 'p99_9_ms', 'max_ms'"
)
METRICS = f"{OLD_METRICS}, 'compile_duration_s', 'artifact_size_bytes', 'peak_rss_bytes'"

OLD_STATUSES = "'open', 'acknowledged', 'fixed', 'expected', 'false_alarm'"
STATUSES = (
    "'suspect', 'confirmed', 'acknowledged', 'expected', 'infra', 'fixed', 'wont_fix', 'false_alarm', "
    "'recovered', 'reopened'"
)
STATUS = (
    "Status of the incident from now on: suspect, confirmed, acknowledged, expected, infra, fixed, wont_fix, "
    "false_alarm, recovered or reopened"
)
OLD_STATUS = "Status of the change from now on: open, acknowledged, fixed, expected or false_alarm"
METRIC = "What shifted: throughput_inf_per_s, a latency, or a figure of the compilation"
OLD_METRIC = "What shifted: throughput_inf_per_s or one of the latencies"
SERIES_OF_CHANGE = "The history that shifted; NULL: the geometric mean over the batch sizes"
OLD_SERIES_OF_CHANGE = "The history that shifted"


def upgrade() -> None:
    _create_configuration()
    _create_incident()
    _grow_change()
    _grow_annotation()
    _grow_baseline()
    op.add_column("sweep", sa.Column("confirms_sweep_id", sa.Uuid(), comment=CONFIRMS))
    op.create_foreign_key(
        op.f("fk_sweep_confirms_sweep_id"),
        "sweep",
        "sweep",
        ["confirms_sweep_id"],
        ["sweep_id"],
        ondelete="CASCADE",
    )
    _rule("sweep", "confirms", "confirms_sweep_id <> sweep_id")
    op.create_index(
        "ix_sweep_confirms",
        "sweep",
        ["confirms_sweep_id"],
        postgresql_where=sa.text("confirms_sweep_id IS NOT NULL"),
    )
    _create_night_event()
    _create_mute()
    replace(FUNCTIONS / "require_valid_sweeps_0006.sql")
    for name in GROWN_VIEWS:
        replace(VIEWS / f"{name}_0006.sql")
    for name in NEW_VIEWS:
        run(VIEWS / f"{name}_0006.sql")
    replace(VIEWS / "valid_measurement_0006.sql")
    comment_columns(("valid_attempt",), {**_meanings_of("0003"), **_meanings_of("0004")})
    comment_columns((*GROWN_VIEWS, *NEW_VIEWS), MEANINGS)


def downgrade() -> None:
    replace(VIEWS / "valid_measurement_0004.sql")
    for name in reversed((*GROWN_VIEWS, *NEW_VIEWS)):
        op.execute(f"DROP VIEW {name}")
    op.drop_table("mute")
    op.drop_table("night_event")
    op.drop_index("ix_sweep_confirms", "sweep")
    # What confirmed another sweep would pass for one that somebody asked for.
    op.execute("DELETE FROM sweep WHERE confirms_sweep_id IS NOT NULL")
    op.drop_column("sweep", "confirms_sweep_id")
    op.drop_column("baseline", "superseded_by")
    _shrink_annotation()
    _shrink_change()
    op.drop_table("incident")
    _drop_configuration()
    replace(FUNCTIONS / "require_valid_sweeps_0003.sql")
    for name, made_by in GROWN_VIEWS.items():
        run(VIEWS / f"{name}_{made_by}.sql")
    comment_columns(GROWN_VIEWS, {**OLDER_MEANINGS, **_meanings_of("0003"), **_meanings_of("0004")})


def _meanings_of(name: str) -> dict[str, str]:
    from alembic import context

    older = context.script.get_revision(name)
    assert older is not None
    meanings: dict[str, str] = older.module.MEANINGS
    return meanings


OLDER_MEANINGS: dict[str, str] = {}


def _create_configuration() -> None:
    op.create_table(
        "configuration",
        *_configuration_columns(),
        sa.PrimaryKeyConstraint("configuration_id", name=op.f("pk_configuration")),
        sa.CheckConstraint(f"configuration_id = {DERIVED}", op.f("ck_configuration_derived")),
        comment="What is measured at several batch sizes: the key of its series without the batch size",
    )
    op.execute(
        f"INSERT INTO configuration SELECT DISTINCT {DERIVED}, {KEY} FROM series"  # noqa: S608
    )
    op.add_column("series", sa.Column("configuration_id", sa.Uuid(), comment=CONFIGURATION_OF_SERIES))
    op.execute(f"UPDATE series SET configuration_id = {DERIVED}")  # noqa: S608
    op.alter_column("series", "configuration_id", nullable=False)
    op.create_foreign_key(
        op.f("fk_series_configuration_id"),
        "series",
        "configuration",
        ["configuration_id"],
        ["configuration_id"],
    )
    op.create_unique_constraint(op.f("uq_series_series_id"), "series", ["series_id", "configuration_id"])
    op.create_index(op.f("ix_series_configuration_id"), "series", ["configuration_id"])
    _rule("series", "configuration_derived", f"configuration_id = {DERIVED}")
    run(FUNCTIONS / "place_series_0006.sql")
    op.execute(
        "CREATE TRIGGER place_series BEFORE INSERT OR UPDATE ON series "
        "FOR EACH ROW EXECUTE FUNCTION place_series()"
    )


def _drop_configuration() -> None:
    op.execute("DROP TRIGGER place_series ON series")
    op.execute("DROP FUNCTION place_series")
    op.drop_column("series", "configuration_id")
    op.drop_table("configuration")


def _configuration_columns() -> list[sa.Column[Any]]:
    return [
        _column(
            "configuration_id", sa.Uuid(), "Derived from all other columns, so the same in every database"
        ),
        _column("model", sa.Text(), "Hub id, directory, or config:NAME for seeded random weights"),
        _column("model_revision", sa.Text(), "Branch, tag or commit on the hub", nullable=True),
        _column("sequence_length", sa.Integer(), "Tokens per sequence, padding included"),
        _column("precision", sa.Text(), "Precision of the program; NULL: not known", nullable=True),
        _column("compiler_args", sa.ARRAY(sa.Text()), "Flags for the device's compiler"),
        _column("scenario", sa.Text(), "Kind of load: offline, server or single_stream"),
        _column("replicas", sa.Integer(), "Loaded copies of the model; NULL: not known", nullable=True),
        _column("workers", sa.Integer(), "Closed loops that issued batches; NULL: not known", nullable=True),
        _column("worker_mode", sa.Text(), "What a worker was: thread, process or native", nullable=True),
        _column("backend", sa.Text(), "What ran the model"),
        _column(
            "instance_type", sa.Text(), "The cloud's name of the machine, such as inf2.xlarge", nullable=True
        ),
        _column(
            "hardware",
            sa.Boolean(),
            "True only for a real accelerator; results of a CPU or a stand-in never stand for one",
        ),
        _column("model_variant", sa.Text(), MODEL_VARIANT, nullable=True),
        _column("arrivals", sa.Text(), ARRIVALS, nullable=True),
    ]


def _create_incident() -> None:
    op.create_table(
        "incident",
        _identity("incident_id", "The number by which people know it"),
        _column("configuration_id", sa.Uuid(), "What shifted, at one or more batch sizes"),
        _column("direction", sa.Text(), "worse: less throughput, more latency, time or size; else better"),
        _column("last_good_sweep_id", sa.Uuid(), "The last sweep before its leading change"),
        _column("first_bad_sweep_id", sa.Uuid(), "The first sweep after its leading change"),
        _column("opened_at", TIME, "When it was found"),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("pk_incident")),
        _reference("incident", "configuration_id", "configuration.configuration_id"),
        _reference("incident", "last_good_sweep_id", "sweep.sweep_id", ondelete="CASCADE"),
        _reference("incident", "first_bad_sweep_id", "sweep.sweep_id", ondelete="CASCADE"),
        sa.UniqueConstraint("incident_id", "configuration_id", name=op.f("uq_incident_incident_id")),
        sa.UniqueConstraint(
            "configuration_id",
            "direction",
            "first_bad_sweep_id",
            name=op.f("uq_incident_configuration_id"),
        ),
        sa.CheckConstraint("direction IN ('worse', 'better')", op.f("ck_incident_direction")),
        sa.CheckConstraint("last_good_sweep_id <> first_bad_sweep_id", op.f("ck_incident_sweeps")),
        comment="Changes of one configuration within three nights in one direction: what people judge",
    )
    for column in ("first_bad_sweep_id", "last_good_sweep_id", "opened_at"):
        op.create_index(op.f(f"ix_incident_{column}"), "incident", [column])


def _grow_change() -> None:
    for column in (
        sa.Column("incident_id", sa.BigInteger(), comment="The incident that it is part of"),
        sa.Column("configuration_id", sa.Uuid(), comment="What shifted, at one batch size or at all"),
        sa.Column(
            "level",
            sa.Text(),
            sa.Computed(LEVEL_RULE, persisted=True),
            nullable=False,
            comment="batch_size: one series; geometric_mean: the mean over all batch sizes",
        ),
        sa.Column(
            "agreed",
            sa.Boolean(),
            comment="A second method finds it too; NULL: it was not asked or cannot tell",
        ),
    ):
        op.add_column("change", column)
    _give_older_changes_incidents()
    for name in ("incident_id", "configuration_id"):
        op.alter_column("change", name, nullable=False)
    op.alter_column(
        "change",
        "series_id",
        nullable=True,
        comment=SERIES_OF_CHANGE,
        existing_comment=OLD_SERIES_OF_CHANGE,
    )
    op.alter_column("change", "metric", comment=METRIC, existing_comment=OLD_METRIC)
    op.create_foreign_key(
        op.f("fk_change_incident_id"),
        "change",
        "incident",
        ["incident_id", "configuration_id"],
        ["incident_id", "configuration_id"],
        ondelete="CASCADE",
    )
    op.create_foreign_key(
        op.f("fk_change_series_of_configuration"),
        "change",
        "series",
        ["series_id", "configuration_id"],
        ["series_id", "configuration_id"],
    )
    op.create_index(op.f("ix_change_incident_id"), "change", ["incident_id"])
    op.create_index(
        "uq_change_geometric_mean",
        "change",
        ["configuration_id", "metric", "first_bad_sweep_id"],
        unique=True,
        postgresql_where=sa.text("series_id IS NULL"),
    )
    _replace_rule("change", "metric", f"metric IN ({METRICS})")
    run(FUNCTIONS / "situate_change_0006.sql")
    op.execute(
        "CREATE TRIGGER situate_change BEFORE INSERT ON change FOR EACH ROW EXECUTE FUNCTION situate_change()"
    )


def _give_older_changes_incidents() -> None:
    op.execute(
        "UPDATE change SET configuration_id = series.configuration_id FROM series "
        "WHERE series.series_id = change.series_id"
    )
    op.execute(
        "INSERT INTO incident "
        "(configuration_id, direction, last_good_sweep_id, first_bad_sweep_id, opened_at) "
        "SELECT DISTINCT ON (configuration_id, direction, first_bad_sweep_id) configuration_id, direction, "
        "last_good_sweep_id, first_bad_sweep_id, detected_at FROM change "
        "ORDER BY configuration_id, direction, first_bad_sweep_id, detected_at"
    )
    op.execute(
        "UPDATE change SET incident_id = incident.incident_id FROM incident "
        "WHERE incident.configuration_id = change.configuration_id "
        "AND incident.direction = change.direction "
        "AND incident.first_bad_sweep_id = change.first_bad_sweep_id"
    )


def _shrink_change() -> None:
    """Shifts of a geometric mean, or of a compilation, are none that the older tables know."""
    op.execute("DROP TRIGGER situate_change ON change")
    op.execute("DROP FUNCTION situate_change")
    op.execute(f"DELETE FROM change WHERE series_id IS NULL OR metric NOT IN ({OLD_METRICS})")  # noqa: S608
    _replace_rule("change", "metric", f"metric IN ({OLD_METRICS})")
    op.drop_index("uq_change_geometric_mean", "change")
    op.alter_column("change", "metric", comment=OLD_METRIC, existing_comment=METRIC)
    op.alter_column(
        "change",
        "series_id",
        nullable=False,
        comment=OLD_SERIES_OF_CHANGE,
        existing_comment=SERIES_OF_CHANGE,
    )
    op.drop_constraint("fk_change_series_of_configuration", "change")
    for name in ("agreed", "level", "configuration_id", "incident_id"):
        op.drop_column("change", name)


def _grow_annotation() -> None:
    op.add_column("annotation", sa.Column("incident_id", sa.BigInteger(), comment="The incident it is about"))
    op.create_foreign_key(
        op.f("fk_annotation_incident_id"),
        "annotation",
        "incident",
        ["incident_id"],
        ["incident_id"],
        ondelete="CASCADE",
    )
    op.create_index(op.f("ix_annotation_incident_id"), "annotation", ["incident_id"])
    for name in ("status", "subject", "status_is_of_a_change"):
        op.drop_constraint(f"ck_annotation_{name}", "annotation")
    op.execute(
        "UPDATE annotation SET incident_id = change.incident_id, "
        "status = CASE annotation.status WHEN 'open' THEN 'reopened' ELSE annotation.status END "
        "FROM change WHERE change.change_id = annotation.change_id"
    )
    _rule("annotation", "status", f"status IN ({STATUSES})")
    _rule("annotation", "subject", "num_nonnulls(incident_id, change_id, series_id, sweep_id) >= 1")
    _rule("annotation", "status_is_of_an_incident", "status IS NULL OR incident_id IS NOT NULL")
    op.alter_column("annotation", "status", comment=STATUS, existing_comment=OLD_STATUS)


def _shrink_annotation() -> None:
    """What was said of an incident is said of each of its changes."""
    for name in ("status", "subject", "status_is_of_an_incident"):
        op.drop_constraint(f"ck_annotation_{name}", "annotation")
    op.execute(
        "UPDATE annotation SET status = CASE WHEN status IN ('suspect', 'confirmed', 'reopened') THEN 'open' "
        "WHEN status IN ('infra', 'wont_fix', 'recovered') THEN 'fixed' ELSE status END"
    )
    op.execute(
        "INSERT INTO annotation (annotated_at, author, reason, status, change_id, series_id, sweep_id) "
        "SELECT said.annotated_at, said.author, said.reason, said.status, change.change_id, said.series_id, "
        "said.sweep_id FROM annotation AS said "
        "INNER JOIN change ON change.incident_id = said.incident_id AND change.change_id "
        "IS DISTINCT FROM said.change_id WHERE change.series_id IS NOT NULL "
        "ORDER BY said.annotation_id"
    )
    op.execute("DELETE FROM annotation WHERE incident_id IS NOT NULL AND change_id IS NULL")
    op.drop_column("annotation", "incident_id")
    _rule("annotation", "status", f"status IN ({OLD_STATUSES})")
    _rule("annotation", "subject", "num_nonnulls(change_id, series_id, sweep_id) >= 1")
    _rule("annotation", "status_is_of_a_change", "status IS NULL OR change_id IS NOT NULL")
    op.alter_column("annotation", "status", comment=OLD_STATUS, existing_comment=STATUS)


def _grow_baseline() -> None:
    op.add_column("baseline", sa.Column("superseded_by", sa.BigInteger(), comment=SUPERSEDED))
    op.create_foreign_key(
        op.f("fk_baseline_superseded_by"),
        "baseline",
        "baseline",
        ["superseded_by"],
        ["baseline_id"],
        ondelete="CASCADE",
    )
    _rule(
        "baseline",
        "superseded",
        "superseded_by IS NULL OR (superseded_by <> baseline_id AND withdrawn_at IS NOT NULL)",
    )
    op.create_index(op.f("ix_baseline_superseded_by"), "baseline", ["superseded_by"])


def _create_night_event() -> None:
    op.create_table(
        "night_event",
        _identity("night_event_id", "Internal key"),
        _column("night", sa.Date(), "UTC date of the sweeps that it is about; of a trend, the week's Monday"),
        _column("kind", sa.Text(), EVENT_KIND),
        _column("configuration_id", sa.Uuid(), "What it is about"),
        _column(
            "series_id",
            sa.Uuid(),
            "The history it is about; NULL: the mean over all batch sizes",
            nullable=True,
        ),
        _column("metric", sa.Text(), "Which figure; NULL: all, there is none", nullable=True),
        _column(
            "sweep_id",
            sa.Uuid(),
            "The sweep that measured, or should have; NULL: there was none",
            nullable=True,
        ),
        _column("detected_at", TIME, "When it was found"),
        _column("detector", sa.Text(), "What found it, with the version of its thresholds"),
        _column("evidence", JSONB(), "What the detector went by, for people"),
        sa.PrimaryKeyConstraint("night_event_id", name=op.f("pk_night_event")),
        _reference("night_event", "configuration_id", "configuration.configuration_id"),
        _reference("night_event", "sweep_id", "sweep.sweep_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["series_id", "configuration_id"],
            ["series.series_id", "series.configuration_id"],
            name=op.f("fk_night_event_series_id"),
        ),
        sa.CheckConstraint(
            "kind IN ('missing', 'failed', 'insufficient_data', 'suspect', 'outlier', 'trend')",
            op.f("ck_night_event_kind"),
        ),
        sa.CheckConstraint(f"metric IN ({METRICS})", op.f("ck_night_event_metric")),
        sa.CheckConstraint(
            "(kind IN ('suspect', 'outlier', 'trend')) = (metric IS NOT NULL) AND "
            "(kind IN ('suspect', 'outlier', 'trend') OR series_id IS NOT NULL) AND "
            "(kind <> 'trend' OR extract(isodow FROM night) = 1)",
            op.f("ck_night_event_subject"),
        ),
        sa.CheckConstraint("detector <> ''", op.f("ck_night_event_named")),
        comment="What a night had that is no lasting change: gaps, outliers, and slow trends of a week",
    )
    op.create_index(
        "uq_night_event_subject",
        "night_event",
        [
            "night",
            "configuration_id",
            sa.text("coalesce(series_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
            "kind",
            sa.text("coalesce(metric, ''::text)"),
        ],
        unique=True,
    )
    for column in ("configuration_id", "series_id", "sweep_id"):
        op.create_index(op.f(f"ix_night_event_{column}"), "night_event", [column])


def _create_mute() -> None:
    op.create_table(
        "mute",
        _identity("mute_id", "The number by which people know it"),
        _column("series_id", sa.Uuid(), "The history that is muted; NULL: those of models", nullable=True),
        _column(
            "model_glob",
            sa.Text(),
            "Pattern of the models that are muted, with * and ?; NULL: a single history",
            nullable=True,
        ),
        _column("metric", sa.Text(), "Only this figure; NULL: all", nullable=True),
        _column("author", sa.Text(), "Who muted it"),
        _column("reason", sa.Text(), "Why"),
        _column("set_at", TIME, "When it was muted", server_default=sa.func.now()),
        _column("expires_at", TIME, "When it is heard again by itself"),
        _column("lifted_at", TIME, "When a person ended it before that; NULL: nobody did", nullable=True),
        _column("lifted_by", sa.Text(), "Who ended it", nullable=True),
        _column("lifted_reason", sa.Text(), "Why it was ended", nullable=True),
        sa.PrimaryKeyConstraint("mute_id", name=op.f("pk_mute")),
        _reference("mute", "series_id", "series.series_id"),
        sa.CheckConstraint("num_nonnulls(series_id, model_glob) = 1", op.f("ck_mute_subject")),
        sa.CheckConstraint(f"metric IN ({METRICS})", op.f("ck_mute_metric")),
        sa.CheckConstraint("author <> '' AND reason <> '' AND model_glob <> ''", op.f("ck_mute_named")),
        sa.CheckConstraint("expires_at > set_at AND isfinite(expires_at)", op.f("ck_mute_expires")),
        sa.CheckConstraint(
            "num_nulls(lifted_at, lifted_by, lifted_reason) IN (0, 3) AND lifted_at >= set_at AND "
            "lifted_by <> '' AND lifted_reason <> ''",
            op.f("ck_mute_lifted"),
        ),
        comment="What nobody wants to hear of for a while, and until when",
    )
    op.create_index(op.f("ix_mute_expires_at"), "mute", ["expires_at"])
    op.create_index(op.f("ix_mute_series_id"), "mute", ["series_id"])


def _rule(table: str, name: str, rule: str) -> None:
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)


def _replace_rule(table: str, name: str, rule: str) -> None:
    op.drop_constraint(f"ck_{table}_{name}", table)
    _rule(table, name, rule)


def _column(
    name: str, type_: sa.types.TypeEngine[Any], comment: str, nullable: bool = False, **more: Any
) -> sa.Column[Any]:
    return sa.Column(name, type_, comment=comment, nullable=nullable, **more)


def _identity(name: str, comment: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), sa.Identity(always=True), comment=comment, nullable=False)


def _reference(table: str, column: str, target: str, ondelete: str | None = None) -> sa.Constraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"), ondelete=ondelete)


LEVEL_RULE = "CASE WHEN series_id IS NULL THEN 'geometric_mean' ELSE 'batch_size' END"
MODEL_VARIANT = "Head and inputs where they are others than classification of text; NULL: they are those"
ARRIVALS = "server: rate 500/s, or search p99<=5ms for the highest rate within a limit; else NULL"
CONFIGURATION_OF_SERIES = "The same without the batch size; the database fills it in"
CONFIRMS = (
    "The sweep whose suspicious figures were measured again, in the same night; NULL: it stands by itself"
)
SUPERSEDED = "The pinned baseline that took its place; NULL: it counts, or it was withdrawn"
EVENT_KIND = (
    "missing: no figure and no sweep; failed: asked for, no result; insufficient_data: not to be believed; "
    "suspect: one night far off, not yet measured again; outlier: far off, and not the next time; trend: slow"
)

MEANINGS: dict[str, str] = {
    "configuration_id": "What is measured at several batch sizes: the series without the batch size",
    "incident_id": "Key of the incident, for judging it",
    "agreed": "A second method finds it too; NULL: it was not asked or cannot tell",
    "level": "batch_size: one series; geometric_mean: the mean over all batch sizes",
    "change_history.status": "open, acknowledged, expected, infra, fixed, wont_fix, false_alarm or recovered",
    "sweep_list.confirms_sweep_id": "The sweep whose figures it measures again; NULL: it stands by itself",
    "annotation_history.status": "Status that the incident has from then on; NULL: a remark",
    "annotation_history.incident_id": "The incident it is about; NULL: none",
    "annotation_history.series_id": "The series it is about, or that of the change",
    "annotation_history.sweep_id": "The sweep it is about, or the first bad one of the incident or change",
    # What night_value says.
    "night_value.series_id": "The series: the same in every database",
    "night_value.batch_size": "Inferences per call",
    "night_value.night": "UTC date on which the sweep began",
    "night_value.created_at": "When the sweep began",
    "night_value.sweep_id": "The sweep",
    "night_value.confirms_sweep_id": "The sweep that it only confirms; NULL: it is a value of its night",
    "night_value.environment_id": "The environment, for environment_diff and environment_field",
    "night_value.rounds": "Measured windows that the throughput is the median of",
    "night_value.throughput_inf_per_s": "Median over the rounds of the inferences per second",
    "night_value.throughput_spread": "Robust standard deviation of the rounds / median; NULL: one round",
    "night_value.p50_ms": "Median latency of one batch, all rounds pooled, ms",
    "night_value.p90_ms": "90th percentile, all rounds pooled, ms; NULL where too few samples support it",
    "night_value.p95_ms": "95th percentile, all rounds pooled, ms; NULL where too few samples support it",
    "night_value.p99_ms": "99th percentile, all rounds pooled, ms; NULL where too few samples support it",
    # Incidents.
    "model": "Hub id, directory, or config:NAME for seeded random weights",
    "model_revision": "Branch, tag or commit on the hub",
    "sequence_length": "Tokens per sequence, padding included",
    "precision": "Precision of the program; NULL: not known",
    "compiler_args": "Flags for the device's compiler",
    "scenario": "Kind of load: offline, server or single_stream",
    "replicas": "Loaded copies of the model; NULL: not known",
    "workers": "Closed loops that issued batches; NULL: not known",
    "worker_mode": "What a worker was: thread, process or native",
    "backend": "What ran the model",
    "instance_type": "The cloud's name of the machine, such as inf2.xlarge",
    "hardware": "True only for a real accelerator; results of a CPU or a stand-in never stand for one",
    "model_variant": MODEL_VARIANT,
    "arrivals": ARRIVALS,
    "incident_history.direction": "worse: less throughput, more latency, time or size; else better",
    "incident_history.status": "suspect, confirmed, acknowledged, expected, infra, fixed, wont_fix, "
    "false_alarm, recovered or reopened",
    "incident_history.author": "Who said so: a person, or the detector with the version of its thresholds",
    "incident_history.annotated_at": "When it was said",
    "incident_history.reason": "Why the status is what it is",
    "incident_history.opened_at": "When it was found",
    "incident_history.last_good_sweep_id": "The last sweep before its leading change",
    "incident_history.last_good_night": "Its night",
    "incident_history.first_bad_sweep_id": "The first sweep after its leading change",
    "incident_history.first_bad_night": "Its night",
    "incident_history.metric": "What its leading change is of",
    "incident_history.relative_change": "after / before - 1 of what leads it: -0.03 is a loss of 3 percent",
    "incident_history.batch_sizes": "The batch sizes that shifted; empty: only their geometric mean",
    "incident_history.batch_sizes_known": "How many batch sizes the configuration has",
    "incident_history.metrics": "All that shifted",
    "incident_history.importance": "Effect over the least that counts, x share of the batch sizes, x 1 if a "
    "second method agrees, else 0.5",
    "incident_history.muted_until": "Until when all of it is muted; NULL: it is heard",
    "incident_history.environment_changes": "What differs in the environment, likeliest cause first; or: "
    "nothing, not known",
    "incident_history.annotation_id": "What says where it stands; NULL: nothing, it is confirmed",
    "open_incidents.status": "suspect, confirmed, acknowledged or reopened",
    # The parts of an incident.
    "incident_change.change_id": "Key of the change",
    "incident_change.series_id": "The history that shifted; NULL: the geometric mean over the batch sizes",
    "incident_change.batch_size": "Inferences per call; NULL: the geometric mean over the batch sizes",
    "incident_change.metric": METRIC,
    "incident_change.direction": "worse or better; another one than the incident's: what ended it",
    "incident_change.before_value": "Level before the shift, in the metric's unit",
    "incident_change.after_value": "Level after the shift, in the metric's unit",
    "incident_change.relative_change": "after / before - 1: -0.03 is a loss of 3 percent",
    "incident_change.relative_low": "Lower end of the interval of relative_change",
    "incident_change.relative_high": "Upper end of the interval of relative_change",
    "incident_change.confidence": "Confidence of that interval, such as 0.95",
    "incident_change.last_good_sweep_id": "The last sweep before the shift",
    "incident_change.last_good_night": "Its night",
    "incident_change.first_bad_sweep_id": "The first sweep after the shift",
    "incident_change.first_bad_night": "Its night",
    "incident_change.detected_at": "When the change was found",
    "incident_change.detector": "What found it, with the version of its thresholds",
    "incident_change.evidence": "What the detector went by: baseline, statistic, limits",
    # Events.
    "night_event_id": "Internal key",
    "night_event_history.night": "UTC date of the sweeps that it is about; of a trend, the week's Monday",
    "night_event_history.kind": EVENT_KIND,
    "night_event_history.series_id": "The history it is about; NULL: the mean over all batch sizes",
    "night_event_history.batch_size": "Inferences per call; NULL: the mean over all batch sizes",
    "night_event_history.metric": "Which figure; NULL: all, there is none",
    "night_event_history.sweep_id": "The sweep that measured, or should have; NULL: there was none",
    "night_event_history.detected_at": "When it was found",
    "night_event_history.detector": "What found it, with the version of its thresholds",
    "night_event_history.evidence": "What the detector went by, for people",
    # Mutes.
    "mute_id": "Key of the mute, for ending it",
    "mute_history.series_id": "The history that is muted; NULL: those of models",
    "mute_history.batch_size": "Of that history; NULL: all",
    "model_glob": "Pattern of the models that are muted, with * and ?; NULL: a single history",
    "mute_history.metric": "Only this figure; NULL: all",
    "mute_history.author": "Who muted it",
    "mute_history.reason": "Why",
    "set_at": "When it was muted",
    "expires_at": "When it is heard again by itself",
    "lifted_at": "When a person ended it before that; NULL: nobody did",
    "lifted_by": "Who ended it",
    "lifted_reason": "Why it was ended",
    "in_force": "True: it mutes now",
    "model_regex": "The pattern as a regular expression; NULL: a single history",
}
"""What a column of a view is, by its name, or by ``view.column``."""

MEANINGS |= {
    name.replace("incident_history", "open_incidents"): meaning
    for name, meaning in MEANINGS.items()
    if name.startswith("incident_history.") and name != "incident_history.status"
}
