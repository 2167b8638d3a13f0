"""Telling people about a subject once, however often and by however many processes it is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Engine, update
from sqlalchemy.dialects.postgresql import insert

from benchlib.store.faults import explained
from benchlib.store.tables import NoticeRow

NOT_YET = "nobody yet"
"""Stands for the channels until they have taken the message; never committed."""

Tell = Callable[[Sequence[str]], Sequence[str]]
"""Tells people about these subjects and returns the channels that took the message."""


def tell_once(engine: Engine, subjects: Sequence[str], tell: Tell) -> tuple[str, ...]:
    """Call ``tell`` with those of the subjects that nobody was told of, and remember them.

    One transaction: another process that has found the same waits, and then has nothing to tell. When no
    channel takes the message, or the process dies, nothing is remembered and the next one tells. So a subject
    is told twice only when the database goes away between the message and the commit.

    Returns the subjects that were told now.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    if not subjects:
        return ()
    with explained(engine), engine.connect() as connection, connection.begin() as transaction:
        claim = insert(NoticeRow).on_conflict_do_nothing().returning(NoticeRow.subject)
        # In one order everywhere, so that two processes cannot wait for each other.
        values = [{"subject": subject, "told_to": [NOT_YET]} for subject in sorted(set(subjects))]
        claimed = set(connection.scalars(claim, values))
        new = tuple(subject for subject in dict.fromkeys(subjects) if subject in claimed)
        told_to = list(tell(new)) if new else []
        if not told_to:
            transaction.rollback()
            return ()
        mine = NoticeRow.subject.in_(new)
        connection.execute(update(NoticeRow).where(mine).values(told_to=told_to))
        return new
