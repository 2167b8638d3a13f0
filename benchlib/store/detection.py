"""What detection reads and writes: histories as arrays, incidents with their changes, events of nights.

Writing the same findings again changes no row. Nothing is deleted but events: they are what the judged nights
have, no more and no less.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from sqlalchemy import (
    Connection,
    Engine,
    Row,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import aliased

from benchlib.analysis.changes.series import Floats
from benchlib.analysis.findings import (
    COMPILED,
    CONFIDENCE,
    MEASURED,
    NEARBY_NIGHTS,
    Finding,
    Findings,
    History,
    NightEvent,
    SeriesHistory,
)
from benchlib.analysis.incidents import Group, Known, Shift, Transition, group, transition
from benchlib.records import SweepRecord
from benchlib.store import rows as of_rows
from benchlib.store.faults import explained
from benchlib.store.tables import (
    AnnotationRow,
    ChangeRow,
    ConfigurationRow,
    IncidentRow,
    NightEventRow,
    SweepRow,
)

FIGURES = (*MEASURED, *COMPILED, "throughput_spread")

GIVEN_UP_NIGHTS = 14
"""A series without a valid figure for so long was given up: its nights are no longer missing."""

HISTORY = text(
    "SELECT value.series_id, value.batch_size, value.night, value.sweep_id, value.confirms_sweep_id, "
    "value.throughput_inf_per_s, value.p50_ms, value.p90_ms, value.p99_ms, value.throughput_spread, "
    "compiled.compile_duration_s, compiled.peak_rss_bytes, compiled.artifact_size_bytes "
    "FROM series JOIN night_value AS value ON value.series_id = series.series_id "
    "LEFT JOIN LATERAL (SELECT * FROM compilation WHERE compilation.sweep_id = value.sweep_id "
    "AND compilation.batch_size = value.batch_size AND compilation.status = 'ok' "
    "ORDER BY compilation.attempt DESC LIMIT 1) AS compiled ON true "
    "WHERE series.configuration_id = :configuration_id AND value.night <= :last "
    "ORDER BY value.batch_size, value.series_id, value.night, value.created_at"
)

EPOCHS = text(
    "SELECT baseline.series_id, sweep.night FROM baseline "
    "JOIN series ON series.series_id = baseline.series_id "
    "JOIN sweep ON sweep.sweep_id = baseline.first_sweep_id "
    "WHERE series.configuration_id = :configuration_id AND baseline.kind = 'pinned' "
    "AND (baseline.withdrawn_at IS NULL OR baseline.superseded_by IS NOT NULL)"
)
"""A pin that another one took the place of still is where history once began anew."""

GAPS = text(
    "SELECT coverage.series_id, coverage.night, coverage.state, coverage.sweep_id, coverage.reason "
    "FROM coverage JOIN series ON series.series_id = coverage.series_id "
    "WHERE series.configuration_id = :configuration_id AND coverage.night BETWEEN :first AND :last "
    "AND coverage.state <> 'valid' AND coverage.reason NOT LIKE 'measured as %' "
    "AND coverage.reason <> 'not finished yet' "
    # A night that is not over may still get its sweep.
    "AND (coverage.state <> 'none' OR coverage.night < (now() AT TIME ZONE 'UTC')::date)"
)

GAP_KINDS = {"failed": "failed", "invalid": "insufficient_data", "none": "missing"}

KNOWN = text(
    "SELECT incident.incident_id, incident.direction, coalesce(said.status, 'confirmed') AS status "
    "FROM incident LEFT JOIN LATERAL (SELECT status FROM annotation "
    "WHERE annotation.incident_id = incident.incident_id AND annotation.status IS NOT NULL "
    "ORDER BY annotated_at DESC, annotation_id DESC LIMIT 1) AS said ON true "
    "WHERE incident.configuration_id = :configuration_id ORDER BY incident.incident_id "
    # What a person says meanwhile comes after what is said here.
    "FOR NO KEY UPDATE OF incident"
)

LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('judging ' || :configuration_id, 0))")

NEWEST_JUDGED = text(
    "SELECT greatest("
    "(SELECT max(night) FROM night_event WHERE configuration_id = :configuration_id), "
    "(SELECT max(greatest(sweep.night, (change.evidence ->> 'told_night')::date)) FROM change "
    "JOIN sweep ON sweep.sweep_id = change.first_bad_sweep_id "
    "WHERE change.configuration_id = :configuration_id))"
)

CONFIRMING_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('confirming ' || :night, 0))")

DETECTOR = "bench, "
"""How the name begins under which the detector says where an incident stands."""


@dataclass(frozen=True)
class Configuration:
    """What is measured at several batch sizes."""

    configuration_id: uuid.UUID
    model: str
    hardware: bool


@dataclass(frozen=True)
class Span:
    """Nights, both included."""

    first: date
    last: date


@dataclass(frozen=True)
class Moved:
    """An incident whose status the detector changed."""

    incident_id: int
    annotation_id: int
    """What says so; a new one with every change of the status."""
    before: str | None
    """``None``: it is new."""
    status: str
    direction: str


@dataclass(frozen=True)
class Stored:
    """What became of the findings of one configuration."""

    changes_added: int = 0
    changes_updated: int = 0
    events_added: int = 0
    events_removed: int = 0
    moved: tuple[Moved, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows were written or removed."""
        changes = self.changes_added + self.changes_updated
        return changes + self.events_added + self.events_removed + len(self.moved)


@contextmanager
def judging(engine: Engine, dry_run: bool = False) -> Iterator[Connection]:
    """One transaction for one configuration; a dry run leaves nothing behind.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.connect() as connection, connection.begin() as transaction:
        yield connection
        if dry_run:
            transaction.rollback()


def configurations(
    connection: Connection, model: str | None = None, backend: str | None = None
) -> tuple[Configuration, ...]:
    """All of them, or those of one model or backend, in a fixed order."""
    row = ConfigurationRow
    chosen = select(row.configuration_id, row.model, row.hardware).order_by(row.model, row.configuration_id)
    if model is not None:
        chosen = chosen.where(row.model == model)
    if backend is not None:
        chosen = chosen.where(row.backend == backend)
    return tuple(Configuration(*each) for each in connection.execute(chosen))


def last_night(connection: Connection) -> date | None:
    """The newest night of anything that was measured here."""
    newest: date | None = connection.scalar(text("SELECT max(night) FROM sweep WHERE origin = 'dag'"))
    return newest


def series_count(connection: Connection, last: date) -> int:
    """How many series were measured in the fortnight until then."""
    counting = text(
        "SELECT count(DISTINCT series_id) FROM measurement "
        "WHERE night BETWEEN :first AND :last AND origin = 'dag'"
    )
    span = {"first": last - timedelta(days=GIVEN_UP_NIGHTS - 1), "last": last}
    return int(connection.scalar(counting, span) or 0)


def confirmations(connection: Connection, sweep_id: uuid.UUID, night: date) -> int:
    """How many batch sizes of other sweeps are measured again on a night.

    Until this transaction ends, no other one is told: what it decides to measure again is counted then.
    """
    connection.execute(CONFIRMING_LOCK, {"night": str(night)})
    counting = text(
        "SELECT coalesce(sum(cardinality(batch_sizes)), 0) FROM sweep "
        "WHERE confirms_sweep_id <> :sweep_id AND night = :night"
    )
    return int(connection.scalar(counting, {"sweep_id": sweep_id, "night": night}) or 0)


def plan_confirmations(connection: Connection, sweeps: Sequence[SweepRecord]) -> None:
    """Store the sweeps that will measure something again, unless they are there."""
    if sweeps:
        values = [of_rows.sweep_values(each) for each in sweeps]
        connection.execute(upsert(SweepRow).on_conflict_do_nothing(), values)


def lock(connection: Connection, configuration_id: uuid.UUID) -> None:
    """Keep others from judging a configuration until this transaction ends; what is read later is fresh."""
    connection.execute(LOCK, {"configuration_id": str(configuration_id)})


def newest_judged(connection: Connection, configuration_id: uuid.UUID) -> date | None:
    """The newest night of which anything was found so far."""
    newest: date | None = connection.scalar(NEWEST_JUDGED, {"configuration_id": configuration_id})
    return newest


def pending_since(connection: Connection, configuration_id: uuid.UUID) -> date | None:
    """The first night far off of which it is not yet known whether it lasts."""
    pending = [each for each in _known(connection, configuration_id) if each.status == "suspect"]
    return min((shift.first_bad_night for each in pending for shift in each.changes), default=None)


def read_history(connection: Connection, configuration: Configuration, last: date) -> History | None:
    """All nights of a configuration until ``last``, in one query; ``None``: it has none."""
    span = {"configuration_id": configuration.configuration_id, "last": last}
    rows = connection.execute(HISTORY, span).all()
    if not rows:
        return None
    first = min(row.night for row in rows)
    nights = (max(row.night for row in rows) - first).days + 1
    epochs: dict[uuid.UUID, list[int]] = {}
    for series_id, night in connection.execute(EPOCHS, span):
        epochs.setdefault(series_id, []).append((night - first).days)
    return History(
        configuration_id=configuration.configuration_id,
        model=configuration.model,
        hardware=configuration.hardware,
        first_night=first,
        nights=nights,
        series=tuple(
            _series(list(own), first, nights, epochs) for _, own in groupby(rows, key=attrgetter("series_id"))
        ),
    )


def _series(
    rows: Sequence[Row[Any]], first: date, nights: int, epochs: Mapping[uuid.UUID, list[int]]
) -> SeriesHistory:
    own = [row for row in rows if row.confirms_sweep_id is None]
    again = [row for row in rows if row.confirms_sweep_id is not None]
    sweeps: list[uuid.UUID | None] = [None] * nights
    for row in reversed(own):
        sweeps[(row.night - first).days] = row.sweep_id
    arrays = _arrays(own, first, nights)
    confirming = _arrays(again, first, nights)
    series_id = rows[0].series_id
    return SeriesHistory(
        series_id=series_id,
        batch_size=rows[0].batch_size,
        sweeps=tuple(sweeps),
        values=arrays,
        epochs=tuple(sorted(each for each in epochs.get(series_id, ()) if 0 <= each < nights)),
        confirming={
            (row.night - first).days: {
                name: float(confirming[name][(row.night - first).days]) for name in MEASURED
            }
            for row in again
        },
    )


def _arrays(rows: Sequence[Row[Any]], first: date, nights: int) -> dict[str, Floats]:
    """One value a night: of several sweeps, their median."""
    arrays = {name: np.full(nights, np.nan) for name in FIGURES}
    if not rows:
        return arrays
    at = np.fromiter(((row.night - first).days for row in rows), dtype=np.intp, count=len(rows))
    several = np.unique(at).size < at.size
    for name, figures in arrays.items():
        given = [getattr(row, name) for row in rows]
        values = np.array([np.nan if each is None else float(each) for each in given])
        figures[at] = values
        if several:
            for night in np.flatnonzero(np.bincount(at, minlength=nights) > 1):
                own = values[(at == night) & ~np.isnan(values)]
                figures[night] = np.median(own) if own.size else np.nan
    return arrays


def read_gaps(connection: Connection, history: History, nights: Span) -> tuple[NightEvent, ...]:
    """The nights on which a series that was measured lately has no valid figure, with the reason."""
    span = {"configuration_id": history.configuration_id, "first": nights.first, "last": nights.last}
    by_series = {each.series_id: each for each in history.series}
    found = []
    for row in connection.execute(GAPS, span):
        series = by_series.get(row.series_id)
        if series is None or not _lately(series, (row.night - history.first_night).days):
            continue
        found.append(
            NightEvent(
                night=row.night,
                kind=GAP_KINDS[row.state],  # type: ignore[arg-type]
                series_id=row.series_id,
                batch_size=series.batch_size,
                metric=None,
                sweep_id=row.sweep_id,
                detector="coverage",
                evidence={"reason": row.reason},
            )
        )
    return tuple(found)


def _lately(series: SeriesHistory, index: int) -> bool:
    before = series.values[MEASURED[0]][max(0, index - GIVEN_UP_NIGHTS) : max(0, index)]
    return bool(np.any(~np.isnan(before)))


def store(
    connection: Connection,
    history: History,
    findings: Findings,
    gaps: Sequence[NightEvent],
    recent: Span,
    *,
    is_old: bool = False,
) -> Stored:
    """Write what was found: incidents with their changes and status, and the events of recent nights.

    To be called with the configuration locked, by `lock`, since before the history was read. Of nights older
    than what was judged already (``is_old``) only lasting shifts that are new are written: all else later
    nights have told better.
    """
    known = _known(connection, history.configuration_id)
    last, accepted = history.night(history.nights - 1), _accepted(history)
    added = updated = 0
    moved = []
    for home in group([each for each in findings.changes if not (is_old and each.suspect)], known):
        incident_id = home.known.incident_id if home.known else _add_incident(connection, history, home)
        added += _add_changes(connection, history, home, incident_id)
        if not is_old:
            updated += _update_changes(connection, home) + _move_beginning(connection, home)
        said = None if is_old and home.known else transition(home, last, accepted)
        if said is not None:
            moved.append(_say(connection, home, incident_id, said))
    events = (*findings.events, *gaps)
    new, gone = (0, 0) if is_old else _store_events(connection, history, events, recent)
    return Stored(added, updated, new, gone, tuple(moved))


def _accepted(history: History) -> dict[uuid.UUID | None, list[date]]:
    epochs = {each.series_id: each.epochs for each in history.series} | {None: history.epochs}
    return {series_id: [history.night(each) for each in begins] for series_id, begins in epochs.items()}


def _known(connection: Connection, configuration_id: uuid.UUID) -> tuple[Known, ...]:
    changes: dict[int, list[Shift]] = {}
    of_configuration = text(
        "SELECT change.*, sweep.night FROM change JOIN sweep ON sweep.sweep_id = change.first_bad_sweep_id "
        "WHERE change.configuration_id = :configuration_id ORDER BY change_id"
    )
    key = {"configuration_id": configuration_id}
    for row in connection.execute(of_configuration, key):
        single = "sigma" in row.evidence
        suspect = single and not row.evidence["confirmed"]
        shift = Shift(
            change_id=row.change_id,
            series_id=row.series_id,
            metric=row.metric,
            direction=row.direction,
            first_bad_night=row.night,
            before_value=row.before_value,
            after_value=row.after_value,
            suspect=suspect,
            single=single,
        )
        changes.setdefault(row.incident_id, []).append(shift)
    return tuple(
        Known(row.incident_id, row.direction, row.status, tuple(changes.get(row.incident_id, ())))
        for row in connection.execute(KNOWN, key)
    )


def _add_incident(connection: Connection, history: History, home: Group) -> int:
    headline = home.headline
    assert headline is not None
    values = {
        "configuration_id": history.configuration_id,
        "direction": home.direction,
        "last_good_sweep_id": headline.last_good_sweep_id,
        "first_bad_sweep_id": headline.first_bad_sweep_id,
        "opened_at": func.clock_timestamp(),
    }
    adding = insert(IncidentRow).values(values).returning(IncidentRow.incident_id)
    return connection.execute(adding).scalar_one()


def _add_changes(connection: Connection, history: History, home: Group, incident_id: int) -> int:
    for each in home.new:
        own = {
            "incident_id": incident_id,
            "configuration_id": history.configuration_id,
            "series_id": each.series_id,
            "metric": each.metric,
            "detected_at": func.clock_timestamp(),
        }
        connection.execute(insert(ChangeRow).values({**own, **_values(each)}))
    return len(home.new)


def _update_changes(connection: Connection, home: Group) -> int:
    updated = 0
    for change_id, finding in home.matched.items():
        values = _values(finding)
        columns = [getattr(ChangeRow, name) for name in values]
        of_change = ChangeRow.change_id == change_id
        stored = connection.execute(select(*columns).where(of_change)).one()
        if dict(zip(values, stored, strict=True)) != values:
            connection.execute(update(ChangeRow).where(of_change).values(values))
            updated += 1
    return updated


def _values(finding: Finding) -> dict[str, Any]:
    return {
        "last_good_sweep_id": finding.last_good_sweep_id,
        "first_bad_sweep_id": finding.first_bad_sweep_id,
        "before_value": finding.before_value,
        "after_value": finding.after_value,
        "relative_low": finding.relative_low,
        "relative_high": finding.relative_high,
        "confidence": CONFIDENCE,
        "detector": finding.detector,
        "evidence": dict(finding.evidence),
        "agreed": finding.agreed,
    }


def _move_beginning(connection: Connection, home: Group) -> int:
    """The sweeps of an incident are those of what leads it, as far as it is found now."""
    headline = home.headline
    if home.known is None or headline is None:
        return 0
    stored = [each.first_bad_night for each in home.known.changes if each.direction == home.direction]
    if stored and headline.first_bad_night > min(stored) + timedelta(days=NEARBY_NIGHTS):
        return 0  # what brought it back is not where it began
    sweeps = {
        "last_good_sweep_id": headline.last_good_sweep_id,
        "first_bad_sweep_id": headline.first_bad_sweep_id,
    }
    good, bad = (getattr(IncidentRow, name) != value for name, value in sweeps.items())
    moving = update(IncidentRow).where(IncidentRow.incident_id == home.known.incident_id, good | bad)
    other = aliased(IncidentRow)
    taken = exists().where(
        other.configuration_id == IncidentRow.configuration_id,
        other.direction == IncidentRow.direction,
        other.first_bad_sweep_id == headline.first_bad_sweep_id,
        other.incident_id != IncidentRow.incident_id,
    )
    return connection.execute(moving.where(~taken).values(sweeps)).rowcount


def _say(connection: Connection, home: Group, incident_id: int, said: Transition) -> Moved:
    authors = {each.detector for each in home.findings} or {"the detector"}
    latest = select(func.max(AnnotationRow.annotated_at)).where(AnnotationRow.incident_id == incident_id)
    values = {
        "incident_id": incident_id,
        "author": f"{DETECTOR}{sorted(authors)[-1]}",
        "reason": said.reason,
        "status": said.status,
        "annotated_at": func.greatest(func.clock_timestamp(), latest.scalar_subquery()),
    }
    adding = insert(AnnotationRow).values(values).returning(AnnotationRow.annotation_id)
    annotation_id = connection.execute(adding).scalar_one()
    return Moved(incident_id, annotation_id, home.status, said.status, home.direction)


def _store_events(
    connection: Connection, history: History, events: Iterable[NightEvent], span: Span
) -> tuple[int, int]:
    """Added and removed ones: those of the judged nights are exactly these."""
    row = NightEventRow
    of_nights = (row.configuration_id == history.configuration_id, row.night.between(span.first, span.last))
    key: Callable[[Any], tuple[Any, ...]] = attrgetter("night", "kind", "series_id", "metric")
    stored = {key(each): each for each in connection.execute(select(row.__table__).where(*of_nights))}
    wanted = {key(each): _event_values(each) for each in events if span.first <= each.night <= span.last}
    gone = [
        each.night_event_id
        for subject, each in stored.items()
        if wanted.get(subject) != {name: getattr(each, name) for name in EVENT_VALUES}
    ]
    _remove_events(connection, gone)
    kept = {subject for subject, each in stored.items() if each.night_event_id not in set(gone)}
    new = [values for subject, values in wanted.items() if subject not in kept]
    for values in new:
        own = {"configuration_id": history.configuration_id, "detected_at": func.clock_timestamp()}
        connection.execute(insert(NightEventRow).values({**own, **values}))
    return len(new), len(gone)


EVENT_VALUES = ("night", "kind", "series_id", "metric", "sweep_id", "detector", "evidence")


def _event_values(event: NightEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in EVENT_VALUES}


def _remove_events(connection: Connection, ids: Collection[int]) -> None:
    if ids:
        connection.execute(delete(NightEventRow).where(NightEventRow.night_event_id.in_(ids)))
