"""What a declared sweep lacks of a night on which it was due.

`benchlib.store.coverage` asks what was ever measured: it cannot miss a sweep that never ran, and does miss
every trial that somebody made by hand. Here the declaration says what is expected, down to the batch size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Literal

from sqlalchemy import Engine, Row, text

from benchlib.spec import SweepSpec
from benchlib.store.coverage import Gap
from benchlib.store.faults import explained

NO_SWEEP = (
    "no sweep ran: see whether its DAG is paused, or is an import error, and whether the scheduler runs"
)
NOT_FINISHED = "not finished yet"

_FOUND = text("""
    SELECT
        comparison_table.batch_size, comparison_table.status, comparison_table.reason,
        comparison_table.reason = 'no result' AND sweep.created_at > :at - interval '12 hours' AS may_come
    FROM comparison_table
    INNER JOIN sweep ON sweep.sweep_id = comparison_table.sweep_id
    WHERE sweep.dag_id = :dag_id
        AND sweep.origin = 'dag'
        AND sweep.created_at >= :due_at
        AND sweep.created_at <= :at
        AND (CAST(:until AS timestamptz) IS NULL OR sweep.created_at < :until)
        AND sweep.model = :model
        AND sweep.scenario = :scenario
        AND comparison_table.batch_size = ANY (:batch_sizes)
    ORDER BY
        comparison_table.batch_size,
        array_position(ARRAY['ok', 'invalid', 'failed'], comparison_table.status),
        sweep.created_at DESC
""")


_NONE_AT_ALL = text("""
    SELECT
        EXISTS (SELECT FROM sweep WHERE dag_id = :dag_id AND origin = 'dag' AND created_at < :due_at)
        AND NOT EXISTS (
            SELECT FROM sweep
            WHERE dag_id = :dag_id
                AND origin = 'dag'
                AND created_at >= :due_at - interval '12 hours'
                AND created_at < :until
        )
""")
"""Nothing but an outage: hours and batch sizes may have been declared otherwise then, and before its first
sweep perhaps it was not declared at all."""


@dataclass(frozen=True)
class Due:
    """A declared sweep that was to begin at some time."""

    dag_id: str
    due_at: datetime
    spec: SweepSpec
    until: datetime | None = None
    """When the night after is due, whose sweep is not this night's; ``None``: not known, or none."""


def declared_gaps(engine: Engine, due: Due, at: datetime) -> tuple[Gap, ...]:
    """The batch sizes of a due sweep that have no valid figure at ``at``, grouped by the reason.

    A figure of any run of the sweep's DAG from ``due_at`` to the next night counts: a second try by hand
    fills the night.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    asked = {
        "dag_id": due.dag_id,
        "due_at": due.due_at,
        "until": due.until,
        "at": at,
        "model": due.spec.model.name,
        "scenario": due.spec.scenario,
        "batch_sizes": list(due.spec.batch_sizes),
    }
    with explained(engine), engine.connect() as connection:
        rows = connection.execute(_FOUND, asked).all()
    best = {size: next(of_size) for size, of_size in groupby(rows, lambda row: int(row.batch_size))}
    lacking = {size: _why(best.get(size)) for size in due.spec.batch_sizes}
    return tuple(_gaps(due, ((size, why) for size, why in lacking.items() if why)))


def was_left_out(engine: Engine, due: Due) -> bool:
    """Whether no sweep of the DAG ran on a night that is over, though some had before.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    asked = {"dag_id": due.dag_id, "due_at": due.due_at, "until": due.until}
    with explained(engine), engine.connect() as connection:
        return bool(connection.scalar(_NONE_AT_ALL, asked))


State = Literal["none", "failed", "invalid"]


def _why(row: Row[tuple[int, str, str, bool]] | None) -> tuple[State, str] | None:
    if row is None:
        return "none", NO_SWEEP
    if row.status == "ok":
        return None
    if row.may_come:
        return "none", NOT_FINISHED
    return ("invalid" if row.status == "invalid" else "failed"), row.reason


def _gaps(due: Due, lacking: Iterable[tuple[int, tuple[State, str]]]) -> Iterable[Gap]:
    together: dict[tuple[State, str], list[int]] = {}
    for size, why in lacking:
        together.setdefault(why, []).append(size)
    for (state, reason), sizes in together.items():
        yield Gap(
            night=due.due_at.astimezone(UTC).date(),
            model=due.spec.model.name,
            ran_on=due.spec.backend,
            state=state,
            reason=reason,
            batch_sizes=tuple(sizes),
        )
