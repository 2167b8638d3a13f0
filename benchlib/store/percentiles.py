"""Percentiles over any span of time, merged from the histograms of single measurements."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, Select, Text, cast, column, func, select, table

from benchlib.store.faults import explained
from benchlib.store.tables import SeriesRow

SERIES = (
    "series_id", "model", "sequence_length", "precision", "batch_size", "scenario", "replicas", "workers",
    "backend", "instance_type", "hardware", "model_variant", "arrivals",
)  # fmt: skip

# Both views are defined by the migrations.
VALID = table(
    "valid_measurement",
    column("series_id"),
    column("measurement_id"),
    column("night"),
)
KEYS = SeriesRow.__table__
BUCKETS = table("latency_bucket", column("measurement_id"), column("bucket"), column("batches"))


@dataclass(frozen=True)
class Span:
    """Which series, and which nights of them (UTC, both included); what is ``None`` does not matter."""

    series: str | None = None
    """The beginning of a series' id."""
    model: str | None = None
    batch_size: int | None = None
    instance_type: str | None = None
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True)
class SeriesPercentiles:
    """One series over a span of nights, valid measurements only."""

    series_id: uuid.UUID
    model: str
    sequence_length: int
    precision: str | None
    batch_size: int
    scenario: str
    replicas: int | None
    workers: int | None
    backend: str
    instance_type: str | None
    hardware: bool
    model_variant: str | None
    """Such as ``encoder``; ``None``: a classification of text."""
    arrivals: str | None
    """Of the scenario ``server``, such as ``rate 500/s``."""
    measurements: int
    first_night: date
    last_night: date
    batches: int
    percentiles_ms: tuple[float | None, ...]
    """In the order asked for, within 1 %; ``None`` where too few batches support it."""


def latency_percentiles(
    engine: Engine, span: Span, percents: Sequence[float]
) -> tuple[SeriesPercentiles, ...]:
    """The percentiles (0 to 100) of every series that has histograms in the span, by model and batch size.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.connect() as connection:
        return tuple(map(_series, connection.execute(_query(span, percents)).all()))


def _query(span: Span, percents: Sequence[float]) -> Select[Any]:
    keys = [KEYS.c[name] for name in SERIES]
    buckets, batches = func.array_agg(BUCKETS.c.bucket), func.array_agg(BUCKETS.c.batches)
    figures = (
        func.count(VALID.c.measurement_id.distinct()),
        func.min(VALID.c.night),
        func.max(VALID.c.night),
        func.sum(BUCKETS.c.batches),
        *(func.latency_percentile(buckets, batches, percent) for percent in percents),
    )
    joined = KEYS.join(VALID, KEYS.c.series_id == VALID.c.series_id)
    joined = joined.join(BUCKETS, VALID.c.measurement_id == BUCKETS.c.measurement_id)
    query = select(*keys, *figures).select_from(joined).where(*_wanted(span)).group_by(*keys)
    return query.order_by(KEYS.c.model, KEYS.c.batch_size, KEYS.c.series_id)


def _wanted(span: Span) -> list[ColumnElement[bool]]:
    equal = {
        KEYS.c.model: span.model,
        KEYS.c.batch_size: span.batch_size,
        KEYS.c.instance_type: span.instance_type,
    }
    conditions = [each == value for each, value in equal.items() if value is not None]
    if span.series is not None:
        series_id = cast(KEYS.c.series_id, Text)
        conditions.append(series_id.startswith(span.series.lower(), autoescape=True))
    if span.since is not None:
        conditions.append(VALID.c.night >= span.since)
    if span.until is not None:
        conditions.append(VALID.c.night <= span.until)
    return conditions


def _series(row: Row[Any]) -> SeriesPercentiles:
    keys, figures = row[: len(SERIES)], row[len(SERIES) :]
    measurements, first_night, last_night, batches, *percentiles_ms = figures
    return SeriesPercentiles(
        **dict(zip(SERIES, keys, strict=True)),
        measurements=measurements,
        first_night=first_night,
        last_night=last_night,
        batches=int(batches),
        percentiles_ms=tuple(percentiles_ms),
    )
