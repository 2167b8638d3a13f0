"""What was published for one release after the other, as histories to judge."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from sqlalchemy import Engine, Row, text

from benchlib.analysis.releases import ReleaseFigures, ReleaseHistory, release_order
from benchlib.store.faults import explained

_FIGURES = text("""
    SELECT DISTINCT
        series.series_id, series.model, series.sequence_length, series.precision, series.batch_size,
        series.instance_type, environment.neuron_sdk AS release,
        valid.throughput_inf_per_s, valid.p50_ms, valid.p99_ms
    FROM valid_measurement AS valid
    INNER JOIN series ON series.series_id = valid.series_id
    INNER JOIN environment ON environment.environment_id = valid.environment_id
    WHERE valid.origin = 'import'
        AND series.hardware
        AND environment.neuron_sdk IS NOT NULL
        AND starts_with(coalesce(series.instance_type, ''), :instance_type)
    ORDER BY series.model, series.batch_size, series.series_id
""")


def release_histories(engine: Engine, instance_type: str = "") -> tuple[ReleaseHistory, ...]:
    """Every imported series of an accelerator, its releases in order; by model and batch size.

    A release that a series has several differing values for is left out and named. ``instance_type`` is how
    that of the series must begin.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.connect() as connection:
        rows = connection.execute(_FIGURES, {"instance_type": instance_type}).all()
    return tuple(_history(tuple(group)) for _, group in groupby(rows, key=_series_of))


def _series_of(row: Row[Any]) -> uuid.UUID:
    series_id: uuid.UUID = row.series_id
    return series_id


def _history(rows: tuple[Row[Any], ...]) -> ReleaseHistory:
    first = rows[0]
    by_release = sorted(rows, key=lambda row: (release_order(row.release), row.release))
    groups = [tuple(group) for _, group in groupby(by_release, key=lambda row: str(row.release))]
    return ReleaseHistory(
        series_id=first.series_id,
        model=first.model,
        sequence_length=first.sequence_length,
        precision=first.precision,
        batch_size=first.batch_size,
        instance_type=first.instance_type,
        figures=tuple(_figures(groups)),
        ambiguous=tuple(group[0].release for group in groups if len(group) > 1),
    )


def _figures(groups: Iterable[tuple[Row[Any], ...]]) -> Iterable[ReleaseFigures]:
    for group in groups:
        if len(group) == 1:
            row = group[0]
            yield ReleaseFigures(row.release, row.throughput_inf_per_s, row.p50_ms, row.p99_ms)
