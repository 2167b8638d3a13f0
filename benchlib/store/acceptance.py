"""Accepting an upgrade: the series that it moves are judged anew from the first sweep made with it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Engine, Row, func, select, text, update

from benchlib.errors import BadInput
from benchlib.experiments import ExperimentRecord
from benchlib.store.environments import EnvironmentDifference, environment_diff
from benchlib.store.experiments import Acceptance, StoredExperiment, acceptance_of, record_of
from benchlib.store.faults import explained
from benchlib.store.judgements import Remark, SweepRange, pin
from benchlib.store.tables import MODEL_VARIANT, ExperimentRow

MACHINE = frozenset({"host", "memory_bytes", "kernel", "image", "benchlib"})
"""Fields that may differ between two nights of one SDK: they are no part of what an upgrade changes."""

_MANY = 100


@dataclass(frozen=True)
class Accepted:
    """What became of an attempt to accept."""

    acceptance: Acceptance
    is_new: bool
    """False: somebody had done so before, and nothing was written."""


@dataclass(frozen=True)
class Epoch:
    """Series that are judged anew from a sweep on, because an upgrade was accepted."""

    experiment_id: uuid.UUID
    sweep_id: uuid.UUID
    series_ids: tuple[uuid.UUID, ...]


def accept(engine: Engine, experiment_id: uuid.UUID, remark: Remark) -> Accepted:
    """Take the new side for good: the nightly series begin anew with the first sweep that was made with it.

    Raises:
        BadInput: there is no such experiment, it has no verdict, no batch size was judged, or its sides do
            not differ.
        BenchError: the account may not write, or the database does not answer.
    """
    with explained(engine), engine.begin() as connection:
        locked = select(ExperimentRow.__table__).where(ExperimentRow.experiment_id == experiment_id)
        found = connection.execute(locked.with_for_update()).one_or_none()
        if found is None:
            raise BadInput("experiment", str(experiment_id), "the id of a stored experiment")
        there = acceptance_of(found)
        if there is not None:
            return Accepted(there, is_new=False)
        _check_acceptable(experiment_id, found, upgraded_fields(record_of(connection, found)))
        now = connection.scalar(select(func.clock_timestamp()))
        assert isinstance(now, datetime)
        acceptance = Acceptance(now, remark.author, remark.reason)
        mine = update(ExperimentRow).where(ExperimentRow.experiment_id == experiment_id)
        connection.execute(mine.values(asdict(acceptance)))
        return Accepted(acceptance, is_new=True)


def _check_acceptable(
    experiment_id: uuid.UUID, row: Row[Any], changed: Collection[EnvironmentDifference]
) -> None:
    if row.verdict is None:
        raise BadInput("experiment", str(experiment_id), "one with a verdict: this one is not finished")
    if not _judged_sizes(row):
        raise BadInput("experiment", str(experiment_id), "one in which a batch size was judged")
    if not changed:
        raise BadInput("experiment", str(experiment_id), "one whose two sides differ in what they run on")


def upgraded_fields(record: ExperimentRecord) -> tuple[EnvironmentDifference, ...]:
    """What the new side changes, likeliest cause first: versions, not the machine."""
    if record.old_environment is None or record.new_environment is None:
        return ()
    found = environment_diff(record.old_environment, record.new_environment)
    return tuple(each for each in found if each.field not in MACHINE)


def write_due_epochs(engine: Engine) -> tuple[Epoch, ...]:
    """Pin the series of accepted upgrades to the first sweep that was made with the new side.

    To be called before changes are looked for: a series that is pinned to its first sweep after an upgrade is
    judged from there on, so that the step is not found again. Only series of batch sizes that the experiment
    judged, and of the load that it asked for; each only once: a person may unpin it, or pin it elsewhere.

    Raises:
        BenchError: the account may not write, or the database does not answer.
    """
    written = []
    for experiment, sizes in _accepted(engine):
        assert experiment.acceptance is not None
        remark = _epoch_remark(experiment)
        for sweep_id, series_ids in _first_sweeps(engine, experiment, sizes, remark).items():
            pin(engine, SweepRange(sweep_id, sweep_id), series_ids, remark)
            written.append(Epoch(experiment.record.experiment_id, sweep_id, tuple(series_ids)))
    return tuple(written)


def _epoch_remark(experiment: StoredExperiment) -> Remark:
    assert experiment.acceptance is not None
    changed = ", ".join(
        f"{each.field} {each.before} -> {each.after}" for each in upgraded_fields(experiment.record)
    )
    short = str(experiment.record.experiment_id)[:8]
    return Remark(
        author=experiment.acceptance.accepted_by,
        reason=f"Experiment {short} accepted ({changed}): {experiment.acceptance.accepted_reason}",
    )


def _accepted(engine: Engine) -> list[tuple[StoredExperiment, list[int]]]:
    """With the batch sizes that each has judged."""
    newest = (
        select(ExperimentRow.__table__)
        .where(ExperimentRow.accepted_at.is_not(None))
        .order_by(ExperimentRow.accepted_at.desc())
        .limit(_MANY)
    )
    with explained(engine), engine.connect() as connection:
        return [
            (
                StoredExperiment(record_of(connection, row), pairs=(), acceptance=acceptance_of(row)),
                _judged_sizes(row),
            )
            for row in connection.execute(newest).all()
        ]


def _judged_sizes(row: Row[Any]) -> list[int]:
    return sorted({each["batch_size"] for each in row.judgements if each["batch_size"] is not None})


_FIRST_SWEEPS = text(f"""
    SELECT DISTINCT ON (series.series_id) series.series_id, measured.sweep_id
    FROM series
    INNER JOIN valid_measurement AS measured ON measured.series_id = series.series_id
    WHERE series.model = :model
        AND series.model_revision IS NOT DISTINCT FROM :model_revision
        AND series.sequence_length = :sequence_length
        AND series.compiler_args = CAST(:compiler_args AS text[])
        AND series.batch_size = ANY(:batch_sizes)
        AND series.scenario = :scenario
        AND series.model_variant IS NOT DISTINCT FROM (
            SELECT {MODEL_VARIANT}
            FROM (SELECT CAST(:head AS text) AS head, CAST(:inputs AS text) AS inputs) AS asked
        )
        AND (CAST(:precision AS text) IS NULL OR coalesce(series.precision, :precision) = :precision)
        AND (CAST(:replicas AS integer) IS NULL OR series.replicas = :replicas)
        AND (CAST(:workers AS integer) IS NULL OR series.workers = :workers)
        AND (CAST(:worker_mode AS text) IS NULL OR series.worker_mode = :worker_mode)
        AND series.backend = :backend
        AND series.instance_type IS NOT DISTINCT FROM :instance_type
        AND series.hardware = :hardware
        AND measured.origin = 'dag'
        AND measured.created_at >= :created_at
        AND NOT EXISTS (
            SELECT FROM jsonb_each_text(CAST(:changed AS jsonb)) AS wanted
            LEFT JOIN environment_field AS field
                ON field.environment_id = measured.environment_id AND field.field = wanted.key
            WHERE field.value IS DISTINCT FROM wanted.value
        )
        AND NOT EXISTS (
            SELECT FROM baseline
            WHERE baseline.series_id = series.series_id
                AND baseline.kind = 'pinned'
                AND (baseline.set_at > :accepted_at OR baseline.reason = :reason)
        )
    ORDER BY series.series_id, measured.created_at, measured.sweep_id
""")  # noqa: S608 - our own expression


def _first_sweeps(
    engine: Engine, experiment: StoredExperiment, sizes: Sequence[int], remark: Remark
) -> Mapping[uuid.UUID, list[uuid.UUID]]:
    """By sweep, the series that it is the first one of with what was accepted, unless that is pinned."""
    record, acceptance = experiment.record, experiment.acceptance
    changed = {each.field: each.after for each in upgraded_fields(record)}
    if record.new_environment is None or acceptance is None or not changed:
        return {}
    asked = record.spec.sweep
    values = {
        "model": asked.model.name,
        "model_revision": asked.model.revision,
        "sequence_length": asked.model.sequence_length,
        "compiler_args": list(asked.compiler_args),
        "batch_sizes": list(sizes),
        "scenario": asked.scenario,
        "head": asked.model.head,
        "inputs": asked.model.inputs,
        "precision": _asked(asked.precision),
        "replicas": _asked(asked.load.replicas),
        "workers": _asked(asked.load.workers),
        "worker_mode": _asked(asked.load.worker_mode),
        "backend": asked.backend,
        "instance_type": record.new_environment.instance_type,
        "hardware": record.new_environment.hardware,
        "created_at": record.created_at,
        "changed": TypeAdapter(dict[str, str | None]).dump_json(changed).decode(),
        "accepted_at": acceptance.accepted_at,
        "reason": remark.reason,
    }
    found: dict[uuid.UUID, list[uuid.UUID]] = {}
    with explained(engine), engine.connect() as connection:
        for series_id, sweep_id in connection.execute(_FIRST_SWEEPS, values):
            found.setdefault(sweep_id, []).append(series_id)
    return found


def _asked(value: int | str) -> int | str | None:
    """``None``: left to the data plane, and not known here."""
    return None if value == "auto" else value
