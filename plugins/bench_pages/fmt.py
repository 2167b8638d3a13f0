"""Figures and names as people read them; what is missing is a dash."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime

from benchlib.report.table import NOTHING, SHORT_ID_CHARS, one_line, shorten

MINUS = "\N{MINUS SIGN}"
NAME_CHARS = 80

UNITS = {
    "throughput_inf_per_s": "inf/s",
    "p50_ms": "ms",
    "p90_ms": "ms",
    "p95_ms": "ms",
    "p99_ms": "ms",
    "p99_9_ms": "ms",
}
METRIC_NAMES = {
    "throughput_inf_per_s": "Throughput",
    "p50_ms": "P50 latency",
    "p90_ms": "P90 latency",
    "p95_ms": "P95 latency",
    "p99_ms": "P99 latency",
    "p99_9_ms": "P99.9 latency",
}


def figure(value: float | None) -> str:
    """Five significant digits, thousands apart: 17 585, 939.06, 0.93912."""
    if value is None:
        return NOTHING
    digits = 0 if abs(value) >= 10_000 else max(0, 5 - len(f"{abs(value):.0f}")) if abs(value) >= 1 else 4
    return f"{value:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def rate(value: float | None) -> str:
    """Inferences per second."""
    if value is None:
        return NOTHING
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def ms(value: float | None) -> str:
    """Milliseconds."""
    return NOTHING if value is None else f"{value:.{3 if value < 100 else 1}f}"


def seconds(value: float | None) -> str:
    """Seconds."""
    return NOTHING if value is None else f"{value:.1f}"


def megabytes(value: int | None) -> str:
    """Bytes as MB."""
    return NOTHING if value is None else f"{value / 1e6:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def signed_percent(fraction: float | None) -> str:
    """A fraction as signed percents: -0.031 is -3.1 %, with a real minus sign."""
    if fraction is None:
        return NOTHING
    percent = 100 * fraction
    text = f"{abs(percent):.1f}" if abs(percent) < 99.95 else f"{abs(percent):.0f}"
    sign = "" if float(text) == 0 else MINUS if percent < 0 else "+"
    return f"{sign}{text}\N{NO-BREAK SPACE}%"


def interval(low: float | None, high: float | None) -> str:
    """Two fractions as percents, such as +1.2 to +3.4 %."""
    if low is None or high is None:
        return ""
    ends = [signed_percent(end).removesuffix("\N{NO-BREAK SPACE}%") for end in (low, high)]
    return f"{ends[0]} to {ends[1]}\N{NO-BREAK SPACE}%"


def margin(low: float | None, value: float | None, high: float | None) -> str:
    """Half of an interval over its figure: ±0.4 %."""
    if low is None or high is None or not value:
        return ""
    percent = 100 * (high - low) / 2 / value
    return f"±{percent:.{1 if percent >= 0.1 else 2}f}\N{NO-BREAK SPACE}%"


def night(value: date | None) -> str:
    """A date."""
    return NOTHING if value is None else f"{value:%Y-%m-%d}"


def moment(value: datetime | None) -> str:
    """A time, UTC."""
    return NOTHING if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def short_id(value: uuid.UUID | str) -> str:
    """The beginning of an id."""
    return str(value)[:SHORT_ID_CHARS]


def name(value: str | None, chars: int = NAME_CHARS) -> str:
    """A name that somebody gave, on one line of bounded length, without characters that reverse it."""
    return NOTHING if value is None else shorten(value, chars)


def full(value: str | None) -> str:
    """The whole name on one line."""
    return NOTHING if value is None else one_line(value)


def count(value: int | None) -> str:
    """A number of things."""
    return NOTHING if value is None else f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def sizes(values: Sequence[int]) -> str:
    """Batch sizes, runs drawn together: 1 to 4, 8."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    parts = [
        str(run[0]) if len(run) == 1 else f"{run[0]}, {run[1]}" if len(run) == 2 else f"{run[0]} to {run[-1]}"
        for run in runs
    ]
    return ", ".join(parts) or NOTHING


def provenance(backend: str, hardware: bool) -> str:
    """Empty for an accelerator; else what the figures are of."""
    if hardware:
        return ""
    return "CPU, not inf2" if backend == "cpu" else "stand-in, not inf2"


FILTERS = {
    each.__name__: each
    for each in (
        figure, rate, ms, seconds, megabytes, signed_percent, interval, margin, night, moment, short_id, name,
        full, sizes, count,
    )
}  # fmt: skip
