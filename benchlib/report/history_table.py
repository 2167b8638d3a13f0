"""A history as text: one line per night for people, CSV and JSON in full precision for programs."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from pydantic_core import to_jsonable_python

from benchlib.report.exports import harmless
from benchlib.report.grid import Cells, Grid, Tone
from benchlib.report.history_words import (
    METRIC_NAMES,
    Stretch,
    change_words,
    differences,
    missing_state,
    percent,
    series_warning,
    standing_of,
    stretches,
    unit_of,
)
from benchlib.report.table import NOTHING, one_line
from benchlib.store.history import History, Metric, NightReading

SCHEMA_VERSION = 1
"""Of the JSON document; grows when a key changes its meaning or goes away."""

HEADERS = ("Night", "", "vs median", "± 95 %", "Rounds", "SDK", "Remarks")

BARS = "▁▂▃▄▅▆▇█"
NO_BAR = "·"

_TONES: dict[str, Tone] = {
    "not valid": "doubtful",
    "measured again": "doubtful",
    "no sweep": "doubtful",
    "no figure yet": "doubtful",
    "no figure": "bad",
}


@dataclass(frozen=True)
class _Line:
    at: datetime
    tone: Tone
    cells: Cells


def history_grid(history: History, metric: Metric) -> Grid:
    """One line per measurement and one per stretch of nights without one, by time."""
    middle = median_of(history, metric)
    found = _changes_by_sweep(history, metric)
    lines = [_night_line(reading, metric, middle, found) for reading in history.nights]
    lines += [_missing_line(stretch) for stretch in stretches(history.missing)]
    ordered = sorted(lines, key=lambda line: line.at)
    unit = f"{METRIC_NAMES[metric]} ({unit_of(metric)})"
    return Grid(
        (HEADERS[0], unit, *HEADERS[2:]), [(line.tone, line.cells) for line in ordered], frozenset((1, 2, 3))
    )


def median_of(history: History, metric: Metric) -> float | None:
    """Over the valid figures; ``None``: there is none."""
    values = _values(history, metric)
    return statistics.median(values) if values else None


def summary_of(history: History, metric: Metric) -> str:
    """How many nights there are and of what kind, the level, and what was found."""
    kinds = Counter(standing_of(reading) for reading in history.nights)
    counts = [f"{count} {kind}" for kind, count in kinds.items()]
    if history.missing:
        counts.append(f"{len(history.missing)} without a figure")
    values = _values(history, metric)
    parts = [f"{history.since} to {history.until}: {', '.join(counts) or 'nothing'}."]
    if values:
        low, middle, high = min(values), statistics.median(values), max(values)
        parts.append(f"Median {middle:,.3f} {unit_of(metric)}, lowest {low:,.3f}, highest {high:,.3f}.")
    found = history.changes_of(metric)
    words = (f"{change.first_bad_night} {change_words(change)}" for change in found)
    parts.append(f"Changes: {'; '.join(words)}." if found else "No change was found.")
    return " ".join((*parts, series_warning(history))).rstrip()


def sparkline(history: History, metric: Metric, width: int) -> str:
    """The newest nights as bars from the lowest to the highest valid figure; a dot is a night without one.

    Every night from the first to the last has one character, as many as fit.
    """
    by_night = {each.night: each.value(metric) for each in history.nights if standing_of(each) == "valid"}
    known = [value for value in by_night.values() if value is not None]
    if not known:
        return ""
    first, last = min(by_night), max((*by_night, *(each.night for each in history.missing)))
    nights = [date.fromordinal(day) for day in range(first.toordinal(), last.toordinal() + 1)][-width:]
    return "".join(_bar(by_night.get(night), min(known), max(known)) for night in nights)


def render_history_csv(history: History, metric: Metric) -> str:
    """One row per measurement and per night without one; figures in full precision, missing ones empty."""
    target = io.StringIO()
    writer = csv.DictWriter(target, list(_csv_of_night(history, metric, None)), lineterminator="\n")
    writer.writeheader()
    rows = [(each.night, _csv_of_night(history, metric, each)) for each in history.nights]
    blank = _csv_of_night(history, metric, None)
    for missing in history.missing:
        own = {"Status": missing_state(missing), "Reason": harmless(missing.reason)}
        rows.append((missing.night, {**blank, "Night": str(missing.night), **own}))
    writer.writerows(row for _, row in sorted(rows, key=lambda pair: pair[0]))
    return target.getvalue()


def render_history_json(history: History, metric: Metric) -> str:
    """One document; every unit is in its key, figures are unrounded, what is missing is null.

    ===============  =================================================================================
    schema_version   `SCHEMA_VERSION`
    series           what stays the same along the history, hardware false for a CPU or a stand-in
    metric           which one `nights` has as value
    since, until     first and last night, both included
    nights           one per measurement: value, its 95 % interval (low, high), the lowest and highest
                     round, all percentiles, status (ok or invalid) with reason, sdk, environment
                     changes since the measurement before it; confirms_sweep_id where it only measured
                     again what that sweep found in the same night
    missing          nights without a figure: state none (no sweep, or none with this series) or failed,
                     reason
    changes          shifts of this metric
    sdk_changes      nights from which on another SDK was in use
    note             the sentence that sums it up, with whose figures these are
    ===============  =================================================================================
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "series": asdict(history.series),
        "metric": metric,
        "since": history.since,
        "until": history.until,
        "nights": [_json_of_night(reading, metric) for reading in history.nights],
        "missing": [asdict(each) for each in history.missing],
        "changes": [asdict(each) for each in history.changes_of(metric)],
        "sdk_changes": [asdict(each) for each in history.sdk_changes],
        "note": summary_of(history, metric),
    }
    return json.dumps(to_jsonable_python(document), indent=2, allow_nan=False) + "\n"


def _values(history: History, metric: Metric) -> list[float]:
    valid = (each.value(metric) for each in history.nights if standing_of(each) == "valid")
    return [value for value in valid if value is not None]


def _changes_by_sweep(history: History, metric: Metric) -> dict[Any, list[str]]:
    found: dict[Any, list[str]] = {}
    for change in history.changes_of(metric):
        found.setdefault(change.first_bad_sweep_id, []).append(change_words(change))
    return found


def _night_line(
    reading: NightReading, metric: Metric, middle: float | None, changes: dict[Any, list[str]]
) -> _Line:
    value, rounds = reading.value(metric), reading.spreads.get(metric)
    standing = standing_of(reading)
    remarks = [
        *changes.get(reading.sweep_id, ()),
        differences(reading.environment_changes),
        "" if standing == "valid" else f"{standing}: {one_line(reading.reason)}".rstrip(": "),
    ]
    cells = (
        str(reading.night),
        NOTHING if value is None else f"{value:,.3f}",
        NOTHING if value is None or not middle else percent(value / middle - 1, 2),
        _margin(reading, metric),
        NOTHING if rounds is None else f"{rounds.low:,.3f} to {rounds.high:,.3f}",
        one_line(reading.sdk),
        "; ".join(remark for remark in remarks if remark),
    )
    return _Line(
        reading.created_at, _TONES.get(standing, "new" if changes.get(reading.sweep_id) else ""), cells
    )


def _missing_line(stretch: Stretch) -> _Line:
    nights = str(stretch.first) if stretch.first == stretch.last else f"{stretch.first} to {stretch.last}"
    said = stretch.state if stretch.reason == stretch.state else f"{stretch.state}: {stretch.reason}"
    at = datetime(stretch.first.year, stretch.first.month, stretch.first.day, tzinfo=UTC)
    return _Line(at, _TONES[stretch.state], (nights, NOTHING, "", "", "", "", said))


def _margin(reading: NightReading, metric: Metric) -> str:
    """Half of the interval as a share of the figure."""
    limits, value = reading.intervals.get(metric), reading.value(metric)
    if limits is None or not value:
        return NOTHING
    return f"±{100 * (limits.high - limits.low) / 2 / value:.2f} %"


def _bar(value: float | None, low: float, high: float) -> str:
    if value is None:
        return NO_BAR
    share = (value - low) / (high - low) if high > low else 0.5
    return BARS[min(int(share * len(BARS)), len(BARS) - 1)]


def _csv_of_night(history: History, metric: Metric, reading: NightReading | None) -> dict[str, Any]:
    """Without a reading what every row has."""
    series = history.series
    own = _figures_of_night(reading, metric) if reading else dict.fromkeys(_FIGURES)
    return {
        **own,
        "Model": harmless(series.model),
        "Batch size": series.batch_size,
        "Sequence length": series.sequence_length,
        "Precision": series.precision,
        "Scenario": series.scenario,
        "Replicas": series.replicas,
        "Workers": series.workers,
        "Worker mode": series.worker_mode,
        "Backend": harmless(series.backend),
        "Instance type": harmless(series.instance_type or ""),
        "Hardware": "yes" if series.hardware else "no",
        "Series": str(series.series_id),
        "Metric": metric,
        "Provenance": series_warning(history),
    }


_FIGURES = (
    "Night", "Began", "Status", "Reason", "Value", "Low", "High", "Lowest round", "Highest round", "SDK",
    "Environment changes", "Label", "Origin", "Sweep",
)  # fmt: skip


def _figures_of_night(reading: NightReading, metric: Metric) -> dict[str, Any]:
    low, high = reading.intervals.get(metric) or (None, None)
    lowest, highest = reading.spreads.get(metric) or (None, None)
    values: Sequence[Any] = (
        reading.night, reading.created_at.isoformat(), standing_of(reading), harmless(reading.reason),
        reading.value(metric), low, high, lowest, highest, harmless(reading.sdk),
        harmless(differences(reading.environment_changes)), harmless(reading.label or ""), reading.origin,
        reading.sweep_id,
    )  # fmt: skip
    return dict(zip(_FIGURES, values, strict=True))


def _json_of_night(reading: NightReading, metric: Metric) -> dict[str, Any]:
    low, high = reading.intervals.get(metric) or (None, None)
    lowest, highest = reading.spreads.get(metric) or (None, None)
    own = asdict(reading)
    del own["intervals"], own["spreads"]
    return {
        **own, "value": reading.value(metric), "low": low, "high": high, "lowest_round": lowest,
        "highest_round": highest,
    }  # fmt: skip
