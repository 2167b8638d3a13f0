"""From a chart to what a program can show: Vega-Lite as JSON, SVG, PNG, and the JavaScript that draws it.

None of it needs a browser or a network: vl-convert brings the renderer and the scripts.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import altair as alt
import vl_convert

Chart = alt.LayerChart | alt.VConcatChart
"""What the functions of this package return."""

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
"""The version that the definitions are written in, and are drawn with."""

PNG_SCALE = 2.0
"""Pixels per unit: sharp on most screens."""


def spec(chart: Chart) -> dict[str, Any]:
    """The Vega-Lite definition, ready for JSON."""
    # That it keeps to the schema is for the tests to find: checking takes longer than drawing.
    definition: dict[str, Any] = chart.to_dict(validate=False)
    return definition


def svg(chart: Chart) -> str:
    """An image without scripts; its text stays text."""
    # What a chart shows is in it: nothing may be fetched.
    drawn: str = vl_convert.vegalite_to_svg(spec(chart), vl_version=VEGA_LITE, allowed_base_urls=[])
    return drawn


def png(chart: Chart, scale: float = PNG_SCALE) -> bytes:
    """An image for a chat; ``scale`` is pixels per unit of the chart's size."""
    drawn: bytes = vl_convert.vegalite_to_png(
        spec(chart), vl_version=VEGA_LITE, scale=scale, allowed_base_urls=[]
    )
    return drawn


@cache
def javascript() -> str:
    """Vega, Vega-Lite and vega-embed as one script of about 900 kB that needs nothing else.

    It defines ``vegaEmbed(element, spec, options)``.
    """
    bundle: str = vl_convert.javascript_bundle(snippet="window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    return bundle
