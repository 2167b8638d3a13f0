"""Reads and writes of the results' database."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Literal, TypeVar

import tenacity
from sqlalchemy import (
    Boolean,
    Connection,
    Engine,
    Text,
    and_,
    cast,
    column,
    delete,
    func,
    literal_column,
    select,
    table,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert

from benchlib.analysis.comparison import Comparison, ComparisonRow
from benchlib.errors import BadInput
from benchlib.records import CompilationRecord, MeasurementRecord, Record, SweepRecord, sweep_of
from benchlib.results import COMPLETE
from benchlib.store import rows
from benchlib.store.errors import RecordRejected
from benchlib.store.faults import explained, is_transient
from benchlib.store.tables import CompilationRow, EnvironmentRow, MeasurementRow, RoundRow, SweepRow

TRIES = 4
FIRST_WAIT_S = 0.1
"""Doubled after every try, with jitter: a restart of the database takes about a second."""

ROW_FIELDS = tuple(ComparisonRow.__dataclass_fields__)


@dataclass(frozen=True)
class SweepSummary:
    """One line in a list of sweeps."""

    sweep_id: uuid.UUID
    dag_id: str
    run_id: str
    origin: Literal["dag", "import"]
    created_at: datetime
    model: str
    backend: str
    label: str | None
    batch_sizes: tuple[int, ...]


# Reads ask views, which the migrations define: an account that only reads may do so.
COMPARISON_TABLE = table(
    "comparison_table",
    *(column(name) for name in (*ROW_FIELDS, "sweep_id", "precision", "hardware", "device", "instance_type")),
)

SWEEP_LIST = table(
    "sweep_list",
    *(
        column(name)
        for name in (
            *SweepSummary.__dataclass_fields__,
            "scenario",
            "sequence_length",
            "latency_limit_ms",
            "confirms_sweep_id",
        )
    ),
)

COMPILATION_IDENTITY = ("sweep_id", "batch_size", "attempt")
MEASUREMENT_IDENTITY = ("sweep_id", "batch_size", "scenario", "attempt")

INSERTED = literal_column("xmax = 0", Boolean)
"""PostgreSQL locks the row that an insert runs into before it updates it; a new row was never locked."""

Attempt = CompilationRow | MeasurementRow
Attempted = CompilationRecord | MeasurementRecord
T = TypeVar("T")


@dataclass(frozen=True)
class Written:
    """What became of many measurements. One that is stored as it is, or newer, is none of these."""

    inserted: int = 0
    replaced: int = 0
    """Stored before with other values, or no longer there."""


class Repository:
    """The results' database. Safe to share between threads.

    Every method tries again when the connection breaks or the database asks for it, and raises
    `DatabaseUnreachable` when that does not help.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def record(self, record: Record) -> None:
        """Write one record with its sweep and environment, all or nothing.

        Writing it again changes nothing. Of two records of the same attempt, the one recorded later stays.

        Raises:
            RecordRejected: the record breaks a rule of the tables.
        """
        self._transaction(lambda connection: _write(connection, record))

    def record_all(self, records: Sequence[MeasurementRecord]) -> Written:
        """Write many measurements at once, all or none.

        Of an import the attempts are the rows of a table in their order: those of a batch size take the place
        of all that were stored of it before.

        Raises:
            RecordRejected: a record breaks a rule of the tables.
        """
        return self._transaction(lambda connection: _write_all(connection, records))

    def comparison(self, sweep_id: uuid.UUID) -> Comparison:
        """The figures of one sweep; how several attempts become one row is the view's business.

        Raises:
            BadInput: there is no such sweep.
        """
        found = self._transaction(lambda connection: _comparison(connection, sweep_id))
        if found is None:
            raise BadInput("sweep", str(sweep_id), "the id of a stored sweep")
        return found

    def interrupted(self, sweep_id: uuid.UUID) -> frozenset[int]:
        """The batch sizes of a sweep of which every result was stopped before all of it was measured."""
        stopped = func.jsonb_path_exists(
            MeasurementRow.checks, f'$[*] ? (@.name == "{COMPLETE}" && @.passed == false)'
        )
        results = (
            select(MeasurementRow.batch_size)
            .join(SweepRow, SweepRow.sweep_id == MeasurementRow.sweep_id)
            .where(
                MeasurementRow.sweep_id == sweep_id,
                MeasurementRow.scenario == SweepRow.scenario,
                MeasurementRow.status != "failed",
            )
        )
        sizes = results.group_by(MeasurementRow.batch_size).having(func.bool_and(stopped))
        return self._transaction(lambda connection: frozenset(connection.scalars(sizes)))

    def latest_sweep_id(self) -> uuid.UUID | None:
        """The sweep that began last, if there is any."""
        newest = self.sweeps(limit=1)
        return newest[0].sweep_id if newest else None

    def sweeps(self, limit: int = 20) -> tuple[SweepSummary, ...]:
        """The newest sweeps, newest first, without those that only confirm another."""
        asked = SWEEP_LIST.c
        fields = [asked[name] for name in SweepSummary.__dataclass_fields__]
        by_itself = select(*fields).where(asked.confirms_sweep_id.is_(None))
        newest = by_itself.order_by(asked.created_at.desc(), asked.sweep_id).limit(limit)
        found = self._transaction(lambda connection: connection.execute(newest).all())
        return tuple(
            SweepSummary(**{**sweep._mapping, "batch_sizes": tuple(sweep.batch_sizes)}) for sweep in found
        )

    def find_sweep(self, text: str) -> uuid.UUID:
        """The sweep that a person means: by run id, or by the beginning of the sweep's id.

        Raises:
            BadInput: nothing or more than one sweep fits.
        """
        found = self._transaction(lambda connection: _find(connection, text.strip()))
        if not found:
            raise BadInput("sweep", text, "a run id, or the first characters of a sweep id")
        if len(found) > 1:
            candidates = ", ".join(str(sweep_id) for sweep_id in found[:5])
            raise BadInput("sweep", text, f"something that fits one sweep only, not each of {candidates}")
        return found[0]

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_transient),
            wait=tenacity.wait_exponential(multiplier=FIRST_WAIT_S) + tenacity.wait_random(0, FIRST_WAIT_S),
            stop=tenacity.stop_after_attempt(TRIES),
            reraise=True,
        )
        with explained(self.engine):
            result: T = again(self._once, work)
            return result

    def _once(self, work: Callable[[Connection], T]) -> T:
        with self.engine.begin() as connection:
            return work(connection)


def _write(connection: Connection, record: Record) -> None:
    if isinstance(record, MeasurementRecord):
        _write_measurements(connection, [record])
        return
    _write_sweeps(connection, [sweep_of(record)])
    if isinstance(record, CompilationRecord):
        _write_environments(connection, [record])
        _upsert(connection, CompilationRow, COMPILATION_IDENTITY, [rows.compilation_values(record)])


def _write_all(connection: Connection, records: Sequence[MeasurementRecord]) -> Written:
    imported = [record for record in records if record.sweep.origin == "import"]
    measured = [record for record in records if record.sweep.origin != "import"]
    dropped = _drop_attempts_beyond(connection, imported)
    rewritten = _write_measurements(connection, imported, whole=True)
    added = _write_measurements(connection, measured)
    replaced = dropped + rewritten.replaced + added.replaced
    return Written(rewritten.inserted + added.inserted, replaced)


def _drop_attempts_beyond(connection: Connection, records: Iterable[MeasurementRecord]) -> int:
    """Delete what an earlier import had more of."""
    last: dict[tuple[Any, ...], int] = {}
    for record in records:
        *subject, attempt = _identity(record)
        last[tuple(subject)] = max(attempt, last.get(tuple(subject), 0))
    return sum(
        connection.execute(
            delete(MeasurementRow).where(
                MeasurementRow.sweep_id == sweep_id,
                MeasurementRow.batch_size == batch_size,
                MeasurementRow.scenario == scenario,
                MeasurementRow.attempt > attempt,
            )
        ).rowcount
        for (sweep_id, batch_size, scenario), attempt in last.items()
    )


def _write_measurements(
    connection: Connection, records: Sequence[MeasurementRecord], whole: bool = False
) -> Written:
    _write_sweeps(connection, [record.sweep for record in records])
    _write_environments(connection, records)
    # Of two records of the same attempt the one recorded later stays.
    latest = {_identity(each): each for each in sorted(records, key=lambda record: record.recorded_at)}
    values = [rows.measurement_values(record) for record in latest.values()]
    written = _upsert(connection, MeasurementRow, MEASUREMENT_IDENTITY, values, whole)
    replaced = [attempt.key for attempt in written.values() if not attempt.inserted]
    connection.execute(delete(RoundRow).where(RoundRow.measurement_id.in_(replaced)))
    rounds = [
        {"measurement_id": attempt.key, **rows.round_values(each)}
        for identity, attempt in written.items()
        if (result := latest[identity].result) is not None
        for each in result.rounds
    ]
    if rounds:
        connection.execute(insert(RoundRow), rounds)
    return Written(len(written) - len(replaced), len(replaced))


def _identity(record: MeasurementRecord) -> tuple[Any, ...]:
    return record.sweep.sweep_id, record.batch_size, record.scenario, record.attempt


def _write_sweeps(connection: Connection, sweeps: Iterable[SweepRecord]) -> None:
    """Write sweeps unless they are there: what was asked never changes.

    A conflict on either key counts as being there. Were only one of them named, then two workers that write
    the same new sweep at once could still collide on the other.
    """
    asked = {sweep.sweep_id: sweep for sweep in sweeps}
    if not asked:
        return
    values = [rows.sweep_values(sweep) for sweep in asked.values()]
    connection.execute(insert(SweepRow).on_conflict_do_nothing(), values)
    there = set(connection.scalars(select(SweepRow.sweep_id).where(SweepRow.sweep_id.in_(asked))))
    for sweep in asked.values():
        if sweep.sweep_id not in there:
            run = f"run {sweep.run_id} of {sweep.dag_id}"
            raise RecordRejected(f"{run} is stored under another sweep id already")


def _write_environments(connection: Connection, records: Iterable[Attempted]) -> None:
    values = [rows.environment_values(each.result.environment) for each in records if each.result is not None]
    if values:
        connection.execute(insert(EnvironmentRow).on_conflict_do_nothing(), values)


@dataclass(frozen=True)
class _WrittenAttempt:
    key: int
    inserted: bool
    """Else it took the place of another."""


def _upsert(
    connection: Connection,
    row: type[Attempt],
    identity: Sequence[str],
    values: Sequence[rows.Values],
    whole: bool = False,
) -> Mapping[tuple[Any, ...], _WrittenAttempt]:
    """Write attempts; return those by identity that were not there as they are.

    Unless what is there is replaced as a ``whole``, a later record of an attempt keeps an earlier one out.
    """
    (key,) = row.__table__.primary_key
    others = {each.name for each in row.__table__.columns} - {key.name, *identity}
    statement = insert(row)
    differs = tuple_(*(row.__table__.c[name] for name in others)).is_distinct_from(
        tuple_(*(statement.excluded[name] for name in others))
    )
    upsert = statement.on_conflict_do_update(
        index_elements=identity,
        set_={name: statement.excluded[name] for name in others},
        where=differs if whole else and_(row.recorded_at <= statement.excluded.recorded_at, differs),
    ).returning(key, INSERTED, *(row.__table__.c[name] for name in identity))
    written: dict[tuple[Any, ...], _WrittenAttempt] = {}
    # One statement writes rows of the same columns only: a failure has others than a result.
    for _, alike in groupby(sorted(values, key=sorted), key=sorted):
        written |= {
            tuple(attempt): _WrittenAttempt(number, inserted)
            for number, inserted, *attempt in connection.execute(upsert, list(alike))
        }
    return written


def _find(connection: Connection, text: str) -> Sequence[uuid.UUID]:
    if not text or not text.isprintable():
        return []
    sweep_ids = select(SWEEP_LIST.c.sweep_id)
    by_run = connection.scalars(sweep_ids.where(SWEEP_LIST.c.run_id == text)).all()
    if by_run:
        return by_run
    begins = cast(SWEEP_LIST.c.sweep_id, Text).startswith(text.lower(), autoescape=True)
    return connection.scalars(sweep_ids.where(begins).limit(6)).all()


def _comparison(connection: Connection, sweep_id: uuid.UUID) -> Comparison | None:
    asked = select(SWEEP_LIST).where(SWEEP_LIST.c.sweep_id == sweep_id)
    sweep = connection.execute(asked).one_or_none()
    if sweep is None:
        return None
    of_sweep = select(COMPARISON_TABLE).where(COMPARISON_TABLE.c.sweep_id == sweep_id)
    lines = connection.execute(of_sweep.order_by(COMPARISON_TABLE.c.batch_size)).all()
    return Comparison(
        sweep_id=sweep.sweep_id,
        model=sweep.model,
        sequence_length=sweep.sequence_length,
        backend=sweep.backend,
        precision=_joined(line.precision for line in lines),
        device=_joined(line.device for line in lines) or "unknown",
        # One figure of a stand-in is enough to keep the whole table from passing for an accelerator's.
        hardware=_all_known(line.hardware for line in lines),
        instance_type=_joined(line.instance_type for line in lines),
        label=sweep.label,
        origin=sweep.origin,
        created_at=sweep.created_at,
        latency_limit_ms=sweep.latency_limit_ms,
        scenario=sweep.scenario,
        rows=tuple(ComparisonRow(**{name: getattr(line, name) for name in ROW_FIELDS}) for line in lines),
    )


def _joined(values: Iterable[str | None]) -> str | None:
    return ", ".join(dict.fromkeys(value for value in values if value)) or None


def _all_known(values: Iterable[bool | None]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(known)
