"""What nobody wants to hear of for a while: who says so, why, and until when.

A mute hides incidents of which it covers every change, from lists, verdicts and notifications. Detection goes
on, so that what began meanwhile is told when the mute ends, by itself or by a person.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, insert, select, update

from benchlib.errors import BadInput
from benchlib.store.judgements import Remark, lock, transaction
from benchlib.store.tables import COMPILE_METRICS, METRICS, MuteRow, SeriesRow

MOST_DAYS = 366
"""A longer one is a decision, and decisions are not made by muting."""

MUTABLE = (*METRICS, *COMPILE_METRICS)


def mute(
    engine: Engine,
    what: uuid.UUID | str,
    expires_at: datetime,
    remark: Remark,
    metric: str | None = None,
) -> int:
    """Mute a series, by its id, or all models that a pattern with ``*`` and ``?`` fits; return its number.

    Raises:
        BadInput: there is no such series or metric, the pattern is blank, or the end is not within a year.
        BenchError: the account may not write, or the database does not answer.
    """
    now = datetime.now(UTC)
    if not now < expires_at <= now + timedelta(days=MOST_DAYS):
        raise BadInput("expiry", f"{expires_at:%Y-%m-%d %H:%M}", f"a time within {MOST_DAYS} days from now")
    if metric is not None and metric not in MUTABLE:
        raise BadInput("metric", metric, f"one of {', '.join(MUTABLE)}")
    is_series = isinstance(what, uuid.UUID)
    if not is_series and not str(what).strip():
        raise BadInput("model", what, "the name of a model, or a pattern with * and ?")
    values = {
        "series_id": what if is_series else None,
        "model_glob": None if is_series else str(what).strip(),
        "metric": metric,
        "set_at": func.least(func.clock_timestamp(), expires_at - timedelta(microseconds=1)),
        "expires_at": expires_at,
        **remark.model_dump(),
    }
    with transaction(engine) as connection:
        if is_series:
            lock(connection, SeriesRow, [what])
        adding = insert(MuteRow).values(values).returning(MuteRow.mute_id)
        return connection.execute(adding).scalar_one()


def unmute(engine: Engine, mute_id: int, remark: Remark) -> bool:
    """End a mute before it expires; return whether it was still in force.

    Raises:
        BadInput: there is no such mute.
        BenchError: the account may not write, or the database does not answer.
    """
    with transaction(engine) as connection:
        one = MuteRow.mute_id == mute_id
        found = connection.execute(select(MuteRow.lifted_at, MuteRow.expires_at).where(one).with_for_update())
        row = found.one_or_none()
        if row is None:
            raise BadInput("mute", mute_id, "the number of a mute, as `bench mute list` shows it")
        if row.lifted_at is not None or row.expires_at <= datetime.now(UTC):
            return False
        lifting = {
            "lifted_at": func.greatest(func.clock_timestamp(), MuteRow.set_at),
            "lifted_by": remark.author,
            "lifted_reason": remark.reason,
        }
        connection.execute(update(MuteRow).where(one).values(lifting))
        return True
