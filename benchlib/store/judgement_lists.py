"""What people decided about results, for people to read. Only views are asked: a reader may.

Lines that are about a CPU or a stand-in say so: ``hardware`` is false.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Engine, Select, Text, Uuid, cast, column, func, select, table

from benchlib.errors import BadInput
from benchlib.store.faults import explained
from benchlib.store.judgements import IncidentStatus, Status, Subject

T = TypeVar("T")

ANYTHING = Subject()

UNSETTLED: tuple[Status, ...] = ("open", "acknowledged")
"""The changes that still want somebody's attention."""


@dataclass(frozen=True)
class Wanted:
    """Which lines; what is ``None`` does not matter."""

    series_id: uuid.UUID | None = None
    model: str | None = None
    limit: int = 50
    """At most so many lines."""


ALL = Wanted()


@dataclass(frozen=True)
class ChangeLine:
    """A shift in a series and where it stands, as in the view `change_history`."""

    change_id: int
    status: Status
    series_id: uuid.UUID
    model: str
    batch_size: int
    backend: str
    instance_type: str | None
    hardware: bool
    metric: str
    direction: str
    before_value: float
    after_value: float
    """In the metric's unit."""
    relative_change: float
    """-0.03 is a loss of 3 %."""
    relative_low: float
    relative_high: float
    last_good_sweep_id: uuid.UUID
    last_good_night: date
    first_bad_sweep_id: uuid.UUID
    first_bad_night: date
    detected_at: datetime
    author: str | None
    annotated_at: datetime | None
    reason: str | None
    environment_changes: str
    incident_id: int
    """The incident that it is part of, whose status it has."""


@dataclass(frozen=True)
class BaselineLine:
    """What a series is judged against now, as in the view `current_baseline`."""

    series_id: uuid.UUID
    model: str
    batch_size: int
    backend: str
    instance_type: str | None
    hardware: bool
    baseline_kind: str
    first_sweep_id: uuid.UUID
    first_night: date
    last_sweep_id: uuid.UUID
    last_night: date
    sweeps: int
    """Valid measurements in the range."""
    median_throughput_inf_per_s: float | None
    median_p99_ms: float | None
    author: str
    reason: str
    set_at: datetime


@dataclass(frozen=True)
class AnnotationLine:
    """What somebody said, as in the view `annotation_history`."""

    annotation_id: int
    annotated_at: datetime
    author: str
    reason: str
    status: IncidentStatus | None
    """``None``: a remark; else the status that the incident has had from then on."""
    change_id: int | None
    series_id: uuid.UUID | None
    sweep_id: uuid.UUID | None
    night: date | None
    incident_id: int | None


@dataclass(frozen=True)
class PriceLine:
    """A price and the days it is in force, as in the view `price_period`."""

    instance_type: str
    region_class: str
    price_kind: str
    valid_from: date
    valid_before: date | None
    """Day from which the next price is in force; ``None``: there is none yet."""
    usd_per_hour: Decimal
    price_source: str


def list_changes(
    engine: Engine, statuses: tuple[Status, ...] = UNSETTLED, wanted: Wanted = ALL
) -> tuple[ChangeLine, ...]:
    """The changes with these statuses: what is worse first, and of that the largest.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    # The narrower view need not find out where every change of all years stands.
    history = _view("open_changes" if statuses == UNSETTLED else "change_history", ChangeLine)
    largest = func.abs(history.c.relative_change).desc()
    chosen = select(history).where(history.c.status.in_(statuses), *_of_series(history, wanted))
    ordered = chosen.order_by(history.c.direction.desc(), largest, history.c.change_id)
    return _lines(engine, ordered.limit(wanted.limit), ChangeLine)


def find_change(engine: Engine, change_id: int) -> ChangeLine:
    """One change.

    Raises:
        BadInput: there is none with this id.
        DatabaseUnreachable: the database does not answer.
    """
    history = _view("change_history", ChangeLine)
    found = _lines(engine, select(history).where(history.c.change_id == change_id), ChangeLine)
    if not found:
        raise BadInput("change", change_id, "the id of a stored change")
    return found[0]


def list_baselines(
    engine: Engine, pinned_only: bool = False, wanted: Wanted = ALL
) -> tuple[BaselineLine, ...]:
    """What counts now, by model, machine and batch size.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    current = _view("current_baseline", BaselineLine)
    chosen = select(current).where(*_of_series(current, wanted))
    if pinned_only:
        chosen = chosen.where(current.c.baseline_kind == "pinned")
    order = (current.c.model, current.c.instance_type, current.c.batch_size, current.c.series_id)
    return _lines(engine, chosen.order_by(*order).limit(wanted.limit), BaselineLine)


def list_annotations(
    engine: Engine, about: Subject = ANYTHING, limit: int = 50
) -> tuple[AnnotationLine, ...]:
    """What was said, latest first; about anything, unless a subject is named.

    A series comes with the incidents that it is part of, a sweep with those of which it is the first bad one.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    said = _view("annotation_history", AnnotationLine)
    asked = {name: value for name, value in asdict(about).items() if value is not None}
    of_series = asked.pop("series_id", None)
    named = [said.c[name] == value for name, value in asked.items()]
    if of_series is not None:
        shifts = table("incident_change", column("incident_id"), column("series_id"))
        incidents = select(shifts.c.incident_id).where(shifts.c.series_id == of_series)
        named.append((said.c.series_id == of_series) | said.c.incident_id.in_(incidents))
    latest = select(said).where(*named).order_by(said.c.annotated_at.desc(), said.c.annotation_id.desc())
    return _lines(engine, latest.limit(limit), AnnotationLine)


def list_prices(engine: Engine, instance_type: str | None = None) -> tuple[PriceLine, ...]:
    """The prices of all machines or of one, each kind in the order of its days.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    period = _view("price_period", PriceLine)
    order = (period.c.instance_type, period.c.region_class, period.c.price_kind, period.c.valid_from)
    chosen = select(period).order_by(*order)
    if instance_type is not None:
        chosen = chosen.where(period.c.instance_type == instance_type)
    return _lines(engine, chosen, PriceLine)


def find_series(engine: Engine, text: str) -> uuid.UUID:
    """The series that a person means, by the beginning of its id.

    Raises:
        BadInput: nothing or more than one series fits.
        DatabaseUnreachable: the database does not answer.
    """
    listed = table("series_list", column("series_id", Uuid))
    begins = cast(listed.c.series_id, Text).startswith(text.strip().lower(), autoescape=True)
    with explained(engine), engine.connect() as connection:
        found: Sequence[uuid.UUID] = connection.scalars(
            select(listed.c.series_id).where(begins).limit(2)
        ).all()
    if not found or not text.strip():
        raise BadInput("series", text, "the first characters of a series' id")
    if len(found) > 1:
        raise BadInput("series", text, "more characters: the ids of several series begin like this")
    return found[0]


def _view(name: str, line: type[Any]) -> Any:
    return table(name, *(column(each) for each in line.__dataclass_fields__))


def _of_series(view: Any, wanted: Wanted) -> list[ColumnElement[bool]]:
    asked = {"series_id": wanted.series_id, "model": wanted.model}
    return [view.c[name] == value for name, value in asked.items() if value is not None]


def _lines(engine: Engine, chosen: Select[Any], line: type[T]) -> tuple[T, ...]:
    with explained(engine), engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(chosen).mappings()]
    return TypeAdapter(tuple[line, ...]).validate_python(rows)  # type: ignore[valid-type]
