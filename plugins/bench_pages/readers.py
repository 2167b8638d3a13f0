"""What several pages ask of the database."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, text

from bench_pages.asked import SweepsAsked
from benchlib.analysis.comparison import Comparison
from benchlib.analysis.paired import METRICS, Metric
from benchlib.analysis.peak import provenance
from benchlib.analysis.unpaired import WARNING, Difference, Known, compare_unpaired, from_rounds
from benchlib.errors import BadInput
from benchlib.report.table import shorten
from benchlib.settings import Settings
from benchlib.store.database import engine_for
from benchlib.store.environments import EnvironmentDifference
from benchlib.store.faults import explained
from benchlib.store.history import Series
from benchlib.store.repository import Repository
from benchlib.store.sweep_figures import difference_of, set_against, unequal
from benchlib.store.sweep_figures import read_sweep as read_figures

STATEMENT_TIMEOUT_MS = 15_000
"""No question of a page takes so long; one that does shall not hold a connection."""

_SWEEPS = text("""
    SELECT
        sweep.sweep_id, sweep.dag_id, sweep.run_id, sweep.origin, sweep.created_at, sweep.night, sweep.label,
        sweep.model, sweep.backend, sweep.scenario, sweep.batch_sizes,
        peak.batch_size AS peak_batch_size, peak.throughput_inf_per_s, peak.instance_type, peak.hardware,
        peak.sdk
    FROM (
        SELECT *
        FROM sweep
        WHERE confirms_sweep_id IS NULL
            AND (CAST(:model AS text) IS NULL OR model = :model)
            AND (CAST(:origin AS text) IS NULL OR origin = :origin)
            AND (
                CAST(:since AS date) IS NULL
                OR created_at >= CAST(CAST(:since AS date) AS timestamp) AT TIME ZONE 'UTC'
            )
            AND (
                CAST(:until AS date) IS NULL
                OR created_at < CAST(CAST(:until AS date) + 1 AS timestamp) AT TIME ZONE 'UTC'
            )
        ORDER BY created_at DESC, sweep_id
        LIMIT :limit OFFSET :offset
    ) AS sweep
    LEFT JOIN peak ON peak.sweep_id = sweep.sweep_id
    ORDER BY sweep.created_at DESC, sweep.sweep_id
""")

_MODELS = text("SELECT DISTINCT model FROM series_list ORDER BY model LIMIT 500")

_SDKS = text("""
    SELECT sdk, min(night) AS first_night, max(night) AS last_night, count(DISTINCT night) AS nights
    FROM latency_history
    WHERE series_id = :series_id AND origin = 'dag'
    GROUP BY sdk
    ORDER BY first_night, last_night, sdk
""")

_NIGHTS = text("""
    SELECT
        history.batch_size, history.environment_id, history.throughput_inf_per_s, history.p50_ms,
        history.p99_ms
    FROM series AS picked
    INNER JOIN series ON series.configuration_id = picked.configuration_id
    INNER JOIN latency_history AS history ON history.series_id = series.series_id
    WHERE picked.series_id = :series_id
        AND history.sdk = :sdk
        AND history.origin = 'dag'
        AND history.night BETWEEN :since AND :until
    ORDER BY history.created_at
""")

SDK_NIGHTS = 60
"""Of each SDK the last so many nights are looked at."""

SDK_WARNING = (
    f"Geometric means over the last {SDK_NIGHTS} nights with each SDK. Their intervals know how much nights "
    "differ, but not what else changed in between: another kernel, another host, other neighbours. To "
    "decide, measure in turns: bench compare --interpreters OLD NEW."
)


@dataclass(frozen=True)
class SweepLine:
    """One line in the list of sweeps."""

    sweep_id: uuid.UUID
    dag_id: str
    run_id: str
    origin: str
    created_at: datetime
    night: date
    label: str | None
    model: str
    backend: str
    scenario: str
    batch_sizes: tuple[int, ...]
    peak_batch_size: int | None
    throughput_inf_per_s: float | None
    """Of the peak; ``None``: no valid measurement."""
    instance_type: str | None
    hardware: bool | None
    """False for a CPU or a stand-in; ``None``: nothing valid was measured."""
    sdk: str | None


@dataclass(frozen=True)
class SdkPeriod:
    """What a series was measured with."""

    sdk: str
    first_night: date
    last_night: date
    nights: int


@dataclass(frozen=True)
class Side:
    """One of two that are held against each other."""

    title: str
    model: str
    provenance: str
    """Whose figures these are, one sentence."""
    is_ours_on_hardware: bool
    """Measured here, on an accelerator: nothing needs a label."""
    sweep_id: uuid.UUID | None
    """``None``: many sweeps."""
    short: str
    """For an axis."""


@dataclass(frozen=True)
class Held:
    """The second of two held against the first."""

    first: Side
    second: Side
    differences: tuple[Difference, ...]
    """By batch size, where both have a valid figure."""
    environment: tuple[EnvironmentDifference, ...]
    """From the first to the second; likeliest cause first."""
    notes: tuple[str, ...]
    """What is not the same for the two, in sentences."""
    warning: str
    """What such a comparison cannot say."""


def make_engine(settings: Settings) -> Engine:
    """An engine for the results' database whose statements end in time."""
    return engine_for(settings, statement_timeout_ms=STATEMENT_TIMEOUT_MS)


def list_sweeps(engine: Engine, asked: SweepsAsked) -> tuple[SweepLine, ...]:
    """The sweeps that fit, newest first, each with its peak."""
    with explained(engine), engine.connect() as connection:
        rows = connection.execute(_SWEEPS, asked.model_dump()).mappings().all()
    return tuple(SweepLine(**{**row, "batch_sizes": tuple(row["batch_sizes"])}) for row in rows)


def list_models(engine: Engine) -> tuple[str, ...]:
    """The models that have series."""
    with explained(engine), engine.connect() as connection:
        return tuple(connection.scalars(_MODELS))


def compare_sweeps(engine: Engine, first: uuid.UUID, second: uuid.UUID) -> Held:
    """Hold the valid figures of two sweeps against each other, and their environments.

    Raises:
        BadInput: one does not exist or has no valid figure.
    """
    figures = (read_figures(engine, first), read_figures(engine, second))
    sides = [_side(Repository(engine).comparison(each)) for each in (first, second)]
    return Held(
        sides[0],
        sides[1],
        set_against(*figures),
        difference_of(engine, figures[0].environment_id, figures[1].environment_id),
        unequal(*figures),
        WARNING,
    )


def _side(comparison: Comparison) -> Side:
    night = comparison.created_at.astimezone(UTC).date()
    ran_on = comparison.instance_type or comparison.backend
    return Side(
        title=f"{comparison.model}, {ran_on}, {night}",
        model=comparison.model,
        provenance=provenance(comparison),
        is_ours_on_hardware=comparison.hardware and comparison.origin == "dag",
        sweep_id=comparison.sweep_id,
        short=f"{night}",
    )


def list_sdks(engine: Engine, series_id: uuid.UUID) -> tuple[SdkPeriod, ...]:
    """The SDKs that a series was measured with here, oldest first."""
    with explained(engine), engine.connect() as connection:
        rows = connection.execute(_SDKS, {"series_id": series_id})
        return tuple(SdkPeriod(row.sdk, row.first_night, row.last_night, row.nights) for row in rows)


def compare_sdks(engine: Engine, series: Series, first: str, second: str) -> Held:
    """Hold the nights with one SDK against those with another, at all batch sizes of a configuration.

    Raises:
        BadInput: the series was not measured with one of them, or they are the same.
    """
    periods = {each.sdk: each for each in list_sdks(engine, series.series_id)}
    for name, sdk in (("sdk_a", first), ("sdk_b", second)):
        if sdk not in periods:
            raise BadInput(name, sdk, " or ".join(periods) or "nothing: the series was never measured here")
    if first == second:
        raise BadInput("sdk_b", second, "another SDK than sdk_a")
    figures, environments = [], []
    for sdk in (first, second):
        rows = _nights_with(engine, series.series_id, periods[sdk])
        figures.append(_means(rows))
        environments.append(rows[-1].environment_id)
    sides = [_sdk_side(series, periods[sdk]) for sdk in (first, second)]
    changed = difference_of(engine, environments[0], environments[1])
    return Held(sides[0], sides[1], compare_unpaired(figures[0], figures[1]), changed, (), SDK_WARNING)


def _nights_with(engine: Engine, series_id: uuid.UUID, period: SdkPeriod) -> Sequence[Row[Any]]:
    values = {
        "series_id": series_id,
        "sdk": period.sdk,
        "since": max(period.first_night, period.last_night - timedelta(days=SDK_NIGHTS - 1)),
        "until": period.last_night,
    }
    with explained(engine), engine.connect() as connection:
        return connection.execute(_NIGHTS, values).all()


def _means(rows: Sequence[Row[Any]]) -> Mapping[int, Mapping[Metric, Known]]:
    """Geometric means over nights, with the limits that the nights give."""
    values: dict[int, dict[Metric, list[float]]] = {}
    for row in rows:
        of_size = values.setdefault(row.batch_size, {metric: [] for metric in METRICS})
        for metric in METRICS:
            if getattr(row, metric) is not None:
                of_size[metric].append(getattr(row, metric))
    return {
        size: {
            metric: from_rounds(statistics.geometric_mean(nights), nights)
            for metric, nights in of_size.items()
            if nights
        }
        for size, of_size in values.items()
    }


def _sdk_side(series: Series, period: SdkPeriod) -> Side:
    stand_in = "a CPU" if series.backend == "cpu" else "a stand-in"
    ran_on = series.instance_type or series.backend
    measured = f"Measured on {ran_on}." if series.hardware else f"Measured on {stand_in}: not an inf2 result."
    return Side(
        title=f"{series.model}, {ran_on}, {period.sdk}, {period.nights} nights to {period.last_night}",
        model=series.model,
        provenance=measured,
        is_ours_on_hardware=series.hardware,
        sweep_id=None,
        short=shorten(period.sdk, 24),
    )
