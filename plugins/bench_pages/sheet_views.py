"""What each page shows, as a sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from bench_pages.readers import Held, SweepLine
from bench_pages.sheets import Cell, Sheet
from benchlib.analysis.unpaired import Difference
from benchlib.report import history_words
from benchlib.store.history import History, NightReading
from benchlib.store.incidents import IncidentLine
from benchlib.store.overview import ConfigurationLine, Overview

ACCELERATOR = "Rows with Hardware = no are figures of a CPU or a stand-in: not an inf2 result."

T = TypeVar("T")
Columns = Mapping[str, Callable[[T], Cell]]
"""Header to how a row has it."""


def _sheet(title: str, columns: Columns[T], items: Iterable[T], notes: Sequence[str]) -> Sheet:
    rows = tuple(tuple(cell(item) for cell in columns.values()) for item in items)
    return Sheet(title, tuple(columns), rows, tuple(note for note in notes if note))


def _of(value: Any, name: str) -> Any:
    """An attribute of what may not be there."""
    return None if value is None else getattr(value, name)


OVERVIEW: Columns[ConfigurationLine] = {
    "Standing": lambda line: line.standing,
    "Model": lambda line: line.model,
    "Scenario": lambda line: line.scenario,
    "Sequence length": lambda line: line.sequence_length,
    "Precision": lambda line: line.precision,
    "Backend": lambda line: line.backend,
    "Instance type": lambda line: line.instance_type,
    "Hardware": lambda line: line.hardware,
    "SDK": lambda line: line.sdk,
    "Night": lambda line: line.night,
    "Peak batch size": lambda line: _of(line.peak, "batch_size"),
    "Peak throughput (inf/s)": lambda line: _of(line.peak, "throughput_inf_per_s"),
    "Throughput low (inf/s)": lambda line: line.peak_low_inf_per_s,
    "Throughput high (inf/s)": lambda line: line.peak_high_inf_per_s,
    "P50 at peak (ms)": lambda line: line.peak_p50_ms,
    "P99 at peak (ms)": lambda line: line.peak_p99_ms,
    "Recommended batch size": lambda line: _of(line.recommended, "batch_size"),
    "Reference": lambda line: _of(line.reference, "kind"),
    "Reference throughput (inf/s)": lambda line: _of(line.reference, "median_throughput_inf_per_s"),
    "Change (fraction)": lambda line: _of(line.shift, "relative"),
    "Change low": lambda line: _of(line.shift, "low"),
    "Change high": lambda line: _of(line.shift, "high"),
    "Batch sizes": lambda line: len(line.asked),
    "Valid": lambda line: len(line.valid),
    "Not valid": lambda line: len(line.invalid),
    "Failed": lambda line: len(line.failed),
    "Incidents": lambda line: len(line.incidents),
    "Run": lambda line: line.run_id,
    "Sweep": lambda line: str(line.sweep_id),
}

SWEEPS: Columns[SweepLine] = {
    "Begun": lambda sweep: sweep.created_at,
    "Model": lambda sweep: sweep.model,
    "Scenario": lambda sweep: sweep.scenario,
    "Backend": lambda sweep: sweep.backend,
    "Instance type": lambda sweep: sweep.instance_type,
    "Hardware": lambda sweep: sweep.hardware,
    "SDK": lambda sweep: sweep.sdk,
    "Origin": lambda sweep: sweep.origin,
    "Label": lambda sweep: sweep.label,
    "Batch sizes": lambda sweep: " ".join(map(str, sweep.batch_sizes)),
    "Peak batch size": lambda sweep: sweep.peak_batch_size,
    "Peak throughput (inf/s)": lambda sweep: sweep.throughput_inf_per_s,
    "DAG": lambda sweep: sweep.dag_id,
    "Run": lambda sweep: sweep.run_id,
    "Sweep": lambda sweep: str(sweep.sweep_id),
}

HISTORY: Columns[NightReading] = {
    "Night": lambda night: night.night,
    "Begun": lambda night: night.created_at,
    "Status": history_words.standing_of,
    "Throughput (inf/s)": lambda night: night.throughput_inf_per_s,
    "Throughput low (inf/s)": lambda night: _of(_limits(night), "low"),
    "Throughput high (inf/s)": lambda night: _of(_limits(night), "high"),
    "P50 (ms)": lambda night: night.p50_ms,
    "P90 (ms)": lambda night: night.p90_ms,
    "P95 (ms)": lambda night: night.p95_ms,
    "P99 (ms)": lambda night: night.p99_ms,
    "P99.9 (ms)": lambda night: night.p99_9_ms,
    "Samples": lambda night: night.samples,
    "SDK": lambda night: night.sdk,
    "Environment changes": lambda night: history_words.differences(night.environment_changes),
    "Origin": lambda night: night.origin,
    "Label": lambda night: night.label,
    "Reason": lambda night: night.reason,
    "Sweep": lambda night: str(night.sweep_id),
}

COMPARE: Columns[Difference] = {
    "Batch size": lambda each: each.batch_size,
    "Metric": lambda each: each.metric,
    "First": lambda each: each.first,
    "Second": lambda each: each.second,
    "Change (fraction)": lambda each: each.change,
    "Change low": lambda each: each.limits[0] if each.limits else None,
    "Change high": lambda each: each.limits[1] if each.limits else None,
    "Second is": lambda each: each.standing,
}

INCIDENTS: Columns[IncidentLine] = {
    "Incident": lambda each: each.incident_id,
    "Status": lambda each: each.status,
    "Direction": lambda each: each.direction,
    "Model": lambda each: each.model,
    "Scenario": lambda each: each.scenario,
    "Metric": lambda each: each.metric,
    "Change (fraction)": lambda each: each.relative_change,
    "Batch sizes": lambda each: " ".join(map(str, each.batch_sizes)),
    "Batch sizes known": lambda each: each.batch_sizes_known,
    "Last good night": lambda each: each.last_good_night,
    "First bad night": lambda each: each.first_bad_night,
    "Environment changes": lambda each: each.environment_changes,
    "Backend": lambda each: each.backend,
    "Instance type": lambda each: each.instance_type,
    "Hardware": lambda each: each.hardware,
    "Author": lambda each: each.author,
    "Said": lambda each: each.annotated_at,
    "Reason": lambda each: each.reason,
    "Last good sweep": lambda each: str(each.last_good_sweep_id),
    "First bad sweep": lambda each: str(each.first_bad_sweep_id),
}


def of_overview(overview: Overview) -> Sheet:
    """The last sweep of every configuration."""
    night = f"Last night: {overview.night} (UTC)." if overview.night else "Nothing has run yet."
    return _sheet("Last sweep of every configuration", OVERVIEW, overview.lines, (ACCELERATOR, night))


def of_sweeps(sweeps: Sequence[SweepLine]) -> Sheet:
    """A list of sweeps."""
    return _sheet("Sweeps", SWEEPS, sweeps, (ACCELERATOR,))


def of_history(history: History) -> Sheet:
    """One series, night by night, with all metrics."""
    series = history.series
    title = f"{series.model} at batch size {series.batch_size}, {history.since} to {history.until}"
    notes = (history_words.series_warning(history), " · ".join(history_words.series_facts(series)))
    # On every row, so that one that is cut out can still be told from an accelerator's.
    same: Columns[NightReading] = {
        "Model": lambda _: series.model,
        "Batch size": lambda _: series.batch_size,
        "Hardware": lambda _: series.hardware,
    }
    return _sheet(title, {**HISTORY, **same}, history.nights, notes)


def _limits(night: NightReading) -> Any:
    return night.intervals.get("throughput_inf_per_s")


def of_compare(held: Held) -> Sheet:
    """Two held against each other."""
    sides = (("First", held.first), ("Second", held.second))
    described = (f"{name}: {side.title}. {side.provenance}" for name, side in sides)
    changed = history_words.differences(held.environment) or "Nothing differs in the environment."
    labels: Columns[Difference] = {
        "First figures": lambda _: held.first.provenance,
        "Second figures": lambda _: held.second.provenance,
    }
    notes = (*described, *held.notes, changed, held.warning)
    return _sheet("Second against first", {**COMPARE, **labels}, held.differences, notes)


def of_incidents(incidents: Sequence[IncidentLine]) -> Sheet:
    """Incidents and where they stand."""
    return _sheet("Incidents", INCIDENTS, incidents, (ACCELERATOR,))
