"""What people decide about results: remarks, the status of an incident, pinned baselines, prices of a day.

Every function is one transaction: all of it is written, or nothing. Saying the same again changes nothing.
Rows are added, never changed, except that a withdrawn baseline gets its time: it stays known who said what,
when and why. Two people who decide at once come one after the other: what is decided about is locked first,
and times are taken under the lock, so that their order is that of the decisions.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from sqlalchemy import Connection, Engine, column, func, or_, select, table, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import aliased

from benchlib.errors import BadInput, BenchError
from benchlib.store.faults import address_of, explained
from benchlib.store.prices import Price
from benchlib.store.tables import (
    AnnotationRow,
    BaselineRow,
    ChangeRow,
    IncidentRow,
    PriceRow,
    SeriesRow,
    SweepRow,
)

IncidentStatus = Literal[
    "suspect",
    "confirmed",
    "acknowledged",
    "expected",
    "infra",
    "fixed",
    "wont_fix",
    "false_alarm",
    "recovered",
    "reopened",
]
Status = Literal["open", "acknowledged", "fixed", "expected", "false_alarm", "infra", "wont_fix", "recovered"]
"""Of a change: that of its incident, where `OPEN` is all one."""

OPEN: tuple[IncidentStatus, ...] = ("suspect", "confirmed", "reopened")
"""Nobody has looked at it."""
SETTLED: tuple[IncidentStatus, ...] = ("expected", "infra", "fixed", "wont_fix", "false_alarm")
"""A person has said what it is."""

MAY_FOLLOW: Mapping[IncidentStatus, tuple[IncidentStatus, ...]] = {
    "acknowledged": OPEN,
    **dict.fromkeys(SETTLED, (*OPEN, "acknowledged", "recovered")),
    "reopened": ("acknowledged", *SETTLED, "recovered"),
}
"""What a person may say, to what it may follow. What is settled is settled until somebody opens it again."""

ALLOWED_FROM: Mapping[Status, tuple[Status, ...]] = {
    "open": ("acknowledged", "fixed", "expected", "false_alarm", "infra", "wont_fix", "recovered"),
    "acknowledged": ("open",),
    "fixed": ("open", "acknowledged", "recovered"),
    "expected": ("open", "acknowledged", "recovered"),
    "false_alarm": ("open", "acknowledged", "recovered"),
    "infra": ("open", "acknowledged", "recovered"),
    "wont_fix": ("open", "acknowledged", "recovered"),
}
"""The same in the words for changes."""

NO_PERMISSION = "42501"
"""https://www.postgresql.org/docs/current/errcodes-appendix.html"""

PINNED_NOW = (BaselineRow.kind == "pinned", BaselineRow.withdrawn_at.is_(None))

Decided = ChangeRow | IncidentRow | SeriesRow | SweepRow

# Defined by the migrations.
VALID = table("valid_measurement", *map(column, ("series_id", "sweep_id", "night", "created_at")))


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("text without the character NUL")
    return text


Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_without_nul)]


class Remark(BaseModel):
    """Who says what, or decides for which reason; neither may be blank."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    author: Said
    reason: Said


@dataclass(frozen=True)
class Subject:
    """What a remark is about: at least one of these."""

    change_id: int | None = None
    series_id: uuid.UUID | None = None
    sweep_id: uuid.UUID | None = None
    incident_id: int | None = None


@dataclass(frozen=True)
class Standing:
    """Where a change stands, and since when; nobody has said anything about one that was just found."""

    status: Status
    author: str | None = None
    annotated_at: datetime | None = None


@dataclass(frozen=True)
class IncidentStanding:
    """Where an incident stands, and since when; without a word it is confirmed."""

    status: IncidentStatus
    author: str | None = None
    annotated_at: datetime | None = None


@dataclass(frozen=True)
class JudgedIncident:
    """What became of an incident that somebody judged."""

    incident_id: int
    before: IncidentStanding
    status: IncidentStatus
    """Where it stands now."""

    @property
    def is_new(self) -> bool:
        """False: it stood there already, or is open anyway, and nothing was written."""
        return self.before.status != self.status


@dataclass(frozen=True)
class Judged:
    """What became of a change that somebody judged."""

    change_id: int
    before: Standing
    status: Status
    """Where it stands now."""

    @property
    def is_new(self) -> bool:
        """False: it stood there already, and nothing was written."""
        return self.before.status != self.status


@dataclass(frozen=True)
class SweepRange:
    """Sweeps of which the first and the last are named; often they are the same."""

    first_sweep_id: uuid.UUID
    last_sweep_id: uuid.UUID

    @property
    def ends(self) -> tuple[uuid.UUID, uuid.UUID]:
        """The first and the last."""
        return self.first_sweep_id, self.last_sweep_id


@dataclass(frozen=True)
class Pinned:
    """Series by what pinning did to them."""

    set: tuple[uuid.UUID, ...]
    """Judged against the range from now on."""
    unchanged: tuple[uuid.UUID, ...]
    """Pinned to that very range before."""


def annotate(engine: Engine, subjects: Sequence[Subject], remark: Remark) -> int:
    """Add a remark on each subject; return how many had not been there.

    Raises:
        BadInput: a change, a series or a sweep does not exist.
        BenchError: the account may not write, or the database does not answer.
    """
    with transaction(engine) as connection:
        lock(connection, ChangeRow, [each.change_id for each in subjects])
        lock(connection, IncidentRow, [each.incident_id for each in subjects])
        lock(connection, SeriesRow, [each.series_id for each in subjects])
        lock(connection, SweepRow, [each.sweep_id for each in subjects])
        there = _remarked(connection, subjects, remark)
        new = [each for each in dict.fromkeys(subjects) if each not in there]
        if new:
            values = [_annotation(remark, each) for each in new]
            connection.execute(insert(AnnotationRow).values(values))
        return len(new)


def sweeps_between(engine: Engine, first: date, last: date, model: str | None = None) -> tuple[Subject, ...]:
    """The sweeps that began on these nights (UTC, both included), of one model or of all.

    Raises:
        BadInput: the last night is before the first, or no sweep began on any.
        BenchError: the account may not read the sweeps, or the database does not answer.
    """
    if last < first:
        raise BadInput("last night", str(last), f"a night that is not before the first, {first}")
    among = select(SweepRow.sweep_id).where(SweepRow.night.between(first, last)).order_by(SweepRow.created_at)
    if model is not None:
        among = among.where(SweepRow.model == model)
    with transaction(engine) as connection:
        found = connection.scalars(among).all()
    if not found:
        of_model = "" if model is None else f" of {model}"
        raise BadInput("nights", f"{first} to {last}", f"nights on which a sweep{of_model} began")
    return tuple(Subject(sweep_id=sweep_id) for sweep_id in found)


def judge_incidents(
    engine: Engine, incident_ids: Sequence[int], status: IncidentStatus, remark: Remark
) -> tuple[JudgedIncident, ...]:
    """Say where incidents stand from now on. One that stands there already keeps what was said first.

    ``"reopened"`` leaves one that is open as it is.

    Raises:
        BadInput: an incident does not exist, or the status does not follow that of one (see `MAY_FOLLOW`).
        BenchError: the account may not write, or the database does not answer.
    """
    with transaction(engine) as connection:
        return _judge_incidents(connection, incident_ids, status, remark)


def judge(engine: Engine, change_ids: Sequence[int], status: Status, remark: Remark) -> tuple[Judged, ...]:
    """Say where the incidents that changes are part of stand from now on; returns one for each change.

    Raises:
        BadInput: a change does not exist, or the status does not follow that of one (see `ALLOWED_FROM`).
        BenchError: the account may not write, or the database does not answer.
    """
    with transaction(engine) as connection:
        lock(connection, ChangeRow, change_ids)
        of_changes = select(ChangeRow.change_id, ChangeRow.incident_id)
        incidents = dict(connection.execute(of_changes.where(ChangeRow.change_id.in_(change_ids))).all())
        asked: IncidentStatus = "reopened" if status == "open" else status
        try:
            done = _judge_incidents(connection, list(dict.fromkeys(incidents.values())), asked, remark)
        except BadInput as error:
            raise BadInput("change", ", ".join(map(str, change_ids)), error.allowed) from error
        before = {each.incident_id: _of_change(each.before) for each in done}
        return tuple(Judged(each, before[incidents[each]], status) for each in dict.fromkeys(change_ids))


def pin(engine: Engine, sweeps: SweepRange, series_ids: Collection[uuid.UUID], remark: Remark) -> Pinned:
    """Judge series against these sweeps from now on, in place of what they were pinned to.

    Without ``series_ids``: all series of which the first or the last sweep has a valid measurement.

    Raises:
        BadInput: a sweep or a series does not exist, the range runs backwards, or no valid measurement of a
            series lies in it.
        BenchError: the account may not write, or the database does not answer.
    """
    with transaction(engine) as connection:
        _check_order(connection, sweeps)
        wanted = sorted(set(series_ids)) or _series_of(connection, sweeps)
        lock(connection, SeriesRow, wanted)
        _check_measured(connection, sweeps, wanted)
        same = {each.series_id for each in _pinned(connection, wanted) if each.sweeps == sweeps}
        new = [each for each in wanted if each not in same]
        withdrawn = _withdraw(connection, new)
        if new:
            connection.execute(insert(BaselineRow).values([_baseline(each, sweeps, remark) for each in new]))
        _supersede(connection, withdrawn)
        return Pinned(tuple(new), tuple(sorted(same)))


def unpin(
    engine: Engine, sweep_id: uuid.UUID | None, series_ids: Collection[uuid.UUID], remark: Remark
) -> tuple[uuid.UUID, ...]:
    """Withdraw what series are pinned to; return the series of which something was withdrawn.

    With a sweep: only where the range begins or ends with it. Without ``series_ids``: of all series. The
    remark becomes one on each series, as a withdrawn baseline has no place for it.

    Raises:
        BadInput: neither a sweep nor a series is named, or one does not exist.
        BenchError: the account may not write, or the database does not answer.
    """
    if sweep_id is None and not series_ids:
        raise BadInput("sweep", None, "a sweep, unless a series is named")
    with transaction(engine) as connection:
        lock(connection, SweepRow, [sweep_id])
        wanted = sorted(set(series_ids)) or [each.series_id for each in _pinned(connection)]
        lock(connection, SeriesRow, wanted)
        found = [each for each in _pinned(connection, wanted) if sweep_id in (None, *each.sweeps.ends)]
        if found:
            subjects = [
                Subject(series_id=each.series_id, sweep_id=each.sweeps.first_sweep_id) for each in found
            ]
            connection.execute(insert(AnnotationRow).values([_annotation(remark, each) for each in subjects]))
        withdrawn = tuple(each.series_id for each in found)
        _withdraw(connection, withdrawn)
        return withdrawn


def set_price(engine: Engine, price: Price, replace: bool = False) -> bool:
    """Store a price; return whether anything changed. To change a stored one, ``replace`` must say so.

    Raises:
        BadInput: another price of the same machine, regions, kind and day is stored.
        BenchError: the account may not write, or the database does not answer.
    """
    values = price.model_dump()
    key = [each == values[each.name] for each in PriceRow.__table__.primary_key]
    with transaction(engine) as connection:
        added = connection.execute(insert(PriceRow).values(values).on_conflict_do_nothing())
        if added.rowcount:
            return True
        there = select(PriceRow.__table__).where(*key).with_for_update()
        stored = Price.model_validate(dict(connection.execute(there).mappings().one()))
        if stored == price:
            return False
        if not replace:
            known = f"{stored.usd_per_hour.normalize():f}, as stored for that day ({stored.source})"
            raise BadInput("usd_per_hour", f"{price.usd_per_hour:f}", f"{known}, unless it is to be replaced")
        connection.execute(update(PriceRow).where(*key).values(values))
        return True


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """All or nothing; an account without the permission is told so."""
    with explained(engine):
        try:
            with engine.begin() as connection:
                yield connection
        except ProgrammingError as error:
            if getattr(error.orig, "pgcode", None) != NO_PERMISSION:
                raise
            who = f"the account {engine.url.username} of {address_of(engine.url)}"
            raise BenchError(f"{who} may not write: log in with one in the role bench_writer") from error


def lock(connection: Connection, row: type[Decided], ids: Collection[object]) -> None:
    """Keep others from deciding about the same until the end of the transaction.

    The weaker of the two exclusive locks: measurements of these series and sweeps go on being written.
    """
    (key,) = row.__table__.primary_key
    wanted = {each for each in ids if each is not None}
    if not wanted:
        return
    # In one order for all, so that two who lock several cannot wait for each other.
    locking = select(key).where(key.in_(wanted)).order_by(key).with_for_update(key_share=True)
    found = set(connection.scalars(locking))
    if missing := wanted - found:
        # What is stored as an incident is what people call a change.
        name = "change" if row is IncidentRow else row.__tablename__
        raise BadInput(name, str(min(missing, key=str)), f"the id of a stored {name}")


def _annotation(remark: Remark, subject: Subject, not_before: datetime | None = None) -> dict[str, Any]:
    now = func.clock_timestamp()
    return {
        **asdict(subject),
        **remark.model_dump(),
        # Not the default, which is when the transaction began: that may be long before it got the lock.
        "annotated_at": now if not_before is None else func.greatest(now, not_before),
    }


def _remarked(connection: Connection, subjects: Collection[Subject], remark: Remark) -> set[Subject]:
    """Those of which the same person said the same before."""
    columns = [getattr(AnnotationRow, name) for name in Subject.__dataclass_fields__]
    about = or_(*(each.in_({getattr(one, each.name) for one in subjects} - {None}) for each in columns))
    said = select(*columns).where(about, AnnotationRow.status.is_(None))
    said = said.where(AnnotationRow.author == remark.author, AnnotationRow.reason == remark.reason)
    return {Subject(*row) for row in connection.execute(said)}


def _judge_incidents(
    connection: Connection, incident_ids: Sequence[int], status: IncidentStatus, remark: Remark
) -> tuple[JudgedIncident, ...]:
    if status not in MAY_FOLLOW:
        raise BadInput("status", status, f"one of {', '.join(MAY_FOLLOW)}: the others are the detector's")
    lock(connection, IncidentRow, incident_ids)
    judged = tuple(_judgement(connection, each, status) for each in dict.fromkeys(incident_ids))
    for each in judged:
        _check_follows(each)
    for each in judged:
        if each.is_new:
            subject = Subject(incident_id=each.incident_id)
            values = _annotation(remark, subject, each.before.annotated_at)
            connection.execute(insert(AnnotationRow).values(status=status, **values))
    return judged


def _judgement(connection: Connection, incident_id: int, status: IncidentStatus) -> JudgedIncident:
    before = standing(connection, incident_id)
    stays = status == "reopened" and before.status in OPEN
    return JudgedIncident(incident_id, before, before.status if stays else status)


def standing(connection: Connection, incident_id: int) -> IncidentStanding:
    """Where an incident stands, as its latest annotation with a status says."""
    latest = (
        select(AnnotationRow.status, AnnotationRow.author, AnnotationRow.annotated_at)
        .where(AnnotationRow.incident_id == incident_id, AnnotationRow.status.is_not(None))
        .order_by(AnnotationRow.annotated_at.desc(), AnnotationRow.annotation_id.desc())
        .limit(1)
    )
    found = connection.execute(latest).one_or_none()
    if found is None:
        return IncidentStanding("confirmed")
    status, author, annotated_at = found
    return IncidentStanding(cast("IncidentStatus", status), author, annotated_at)


def _of_change(standing: IncidentStanding) -> Standing:
    status: Status = "open" if standing.status in OPEN else cast("Status", standing.status)
    return Standing(status, standing.author, standing.annotated_at)


def _check_follows(judged: JudgedIncident) -> None:
    before = judged.before
    if not judged.is_new or before.status in MAY_FOLLOW[judged.status]:
        return
    allowed = " or ".join(MAY_FOLLOW[judged.status])
    stands = f"this one is {before.status}, says {before.author}; open it again first"
    raise BadInput("change", judged.incident_id, f"one that is {allowed}; {stands}")


def _check_order(connection: Connection, sweeps: SweepRange) -> None:
    lock(connection, SweepRow, sweeps.ends)
    of_ends = select(SweepRow.sweep_id, SweepRow.created_at).where(SweepRow.sweep_id.in_(sweeps.ends))
    began = dict(connection.execute(of_ends).all())
    if began[sweeps.last_sweep_id] < began[sweeps.first_sweep_id]:
        last, first = str(sweeps.last_sweep_id), sweeps.first_sweep_id
        raise BadInput("last sweep", last, f"one that did not begin before the first, {first}")


def _series_of(connection: Connection, sweeps: SweepRange) -> list[uuid.UUID]:
    """The series that the ends of a range are about."""
    measured = [
        set(connection.scalars(select(VALID.c.series_id).where(VALID.c.sweep_id == sweep_id)))
        for sweep_id in sweeps.ends
    ]
    for sweep_id, series in zip(sweeps.ends, measured, strict=True):
        if not series:
            raise BadInput("sweep", str(sweep_id), "one with a valid measurement")
    if not set.intersection(*measured):
        raise BadInput("last sweep", str(sweeps.last_sweep_id), "one with a series of the first sweep")
    return sorted(set.union(*measured))


def _check_measured(connection: Connection, sweeps: SweepRange, series_ids: Collection[uuid.UUID]) -> None:
    """As `current_baseline` finds the measurements of a range."""
    first, last = aliased(SweepRow), aliased(SweepRow)
    within = (
        select(VALID.c.series_id)
        .where(VALID.c.series_id.in_(series_ids))
        .where(first.sweep_id == sweeps.first_sweep_id, last.sweep_id == sweeps.last_sweep_id)
        .where(VALID.c.night.between(first.night, last.night))
        .where(VALID.c.created_at.between(first.created_at, last.created_at))
    )
    if missing := set(series_ids) - set(connection.scalars(within)):
        raise BadInput("series", str(min(missing)), "one with a valid measurement in the sweeps of the range")


@dataclass(frozen=True)
class _Pin:
    series_id: uuid.UUID
    sweeps: SweepRange


def _pinned(connection: Connection, series_ids: Collection[uuid.UUID] | None = None) -> list[_Pin]:
    """What counts now, of these series or of all."""
    now = select(BaselineRow.series_id, BaselineRow.first_sweep_id, BaselineRow.last_sweep_id)
    now = now.where(*PINNED_NOW).order_by(BaselineRow.series_id)
    if series_ids is not None:
        now = now.where(BaselineRow.series_id.in_(series_ids))
    return [_Pin(series_id, SweepRange(first, last)) for series_id, first, last in connection.execute(now)]


def _withdraw(connection: Connection, series_ids: Collection[uuid.UUID]) -> list[int]:
    now = func.greatest(func.clock_timestamp(), BaselineRow.set_at)
    of_series = update(BaselineRow).where(*PINNED_NOW, BaselineRow.series_id.in_(series_ids))
    withdrawing = of_series.values(withdrawn_at=now).returning(BaselineRow.baseline_id)
    return list(connection.scalars(withdrawing))


def _supersede(connection: Connection, withdrawn: Collection[int]) -> None:
    """Where an older pin made history begin anew, it still does."""
    later = aliased(BaselineRow)
    successor = (
        select(later.baseline_id)
        .where(later.series_id == BaselineRow.series_id)
        .where(later.kind == "pinned", later.withdrawn_at.is_(None))
        .scalar_subquery()
    )
    older = update(BaselineRow).where(BaselineRow.baseline_id.in_(withdrawn))
    connection.execute(older.values(superseded_by=successor))


def _baseline(series_id: uuid.UUID, sweeps: SweepRange, remark: Remark) -> dict[str, Any]:
    own = {"series_id": series_id, "kind": "pinned", "set_at": func.clock_timestamp()}
    return {**own, **asdict(sweeps), **remark.model_dump()}
