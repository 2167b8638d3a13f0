"""Everything that is known of one sweep, for reports and pages: the table is only its summary."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, Row, column, select, table
from sqlalchemy.dialects.postgresql import distinct_on

from benchlib.analysis.comparison import Comparison, ComparisonRow
from benchlib.results import BUCKET_GROWTH, Check, Reading
from benchlib.store.environments import EnvironmentDifference
from benchlib.store.faults import explained
from benchlib.store.judgement_lists import AnnotationLine, ChangeLine, list_annotations
from benchlib.store.judgements import Subject
from benchlib.store.repository import Repository
from benchlib.store.tables import LIMITS, CompilationRow, MeasurementRow, RoundRow, SweepRow

_CHECKS = TypeAdapter(tuple[Check, ...])
_READINGS = TypeAdapter(tuple[Reading, ...])
_CHANGES = TypeAdapter(tuple[ChangeLine, ...])

_ASKED = (
    "dag_id", "run_id", "night", "scenario", "model_revision", "model_variant", "compiler_args", "note",
    "confirms_sweep_id",
)  # fmt: skip

_MEASURED = (
    "measurement_id", "batch_size", "attempt", "status", "series_id", "environment_id", "started_at",
    "mean_ms", "max_ms", "load_duration_s", "processes", "topology", "overhead_ns_per_call",
    "target_batches_per_s", "checks", "telemetry", "warnings", "failure_kind", "failure_message",
    "failure_log_tail", "latency_buckets", "latency_bucket_batches",
    *(name for pair in LIMITS.values() for name in pair),
)  # fmt: skip

# Defined by the migrations.
_FIELDS = table("environment_field", *map(column, ("environment_id", "rank", "field", "value")))
_DIFFERENCE = table(
    "environment_difference",
    *map(column, ("sweep_id", "previous_sweep_id", "previous_night", "rank", "field", "before", "after")),
)
_HISTORY = table("change_history", *map(column, ChangeLine.__dataclass_fields__))


class Limits(NamedTuple):
    """From where to where, in the unit of the figure that they belong to."""

    low: float
    high: float


@dataclass(frozen=True)
class RoundReading:
    """One measured window."""

    round_index: int
    """0 for the first."""
    batches: int
    duration_s: float
    throughput_inf_per_s: float
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True)
class Bucket:
    """Batches whose latency lies above ``above_ms``, up to ``up_to_ms``; 2 % apart, the same everywhere."""

    above_ms: float
    up_to_ms: float
    batches: int


@dataclass(frozen=True)
class SizeReading:
    """What lies behind one row of the comparison: the attempt that counts, else the latest."""

    batch_size: int
    attempt: int
    status: Literal["ok", "invalid", "failed"]
    series_id: uuid.UUID | None
    """``None``: a failed attempt belongs to no series."""
    environment_id: uuid.UUID | None
    started_at: datetime | None
    mean_ms: float | None
    max_ms: float | None
    intervals: Mapping[str, Limits]
    """95 % limits by the name of the figure, such as ``p99_ms``; what has none is not there."""
    load_duration_s: float | None
    """Loading of all replicas."""
    processes: int | None
    topology: str | None
    overhead_ns_per_call: float | None
    """Of the load generator's loop around an empty replica."""
    target_batches_per_s: float | None
    """Scenario ``server``: mean rate of the random arrivals."""
    checks: tuple[Check, ...]
    telemetry: tuple[Reading, ...]
    warnings: tuple[str, ...]
    failure_kind: str | None
    failure_message: str | None
    failure_log_tail: tuple[str, ...]
    rounds: tuple[RoundReading, ...]
    buckets: tuple[Bucket, ...]
    """Ascending; empty for an imported table."""


@dataclass(frozen=True)
class CompilationReading:
    """One attempt to compile."""

    batch_size: int
    attempt: int
    status: Literal["ok", "failed"]
    cache_hit: bool | None
    """True: found in the artifact store, not compiled. ``None``: failed."""
    compile_duration_s: float | None
    """Of the compilation that made the artifact."""
    peak_rss_bytes: int | None
    artifact_key: str | None
    artifact_size_bytes: int | None
    failure_kind: str | None
    failure_message: str | None


@dataclass(frozen=True)
class EnvironmentReading:
    """Hardware and software of one or more batch sizes."""

    environment_id: uuid.UUID
    batch_sizes: tuple[int, ...]
    fields: tuple[tuple[str, str], ...]
    """Name and value of what is known, in the order in which one would look for a cause."""


@dataclass(frozen=True)
class SinceLast:
    """What differs from the environment of the comparable sweep before; never empty."""

    previous_sweep_id: uuid.UUID
    previous_night: date
    differences: tuple[EnvironmentDifference, ...]


@dataclass(frozen=True)
class SweepReading:
    """One sweep: `comparison` has the table, the rest is what one needs to believe it."""

    comparison: Comparison
    dag_id: str
    run_id: str
    night: date
    model_revision: str | None
    model_variant: str | None
    compiler_args: tuple[str, ...]
    note: str | None
    """Why the run was started."""
    confirms_sweep_id: uuid.UUID | None
    """The sweep of the same night that this one only measured again; ``None``: it stands by itself."""
    sizes: tuple[SizeReading, ...]
    """Ascending; a size that left no trace of a measurement is not there."""
    compilations: tuple[CompilationReading, ...]
    environments: tuple[EnvironmentReading, ...]
    since_last: SinceLast | None
    """``None``: nothing differs, or there is no sweep before it."""
    changes: tuple[ChangeLine, ...]
    """Shifts of which this is the first bad sweep."""
    annotations: tuple[AnnotationLine, ...]
    """What was said of it, latest first."""

    def size(self, batch_size: int) -> SizeReading | None:
        """What lies behind the row of this batch size."""
        return next((size for size in self.sizes if size.batch_size == batch_size), None)

    def pairs(self) -> Iterator[tuple[ComparisonRow, SizeReading | None]]:
        """The rows of the comparison, each with what lies behind it."""
        by_size = {size.batch_size: size for size in self.sizes}
        return ((row, by_size.get(row.batch_size)) for row in self.comparison.rows)


def read_sweep(engine: Engine, sweep_id: uuid.UUID) -> SweepReading:
    """Read one sweep.

    Raises:
        BadInput: there is no such sweep.
        DatabaseUnreachable: the database does not answer.
    """
    comparison = Repository(engine).comparison(sweep_id)
    with explained(engine), engine.connect() as connection:
        asked = [SweepRow.__table__.c[name] for name in _ASKED]
        sweep = connection.execute(select(*asked).where(SweepRow.sweep_id == sweep_id)).one()
        sizes = _sizes(connection, sweep_id, sweep.scenario)
        environments = _environments(connection, sizes)
        since_last = _since_last(connection, sweep_id)
        compilations = _compilations(connection, sweep_id)
        changes = _changes(connection, sweep_id)
    return SweepReading(
        comparison=comparison,
        dag_id=sweep.dag_id,
        run_id=sweep.run_id,
        night=sweep.night,
        model_revision=sweep.model_revision,
        model_variant=sweep.model_variant,
        compiler_args=tuple(sweep.compiler_args),
        note=sweep.note,
        confirms_sweep_id=sweep.confirms_sweep_id,
        sizes=sizes,
        compilations=compilations,
        environments=environments,
        since_last=since_last,
        changes=changes,
        annotations=list_annotations(engine, Subject(sweep_id=sweep_id)),
    )


def intervals_of(row: Row[Any]) -> dict[str, Limits]:
    """The 95 % limits of a row that has their columns, by the name of the figure."""
    found = ((name, getattr(row, low), getattr(row, high)) for name, (low, high) in LIMITS.items())
    return {name: Limits(low, high) for name, low, high in found if low is not None and high is not None}


def _sizes(connection: Connection, sweep_id: uuid.UUID, scenario: str) -> tuple[SizeReading, ...]:
    measured = MeasurementRow.__table__
    columns = [measured.c[name] for name in _MEASURED]
    latest = (measured.c.batch_size, (measured.c.status == "ok").desc(), measured.c.attempt.desc())
    counting = (
        select(*columns)
        .where(measured.c.sweep_id == sweep_id, measured.c.scenario == scenario)
        .ext(distinct_on(measured.c.batch_size))
        .order_by(*latest)
    )
    rows = connection.execute(counting).all()
    rounds = _rounds(connection, [row.measurement_id for row in rows])
    return tuple(_size(row, tuple(rounds[row.measurement_id])) for row in rows)


def _size(row: Row[Any], rounds: tuple[RoundReading, ...]) -> SizeReading:
    return SizeReading(
        batch_size=row.batch_size,
        attempt=row.attempt,
        status=row.status,
        series_id=row.series_id,
        environment_id=row.environment_id,
        started_at=row.started_at,
        mean_ms=row.mean_ms,
        max_ms=row.max_ms,
        intervals=intervals_of(row),
        load_duration_s=row.load_duration_s,
        processes=row.processes,
        topology=row.topology,
        overhead_ns_per_call=row.overhead_ns_per_call,
        target_batches_per_s=row.target_batches_per_s,
        checks=_CHECKS.validate_python(row.checks),
        telemetry=_READINGS.validate_python(row.telemetry or ()),
        warnings=tuple(row.warnings),
        failure_kind=row.failure_kind,
        failure_message=row.failure_message,
        failure_log_tail=tuple(row.failure_log_tail or ()),
        rounds=rounds,
        buckets=tuple(_buckets(row.latency_buckets or (), row.latency_bucket_batches or ())),
    )


def _buckets(numbers: Sequence[int], batches: Sequence[int]) -> Iterator[Bucket]:
    for number, count in zip(numbers, batches, strict=True):
        yield Bucket(BUCKET_GROWTH ** (number - 1), BUCKET_GROWTH**number, count)


def _rounds(connection: Connection, measurements: Sequence[int]) -> Mapping[int, list[RoundReading]]:
    fields = [RoundRow.__table__.c[name] for name in RoundReading.__dataclass_fields__]
    of_these = (
        select(RoundRow.measurement_id, *fields)
        .where(RoundRow.measurement_id.in_(measurements))
        .order_by(RoundRow.measurement_id, RoundRow.round_index)
    )
    found: dict[int, list[RoundReading]] = defaultdict(list)
    for key, *values in connection.execute(of_these):
        found[key].append(RoundReading(*values))
    return found


def _compilations(connection: Connection, sweep_id: uuid.UUID) -> tuple[CompilationReading, ...]:
    fields = [CompilationRow.__table__.c[name] for name in CompilationReading.__dataclass_fields__]
    attempts = select(*fields).where(CompilationRow.sweep_id == sweep_id)
    ordered = attempts.order_by(CompilationRow.batch_size, CompilationRow.attempt)
    return tuple(CompilationReading(*row) for row in connection.execute(ordered))


def _environments(connection: Connection, sizes: Iterable[SizeReading]) -> tuple[EnvironmentReading, ...]:
    of_sizes: dict[uuid.UUID, list[int]] = defaultdict(list)
    for size in sizes:
        if size.environment_id is not None:
            of_sizes[size.environment_id].append(size.batch_size)
    fields = environment_fields(connection, of_sizes)
    return tuple(
        EnvironmentReading(key, tuple(of_sizes[key]), tuple(fields[key].items())) for key in of_sizes
    )


def environment_fields(
    connection: Connection, environments: Iterable[uuid.UUID]
) -> Mapping[uuid.UUID, dict[str, str]]:
    """What is known of each environment: name to value, likeliest cause of a change first."""
    wanted = _FIELDS.c.environment_id.in_(list(environments))
    known = select(_FIELDS.c.environment_id, _FIELDS.c.field, _FIELDS.c.value).where(wanted)
    found: dict[uuid.UUID, dict[str, str]] = defaultdict(dict)
    for key, field, value in connection.execute(known.order_by(_FIELDS.c.environment_id, _FIELDS.c.rank)):
        if value is not None:
            found[key][field] = value
    return found


def _since_last(connection: Connection, sweep_id: uuid.UUID) -> SinceLast | None:
    differing = select(_DIFFERENCE).where(_DIFFERENCE.c.sweep_id == sweep_id).order_by(_DIFFERENCE.c.rank)
    rows = connection.execute(differing).all()
    if not rows:
        return None
    found = (EnvironmentDifference(row.field, row.before, row.after, row.rank) for row in rows)
    return SinceLast(rows[0].previous_sweep_id, rows[0].previous_night, tuple(found))


def _changes(connection: Connection, sweep_id: uuid.UUID) -> tuple[ChangeLine, ...]:
    began_here = select(_HISTORY).where(_HISTORY.c.first_bad_sweep_id == sweep_id)
    ordered = began_here.order_by(_HISTORY.c.batch_size, _HISTORY.c.metric, _HISTORY.c.change_id)
    return _CHANGES.validate_python([dict(row) for row in connection.execute(ordered).mappings()])
