"""The chart of a comparison: how two sets of figures differ at each batch size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import altair as alt

from benchlib.report.charts.look import (
    POINT_SIZE,
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
)
from benchlib.report.history_words import percent

Standing = Literal["better", "worse", "same", "not known"]


@dataclass(frozen=True)
class Ratio:
    """The new figure over the old one at one batch size."""

    batch_size: int
    ratio: float
    """1.02: the new figure is 2 % higher."""
    low: float | None
    """Lower end of its 95 % interval; ``None``: not known."""
    high: float | None
    standing: Standing
    """As decided elsewhere: what is better depends on the metric, what is the same on the threshold."""
    note: str = ""
    """One sentence for the tooltip."""


def ratio_by_batch_size(
    ratios: Iterable[Ratio],
    heading: Heading,
    names: tuple[str, str] = ("old", "new"),
    look: Look | None = None,
) -> alt.LayerChart:
    """The ratio with its interval at each batch size; the line is at 1, where nothing differs.

    ``names`` are those of the old and the new side, such as two SDKs or two sweeps.
    """
    look = look or Look()
    palette = look.palette
    rows = [*_rows(ratios), {"kind": "equal", "ratio": 1.0}]
    x = batch_size_axis(look)
    title = "New / old" if look.is_narrow else f"{_short(names[1])} / {_short(names[0])}"
    y = alt.Y("ratio:Q", title=title, scale=alt.Scale(zero=False, padding=24), axis=alt.Axis(format=".3~f"))
    there = {row.get("standing") for row in rows}
    styles = {name: style for name, style in _styles(palette).items() if name in there}
    colour = colours({name: style[0] for name, style in styles.items()})
    shape = shapes({name: style[1] for name, style in styles.items()})
    tooltip = [
        alt.Tooltip("batch_size:O", title="Batch size"),
        alt.Tooltip("words:N", title="Difference"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("standing:N", title="Standing"),
        alt.Tooltip("note:N", title="Note"),
    ]
    points = of_kind("ratio")
    layers = [
        of_kind("equal").mark_rule(strokeWidth=1.5, color=palette.muted).encode(y=y),
        *interval_layers(points, x, colour),
        points.mark_point(filled=True, size=1.3 * POINT_SIZE, opacity=1).encode(
            x=x, y=y, color=colour, shape=shape, tooltip=tooltip
        ),
        points.mark_text(align="left", dx=8, dy=-8, fontSize=11, color=palette.text).encode(
            x=x, y=y, text="words:N"
        ),
    ]
    return framed(panel(layers, rows, heading, look), look)


def _rows(ratios: Iterable[Ratio]) -> Iterator[Row]:
    for each in ratios:
        known = each.low is not None and each.high is not None
        yield {
            "kind": "ratio",
            "batch_size": each.batch_size,
            "ratio": each.ratio,
            "low": each.low if known else None,
            "high": each.high if known else None,
            "words": _percent(each.ratio),
            "interval": f"{_percent(each.low)} to {_percent(each.high)}" if known else "not known",
            "standing": each.standing,
            "note": each.note,
        }


def _styles(palette: Palette) -> dict[str, tuple[str, str]]:
    return {
        "better": (palette.good, "triangle-up"),
        "worse": (palette.bad, "triangle-down"),
        "same": (palette.series, "circle"),
        "not known": (palette.muted, "square"),
    }


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else percent(ratio - 1)


def _short(name: str) -> str:
    return name if len(name) <= 28 else name[:27] + "…"
