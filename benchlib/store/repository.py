"""Reads and writes of the results' database."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

import tenacity
from sqlalchemy import Connection, Engine, Text, cast, column, delete, select, table
from sqlalchemy.dialects.postgresql import insert

from benchlib.analysis.comparison import Comparison, ComparisonRow
from benchlib.errors import BadInput
from benchlib.records import CompilationRecord, MeasurementRecord, Record, SweepRecord
from benchlib.store import rows
from benchlib.store.errors import RecordRejected
from benchlib.store.faults import explained, is_transient
from benchlib.store.tables import CompilationRow, EnvironmentRow, MeasurementRow, RoundRow, SweepRow

TRIES = 4
FIRST_WAIT_S = 0.1
"""Doubled after every try, with jitter: a restart of the database takes about a second."""

ROW_FIELDS = tuple(ComparisonRow.__dataclass_fields__)

# The view itself is defined by the migrations.
COMPARISON_TABLE = table(
    "comparison_table",
    *(column(name) for name in (*ROW_FIELDS, "sweep_id", "precision", "hardware", "device", "instance_type")),
)

COMPILATION_IDENTITY = ("sweep_id", "batch_size", "attempt")
MEASUREMENT_IDENTITY = ("sweep_id", "batch_size", "scenario", "attempt")

Attempt = CompilationRow | MeasurementRow
T = TypeVar("T")


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

    def comparison(self, sweep_id: uuid.UUID) -> Comparison:
        """The figures of one sweep; how several attempts become one row is the view's business.

        Raises:
            BadInput: there is no such sweep.
        """
        found = self._transaction(lambda connection: _comparison(connection, sweep_id))
        if found is None:
            raise BadInput("sweep", str(sweep_id), "the id of a stored sweep")
        return found

    def latest_sweep_id(self) -> uuid.UUID | None:
        """The sweep that began last, if there is any."""
        newest = self.sweeps(limit=1)
        return newest[0].sweep_id if newest else None

    def sweeps(self, limit: int = 20) -> tuple[SweepSummary, ...]:
        """The newest sweeps, newest first."""
        fields = [getattr(SweepRow, name) for name in SweepSummary.__dataclass_fields__]
        newest = select(*fields).order_by(SweepRow.created_at.desc(), SweepRow.sweep_id).limit(limit)
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
    _write_sweep(connection, record if isinstance(record, SweepRecord) else record.sweep)
    if isinstance(record, SweepRecord):
        return
    if record.result is not None:
        environment = insert(EnvironmentRow).values(rows.environment_values(record.result.environment))
        connection.execute(environment.on_conflict_do_nothing())
    if isinstance(record, CompilationRecord):
        _upsert(connection, CompilationRow, COMPILATION_IDENTITY, rows.compilation_values(record))
    else:
        _write_measurement(connection, record)


def _write_sweep(connection: Connection, sweep: SweepRecord) -> None:
    """Write the sweep unless it is there: what was asked never changes.

    A conflict on either key counts as being there. Were only one of them named, then two workers that write
    the same new sweep at once could still collide on the other.
    """
    connection.execute(insert(SweepRow).values(rows.sweep_values(sweep)).on_conflict_do_nothing())
    if connection.scalar(select(SweepRow.sweep_id).where(SweepRow.sweep_id == sweep.sweep_id)) is None:
        raise RecordRejected(f"run {sweep.run_id} of {sweep.dag_id} is stored under another sweep id already")


def _write_measurement(connection: Connection, record: MeasurementRecord) -> None:
    measurement_id = _upsert(
        connection, MeasurementRow, MEASUREMENT_IDENTITY, rows.measurement_values(record)
    )
    if measurement_id is None:
        return
    connection.execute(delete(RoundRow).where(RoundRow.measurement_id == measurement_id))
    if record.result is not None and record.result.rounds:
        values = [rows.round_values(each) for each in record.result.rounds]
        connection.execute(insert(RoundRow).values(measurement_id=measurement_id), values)


def _upsert(
    connection: Connection, row: type[Attempt], identity: Sequence[str], values: rows.Values
) -> int | None:
    """Write one attempt; return its key, or ``None`` when a later record of it is there already."""
    statement = insert(row).values(values)
    (key,) = row.__table__.primary_key
    others = {each.name for each in row.__table__.columns} - {key.name, *identity}
    written: int | None = connection.scalar(
        statement.on_conflict_do_update(
            index_elements=identity,
            set_={name: statement.excluded[name] for name in others},
            where=row.recorded_at <= statement.excluded.recorded_at,
        ).returning(key)
    )
    return written


def _find(connection: Connection, text: str) -> Sequence[uuid.UUID]:
    if not text or not text.isprintable():
        return []
    by_run = connection.scalars(select(SweepRow.sweep_id).where(SweepRow.run_id == text)).all()
    if by_run:
        return by_run
    begins = cast(SweepRow.sweep_id, Text).startswith(text.lower(), autoescape=True)
    return connection.scalars(select(SweepRow.sweep_id).where(begins).limit(6)).all()


def _comparison(connection: Connection, sweep_id: uuid.UUID) -> Comparison | None:
    asked = SweepRow.__table__
    sweep = connection.execute(select(asked).where(asked.c.sweep_id == sweep_id)).one_or_none()
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
        rows=tuple(ComparisonRow(**{name: getattr(line, name) for name in ROW_FIELDS}) for line in lines),
    )


def _joined(values: Iterable[str | None]) -> str | None:
    return ", ".join(dict.fromkeys(value for value in values if value)) or None


def _all_known(values: Iterable[bool | None]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(known)
