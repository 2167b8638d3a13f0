"""One series from night to night, for charts and tables: what counted, what did not, and what is missing."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any, Literal, get_args

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Engine, Row, Text, cast, column, select, table, text

from benchlib.errors import BadInput
from benchlib.store.environments import LIKELIEST_FIRST, EnvironmentDifference
from benchlib.store.faults import explained
from benchlib.store.judgement_lists import ChangeLine
from benchlib.store.sweep_reading import Limits, environment_fields, intervals_of
from benchlib.store.tables import LIMITS

Metric = Literal["throughput_inf_per_s", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms"]

METRICS: tuple[Metric, ...] = get_args(Metric)

GIVEN_UP_AFTER_DAYS = 14
"""A series that has not been measured for so long counts as given up, not as missing."""

LATEST_SWEEPS = 100
"""Among these a peak is looked for."""

_CHANGES = TypeAdapter(tuple[ChangeLine, ...])

# Defined by the migrations.
_HISTORY = table("change_history", *map(column, ChangeLine.__dataclass_fields__))

_LIMITS = ", ".join(f"measured.{name}" for pair in LIMITS.values() for name in pair)

# A failed attempt belongs to no series. The checks, which are wide, are read where they are needed only.
_MEASURED = text(f"""
    SELECT
        measured.measurement_id, measured.night, measured.sweep_created_at AS created_at, measured.sweep_id,
        measured.origin, sweep.label, sweep.confirms_sweep_id, environment.sdk, environment.device,
        measured.status,
        CASE measured.status WHEN 'invalid' THEN measured.checks END AS checks,
        measured.throughput_inf_per_s, measured.p50_ms, measured.p90_ms, measured.p95_ms, measured.p99_ms,
        measured.p99_9_ms, measured.samples, measured.environment_id, {_LIMITS}
    FROM measurement AS measured
    INNER JOIN sweep ON sweep.sweep_id = measured.sweep_id
    INNER JOIN environment ON environment.environment_id = measured.environment_id
    WHERE measured.series_id = :series_id AND measured.night BETWEEN :since AND :until
    ORDER BY
        measured.sweep_created_at, sweep.confirms_sweep_id IS NOT NULL, measured.sweep_id,
        measured.status = 'ok' DESC, measured.attempt DESC
""")  # noqa: S608 - our own column names

_EXTREMES = ", ".join(
    f"min(round.{name}) AS {name}_low, max(round.{name}) AS {name}_high" for name in METRICS
)

_SPREADS = text(f"""
    SELECT measured.measurement_id, {_EXTREMES}
    FROM measurement AS measured
    INNER JOIN round ON round.measurement_id = measured.measurement_id
    WHERE measured.series_id = :series_id AND measured.night BETWEEN :since AND :until
    GROUP BY measured.measurement_id
    HAVING count(*) > 1
""")  # noqa: S608 - our own column names

_BEFORE = text("""
    SELECT DISTINCT ON (measured.origin) measured.origin, measured.environment_id, environment.sdk
    FROM measurement AS measured
    INNER JOIN environment ON environment.environment_id = measured.environment_id
    WHERE measured.series_id = :series_id AND measured.night < :since
    ORDER BY measured.origin, measured.night DESC, measured.sweep_created_at DESC
""")

# Peaks of the latest sweeps only: those of all years would have to be found before they could be sorted.
_PEAK = text("""
    SELECT peak.series_id
    FROM (
        SELECT sweep_id FROM sweep
        WHERE confirms_sweep_id IS NULL AND (CAST(:model AS text) IS NULL OR model = :model)
        ORDER BY created_at DESC, sweep_id
        LIMIT :sweeps
    ) AS latest
    INNER JOIN peak ON peak.sweep_id = latest.sweep_id
    WHERE (CAST(:instance_type AS text) IS NULL OR peak.instance_type = :instance_type)
        AND (CAST(:batch_size AS integer) IS NULL OR peak.batch_size = :batch_size)
        AND (CAST(:hardware AS boolean) IS NULL OR peak.hardware = :hardware)
        AND (CAST(:series AS text) IS NULL OR starts_with(peak.series_id::text, :series))
    ORDER BY peak.created_at DESC, peak.sweep_id
    LIMIT 1
""")

_GAPS = text("""
    SELECT night, state, sweep_id, reason
    FROM coverage
    WHERE series_id = :series_id
        AND state IN ('none', 'failed')
        AND night BETWEEN :since AND :until
        AND night <= last_night + :given_up_after_days
        -- Tonight's sweep may still come.
        AND (sweep_id IS NOT NULL OR night < CAST(now() AT TIME ZONE 'UTC' AS date))
    ORDER BY night
""")


@dataclass(frozen=True)
class Series:
    """What stays the same along a history, as in the view `series_list`."""

    series_id: uuid.UUID
    model: str
    model_revision: str | None
    model_variant: str | None
    sequence_length: int
    precision: str | None
    compiler_args: tuple[str, ...]
    batch_size: int
    scenario: str
    arrivals: str | None
    replicas: int | None
    workers: int | None
    worker_mode: str | None
    backend: str
    instance_type: str | None
    hardware: bool
    """False for a CPU or a stand-in: such figures never stand for an accelerator."""
    first_night: date
    last_night: date
    """Of all measurements, valid or not."""


_LISTED = table("series_list", *map(column, Series.__dataclass_fields__))


@dataclass(frozen=True)
class SeriesWanted:
    """Which series; what is ``None`` does not matter."""

    series: str | None = None
    """The beginning of a series' id."""
    model: str | None = None
    batch_size: int | None = None
    instance_type: str | None = None
    hardware: bool | None = None
    """True: of accelerators; False: of CPUs and stand-ins."""
    limit: int = 50
    """At most so many."""


@dataclass(frozen=True)
class NightReading:
    """One measurement of the series: of each sweep the attempt that counts, else the latest."""

    night: date
    """UTC date on which the sweep began."""
    created_at: datetime
    sweep_id: uuid.UUID
    origin: Literal["dag", "import"]
    label: str | None
    confirms_sweep_id: uuid.UUID | None
    """The sweep of the same night that it measured again; such a figure is never the value of the night."""
    sdk: str
    status: Literal["ok", "invalid"]
    reason: str
    """Why it cannot be believed; empty when it can."""
    device: str
    throughput_inf_per_s: float
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p99_9_ms: float | None
    samples: int | None
    intervals: Mapping[str, Limits]
    """95 % limits by the name of the metric; what has none is not there."""
    spreads: Mapping[str, Limits]
    """The lowest and the highest of the rounds, by the name of the metric; empty for a single round."""
    environment_id: uuid.UUID
    environment_changes: tuple[EnvironmentDifference, ...]
    """Since the measurement before it in the series, of the same origin; likeliest cause first."""

    def value(self, metric: Metric) -> float | None:
        """The figure of a metric, in the unit in its name; ``None``: too few samples support it."""
        figure: float | None = getattr(self, metric)
        return figure


@dataclass(frozen=True)
class MissingNight:
    """A night without any figure."""

    night: date
    state: Literal["none", "failed"]
    """``none``: no sweep, or one that has no figure yet; ``failed``: one that brought no figure."""
    sweep_id: uuid.UUID | None
    """``None``: there was no sweep."""
    reason: str


@dataclass(frozen=True)
class SdkChange:
    """A night from which on another SDK was in use."""

    night: date
    created_at: datetime
    before: str
    after: str


@dataclass(frozen=True)
class History:
    """One series over a range of nights."""

    series: Series
    since: date
    until: date
    """Both included."""
    nights: tuple[NightReading, ...]
    """By time; more than one where several sweeps ran in a night."""
    missing: tuple[MissingNight, ...]
    changes: tuple[ChangeLine, ...]
    """Of all metrics, with a first bad night in the range, by that night."""
    sdk_changes: tuple[SdkChange, ...]

    def changes_of(self, metric: Metric) -> tuple[ChangeLine, ...]:
        """The shifts of one metric."""
        return tuple(change for change in self.changes if change.metric == metric)


def find_histories(engine: Engine, wanted: SeriesWanted) -> tuple[Series, ...]:
    """The series that fit, by model, batch size and the latest night.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    equal = {
        "model": wanted.model,
        "batch_size": wanted.batch_size,
        "instance_type": wanted.instance_type,
        "hardware": wanted.hardware,
    }
    asked = [_LISTED.c[name] == value for name, value in equal.items() if value is not None]
    if wanted.series is not None:
        series_id = cast(_LISTED.c.series_id, Text)
        asked.append(series_id.startswith(wanted.series.strip().lower(), autoescape=True))
    return _series(engine, asked, wanted.limit)


def latest_peak(engine: Engine, wanted: SeriesWanted) -> uuid.UUID | None:
    """The series at the peak of the latest sweep that has one, among those that fit; ``None``: there is none.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    values = {**asdict(wanted), "sweeps": LATEST_SWEEPS}
    with explained(engine), engine.connect() as connection:
        found: uuid.UUID | None = connection.execute(_PEAK, values).scalar()
    return found


def read_history(
    engine: Engine, series_id: uuid.UUID, since: date | None = None, until: date | None = None
) -> History:
    """Read one series from ``since`` (default: its first night) to ``until`` (default: today, UTC).

    Raises:
        BadInput: there is no such series, or the range ends before it begins.
        DatabaseUnreachable: the database does not answer.
    """
    series = _the_series(engine, series_id)
    until = until or max(series.last_night, datetime.now(UTC).date())
    since = since or min(series.first_night, until)
    if since > until:
        raise BadInput("since", str(since), f"a night not after the last one, {until}")
    asked = _Range(series_id, since, until)
    with explained(engine), engine.connect() as connection:
        before = connection.execute(_BEFORE, asked.values).all()
        rows = _counting(connection, asked)
        return History(
            series=series,
            since=since,
            until=until,
            nights=tuple(_nights(connection, asked, rows, before)),
            missing=_missing(connection, asked),
            changes=_changes(connection, asked),
            sdk_changes=tuple(_sdk_changes(rows, before)),
        )


def _the_series(engine: Engine, series_id: uuid.UUID) -> Series:
    found = _series(engine, [_LISTED.c.series_id == series_id], limit=1)
    if not found:
        raise BadInput("series", str(series_id), "the id of a series that has measurements")
    return found[0]


def _series(engine: Engine, asked: Iterable[ColumnElement[bool]], limit: int) -> tuple[Series, ...]:
    order = (_LISTED.c.model, _LISTED.c.batch_size, _LISTED.c.last_night.desc(), _LISTED.c.series_id)
    chosen = select(_LISTED).where(*asked).order_by(*order).limit(limit)
    with explained(engine), engine.connect() as connection:
        rows = connection.execute(chosen).mappings().all()
    return tuple(Series(**{**row, "compiler_args": tuple(row["compiler_args"])}) for row in rows)


@dataclass(frozen=True)
class _Range:
    series_id: uuid.UUID
    since: date
    until: date

    @property
    def values(self) -> dict[str, Any]:
        return {"series_id": self.series_id, "since": self.since, "until": self.until}


def _counting(connection: Connection, asked: _Range) -> list[Row[Any]]:
    """Of each sweep the latest attempt that is ok, else the latest; by time."""
    rows = connection.execute(_MEASURED, asked.values)
    return [next(attempts) for _, attempts in groupby(rows, key=lambda row: row.sweep_id)]


def _nights(
    connection: Connection, asked: _Range, rows: list[Row[Any]], before: Iterable[Row[Any]]
) -> Iterator[NightReading]:
    spreads = _spreads(connection, asked)
    latest = {row.origin: row.environment_id for row in before}
    known = environment_fields(connection, {*latest.values(), *(row.environment_id for row in rows)})
    for row in rows:
        earlier = latest.get(row.origin, row.environment_id)
        changed = _differences(known[earlier], known[row.environment_id])
        yield _night(row, spreads.get(row.measurement_id, {}), changed)
        latest[row.origin] = row.environment_id


def _night(
    row: Row[Any], spreads: Mapping[str, Limits], changed: tuple[EnvironmentDifference, ...]
) -> NightReading:
    return NightReading(
        night=row.night,
        created_at=row.created_at,
        sweep_id=row.sweep_id,
        origin=row.origin,
        label=row.label,
        confirms_sweep_id=row.confirms_sweep_id,
        sdk=row.sdk,
        status=row.status,
        reason=" ".join(check["advice"] for check in row.checks or () if not check["passed"]),
        device=row.device,
        throughput_inf_per_s=row.throughput_inf_per_s,
        p50_ms=row.p50_ms,
        p90_ms=row.p90_ms,
        p95_ms=row.p95_ms,
        p99_ms=row.p99_ms,
        p99_9_ms=row.p99_9_ms,
        samples=row.samples,
        intervals=intervals_of(row),
        spreads=spreads,
        environment_id=row.environment_id,
        environment_changes=changed,
    )


def _spreads(connection: Connection, asked: _Range) -> Mapping[int, Mapping[str, Limits]]:
    found: dict[int, dict[str, Limits]] = {}
    for key, *extremes in connection.execute(_SPREADS, asked.values):
        pairs = zip(METRICS, extremes[::2], extremes[1::2], strict=True)
        found[key] = {name: Limits(low, high) for name, low, high in pairs if low is not None}
    return found


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[EnvironmentDifference, ...]:
    if before is after:
        return ()
    return tuple(
        EnvironmentDifference(field, before.get(field), after.get(field), rank)
        for rank, field in enumerate(LIKELIEST_FIRST, start=1)
        if before.get(field) != after.get(field)
    )


def _sdk_changes(rows: Iterable[Row[Any]], before: Iterable[Row[Any]]) -> Iterator[SdkChange]:
    """Of what was measured here; somebody else's upgrades are not ours."""
    sdk = next((row.sdk for row in before if row.origin == "dag"), None)
    for row in rows:
        if row.origin != "dag":
            continue
        if sdk is not None and row.sdk != sdk:
            yield SdkChange(row.night, row.created_at, sdk, row.sdk)
        sdk = row.sdk


def _missing(connection: Connection, asked: _Range) -> tuple[MissingNight, ...]:
    values = {**asked.values, "given_up_after_days": GIVEN_UP_AFTER_DAYS}
    rows = connection.execute(_GAPS, values)
    return tuple(MissingNight(row.night, row.state, row.sweep_id, row.reason) for row in rows)


def _changes(connection: Connection, asked: _Range) -> tuple[ChangeLine, ...]:
    in_range = _HISTORY.c.first_bad_night.between(asked.since, asked.until)
    found = select(_HISTORY).where(_HISTORY.c.series_id == asked.series_id, in_range)
    ordered = found.order_by(_HISTORY.c.first_bad_night, _HISTORY.c.change_id)
    return _CHANGES.validate_python([dict(row) for row in connection.execute(ordered).mappings()])
