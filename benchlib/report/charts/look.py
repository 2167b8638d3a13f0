"""How every chart looks: colours, sizes, titles, and the label that tells a stand-in's figures from inf2's.

The colours are those of Okabe and Ito (Color Universal Design, 2008), which people with any kind of colour
vision can tell apart; each distinction is also one of shape, dash or fill.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from benchlib.report.table import one_line

Theme = Literal["light", "dark"]
Row = dict[str, Any]
"""One datum of a chart; its keys are ours, never a name that somebody gave."""

FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Arial, sans-serif"
MAX_NAME_CHARS = 120
"""Of a longer name the two ends are shown."""

MAX_FACT_CHARS = 48

RING = "M0,-1A1,1,0,1,1,0,1A1,1,0,1,1,0,-1ZM0,-.62A.62,.62,0,1,0,0,.62A.62,.62,0,1,0,0,-.62Z"
"""A hollow circle that is one when filled, too, as a legend does."""

CROSS = "M-1,-.7L-.7,-1L0,-.3L.7,-1L1,-.7L.3,0L1,.7L.7,1L0,.3L-.7,1L-1,.7L-.3,0Z"

POINT_SIZE = 64
"""Area of a point, square px."""

MIDDLE = (alt.expr("width / 2"), alt.expr("height / 2"))
"""Of a plot that does not stand in a stack."""

NARROWEST_PX = 340
"""What every chart can be read at."""

NARROW_PX = 520
"""Below this, labels get less room."""

DEFAULT_WIDTH_PX = 720

AXIS_PX = 100
"""What an axis with its title takes beside a plot."""

HEADING_PX = 130
"""What the heading, the axis and the legend take above and below it."""

_CHAR_PX = 6.1
"""Width of an average character of a subtitle, rounded up."""


@dataclass(frozen=True)
class Palette:
    """The colours of one theme, by what they mean."""

    background: str
    text: str
    muted: str
    grid: str
    series: str
    good: str
    bad: str
    warm: str
    other: str


PALETTES: Mapping[Theme, Palette] = {
    "light": Palette(
        background="#ffffff",
        text="#1b1f24",
        muted="#5a6370",
        grid="#e3e6ea",
        series="#0072b2",
        good="#00795a",
        bad="#c04f00",
        warm="#a96f00",
        other="#a04f82",
    ),
    "dark": Palette(
        background="#15181c",
        text="#e8eaed",
        muted="#a3abb6",
        grid="#30363d",
        series="#56b4e9",
        good="#2fc79a",
        bad="#ff8a4c",
        warm="#e6b400",
        other="#e093bd",
    ),
}


@dataclass(frozen=True)
class Look:
    """Where a chart is to be shown."""

    theme: Theme = "light"
    width_px: int | None = DEFAULT_WIDTH_PX
    """Of the whole image; ``None``: as wide as the element that it stands in."""
    height_px: int = 380
    """Of the whole image, at least."""

    @property
    def palette(self) -> Palette:
        """The theme's colours."""
        return PALETTES[self.theme]

    @property
    def is_narrow(self) -> bool:
        """Whether labels get less room, as on a telephone."""
        return self.width_px is not None and self.width_px < NARROW_PX

    @property
    def line_chars(self) -> int:
        """Characters of a subtitle that fit on one line."""
        return int((self.width_px or NARROWEST_PX) / _CHAR_PX)


@dataclass(frozen=True)
class Heading:
    """What stands above a chart and inside it."""

    title: str
    model: str
    facts: tuple[str, ...]
    """Where it ran and what one must know to read it; joined and wrapped."""
    warning: str = ""
    """Whose figures these are when they are no inf2 result; stands inside the plot, too."""

    def lines(self, chars: int) -> list[str]:
        """The lines under the title."""
        # What belongs together stays on one line.
        words = (_ends_of(one_line(fact), MAX_FACT_CHARS) for fact in self.facts if fact)
        facts = "\u00a0· ".join(each.replace(" ", "\u00a0") for each in words)
        name = _ends_of(one_line(self.model), min(MAX_NAME_CHARS, 2 * chars))
        texts = (name, facts, self.warning)
        return [line for text in texts for line in textwrap.wrap(text, chars, max_lines=4, placeholder=" …")]

    def description(self) -> str:
        """What a screen reader says of the chart."""
        name = _ends_of(one_line(self.model), MAX_NAME_CHARS)
        return ". ".join(part for part in (f"{self.title}: {name}", self.warning.rstrip(".")) if part) + "."


def panel(
    layers: Iterable[alt.Chart], rows: Sequence[Row], heading: Heading, look: Look, in_stack: bool = False
) -> alt.LayerChart:
    """The layers over the same rows, with a heading, and its warning inside the plot."""
    # In a stack, width and height are those of nothing.
    middle = [size_px / 2 for size_px in _plot_px(look)] if in_stack else MIDDLE
    warning = [_warning_layer(heading.warning, look, middle)] if heading.warning else []
    return alt.LayerChart(
        data=alt.InlineData(values=list(rows)),
        layer=[*layers, *warning],
        title=alt.TitleParams(text=heading.title, subtitle=heading.lines(look.line_chars)),
        description=heading.description(),
    )


def framed(panel: alt.LayerChart, look: Look) -> alt.LayerChart:
    """A panel as a chart that is as large, with everything around the plot, as the look says."""
    chart: alt.LayerChart = panel.properties(
        width="container" if look.width_px is None else look.width_px,
        height=look.height_px,
        autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        config=_config(look.palette),
    )
    return chart


def stacked(panels: Iterable[alt.LayerChart], look: Look) -> alt.VConcatChart:
    """Panels that are meant for it below each other, of about the look's width in all."""
    width_px, height_px = _plot_px(look)
    sized = [each.properties(width=width_px, height=height_px) for each in panels]
    chart = alt.VConcatChart(vconcat=sized, spacing=28, config=_config(look.palette))
    apart: alt.VConcatChart = chart.resolve_scale(color="independent", shape="independent")
    return apart


def _plot_px(look: Look) -> tuple[int, int]:
    return (look.width_px or DEFAULT_WIDTH_PX) - AXIS_PX, look.height_px - HEADING_PX


def of_kind(kind: str) -> alt.Chart:
    """A layer of the rows whose ``kind`` is this."""
    layer: alt.Chart = alt.Chart().transform_filter(alt.datum.kind == kind)
    return layer


def batch_size_axis(look: Look) -> alt.X:
    """One place per batch size, as in the table."""
    title = "Batch size" if look.is_narrow else "Batch size (inferences per call)"
    return alt.X("batch_size:O", title=title, axis=alt.Axis(labelAngle=0, labelOverlap=True))


def interval_layers(rows: alt.Chart, x: alt.X, colour: alt.Color) -> list[alt.Chart]:
    """Bars with ends from ``low`` to ``high``, where they are known."""
    rows = rows.transform_filter("isValid(datum.low)")
    ends = rows.mark_tick(thickness=1.5, size=9, aria=False)
    return [
        rows.mark_rule(strokeWidth=1.5, aria=False).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        *(ends.encode(x=x, y=alt.Y(f"{end}:Q"), color=colour) for end in ("low", "high")),
    ]


def colours(names: Mapping[str, str], title: str | None = None) -> alt.Color:
    """Fixed colours with a legend of those names that occur."""
    scale = alt.Scale(domain=list(names), range=list(names.values()))
    return alt.Color("standing:N", title=title, scale=scale)


def shapes(names: Mapping[str, str], title: str | None = None) -> alt.Shape:
    """Fixed shapes with a legend of those names that occur."""
    scale = alt.Scale(domain=list(names), range=list(names.values()))
    return alt.Shape("standing:N", title=title, scale=scale)


def _warning_layer(warning: str, look: Look, middle: Sequence[Any]) -> alt.Chart:
    """Across the plot, so that no crop or chat loses it."""
    words = warning.rstrip(".").replace(": ", ":\n").replace(", ", ",\n")
    longest = max(map(len, words.split("\n")))
    x, y = middle
    layer: alt.Chart = (
        alt.Chart(alt.InlineData(values=[{"warning": words}]))
        .mark_text(
            x=x,
            y=y,
            # The longest line takes about three quarters of a narrow plot.
            fontSize=min(0.75 * _plot_px(look)[0] / longest / 0.55, 30),
            fontWeight="bold",
            lineBreak="\n",
            opacity=0.3,
            color=look.palette.bad,
        )
        .encode(text="warning:N")
    )
    return layer


def _ends_of(text: str, chars: int) -> str:
    """Both ends of a text that is longer."""
    half = (chars - 1) // 2
    return text if len(text) <= chars else f"{text[:half]}…{text[-half:]}"


def _config(palette: Palette) -> dict[str, Any]:
    quiet = {
        "labelColor": palette.muted,
        "titleColor": palette.text,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    }
    lines = {"gridColor": palette.grid, "domainColor": palette.muted, "tickColor": palette.muted}
    title = {"color": palette.text, "fontSize": 16, "anchor": "start", "frame": "bounds", "offset": 14}
    subtitle = {"subtitleColor": palette.muted, "subtitleFontSize": 12, "subtitleLineHeight": 16}
    return {
        "background": palette.background,
        "padding": {"left": 8, "right": 12, "top": 8, "bottom": 8},
        "font": FONT,
        "view": {"stroke": None},
        "axis": {**quiet, **lines},
        "axisX": {"grid": False},
        "axisY": {"domain": False, "ticks": False, "labelPadding": 6, "minExtent": 44, "titlePadding": 12},
        "legend": {
            "symbolOpacity": 1,
            **quiet,
            "orient": "bottom",
            "columns": 3,
            "labelLimit": 260,
            "symbolStrokeWidth": 2,
        },
        "title": {**title, **subtitle, "subtitlePadding": 6},
    }
