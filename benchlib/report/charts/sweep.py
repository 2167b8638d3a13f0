"""The charts of one sweep: throughput, latency and the distribution of latency over the batch sizes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC

import altair as alt

from benchlib.analysis.comparison import Comparison, ComparisonRow
from benchlib.analysis.peak import provenance
from benchlib.report.charts.look import (
    CROSS,
    POINT_SIZE,
    RING,
    Heading,
    Look,
    Palette,
    Row,
    batch_size_axis,
    colours,
    framed,
    interval_layers,
    of_kind,
    panel,
    shapes,
    stacked,
)
from benchlib.report.table import NOTE_CHARS, SHORT_ID_CHARS, marks, shorten
from benchlib.store.sweep_reading import Bucket, Limits, SizeReading, SweepReading

PERCENTILES: Mapping[str, str] = {"p50_ms": "P50", "p95_ms": "P95", "p99_ms": "P99"}
"""Of the table; field to name."""

THROUGHPUT_TITLE = "Throughput by batch size"

LOG_FROM_RATIO = 12
"""Latencies further apart than this get a logarithmic axis."""

RIDGE_SHARE = 0.86
"""Height of the highest point of a distribution, as a share of the distance between two."""

RIDGE_PX = 40

_Drawing = tuple[list[alt.Chart], list[Row]]
"""The layers of a chart and the rows that they draw."""

_STANDINGS = {
    "peak": "peak",
    "tied": "tied with the peak",
    "level": "level with the peak",
    "ok": "valid",
    "invalid": "not valid",
    "failed": "failed",
}


def throughput_by_batch_size(sweep: SweepReading, look: Look | None = None) -> alt.LayerChart:
    """Throughput with its 95 % intervals; the peak and what is tied with it stand out.

    An invalid size is shown hollow and off the line, a failed one as a cross on the axis.
    """
    look = look or Look()
    return framed(panel(*_throughput(sweep, look), heading_of(sweep, THROUGHPUT_TITLE), look), look)


def latency_by_batch_size(sweep: SweepReading, look: Look | None = None) -> alt.LayerChart:
    """P50, P95 and P99 of one batch with their 95 % intervals; the sweep's limit as a line.

    The axis is logarithmic where the figures are far apart. An invalid size is shown hollow, off the lines.
    """
    look = look or Look()
    return framed(panel(*_latency(sweep, look), heading_of(sweep, _latency_title(sweep)), look), look)


def overview(sweep: SweepReading, look: Look | None = None) -> alt.VConcatChart:
    """Throughput above latency: one image for a chat."""
    look = look or Look()
    whole = heading_of(sweep, THROUGHPUT_TITLE)
    below = replace(whole, title=_latency_title(sweep), model="", facts=())
    panels = [
        panel(*_throughput(sweep, look), whole, look, in_stack=True),
        panel(*_latency(sweep, look), below, look, in_stack=True),
    ]
    return stacked(panels, look)


def latency_distribution(sweep: SweepReading, look: Look | None = None) -> alt.LayerChart | None:
    """The latencies of all batches, one ridge per batch size, with the percentiles as lines.

    Every ridge is as high as its fullest bucket, whatever the number of batches; that of an invalid size is
    grey and says so at the axis. ``None``: there is no histogram, as of an imported table.
    """
    look = look or Look()
    sizes = [size for size in sweep.sizes if size.buckets]
    if not sizes:
        return None
    rows = [row for place, size in enumerate(sizes) for row in _ridge_rows(sweep, place, size)]
    x = alt.X(
        "latency_ms:Q", title="Latency of one batch (ms)",
        scale=alt.Scale(type="log", nice=False, domain=_spread_of(sizes)),
        axis=alt.Axis(format="~r", tickCount=5, grid=True, labelOverlap=True),
    )  # fmt: skip
    y = alt.Y("height:Q", title="Batch size", scale=alt.Scale(domain=[0, len(sizes)]), axis=_size_axis(sizes))
    tooltip = [
        alt.Tooltip("batch_size:O", title="Batch size"),
        alt.Tooltip("standing:N", title="Percentile"),
        alt.Tooltip("latency_ms:Q", title="Latency (ms)", format=",.3f"),
    ]
    lines = of_kind("percentile")
    layers = [
        *(
            of_kind(kind)
            .mark_area(opacity=0.35, line={"strokeWidth": 1, "color": shade}, color=shade)
            .encode(x=x, y=y, y2="base:Q", detail="batch_size:O")
            for kind, shade in (("ridge", look.palette.series), ("invalid ridge", look.palette.muted))
        ),
        lines.mark_rule(strokeWidth=2).encode(
            x=x, y=y, y2="base:Q", color=colours(_percentile_colours(look.palette)),
            strokeDash=alt.StrokeDash("standing:N", title=None, scale=_dashes()), tooltip=tooltip,
        ),
    ]  # fmt: skip
    tall = replace(look, height_px=max(look.height_px, 180 + RIDGE_PX * len(sizes)))
    heading = heading_of(sweep, "Distribution of latency by batch size")
    return framed(panel(layers, rows, heading, tall), tall)


def _latency_title(sweep: SweepReading) -> str:
    of_arrivals = ", from the scheduled arrival" if sweep.comparison.scenario == "server" else ""
    return f"Latency by batch size{of_arrivals}"


def _throughput(sweep: SweepReading, look: Look) -> _Drawing:
    rows = list(_throughput_rows(sweep.comparison))
    names, forms = _standing_styles(look.palette, rows)
    x = batch_size_axis(look)
    y = alt.Y(
        "throughput_inf_per_s:Q", title="Throughput (inf/s)", scale=alt.Scale(zero=False, padding=12),
        axis=alt.Axis(format=",~r", tickCount=6),
    )  # fmt: skip
    colour, shape = colours(names), shapes(forms)
    tooltip = [
        alt.Tooltip("batch_size:O", title="Batch size"),
        alt.Tooltip("throughput_inf_per_s:Q", title="Throughput (inf/s)", format=",.3f"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("standing:N", title="Standing"),
        alt.Tooltip("reason:N", title="Reason"),
    ]
    valid, failed = of_kind("valid"), of_kind("failed")
    measured = alt.Chart().transform_filter(alt.datum.kind != "failed")
    layers = [
        valid.mark_line(strokeWidth=2, opacity=0.6, color=look.palette.series).encode(x=x, y=y),
        *interval_layers(valid, x, colour),
        _points(measured).encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
        failed.mark_point(filled=True, size=POINT_SIZE, opacity=1, yOffset=-10).encode(
            x=x, y=alt.value("height"), color=colour, shape=shape, tooltip=tooltip
        ),
        _named_peak(look.palette).encode(x=x, y=y),
    ]
    return layers, rows


def _latency(sweep: SweepReading, look: Look) -> _Drawing:
    rows = [*_latency_rows(sweep), *_limit_rows(sweep.comparison)]
    x, palette = batch_size_axis(look), look.palette
    y = alt.Y(
        "latency_ms:Q", title="Latency of one batch (ms)", scale=_latency_scale(rows),
        axis=alt.Axis(format="~r", tickCount=6),
    )  # fmt: skip
    colour, shape = colours(_percentile_colours(palette)), shapes(_PERCENTILE_SHAPES)
    tooltip = [
        alt.Tooltip("batch_size:O", title="Batch size"),
        alt.Tooltip("standing:N", title="Percentile"),
        alt.Tooltip("latency_ms:Q", title="Latency (ms)", format=",.3f"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("reason:N", title="Reason"),
    ]
    valid, suspect = of_kind("valid"), of_kind("invalid")
    layers = [
        valid.mark_line(strokeWidth=1.5, opacity=0.7).encode(x=x, y=y, color=colour),
        *interval_layers(valid, x, colour),
        _points(valid).encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
        _points(suspect, filled=False).encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
        *_limit_layers(palette),
    ]
    return layers, rows


def heading_of(sweep: SweepReading, title: str) -> Heading:
    """Model, device and backend of a sweep, with the warning if they are no accelerator's."""
    comparison = sweep.comparison
    facts = (
        comparison.device,
        comparison.instance_type or "",
        f"backend {comparison.backend}",
        f"sequence length {comparison.sequence_length}",
        comparison.precision or "",
        "" if comparison.scenario == "offline" else f"scenario {comparison.scenario}",
        shorten(comparison.label or "", 60),
        f"{comparison.created_at.astimezone(UTC):%Y-%m-%d}",
        f"sweep {str(comparison.sweep_id)[:SHORT_ID_CHARS]}",
    )
    believed = comparison.hardware and comparison.origin == "dag"
    return Heading(title, comparison.model, facts, "" if believed else provenance(comparison))


def _throughput_rows(comparison: Comparison) -> Iterator[Row]:
    marked = marks(comparison.rows)
    for row in comparison.rows:
        kind = "valid" if row.status == "ok" else row.status
        limits = row.throughput_limits
        yield {
            "kind": kind,
            "batch_size": row.batch_size,
            "throughput_inf_per_s": row.throughput_inf_per_s,
            "low": limits[0] if limits else None,
            "high": limits[1] if limits else None,
            "interval": _range(limits, "inf/s"),
            "standing": _STANDINGS[marked.get(row.batch_size) or row.status],
            "reason": shorten(row.reason, NOTE_CHARS),
        }


def _points(layer: alt.Chart, filled: bool = True) -> alt.Chart:
    points: alt.Chart = layer.mark_point(filled=filled, size=POINT_SIZE, opacity=1, strokeWidth=1.5)
    return points


def _standing_styles(palette: Palette, rows: Iterable[Row]) -> tuple[dict[str, str], dict[str, str]]:
    """Colour and shape of the standings that occur."""
    styles = {
        "peak": (palette.bad, "diamond"),
        "tied": (palette.warm, "square"),
        "level": (palette.warm, "triangle-up"),
        "ok": (palette.series, "circle"),
        "invalid": (palette.muted, RING),
        "failed": (palette.muted, CROSS),
    }
    there = {row["standing"] for row in rows}
    occurring = {_STANDINGS[key]: style for key, style in styles.items() if _STANDINGS[key] in there}
    return (
        {name: colour for name, (colour, _) in occurring.items()},
        {name: form for name, (_, form) in occurring.items()},
    )


def _named_peak(palette: Palette) -> alt.Chart:
    peak = of_kind("valid").transform_filter(alt.datum.standing == _STANDINGS["peak"])
    figure = peak.transform_calculate(words="'peak ' + format(datum.throughput_inf_per_s, ',.0f')")
    marked: alt.Chart = figure.mark_text(dy=-16, fontWeight="bold", fontSize=13, color=palette.text)
    return marked.encode(text="words:N")


def _latency_rows(sweep: SweepReading) -> Iterator[Row]:
    for row, size in sweep.pairs():
        for field, name in PERCENTILES.items():
            latency_ms = getattr(row, field)
            if latency_ms is not None:
                yield _latency_row(row, name, latency_ms, size.intervals.get(field) if size else None)


def _latency_row(row: ComparisonRow, name: str, latency_ms: float, limits: Limits | None) -> Row:
    return {
        "kind": "valid" if row.status == "ok" else row.status,
        "batch_size": row.batch_size,
        "standing": name,
        "latency_ms": latency_ms,
        "low": limits.low if limits else None,
        "high": limits.high if limits else None,
        "interval": _range((limits.low, limits.high) if limits else None, "ms"),
        "reason": shorten(row.reason, NOTE_CHARS),
    }


def _limit_rows(comparison: Comparison) -> list[Row]:
    limit_ms = comparison.latency_limit_ms
    if limit_ms is None:
        return []
    return [{"kind": "limit", "latency_ms": limit_ms, "words": f"P99 limit {limit_ms:.10g} ms"}]


def _limit_layers(palette: Palette) -> list[alt.Chart]:
    limit, y = of_kind("limit"), alt.Y("latency_ms:Q")
    words = limit.mark_text(align="left", x=4, dy=-7, fontSize=12, color=palette.bad)
    return [
        limit.mark_rule(strokeDash=[6, 4], strokeWidth=2, color=palette.bad).encode(y=y),
        words.encode(y=y, text="words:N"),
    ]


def _latency_scale(rows: Iterable[Row]) -> alt.Scale:
    found = [row["latency_ms"] for row in rows]
    apart = max(found, default=1.0) / min(found, default=1.0)
    return alt.Scale(type="log", nice=False, padding=12) if apart > LOG_FROM_RATIO else alt.Scale(zero=True)


_PERCENTILE_SHAPES = {"P50": "circle", "P95": "square", "P99": "triangle-up"}


def _percentile_colours(palette: Palette) -> dict[str, str]:
    return {"P50": palette.series, "P95": palette.good, "P99": palette.bad}


def _dashes() -> alt.Scale:
    return alt.Scale(domain=list(PERCENTILES.values()), range=[[1, 0], [6, 3], [2, 2]])


def _ridge_rows(sweep: SweepReading, place: int, size: SizeReading) -> Iterator[Row]:
    fullest = max(bucket.batches for bucket in size.buckets)
    for latency_ms, batches in _outline(size.buckets):
        height = place + RIDGE_SHARE * batches / fullest
        yield _on_ridge(
            "invalid ridge" if size.status == "invalid" else "ridge", size, latency_ms, place, height
        )
    (row,) = (row for row in sweep.comparison.rows if row.batch_size == size.batch_size)
    for field, name in PERCENTILES.items():
        latency_ms = getattr(row, field)
        if latency_ms is not None:
            yield {**_on_ridge("percentile", size, latency_ms, place, place + RIDGE_SHARE), "standing": name}


def _on_ridge(kind: str, size: SizeReading, latency_ms: float, place: int, height: float) -> Row:
    return {
        "kind": kind,
        "batch_size": size.batch_size,
        "latency_ms": latency_ms,
        "base": place,
        "height": height,
    }


def _outline(buckets: Sequence[Bucket]) -> Iterator[tuple[float, int]]:
    """The corners of the steps, ascending; zero where there is no bucket."""
    end_ms = 0.0
    for bucket in buckets:
        # Neighbours share a limit that is computed twice.
        if bucket.above_ms > end_ms * 1.001:
            if end_ms:
                yield end_ms, 0
            yield bucket.above_ms, 0
        yield bucket.above_ms, bucket.batches
        yield bucket.up_to_ms, bucket.batches
        end_ms = bucket.up_to_ms
    yield end_ms, 0


def _spread_of(sizes: Sequence[SizeReading]) -> list[float]:
    low_ms = min(size.buckets[0].above_ms for size in sizes)
    high_ms = max(size.buckets[-1].up_to_ms for size in sizes)
    return [low_ms / 1.05, high_ms * 1.05]


def _size_axis(sizes: Sequence[SizeReading]) -> alt.Axis:
    """The batch sizes stand where their ridges begin."""
    names = [f"{size.batch_size}{' (not valid)' if size.status == 'invalid' else ''}" for size in sizes]
    chosen = f"{json.dumps(names)}[datum.value]"
    return alt.Axis(values=list(range(len(sizes))), labelExpr=chosen, labelBaseline="bottom")


def _range(limits: tuple[float, float] | None, unit: str) -> str:
    return f"{limits[0]:,.3f} to {limits[1]:,.3f} {unit}" if limits else "not known"
