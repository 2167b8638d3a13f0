"""Experiments in the database: comparisons of two interpreters, their pairs, verdicts and acceptance."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, Text, Uuid, cast, column, select, table, update
from sqlalchemy.dialects.postgresql import insert

from benchlib.analysis.paired import Family, Judgement
from benchlib.errors import BadInput, BenchError
from benchlib.experiments import ComparisonSpec, ExperimentRecord, PairRecord, Problem, TurnRecord
from benchlib.results import Environment
from benchlib.store import rows
from benchlib.store.environments import environment_diff
from benchlib.store.faults import explained
from benchlib.store.tables import PAIR_FIGURES, EnvironmentRow, ExperimentRow, PairRow

WHICH_HOST = frozenset({"host", "memory_bytes"})
"""Fields that may differ between equal hosts."""

# Defined by the migrations.
HISTORY = table(
    "experiment_history",
    column("experiment_id", Uuid),
    *map(
        column,
        (
            "dag_id",
            "run_id",
            "author",
            "created_at",
            "old_environment_id",
            "new_environment_id",
            "finished_at",
            "verdict",
            "problems",
            "notes",
            "accepted_at",
            "accepted_by",
            "accepted_reason",
            "spec",
        ),
    ),
)
PAIRS = table(
    "experiment_pair",
    column("experiment_id", Uuid),
    *(column(each.name) for each in PairRow.__table__.columns if each.name != "experiment_id"),
)
FIELDS = table("environment_field", column("environment_id", Uuid), column("field"), column("value"))


@dataclass(frozen=True)
class Outcome:
    """What an experiment came to."""

    verdict: str
    """Of the new side: worse, better, no worse, undecided or not compared."""
    sentence: str
    family: Family
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    """What one must know beside the verdict."""
    finished_at: datetime


@dataclass(frozen=True)
class Acceptance:
    """Who took the new side for good, when and why."""

    accepted_at: datetime
    accepted_by: str
    accepted_reason: str


@dataclass(frozen=True)
class StoredExperiment:
    """An experiment with all that is stored of it."""

    record: ExperimentRecord
    pairs: tuple[PairRecord, ...]
    finished_at: datetime | None = None
    verdict: str | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    acceptance: Acceptance | None = None


@dataclass(frozen=True)
class ExperimentLine:
    """One line in a list of experiments, as in the view `experiment_history`."""

    experiment_id: uuid.UUID
    created_at: datetime
    author: str
    model: str
    batch_sizes: tuple[int, ...]
    backend: str
    instance_type: str | None
    hardware: bool | None
    with_itself: bool
    old_sdk: str | None
    new_sdk: str | None
    environment_changes: str | None
    pairs: int
    unusable_pairs: int
    verdict: str | None
    sentence: str | None
    accepted_at: datetime | None
    accepted_by: str | None
    accepted_reason: str | None
    label: str | None


def record_experiment(engine: Engine, record: ExperimentRecord) -> None:
    """Write an experiment, or what has become known of its environments. Writing it again changes nothing.

    Raises:
        RecordRejected: it breaks a rule of the tables.
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.begin() as connection:
        _write_experiment(connection, record)


def record_pairs(
    engine: Engine, record: ExperimentRecord, pairs: Sequence[PairRecord]
) -> tuple[PairRecord, ...]:
    """Write pairs with their experiment, all or none; one that is stored stays as it is.

    Returns those that are not stored, because another pair has their number: two hosts have made it.

    Raises:
        RecordRejected: one breaks a rule of the tables.
        DatabaseUnreachable: the database does not answer.
    """
    values = [_pair_values(pair) for pair in pairs]
    with explained(engine), engine.begin() as connection:
        _write_experiment(connection, record)
        if values:
            connection.execute(insert(PairRow).on_conflict_do_nothing(), values)
        own = select(PairRow.batch_size, PairRow.pair_number, PairRow.recorded_at)
        found = connection.execute(own.where(PairRow.experiment_id == record.experiment_id))
        stored = {(row.batch_size, row.pair_number): row.recorded_at for row in found}
    return tuple(each for each in pairs if stored[each.batch_size, each.number] != each.recorded_at)


def record_outcome(engine: Engine, record: ExperimentRecord, outcome: Outcome) -> None:
    """Write the verdict, in place of an earlier one, unless the experiment was accepted with that.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    values = {
        "finished_at": outcome.finished_at,
        "verdict": outcome.verdict,
        "sentence": outcome.sentence,
        "judgements": [judgement_values(each) for each in outcome.family.judgements],
        "problems": [each.model_dump(mode="json") for each in outcome.problems],
        "notes": list(outcome.notes),
    }
    with explained(engine), engine.begin() as connection:
        _write_experiment(connection, record)
        mine = update(ExperimentRow).where(
            ExperimentRow.experiment_id == record.experiment_id, ExperimentRow.accepted_at.is_(None)
        )
        connection.execute(mine.values(values))


def stored_experiment(engine: Engine, experiment_id: uuid.UUID) -> StoredExperiment | None:
    """The experiment with its pairs, by batch size and number; ``None``: it is not stored.

    Only views are asked: a reader may.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.connect() as connection:
        asked = select(HISTORY).where(HISTORY.c.experiment_id == experiment_id)
        found = connection.execute(asked).one_or_none()
        if found is None:
            return None
        own = select(PAIRS).where(PAIRS.c.experiment_id == experiment_id)
        pairs = connection.execute(own.order_by(PAIRS.c.batch_size, PAIRS.c.pair_number)).all()
        record = record_of(connection, found)
    return StoredExperiment(
        record=record,
        pairs=tuple(_pair_record(dict(pair._mapping)) for pair in pairs),
        finished_at=found.finished_at,
        verdict=found.verdict,
        problems=TypeAdapter(tuple[Problem, ...]).validate_python(found.problems),
        notes=tuple(found.notes),
        acceptance=acceptance_of(found),
    )


def find_experiment(engine: Engine, text_: str) -> uuid.UUID:
    """The experiment that a person means: by run id, or by the beginning of its id.

    Raises:
        BadInput: nothing or more than one fits.
        DatabaseUnreachable: the database does not answer.
    """
    history = table("experiment_history", column("experiment_id"), column("run_id"))
    wanted = text_.strip()
    begins = cast(history.c.experiment_id, Text).startswith(wanted.lower(), autoescape=True)
    with explained(engine), engine.connect() as connection:
        found = connection.scalars(
            select(history.c.experiment_id).where(begins | (history.c.run_id == wanted)).limit(2)
        ).all()
    if not found or not wanted:
        raise BadInput("experiment", text_, "a run id, or the first characters of an experiment's id")
    if len(found) > 1:
        raise BadInput("experiment", text_, "more characters: several experiments begin like this")
    return uuid.UUID(str(found[0]))


def list_experiments(engine: Engine, limit: int = 20) -> tuple[ExperimentLine, ...]:
    """The newest experiments, newest first.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    history = table("experiment_history", *map(column, ExperimentLine.__dataclass_fields__))
    newest = select(history).order_by(history.c.created_at.desc(), history.c.experiment_id).limit(limit)
    with explained(engine), engine.connect() as connection:
        found = [dict(row) for row in connection.execute(newest).mappings()]
    return TypeAdapter(tuple[ExperimentLine, ...]).validate_python(found)


def _write_experiment(connection: Connection, record: ExperimentRecord) -> None:
    known = {
        f"{side}_environment_id": environment
        for side, environment in (("old", record.old_environment), ("new", record.new_environment))
        if environment is not None
    }
    if known:
        found = [rows.environment_values(environment) for environment in known.values()]
        connection.execute(insert(EnvironmentRow).on_conflict_do_nothing(), found)
    ids = {name: rows.environment_id_of(environment) for name, environment in known.items()}
    statement = insert(ExperimentRow).values(**_experiment_values(record), **ids)
    if ids:
        later = {**ids, "host": statement.excluded.host, "spec": statement.excluded.spec}
        connection.execute(statement.on_conflict_do_update(index_elements=["experiment_id"], set_=later))
    else:
        connection.execute(statement.on_conflict_do_nothing())


def _experiment_values(record: ExperimentRecord) -> dict[str, Any]:
    spec, sweep = record.spec, record.spec.sweep
    environment = record.old_environment or record.new_environment
    return {
        **record.model_dump(include={"experiment_id", "dag_id", "run_id", "author", "created_at"}),
        **spec.model_dump(include={"pairs", "max_pairs", "min_effect", "p99_min_effect"}),
        "label": sweep.label,
        "note": sweep.note,
        "host": environment.host if environment else None,
        "model": sweep.model.name,
        "model_revision": sweep.model.revision,
        "sequence_length": sweep.model.sequence_length,
        "batch_sizes": list(sweep.batch_sizes),
        "scenario": sweep.scenario,
        "backend": sweep.backend,
        "old_interpreter": spec.old,
        "new_interpreter": spec.new,
        "spec": spec.model_dump(mode="json"),
        "judgements": [],
        "problems": [],
        "notes": [],
    }


def _pair_values(pair: PairRecord) -> dict[str, Any]:
    sides = {"old": pair.old, "new": pair.new}
    return {
        "experiment_id": pair.experiment_id,
        "batch_size": pair.batch_size,
        "pair_number": pair.number,
        "first_side": pair.first,
        "counts": pair.unusable is None,
        "reason": pair.unusable,
        "host": pair.host,
        "recorded_at": pair.recorded_at,
        **{f"{side}_{name}": getattr(turn, name) for side, turn in sides.items() for name in PAIR_FIGURES},
        **{f"{side}_output_error": turn.output_error for side, turn in sides.items()},
        **{f"{side}_failed_checks": list(turn.failed_checks) for side, turn in sides.items()},
    }


def judgement_values(judged: Judgement) -> dict[str, Any]:
    """As the table and every export have it."""
    found = judged.estimate
    return {
        "batch_size": judged.batch_size,
        "metric": judged.metric,
        "old_value": judged.old,
        "new_value": judged.new,
        "relative_change": found.change,
        "relative_low": found.limits[0],
        "relative_high": found.limits[1],
        "pairs": found.pairs,
        "p_value": found.p_value,
        "adjusted_p_value": judged.adjusted_p_value,
        "min_effect": judged.min_effect,
        "verdict": judged.verdict,
    }


def record_of(connection: Connection, row: Any) -> ExperimentRecord:
    """The record of a row of the table or of the view."""
    return ExperimentRecord(
        experiment_id=row.experiment_id,
        dag_id=row.dag_id,
        run_id=row.run_id,
        author=row.author,
        spec=ComparisonSpec.model_validate(row.spec),
        created_at=row.created_at,
        old_environment=_environment(connection, row.old_environment_id),
        new_environment=_environment(connection, row.new_environment_id),
    )


def _environment(connection: Connection, environment_id: uuid.UUID | None) -> Environment | None:
    """As the view of the fields has it: without its fingerprint."""
    if environment_id is None:
        return None
    own = select(FIELDS.c.field, FIELDS.c.value).where(FIELDS.c.environment_id == environment_id)
    fields = {row.field: row.value for row in connection.execute(own)}
    return Environment.model_validate({"fingerprint": "", **fields})


def _pair_record(row: Mapping[str, Any]) -> PairRecord:
    reason = row["reason"] or ""
    # The side that spoilt the pair stands before its reason.
    spoilt_by, _, why = reason.partition(": ")
    turns = {
        side: TurnRecord(
            **{name: row[f"{side}_{name}"] for name in PAIR_FIGURES},
            output_error=row[f"{side}_output_error"],
            failed_checks=tuple(row[f"{side}_failed_checks"]),
            unusable=why if spoilt_by == side else None,
        )
        for side in ("old", "new")
    }
    return PairRecord(
        experiment_id=row["experiment_id"],
        batch_size=row["batch_size"],
        number=row["pair_number"],
        first=row["first_side"],
        old=turns["old"],
        new=turns["new"],
        host=row["host"],
        recorded_at=row["recorded_at"],
    )


def acceptance_of(row: Any) -> Acceptance | None:
    """Of a row of the table or of the view."""
    if row.accepted_at is None:
        return None
    return Acceptance(row.accepted_at, row.accepted_by, row.accepted_reason)


def check_same_environment(known: Environment | None, found: Environment, side: str) -> None:
    """Refuse to go on with an experiment in another environment than it began in.

    Raises:
        BenchError: what differs.
    """
    changes = () if known is None else environment_diff(known, found)
    told = [f"{each.field} {each.before} -> {each.after}" for each in changes if each.field not in WHICH_HOST]
    if told:
        what = f"the {side} side is no longer what this experiment began with"
        raise BenchError(f"{what} ({', '.join(told)}): start a new one")
