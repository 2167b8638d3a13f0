"""What the results say of the artifact store: which programs were used lately, and who may need one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, text, update

from benchlib.store.faults import explained
from benchlib.store.tables import MeasurementRow

_USED = text(
    "SELECT DISTINCT artifact_key FROM compilation WHERE artifact_key <> '' AND recorded_at >= :since"
)

_OPEN = text("""
    SELECT DISTINCT sweep.run_id
    FROM comparison_table
    INNER JOIN sweep ON sweep.sweep_id = comparison_table.sweep_id
    WHERE sweep.origin = 'dag'
        AND sweep.created_at > now() - interval '12 hours'
        AND comparison_table.status = 'failed'
        AND comparison_table.reason = 'no result'
    UNION
    SELECT experiment.run_id
    FROM experiment
    WHERE experiment.finished_at IS NULL
        AND (
            experiment.created_at > now() - interval '48 hours'
            OR EXISTS (
                SELECT FROM pair
                WHERE pair.experiment_id = experiment.experiment_id
                    AND pair.recorded_at > now() - interval '48 hours'
            )
        )
    ORDER BY run_id
""")
"""A comparison writes no compilation: nothing else says that it needs its programs."""


def keys_used_since(engine: Engine, since: datetime) -> frozenset[str]:
    """The keys of the programs that were compiled, or found in the store, since then.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.connect() as connection:
        return frozenset(connection.scalars(_USED, {"since": since}))


def open_runs(engine: Engine) -> tuple[str, ...]:
    """The runs that may still need their programs.

    Sweeps of the last 12 hours, which is as long as one may take, with a size that nothing came of yet; and
    comparisons without a verdict that began, or had a pair, within 48 hours.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.connect() as connection:
        return tuple(connection.scalars(_OPEN))


def forget_samples(engine: Engine, urls: Sequence[str]) -> None:
    """Take back where raw samples are kept: they no longer are. The rows stay as they are otherwise.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.begin() as connection:
        gone = MeasurementRow.samples_url.in_(urls)
        connection.execute(update(MeasurementRow).where(gone).values(samples_url=None))
