"""What one wants to know in the morning: the last sweep of every configuration, the worst first."""

from __future__ import annotations

import math
import statistics
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, get_args

from scipy import stats
from sqlalchemy import Connection, Engine, Row, text

from benchlib.analysis.comparison import Comparison, ComparisonRow
from benchlib.analysis.peak import LEVEL_FRACTION, Peak, Recommendation, find_peak, recommend
from benchlib.results import CONFIDENCE
from benchlib.store.coverage import Gap
from benchlib.store.faults import explained
from benchlib.store.history import GIVEN_UP_AFTER_DAYS
from benchlib.store.incidents import Chosen, IncidentLine, list_incidents
from benchlib.store.judgements import OPEN
from benchlib.store.repository import ROW_FIELDS

WEEK_DAYS = 7
REFERENCE_NIGHTS = 30
"""Of a long baseline the last so many nights say how much nights differ."""
FEWEST_NIGHTS = 3
"""Fewer do not say how much nights differ."""
MOST_INCIDENTS = 500

Standing = Literal[
    "failed", "worse", "lower", "incomplete", "missing", "due", "unfinished", "acknowledged", "better", "fine"
]
"""From the worst to the best:

============  ========================================================================================
failed        no batch size of the last sweep has a valid figure
worse         an incident for the worse waits for somebody
lower         the peak lies below its reference by more than `LEVEL_FRACTION`, interval and all
incomplete    a batch size of the last sweep failed or is not valid
missing       the night on which a sweep was due is over, and there is none
due           a sweep is due tonight, others ran, this one did not yet
unfinished    the last sweep goes on
acknowledged  somebody looks at an incident for the worse
better        an incident for the better waits for somebody
fine          none of these
============  ========================================================================================

The next sweep is due after `ConfigurationLine.usual_distance_days`, but never before the last night on which
any DAG ran: where nothing ran, all are late (`Overview.is_late`).
"""
STANDINGS: tuple[Standing, ...] = get_args(Standing)

_SWEEPS = text("""
    SELECT
        sweep.sweep_id, sweep.dag_id, sweep.run_id, sweep.night, sweep.created_at, sweep.label, sweep.origin,
        sweep.model, sweep.model_revision, sweep.model_variant, sweep.sequence_length, sweep.compiler_args,
        sweep.scenario, sweep.backend, sweep.precision, sweep.replicas, sweep.workers, sweep.worker_mode,
        sweep.latency_limit_ms, sweep.target_batches_per_s,
        ran.hardware, ran.instance_type, ran.device, ran.sdk
    FROM sweep
    -- One figure of a stand-in, and the sweep is no accelerator's.
    CROSS JOIN LATERAL (
        SELECT
            bool_and(environment.hardware) AS hardware,
            string_agg(DISTINCT environment.instance_type, ', ') AS instance_type,
            string_agg(DISTINCT environment.device, ', ') AS device,
            string_agg(DISTINCT environment.sdk, ', ') AS sdk
        FROM measurement AS measured
        INNER JOIN environment ON environment.environment_id = measured.environment_id
        WHERE measured.sweep_id = sweep.sweep_id AND measured.scenario = sweep.scenario
    ) AS ran
    WHERE sweep.origin = 'dag'
        AND sweep.confirms_sweep_id IS NULL
        AND sweep.night BETWEEN :since AND :until
        AND (CAST(:model AS text) IS NULL OR sweep.model = :model)
    ORDER BY sweep.created_at DESC, sweep.sweep_id
""")

_NEWEST = text(
    "SELECT night FROM sweep WHERE origin = 'dag' AND created_at < :end ORDER BY created_at DESC LIMIT 1"
)

_ROWS = text(f"""
    SELECT sweep_id, precision, {", ".join(ROW_FIELDS)}
    FROM comparison_table
    WHERE sweep_id = ANY(:sweeps)
    ORDER BY batch_size
""")  # noqa: S608 - our own column names

_SERIES = text("""
    SELECT DISTINCT measured.sweep_id, measured.batch_size, measured.series_id, series.configuration_id
    FROM measurement AS measured
    INNER JOIN series ON series.series_id = measured.series_id
    WHERE measured.sweep_id = ANY(:sweeps)
""")

_BASELINES = text("""
    SELECT series_id, baseline_kind, first_night, last_night, sweeps, median_throughput_inf_per_s
    FROM current_baseline
    WHERE series_id = ANY(:series) AND sweeps > 0
""")

_VALUES = text("""
    SELECT asked.place - 1 AS place, valid.night, valid.throughput_inf_per_s
    FROM unnest(CAST(:series AS uuid[]), CAST(:since AS date[]), CAST(:until AS date[]))
        WITH ORDINALITY AS asked (series_id, since, until, place)
    INNER JOIN valid_measurement AS valid
        ON valid.series_id = asked.series_id AND valid.night BETWEEN asked.since AND asked.until
    WHERE valid.origin = 'dag'
    ORDER BY valid.created_at
""")

_COVERAGE = text("""
    SELECT model, coalesce(instance_type, backend) AS ran_on, state, reason, batch_size
    FROM coverage
    WHERE night = :night
        AND night <= last_night + :given_up_after_days
        AND (CAST(:model AS text) IS NULL OR model = :model)
    ORDER BY model, ran_on, batch_size
""")


@dataclass(frozen=True)
class Reference:
    """What the throughput of a peak is held against: other nights of the same batch size."""

    kind: Literal["pinned", "automatic", "week before"]
    """A baseline that a person pinned or a detector chose; where there is none, the seven nights before."""
    median_throughput_inf_per_s: float
    nights: int
    """Valid measurements in it."""
    first_night: date
    last_night: date


@dataclass(frozen=True)
class Shift:
    """The throughput over that of the reference, minus 1: -0.03 is a loss of 3 %.

    The limits are those of the 95 % interval of the difference between one night and the level of the
    reference, ``t * s * sqrt(1 + 1 / n)`` to both sides, with the spread ``s`` between its ``n`` nights
    (Student's t, n - 1 degrees of freedom); ``None``: fewer than `FEWEST_NIGHTS` nights.
    """

    relative: float
    low: float | None
    high: float | None

    @property
    def is_loss(self) -> bool:
        """Whether it is a loss that nights like those before do not explain."""
        return self.high is not None and self.high < 0 and self.relative < -LEVEL_FRACTION


@dataclass(frozen=True)
class ConfigurationLine:
    """One configuration, as a sweep asks for it, on one kind of machine: its last sweep."""

    standing: Standing
    sweep_id: uuid.UUID
    dag_id: str
    run_id: str
    night: date
    usual_distance_days: int
    """From one of its nights to the next: the median of those in reach, 1 where there is only one night."""
    created_at: datetime
    label: str | None
    model: str
    model_revision: str | None
    model_variant: str | None
    sequence_length: int
    precision: str | None
    """Of the programs; ``None``: none was made."""
    compiler_args: tuple[str, ...]
    scenario: str
    backend: str
    instance_type: str | None
    device: str | None
    hardware: bool
    """False for a CPU or a stand-in, and where nothing was measured: never an accelerator's figures."""
    sdk: str | None
    replicas: int | None
    workers: int | None
    worker_mode: str | None
    """Of the peak."""
    asked: tuple[int, ...]
    valid: tuple[int, ...]
    invalid: tuple[int, ...]
    failed: tuple[int, ...]
    pending: tuple[int, ...]
    """Batch sizes, by what became of them; pending ones have no result yet, within a day of the start."""
    peak: Peak | None
    peak_low_inf_per_s: float | None
    peak_high_inf_per_s: float | None
    """The 95 % limits of the peak's throughput."""
    peak_p50_ms: float | None
    peak_p99_ms: float | None
    peak_series_id: uuid.UUID | None
    recommended: Recommendation | None
    reference: Reference | None
    shift: Shift | None
    """Of the peak's throughput against the reference."""
    incidents: tuple[IncidentLine, ...]
    """Open and acknowledged ones that are not muted, the worst first."""


@dataclass(frozen=True)
class NightCoverage:
    """What one night brought, of every series that is still measured."""

    night: date
    expected: int
    valid: int
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class Overview:
    """The morning's page."""

    today: date
    """UTC."""
    night: date | None
    """The last one on which a sweep of a DAG began; ``None``: none ever did."""
    coverage: NightCoverage | None
    lines: tuple[ConfigurationLine, ...]
    """The worst first."""
    incidents: tuple[IncidentLine, ...]
    """All that are open or acknowledged and not muted, the worst first."""

    @property
    def is_late(self) -> bool:
        """Whether neither today nor yesterday brought a sweep."""
        return self.night is not None and self.night < self.today - timedelta(days=1)


def read_overview(engine: Engine, today: date | None = None, model: str | None = None) -> Overview:
    """Look at the last sweep of every configuration that ran within `GIVEN_UP_AFTER_DAYS`.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    today = today or datetime.now(UTC).date()
    incidents = list_incidents(engine, Chosen(model=model, limit=MOST_INCIDENTS))
    with explained(engine), engine.connect() as connection:
        end = datetime.combine(today + timedelta(days=1), datetime.min.time(), UTC)
        night = connection.scalar(_NEWEST, {"end": end})
        if night is None:
            return Overview(today, None, None, (), incidents)
        newest = _newest(connection, night, model)
        lines = list(_lines(connection, newest, (night, today), incidents))
        covered = _coverage(connection, night, model)
    return Overview(today, night, covered, tuple(sorted(lines, key=_badness)), incidents)


@dataclass(frozen=True)
class _Sweep:
    """The last one of a configuration."""

    asked: Row[Any]
    instance_type: str | None
    usual_distance_days: int


def _newest(connection: Connection, night: date, model: str | None) -> list[_Sweep]:
    """The last sweep of each configuration.

    One that failed before it told its machine belongs to the configuration that asked the same and ran last.
    """
    since = night - timedelta(days=GIVEN_UP_AFTER_DAYS)
    rows = connection.execute(_SWEEPS, {"since": since, "until": night, "model": model}).all()
    machine = {_asked(row): _machine(row) for row in reversed(rows) if row.hardware is not None}
    found: dict[Any, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        ran_on = machine.get(_asked(row), (None, False)) if row.hardware is None else _machine(row)
        found[_asked(row), ran_on].append(row)
    return [
        _Sweep(sweeps[0], ran_on[0], _usual_distance_days([sweep.night for sweep in sweeps]))
        for (_, ran_on), sweeps in found.items()
    ]


def _usual_distance_days(nights: Iterable[date]) -> int:
    ordered = sorted(set(nights))
    return statistics.median_high([(later - earlier).days for earlier, later in pairwise(ordered)] or [1])


def _asked(row: Row[Any]) -> tuple[Any, ...]:
    return (
        row.dag_id, row.model, row.model_revision, row.model_variant, row.sequence_length, row.precision,
        tuple(row.compiler_args), row.scenario, row.backend, row.replicas, row.workers, row.worker_mode,
        row.latency_limit_ms, row.target_batches_per_s,
    )  # fmt: skip


def _machine(row: Row[Any]) -> tuple[str | None, bool]:
    return row.instance_type, row.hardware


def _lines(
    connection: Connection,
    sweeps: Sequence[_Sweep],
    now: tuple[date, date],
    incidents: Sequence[IncidentLine],
) -> Iterator[ConfigurationLine]:
    asked = {"sweeps": [sweep.asked.sweep_id for sweep in sweeps]}
    rows: dict[uuid.UUID, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(_ROWS, asked):
        rows[row.sweep_id].append(row)
    series = _series(connection, asked)
    lines = [
        _line(sweep, rows[sweep.asked.sweep_id], series[sweep.asked.sweep_id], incidents) for sweep in sweeps
    ]
    references = _references(connection, lines)
    for line in lines:
        yield _judged(line, references.get(line.sweep_id), *now)


@dataclass
class _Series:
    """Those of one sweep."""

    by_size: dict[int, set[uuid.UUID]] = field(default_factory=lambda: defaultdict(set))
    configurations: set[uuid.UUID] = field(default_factory=set)


def _series(connection: Connection, asked: Mapping[str, Any]) -> Mapping[uuid.UUID, _Series]:
    found: dict[uuid.UUID, _Series] = defaultdict(_Series)
    for sweep_id, batch_size, series_id, configuration_id in connection.execute(_SERIES, asked):
        found[sweep_id].by_size[batch_size].add(series_id)
        found[sweep_id].configurations.add(configuration_id)
    return found


def _line(
    last: _Sweep,
    rows: Sequence[Row[Any]],
    series: _Series,
    incidents: Sequence[IncidentLine],
) -> ConfigurationLine:
    """All but the reference and the standing."""
    sweep = last.asked
    comparison = _comparison(sweep, rows)
    peak = find_peak(comparison.rows)
    best = next((row for row in comparison.rows if peak and row.batch_size == peak.batch_size), None)
    of_peak = list(series.by_size.get(peak.batch_size, ())) if peak else []
    pending = _pending(sweep, comparison.rows)
    low, high = (best and best.throughput_limits) or (None, None)
    return ConfigurationLine(
        standing="fine",
        sweep_id=sweep.sweep_id,
        dag_id=sweep.dag_id,
        run_id=sweep.run_id,
        night=sweep.night,
        usual_distance_days=last.usual_distance_days,
        created_at=sweep.created_at,
        label=sweep.label,
        model=sweep.model,
        model_revision=sweep.model_revision,
        model_variant=sweep.model_variant,
        sequence_length=sweep.sequence_length,
        precision=comparison.precision,
        compiler_args=tuple(sweep.compiler_args),
        scenario=sweep.scenario,
        backend=sweep.backend,
        instance_type=last.instance_type,
        device=sweep.device,
        hardware=bool(sweep.hardware),
        sdk=sweep.sdk,
        replicas=best.replicas if best else sweep.replicas,
        workers=best.workers if best else sweep.workers,
        worker_mode=best.worker_mode if best else None,
        asked=tuple(row.batch_size for row in comparison.rows),
        valid=_sizes(comparison.rows, "ok"),
        invalid=_sizes(comparison.rows, "invalid"),
        failed=tuple(size for size in _sizes(comparison.rows, "failed") if size not in pending),
        pending=pending,
        peak=peak,
        peak_low_inf_per_s=low,
        peak_high_inf_per_s=high,
        peak_p50_ms=best.p50_ms if best else None,
        peak_p99_ms=best.p99_ms if best else None,
        peak_series_id=of_peak[0] if len(of_peak) == 1 else None,
        recommended=recommend(comparison),
        reference=None,
        shift=None,
        incidents=tuple(each for each in incidents if each.configuration_id in series.configurations),
    )


def _comparison(sweep: Row[Any], rows: Sequence[Row[Any]]) -> Comparison:
    return Comparison(
        sweep_id=sweep.sweep_id,
        model=sweep.model,
        sequence_length=sweep.sequence_length,
        backend=sweep.backend,
        precision=", ".join(dict.fromkeys(row.precision for row in rows if row.precision)) or None,
        device=sweep.device or "unknown",
        hardware=bool(sweep.hardware),
        instance_type=sweep.instance_type,
        label=sweep.label,
        origin=sweep.origin,
        created_at=sweep.created_at,
        latency_limit_ms=sweep.latency_limit_ms,
        scenario=sweep.scenario,
        rows=tuple(ComparisonRow(**{name: getattr(row, name) for name in ROW_FIELDS}) for row in rows),
    )


def _sizes(rows: Iterable[ComparisonRow], status: str) -> tuple[int, ...]:
    return tuple(row.batch_size for row in rows if row.status == status)


def _pending(sweep: Row[Any], rows: Iterable[ComparisonRow]) -> tuple[int, ...]:
    """As the view `coverage` tells what is not finished from what has no result."""
    if sweep.created_at <= datetime.now(UTC) - timedelta(days=1):
        return ()
    return tuple(row.batch_size for row in rows if row.status == "failed" and row.reason == "no result")


def _references(
    connection: Connection, lines: Iterable[ConfigurationLine]
) -> Mapping[uuid.UUID, tuple[Reference, Shift]]:
    measured = [line for line in lines if line.peak and line.peak_series_id]
    series = [line.peak_series_id for line in measured]
    found = {row.series_id: row for row in connection.execute(_BASELINES, {"series": series})}
    baselines = [found.get(series_id) for series_id in series]
    spans = [_span(line, baseline) for line, baseline in zip(measured, baselines, strict=True)]
    asked = {"series": series, "since": [since for since, _ in spans], "until": [until for _, until in spans]}
    nights: dict[int, list[tuple[date, float]]] = defaultdict(list)
    for place, night, value in connection.execute(_VALUES, asked):
        nights[place].append((night, value))
    held = {
        line.sweep_id: _held(line, baseline, nights[place])
        for place, (line, baseline) in enumerate(zip(measured, baselines, strict=True))
    }
    return {sweep_id: each for sweep_id, each in held.items() if each is not None}


def _span(line: ConfigurationLine, baseline: Row[Any] | None) -> tuple[date, date]:
    if baseline is None:
        return line.night - timedelta(days=WEEK_DAYS), line.night - timedelta(days=1)
    earliest = baseline.last_night - timedelta(days=REFERENCE_NIGHTS)
    return max(baseline.first_night, earliest), baseline.last_night


def _held(
    line: ConfigurationLine, baseline: Row[Any] | None, found: Sequence[tuple[date, float]]
) -> tuple[Reference, Shift] | None:
    """The peak against its reference; ``None`` without one."""
    if not found or line.peak is None:
        return None
    values = [value for _, value in found]
    if baseline is None:
        nights = (found[0][0], found[-1][0])
        reference = Reference("week before", statistics.median(values), len(values), *nights)
    else:
        reference = Reference(
            baseline.baseline_kind,
            baseline.median_throughput_inf_per_s,
            baseline.sweeps,
            baseline.first_night,
            baseline.last_night,
        )
    return reference, _shift(line.peak.throughput_inf_per_s, reference.median_throughput_inf_per_s, values)


def _shift(value: float, level: float, values: Sequence[float]) -> Shift:
    relative = value / level - 1
    if len(values) < FEWEST_NIGHTS:
        return Shift(relative, None, None)
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    half = quantile * statistics.stdev(values) / level * math.sqrt(1 + 1 / len(values))
    return Shift(relative, relative - half, relative + half)


def _judged(
    line: ConfigurationLine, held: tuple[Reference, Shift] | None, night: date, today: date
) -> ConfigurationLine:
    reference, shift = held or (None, None)
    known = replace(line, reference=reference, shift=shift)
    return replace(known, standing=_standing(known, night, today))


def _standing(line: ConfigurationLine, night: date, today: date) -> Standing:
    due = line.night + timedelta(days=line.usual_distance_days)
    stand = {(each.direction, "open" if each.status in OPEN else each.status) for each in line.incidents}
    holds: Mapping[Standing, bool] = {
        "failed": not line.valid and not line.pending,
        "worse": ("worse", "open") in stand,
        # A loss that somebody looks at already is no news.
        "lower": line.shift is not None and line.shift.is_loss and ("worse", "acknowledged") not in stand,
        "incomplete": bool(line.invalid or line.failed),
        "missing": due <= night and due < today,
        "due": due <= night,
        "unfinished": bool(line.pending),
        "acknowledged": ("worse", "acknowledged") in stand,
        "better": ("better", "open") in stand,
    }
    return next((standing for standing in STANDINGS if holds.get(standing)), "fine")


def _badness(line: ConfigurationLine) -> tuple[Any, ...]:
    """The worst standing first; of the same, the largest loss."""
    losses = [abs(each.relative_change or 0.0) for each in line.incidents if each.direction == "worse"]
    size = max(losses, default=0.0)
    shift = line.shift.relative if line.shift else 0.0
    name = (line.model, line.scenario, line.instance_type or "", line.backend, str(line.sweep_id))
    return STANDINGS.index(line.standing), -size, shift, *name


def _coverage(connection: Connection, night: date, model: str | None) -> NightCoverage:
    values = {"night": night, "given_up_after_days": GIVEN_UP_AFTER_DAYS, "model": model}
    rows = connection.execute(_COVERAGE, values).all()
    sizes: dict[tuple[Any, Any, Any, Any], set[int]] = defaultdict(set)
    for row in rows:
        if row.state != "valid":
            sizes[row.model, row.ran_on, row.state, row.reason].add(row.batch_size)
    gaps = (
        Gap(night, model, ran_on, state, reason, tuple(sorted(found)))
        for (model, ran_on, state, reason), found in sizes.items()
    )
    return NightCoverage(night, len(rows), sum(row.state == "valid" for row in rows), tuple(gaps))
