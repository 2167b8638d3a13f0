"""Which nights lack valid figures, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from sqlalchemy import Engine, text

from benchlib.store.faults import explained

_GAPS = text("""
    SELECT
        night, model, coalesce(instance_type, backend) AS ran_on, state, reason,
        array_agg(DISTINCT batch_size ORDER BY batch_size) AS sizes
    FROM coverage
    WHERE night BETWEEN :since AND :until
        AND state <> 'valid'
        AND night <= last_night + :given_up_after_days
        AND (CAST(:model AS text) IS NULL OR model = :model)
    GROUP BY night, model, ran_on, state, reason
    ORDER BY night, model, ran_on, min(batch_size)
""")

_NIGHTS = text("""
    SELECT count(DISTINCT night) AS nights
    FROM coverage
    WHERE night BETWEEN :since AND :until
        AND night <= last_night + :given_up_after_days
        AND (CAST(:model AS text) IS NULL OR model = :model)
""")


@dataclass(frozen=True)
class CoverageSpan:
    """Which nights (UTC, both included) are looked at, and of what."""

    since: date
    until: date
    model: str | None = None
    given_up_after_days: int = 14
    """A series that has not been measured for so long counts as given up, not as missing."""

    @classmethod
    def last(cls, nights: int, today: date, model: str | None = None) -> CoverageSpan:
        """The last so many nights, today's included."""
        return cls(today - timedelta(days=nights - 1), today, model)


@dataclass(frozen=True)
class Gap:
    """Batch sizes of one model that lack a valid figure on one night for the same reason."""

    night: date
    model: str
    ran_on: str
    """The instance type, or the backend where none is known."""
    state: Literal["none", "failed", "invalid"]
    """``none``: no sweep ran, or with another kind of worker, or it is not finished yet; ``failed``: no
    figure; ``invalid``: one that cannot be believed."""
    reason: str
    batch_sizes: tuple[int, ...]


@dataclass(frozen=True)
class Coverage:
    """What a span of nights lacks."""

    nights: int
    """On which anything was expected."""
    gaps: tuple[Gap, ...]


def coverage(engine: Engine, span: CoverageSpan) -> Coverage:
    """Look at every series on every night of the span.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    values = {
        "since": span.since,
        "until": span.until,
        "model": span.model,
        "given_up_after_days": span.given_up_after_days,
    }
    with explained(engine), engine.connect() as connection:
        nights = connection.execute(_NIGHTS, values).scalar_one()
        rows = connection.execute(_GAPS, values).all()
    gaps = (Gap(row.night, row.model, row.ran_on, row.state, row.reason, tuple(row.sizes)) for row in rows)
    return Coverage(nights, tuple(gaps))
