"""One comparison, any format."""

from __future__ import annotations

import io
from typing import Literal

from benchlib.analysis.comparison import Comparison
from benchlib.report.exports import render_csv, render_json
from benchlib.report.markdown import render_markdown
from benchlib.report.terminal import plain_console, print_comparison

Format = Literal["terminal", "md", "csv", "json"]


def render(comparison: Comparison, fmt: Format) -> str:
    """The comparison as text; the terminal's form without styles and with every column."""
    if fmt == "terminal":
        target = io.StringIO()
        print_comparison(comparison, plain_console(target))
        return target.getvalue()
    renderers = {"md": render_markdown, "csv": render_csv, "json": render_json}
    return renderers[fmt](comparison)
