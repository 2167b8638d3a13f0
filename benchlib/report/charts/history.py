"""The chart of one series from night to night."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import altair as alt

from benchlib.report.charts.look import (
    DEFAULT_WIDTH_PX,
    RING,
    Heading,
    Look,
    Palette,
    Row,
    colours,
    framed,
    of_kind,
    panel,
    shapes,
)
from benchlib.report.history_words import (
    METRIC_NAMES,
    differences,
    percent,
    series_facts,
    series_warning,
    standing_of,
    stretches,
    unit_of,
)
from benchlib.report.table import NOTE_CHARS, SHORT_ID_CHARS, shorten
from benchlib.store.history import History, Metric, NightReading
from benchlib.store.judgement_lists import ChangeLine
from benchlib.store.sweep_reading import Limits

BREAK_FACTOR = 3.0
"""A line ends where the next figure is this many usual distances away."""

LEAST_SPAN = 0.02
"""The axis reaches at least this share to either side of the median: noise shall look like noise."""

MOST_LABELS = 12
"""More labels than this on one chart cover each other; the rest is in the tooltips."""

ONE_YEAR_MS = 400 * 24 * 3600 * 1000
"""A longer axis needs the years."""

_HOLLOW_DIAMOND = "M0,-1L1,0L0,1L-1,0ZM0,-.5L-.5,0L0,.5L.5,0Z"
_DAY = timedelta(days=1)
_ABOVE, _FOR_LABELS, _BELOW = 0.15, 0.5, 0.12
"""Room above the figures, without and with labels of SDKs, and for the missing nights below: shares of their
span."""


def history_over_time(
    history: History, metric: Metric = "throughput_inf_per_s", look: Look | None = None
) -> alt.LayerChart:
    """One metric from night to night: each figure, the band of its rounds, what shifted and what was missing.

    Invalid nights, and what was measured again to confirm a night's figure, are hollow and off the line,
    imported figures are squares, nights without a figure stand at
    the lower edge. Changes of the SDK are labelled lines, detected changes triangles with their size. The
    tooltip of a night has what differed in the environment.
    """
    look = look or Look()
    palette = look.palette
    figures = [reading for reading in history.nights if reading.value(metric) is not None]
    rows = [
        *_night_rows(figures, metric),
        *_missing_rows(history),
        *_sdk_rows(history, look),
        *_change_rows(history, metric, figures),
    ]
    axes = _Axes(figures, metric, rows, look)
    layers = [
        *_missing_layers(axes),
        *_night_layers(palette, metric, axes),
        *_sdk_layers(palette, axes),
        *_change_layers(palette, axes),
    ]
    return framed(panel(layers, rows, heading_of(history, metric), look), look)


def heading_of(history: History, metric: Metric) -> Heading:
    """The metric, the model and what the series has been measured on."""
    series = history.series
    latency = "" if metric == "throughput_inf_per_s" else " latency"
    title = f"{METRIC_NAMES[metric]}{latency} at batch size {series.batch_size}"
    devices = dict.fromkeys(reading.device for reading in history.nights)
    facts = (f"{history.since} to {history.until}", *devices, *series_facts(series))
    return Heading(title, series.model, facts, series_warning(history))


class _Axes:
    """What the layers have in common."""

    def __init__(
        self, figures: Sequence[NightReading], metric: Metric, rows: Sequence[Row], look: Look
    ) -> None:
        there = {row.get("standing") for row in rows}
        styles = {name: style for name, style in _styles(look.palette).items() if name in there}
        self.colour = colours({name: colour for name, (colour, _) in styles.items()})
        self.shape = shapes({name: shape for name, (_, shape) in styles.items()})
        self.point_size = _point_size(len(figures), look)
        axis = alt.Axis(labelOverlap=True, tickCount=7, format=_date_format(rows))
        scale = alt.Scale(type="utc", nice=False)
        whole = alt.Scale(type="utc", nice=False, domain=_time_domain(rows))
        self.x = alt.X("at:T", title=None, scale=scale, axis=axis)
        # Of one layer: two that say the same are a conflict to Vega-Lite where one is of rectangles.
        self.x_with_domain = alt.X("at:T", title=None, scale=whole, axis=axis)
        self.title = f"{METRIC_NAMES[metric]} ({unit_of(metric)})"
        shifts = [row["value"] for row in rows if row["kind"] == "change"]
        above = _FOR_LABELS if any(row["kind"] == "sdk" for row in rows) else _ABOVE
        self.scale = alt.Scale(domain=_value_domain(figures, metric, above, shifts), nice=False, zero=False)
        axis = alt.Axis(format=",~r" if metric == "throughput_inf_per_s" else "~r", tickCount=6)
        self.y = alt.Y("value:Q", title=self.title, scale=self.scale, axis=axis)


def _night_rows(figures: Sequence[NightReading], metric: Metric) -> Iterator[Row]:
    segments = _segments([reading for reading in figures if standing_of(reading) == "valid"])
    for reading in figures:
        spread = reading.spreads.get(metric)
        value = reading.value(metric)
        yield {
            "kind": "night",
            "at": _moment(reading.created_at),
            "value": value,
            "low": spread.low if spread else value,
            "high": spread.high if spread else value,
            "standing": standing_of(reading),
            # What only confirms began with the sweep that it confirms.
            "segment": segments[reading.created_at] if standing_of(reading) == "valid" else -1,
            "night": str(reading.night),
            "figure": f"{value:,.3f} {unit_of(metric)}",
            "interval": _range(reading.intervals.get(metric)),
            "rounds": _range(spread),
            "sdk": shorten(reading.sdk, 60),
            "environment": differences(reading.environment_changes) or "as before",
            "label": shorten(reading.label or "", 60),
            "sweep": str(reading.sweep_id)[:SHORT_ID_CHARS],
            "reason": shorten(reading.reason, NOTE_CHARS),
        }


def _segments(valid: Sequence[NightReading]) -> Mapping[datetime, int]:
    """Which stretch of the line each valid figure belongs to."""
    times = [reading.created_at for reading in valid]
    distances_days = [(after - before) / _DAY for before, after in pairwise(times)]
    usual_days = statistics.median(distances_days) if distances_days else 1.0
    found, segment = dict.fromkeys(times[:1], 0), 0
    for moment, distance_days in zip(times[1:], distances_days, strict=True):
        segment += distance_days > BREAK_FACTOR * max(usual_days, 1.0)
        found[moment] = segment
    return found


def _missing_rows(history: History) -> Iterator[Row]:
    for stretch in stretches(history.missing):
        yield {
            "kind": "missing",
            "at": _midnight(stretch.first),
            "until": _midnight(stretch.last + _DAY),
            "night": str(stretch.first),
            "last_night": str(stretch.last),
            "standing": stretch.state,
            "reason": stretch.reason,
        }


def _sdk_rows(history: History, look: Look) -> Iterator[Row]:
    """A label needs room: of two upgrades that are close the earlier one has none."""
    whole = (history.until - history.since) / _DAY + 1
    room = whole * 16 / ((look.width_px or DEFAULT_WIDTH_PX) - 100)
    for place, change in enumerate(history.sdk_changes):
        following = history.sdk_changes[place + 1 :][:1]
        crowded = any((later.night - change.night) / _DAY < room for later in following)
        yield {
            "kind": "sdk",
            "at": _moment(change.created_at),
            "words": "" if crowded else _sdk_name(change.after),
            "night": str(change.night),
            "change": shorten(f"{change.before} → {change.after}", 100),
        }


def _sdk_name(sdk: str) -> str:
    """A release of the SDK is stored without its name, another compiler's version with it."""
    return f"SDK {shorten(sdk, 24)}" if sdk[:1].isdigit() else shorten(sdk, 28)


def _change_rows(history: History, metric: Metric, figures: Iterable[NightReading]) -> Iterator[Row]:
    by_sweep = {reading.sweep_id: reading for reading in figures}
    found = history.changes_of(metric)
    largest = sorted(found, key=lambda change: abs(change.relative_change))[-MOST_LABELS:]
    for change in found:
        reading = by_sweep.get(change.first_bad_sweep_id)
        yield {
            "kind": "change",
            "at": _moment(reading.created_at) if reading else _midnight(change.first_bad_night),
            "value": change.after_value,
            "standing": change.direction,
            "words": percent(change.relative_change) if change in largest else "",
            "size": f"{percent(change.relative_change, 2)} ({_interval(change)})",
            "night": f"{change.last_good_night} → {change.first_bad_night}",
            "status": _said(change),
            "environment": shorten(change.environment_changes, NOTE_CHARS),
        }


def _interval(change: ChangeLine) -> str:
    return f"{percent(change.relative_low, 2)} to {percent(change.relative_high, 2)}"


def _said(change: ChangeLine) -> str:
    if change.author is None:
        return change.status
    return shorten(f"{change.status}, {change.author}: {change.reason}", NOTE_CHARS)


def _night_layers(palette: Palette, metric: Metric, axes: _Axes) -> list[alt.Chart]:
    nights, valid = of_kind("night"), of_kind("night").transform_filter(alt.datum.standing == "valid")
    segment, low = alt.Detail("segment:N"), alt.Y("low:Q", title=axes.title, scale=axes.scale)
    band = valid.mark_area(opacity=0.2, color=palette.series, aria=False)
    line = valid.mark_line(strokeWidth=1.5, color=palette.series, opacity=0.7)
    points = nights.mark_point(filled=True, opacity=1)
    # A hollow point that is too small would look like any other.
    hollow = (alt.datum.standing == "not valid") | (alt.datum.standing == "measured again")
    size = alt.condition(hollow, alt.value(max(axes.point_size, 36)), alt.value(axes.point_size))
    return [
        band.encode(x=axes.x_with_domain, y=low, y2="high:Q", detail=segment),
        line.encode(x=axes.x, y=axes.y, detail=segment),
        points.encode(
            x=axes.x,
            y=axes.y,
            color=axes.colour,
            shape=axes.shape,
            size=size,
            tooltip=_night_tooltip(metric),
        ),
    ]


def _night_tooltip(metric: Metric) -> list[alt.Tooltip]:
    titles = {
        "night": "Night",
        "figure": METRIC_NAMES[metric],
        "interval": "95 % interval",
        "rounds": "Rounds",
        "standing": "Standing",
        "reason": "Reason",
        "sdk": "SDK",
        "environment": "Environment",
        "label": "Label",
        "sweep": "Sweep",
    }
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in titles.items()]


def _point_size(nights: int, look: Look) -> float:
    """Smaller where there are more of them, so that neighbours do not cover each other."""
    room_px = ((look.width_px or DEFAULT_WIDTH_PX) - 90) / max(nights, 1)
    return min(max(0.9 * room_px, 2.5), 7.0) ** 2


def _missing_layers(axes: _Axes) -> list[alt.Chart]:
    missing = of_kind("missing").mark_rect(
        y=alt.expr("height - 9"), y2=alt.expr("height"), opacity=0.9, minBandSize=2
    )
    tooltip = [
        alt.Tooltip("night:N", title="First night"),
        alt.Tooltip("last_night:N", title="Last night"),
        alt.Tooltip("standing:N", title="Missing"),
        alt.Tooltip("reason:N", title="Reason"),
    ]
    return [missing.encode(x=axes.x, x2="until:T", color=axes.colour, tooltip=tooltip)]


def _sdk_layers(palette: Palette, axes: _Axes) -> list[alt.Chart]:
    sdk = of_kind("sdk")
    tooltip = [alt.Tooltip("night:N", title="First night"), alt.Tooltip("change:N", title="SDK")]
    words = sdk.mark_text(angle=270, align="right", baseline="bottom", y=2, dx=0, dy=-3, fontSize=11)
    return [
        sdk.mark_rule(strokeDash=[3, 3], strokeWidth=1.5, color=palette.other).encode(
            x=axes.x, tooltip=tooltip
        ),
        words.encode(x=axes.x, text="words:N", color=alt.value(palette.other), tooltip=tooltip),
    ]


def _change_layers(palette: Palette, axes: _Axes) -> list[alt.Chart]:
    tooltip = [
        alt.Tooltip("size:N", title="Change"),
        alt.Tooltip("night:N", title="Nights"),
        alt.Tooltip("status:N", title="Status"),
        alt.Tooltip("environment:N", title="Environment"),
    ]
    layers = []
    for direction, (shape, colour) in _directions(palette).items():
        change = of_kind("change").transform_filter(alt.datum.standing == direction)
        mark = change.mark_point(
            filled=True,
            shape=shape,
            size=150,
            color=colour,
            opacity=1,
            stroke=palette.background,
            yOffset=-14,
        )
        words = change.mark_text(align="left", dx=9, dy=-16, fontWeight="bold", fontSize=12, color=colour)
        layers += [
            mark.encode(x=axes.x, y=axes.y, tooltip=tooltip),
            words.encode(x=axes.x, y=axes.y, text="words:N", tooltip=tooltip),
        ]
    return layers


def _directions(palette: Palette) -> dict[str, tuple[str, str]]:
    return {"worse": ("triangle-down", palette.bad), "better": ("triangle-up", palette.good)}


def _styles(palette: Palette) -> dict[str, tuple[str, str]]:
    """Colour and shape of what a night can be."""
    bar = "M-1.2,-.5H1.2V.5H-1.2Z"
    return {
        "valid": (palette.series, "circle"),
        "imported": (palette.other, "square"),
        "not valid": (palette.muted, RING),
        "measured again": (palette.other, _HOLLOW_DIAMOND),
        "no sweep": (palette.muted, bar),
        "no figure yet": (palette.other, bar),
        "no figure": (palette.bad, bar),
    }


def _value_domain(
    figures: Iterable[NightReading], metric: Metric, above: float, shifts: Iterable[float]
) -> list[float]:
    values = [value for reading in figures if (value := reading.value(metric)) is not None]
    if not values:
        return [0.0, 1.0]
    of_rounds = [spread for reading in figures if (spread := reading.spreads.get(metric))]
    middle, all_of_them = statistics.median(values), [*values, *shifts]
    low = min(*all_of_them, middle * (1 - LEAST_SPAN), *(spread.low for spread in of_rounds))
    high = max(*all_of_them, middle * (1 + LEAST_SPAN), *(spread.high for spread in of_rounds))
    return [low - _BELOW * (high - low), high + above * (high - low)]


def _time_domain(rows: Iterable[Row]) -> list[int] | alt.UndefinedType:
    """A little more than what there is, so that nothing lies on the edge."""
    moments = [row[key] for row in rows for key in ("at", "until") if key in row]
    if not moments:
        return alt.Undefined
    first, last = min(moments), max(moments)
    margin = max((last - first) // 50, 12 * 3600 * 1000)
    return [first - margin, last + margin]


def _date_format(rows: Iterable[Row]) -> str:
    moments = [row["at"] for row in rows]
    is_long = bool(moments) and max(moments) - min(moments) > ONE_YEAR_MS
    return "%b %Y" if is_long else "%b %-d"


def _moment(moment: datetime) -> int:
    """In ms since 1970, as Vega counts."""
    return round(moment.timestamp() * 1000)


def _midnight(night: date) -> int:
    return _moment(datetime.combine(night, time(), UTC))


def _range(limits: Limits | None) -> str:
    return f"{limits.low:,.3f} to {limits.high:,.3f}" if limits else "not known"
