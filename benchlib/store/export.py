"""Measurements as flat rows with their sweep and environment: what leaves the database, and by which names.

The names are the tables' own, and so are the explanations. Where a sweep asked for something that a
measurement also has, the sweep's is called ``asked_...``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Engine, ScalarSelect, Select, func, select
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.sql.elements import KeyedColumnElement
from sqlalchemy.types import TypeEngine

from benchlib.store.faults import explained
from benchlib.store.tables import EnvironmentRow, MeasurementRow, RoundRow, SweepRow

SCHEMA_VERSION = 1
"""Of the exported rows; grows when a name changes its meaning or goes away."""

ASKED = frozenset(
    ("batch_sizes", "backend", "precision", "scenario", "replicas", "workers", "batches_per_worker",
     "warmup_batches", "rounds", "interpreter", "worker_mode", "warmup", "stop", "duration_s",
     "relative_half_width", "target_batches_per_s", "latency_limit_ms", "arrival_seed", "interleave")
)  # fmt: skip
"""Columns of a sweep that say what was asked for, not what came of it."""

KEYS = frozenset(("measurement_id", "environment_id"))
"""They mean something inside one database only."""

FETCH_ROWS = 500

SWEEPS, MEASUREMENTS = SweepRow.__table__, MeasurementRow.__table__
ENVIRONMENTS, ROUNDS = EnvironmentRow.__table__, RoundRow.__table__


@dataclass(frozen=True)
class ExportColumn:
    """One column of the exported rows."""

    name: str
    kind: TypeEngine[Any]
    """Its type in the database."""
    meaning: str
    """With the unit."""


@dataclass(frozen=True)
class Selection:
    """Which measurements; what is ``None`` does not matter."""

    model: str | None = None
    instance_type: str | None = None
    batch_size: int | None = None
    since: date | None = None
    """First day of the sweep, UTC."""
    until: date | None = None
    """Last day of the sweep, UTC, included."""


def export_columns() -> tuple[ExportColumn, ...]:
    """All columns but ``rounds``, in their order, each with its meaning."""
    version = ExportColumn(
        "schema_version", MEASUREMENTS.c.attempt.type, f"Version of this list of columns: {SCHEMA_VERSION}"
    )
    named = (
        ExportColumn(name, column.type, column.comment or "") for name, column in _named_columns().items()
    )
    return (version, *named)


def round_columns() -> tuple[ExportColumn, ...]:
    """The fields of each element of ``rounds``."""
    return tuple(
        ExportColumn(column.name, column.type, column.comment or "")
        for column in ROUNDS.columns
        if column.name not in KEYS
    )


def exported(engine: Engine, selection: Selection) -> Iterator[dict[str, Any]]:
    """The selected measurements, oldest sweep first, one flat row each, with a list of their ``rounds``.

    Rows come as the database delivers them, so that an export of any size needs little memory.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.connect() as connection:
        result = connection.execution_options(yield_per=FETCH_ROWS).execute(_query(selection))
        for row in result:
            yield {"schema_version": SCHEMA_VERSION, **{n: _in_utc(v) for n, v in row._mapping.items()}}


def _named_columns() -> dict[str, KeyedColumnElement[Any]]:
    named: dict[str, KeyedColumnElement[Any]] = {}
    for table in (SWEEPS, MEASUREMENTS, ENVIRONMENTS):
        for column in table.columns:
            asked = table is SWEEPS and column.name in ASKED
            if column.name not in KEYS:
                named.setdefault(f"asked_{column.name}" if asked else column.name, column)
    return named


def _query(selection: Selection) -> Select[Any]:
    columns = [column.label(name) for name, column in _named_columns().items()]
    source = MEASUREMENTS.join(SWEEPS).outerjoin(ENVIRONMENTS)
    order = (SWEEPS.c.created_at, SWEEPS.c.sweep_id, MEASUREMENTS.c.batch_size, MEASUREMENTS.c.scenario)
    query = select(*columns, _rounds().label("rounds")).select_from(source)
    return where(query, selection).order_by(*order, MEASUREMENTS.c.attempt)


def where(query: Select[Any], selection: Selection) -> Select[Any]:
    """The query, which joins sweep, measurement and environment, for the selected measurements only."""
    wanted = {
        SWEEPS.c.model: selection.model,
        ENVIRONMENTS.c.instance_type: selection.instance_type,
        MEASUREMENTS.c.batch_size: selection.batch_size,
    }
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    if selection.since is not None:
        query = query.where(SWEEPS.c.created_at >= _midnight(selection.since))
    if selection.until is not None:
        query = query.where(SWEEPS.c.created_at < _midnight(selection.until + timedelta(days=1)))
    return query


def _rounds() -> ScalarSelect[Any]:
    fields = [part for column in round_columns() for part in (column.name, ROUNDS.c[column.name])]
    each = aggregate_order_by(func.jsonb_build_object(*fields), ROUNDS.c.round_index)
    rounds = select(func.coalesce(func.jsonb_agg(each), func.jsonb_build_array(), type_=JSONB))
    of_measurement = rounds.where(ROUNDS.c.measurement_id == MEASUREMENTS.c.measurement_id)
    return of_measurement.correlate(MEASUREMENTS).scalar_subquery()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _in_utc(value: object) -> object:
    return value.astimezone(UTC) if isinstance(value, datetime) else value
