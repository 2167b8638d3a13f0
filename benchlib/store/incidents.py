"""Incidents, events of nights and mutes, for people and pages to read. Only views are asked: a reader may.

Lines that are about a CPU or a stand-in say so: ``hardware`` is false. What people say of incidents is
written by `benchlib.store.judgements.judge_incidents`, mutes by `benchlib.store.mutes`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Engine, Select, column, func, select, table

from benchlib.analysis.changes import Thresholds
from benchlib.analysis.findings import MEASURED
from benchlib.errors import BadInput
from benchlib.store.faults import explained
from benchlib.store.judgements import OPEN, IncidentStatus

T = TypeVar("T")

BASELINE_NIGHTS = Thresholds().baseline_nights
LEAST_NIGHTS = Thresholds().least_nights

WANT_ATTENTION: tuple[IncidentStatus, ...] = (*OPEN, "acknowledged")
"""The incidents that are neither settled nor over."""


@dataclass(frozen=True)
class IncidentLine:
    """An incident and where it stands, as in the view `incident_history`."""

    incident_id: int
    status: IncidentStatus
    direction: str
    configuration_id: uuid.UUID
    model: str
    model_variant: str | None
    precision: str | None
    scenario: str
    replicas: int | None
    workers: int | None
    backend: str
    instance_type: str | None
    hardware: bool
    metric: str | None
    """What its leading change is of; ``None``: it has none any more."""
    relative_change: float | None
    """Of its leading change: -0.03 is a loss of 3 %."""
    batch_sizes: tuple[int, ...]
    """Those that shifted; empty: only their geometric mean."""
    batch_sizes_known: int
    metrics: tuple[str, ...]
    agreed: bool | None
    """A second method finds it too; ``None``: it was not asked or cannot tell."""
    importance: float | None
    last_good_sweep_id: uuid.UUID
    last_good_night: date
    first_bad_sweep_id: uuid.UUID
    first_bad_night: date
    opened_at: datetime
    author: str | None
    annotated_at: datetime | None
    reason: str | None
    annotation_id: int | None
    muted_until: datetime | None
    environment_changes: str


@dataclass(frozen=True)
class IncidentChange:
    """One shift of an incident, as in the view `incident_change`."""

    change_id: int
    incident_id: int
    series_id: uuid.UUID | None
    """``None``: the geometric mean over the batch sizes."""
    batch_size: int | None
    level: str
    metric: str
    direction: str
    before_value: float
    after_value: float
    relative_change: float
    relative_low: float
    relative_high: float
    agreed: bool | None
    last_good_night: date
    first_bad_night: date
    detector: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class NightEventLine:
    """What a night had that is no lasting change, as in the view `night_event_history`."""

    night: date
    kind: str
    configuration_id: uuid.UUID
    model: str
    backend: str
    instance_type: str | None
    hardware: bool
    series_id: uuid.UUID | None
    batch_size: int | None
    metric: str | None
    sweep_id: uuid.UUID | None
    detector: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class MuteLine:
    """What is or was muted, as in the view `mute_history`."""

    mute_id: int
    series_id: uuid.UUID | None
    batch_size: int | None
    model_glob: str
    """A pattern, or the model of the series."""
    metric: str | None
    author: str
    reason: str
    set_at: datetime
    expires_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None
    lifted_reason: str | None
    in_force: bool


@dataclass(frozen=True)
class Chosen:
    """Which incidents; what is ``None`` does not matter."""

    statuses: tuple[IncidentStatus, ...] | None = WANT_ATTENTION
    model: str | None = None
    direction: str | None = None
    series_id: uuid.UUID | None = None
    """Only those with a shift in this series."""
    first_night: date | None = None
    """Only those that began on this night or later."""
    with_muted: bool = False
    configuration_ids: tuple[uuid.UUID, ...] | None = None
    said_since: datetime | None = None
    """Only those of whose status something was said then or later."""
    limit: int | None = 50


OPEN_ONES = Chosen()


def list_incidents(engine: Engine, chosen: Chosen = OPEN_ONES) -> tuple[IncidentLine, ...]:
    """Losses first, and of those the ones that matter most: effect x batch sizes x agreement of the methods.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    view = _view("incident_history", IncidentLine)
    order = (view.c.direction.desc(), view.c.importance.desc().nulls_last(), view.c.incident_id)
    found = select(view).where(*_asked(view, chosen)).order_by(*order)
    if not chosen.with_muted:
        found = found.where(view.c.muted_until.is_(None))
    return _lines(engine, found.limit(chosen.limit), IncidentLine)


def _asked(view: Any, chosen: Chosen) -> list[ColumnElement[bool]]:
    """All that was asked for but whether it is muted."""
    asked = [
        None if chosen.statuses is None else view.c.status.in_(chosen.statuses),
        None if chosen.model is None else view.c.model == chosen.model,
        None if chosen.direction is None else view.c.direction == chosen.direction,
        None if chosen.first_night is None else view.c.first_bad_night >= chosen.first_night,
        None if chosen.series_id is None else view.c.incident_id.in_(_of_series(chosen.series_id)),
        None if chosen.configuration_ids is None else view.c.configuration_id.in_(chosen.configuration_ids),
        None if chosen.said_since is None else view.c.annotated_at >= chosen.said_since,
    ]
    return [each for each in asked if each is not None]


def _of_series(series_id: uuid.UUID) -> Select[Any]:
    shifts = table("incident_change", column("incident_id"), column("series_id"))
    return select(shifts.c.incident_id).where(shifts.c.series_id == series_id)


def count_muted(engine: Engine, chosen: Chosen = OPEN_ONES) -> int:
    """How many of the incidents that were asked for a list leaves out because all of them is muted.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    view = _view("incident_history", IncidentLine)
    muted = (
        select(func.count()).select_from(view).where(view.c.muted_until.is_not(None), *_asked(view, chosen))
    )
    with explained(engine), engine.connect() as connection:
        return int(connection.execute(muted).scalar_one())


def find_incident(engine: Engine, incident_id: int) -> IncidentLine:
    """One incident.

    Raises:
        BadInput: there is none with this number.
        DatabaseUnreachable: the database does not answer.
    """
    view = _view("incident_history", IncidentLine)
    found = _lines(engine, select(view).where(view.c.incident_id == incident_id), IncidentLine)
    if not found:
        raise BadInput("change", incident_id, "the number of a change, as `bench changes` shows it")
    return found[0]


def list_incident_changes(engine: Engine, incident_id: int) -> tuple[IncidentChange, ...]:
    """The shifts of an incident, the geometric means first, then by metric and batch size.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    view = _view("incident_change", IncidentChange)
    order = (view.c.level.desc(), view.c.metric, view.c.batch_size, view.c.first_bad_night)
    found = select(view).where(view.c.incident_id == incident_id).order_by(*order)
    return _lines(engine, found, IncidentChange)


def list_night_events(
    engine: Engine,
    first: date,
    last: date,
    kinds: Sequence[str] | None = None,
    model: str | None = None,
    limit: int = 200,
) -> tuple[NightEventLine, ...]:
    """The events of these nights, latest first.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    view = _view("night_event_history", NightEventLine)
    found = select(view).where(view.c.night.between(first, last))
    if kinds is not None:
        found = found.where(view.c.kind.in_(kinds))
    if model is not None:
        found = found.where(view.c.model == model)
    order = (view.c.night.desc(), view.c.kind, view.c.model, view.c.batch_size, view.c.metric)
    return _lines(engine, found.order_by(*order).limit(limit), NightEventLine)


def list_mutes(engine: Engine, in_force_only: bool = True) -> tuple[MuteLine, ...]:
    """What is muted, the ones that expire first before the others.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    view = _view("mute_history", MuteLine)
    found = select(view).order_by(view.c.expires_at, view.c.mute_id)
    if in_force_only:
        found = found.where(view.c.in_force)
    return _lines(engine, found, MuteLine)


def is_same_program(engine: Engine, line: IncidentLine) -> bool | None:
    """Whether the first bad sweep ran the programs of the last good one; ``None``: that is not known.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    view = table(
        "compilation_history", *map(column, ("sweep_id", "batch_size", "artifact_key", "status", "attempt"))
    )
    sweeps = (line.last_good_sweep_id, line.first_bad_sweep_id)
    compiled = select(view.c.sweep_id, view.c.batch_size, view.c.artifact_key)
    compiled = compiled.where(view.c.sweep_id.in_(sweeps), view.c.status == "ok").order_by(view.c.attempt)
    with explained(engine), engine.connect() as connection:
        rows = connection.execute(compiled).all()
    good, bad = (
        {each.batch_size: each.artifact_key for each in rows if each.sweep_id == one} for one in sweeps
    )
    shared = good.keys() & bad.keys()
    return all(good[size] == bad[size] for size in shared) if shared else None


def judged_metrics(engine: Engine, line: IncidentLine) -> frozenset[str]:
    """The metrics of which a change could have been told on the first bad night.

    Those that a batch size of that sweep has a figure of, and enough nights with one before it.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    view = table("night_value", *map(column, ("series_id", "sweep_id", "night", *MEASURED)))
    own = select(view.c.series_id).where(view.c.sweep_id == line.first_bad_sweep_id)
    first = line.first_bad_night - timedelta(days=BASELINE_NIGHTS)
    nights = (
        select(*(func.count(view.c[each]).label(each) for each in MEASURED))
        .where(view.c.series_id.in_(own), view.c.night.between(first, line.first_bad_night))
        .group_by(view.c.series_id)
    )
    with explained(engine), engine.connect() as connection:
        rows = connection.execute(nights).mappings().all()
    return frozenset(each for each in MEASURED if any(row[each] > LEAST_NIGHTS for row in rows))


def newest_night(engine: Engine) -> date | None:
    """The newest night on which anything was measured here.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    view = table("sweep_list", column("night"), column("origin"))
    with explained(engine), engine.connect() as connection:
        newest: date | None = connection.scalar(select(func.max(view.c.night)).where(view.c.origin == "dag"))
    return newest


def _view(name: str, line: type[Any]) -> Any:
    return table(name, *(column(each) for each in line.__dataclass_fields__))


def _lines(engine: Engine, chosen: Select[Any], line: type[T]) -> tuple[T, ...]:
    with explained(engine), engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(chosen).mappings()]
    return _adapter(line).validate_python(rows)  # type: ignore[arg-type]


@cache  # making one costs more than the rows of a page
def _adapter(line: type[T]) -> TypeAdapter[tuple[T, ...]]:
    return TypeAdapter(tuple[line, ...])  # type: ignore[valid-type]
