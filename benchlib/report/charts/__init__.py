"""The charts, one definition each: the pages, the HTML report and the PNG draw the same one.

Frozen dataclasses in, a Vega-Lite chart out (Altair, checked against its schema). `spec`, `svg` and `png`
turn it into what a program shows; `javascript` is the script that a page needs to draw a `spec` itself.

======================================  =================================================================
`throughput_by_batch_size(sweep)`       peak, ties, 95 % intervals, what failed or is not valid
`latency_by_batch_size(sweep)`          P50, P95, P99 and the limit
`latency_distribution(sweep)`           all batches, one ridge per size; ``None`` without histograms
`overview(sweep)`                       throughput above latency, one image for a chat
`history_over_time(history, metric)`    one series, night by night, with SDKs, changes and gaps
`ratio_by_batch_size(ratios, heading)`  new / old, with intervals
======================================  =================================================================

Each takes a `Look`: theme and size.
"""

from benchlib.report.charts.history import history_over_time
from benchlib.report.charts.look import Heading, Look, Theme
from benchlib.report.charts.ratios import Ratio, ratio_by_batch_size
from benchlib.report.charts.rendering import Chart, javascript, png, spec, svg
from benchlib.report.charts.sweep import (
    latency_by_batch_size,
    latency_distribution,
    overview,
    throughput_by_batch_size,
)

__all__ = [
    "Chart",
    "Heading",
    "Look",
    "Ratio",
    "Theme",
    "history_over_time",
    "javascript",
    "latency_by_batch_size",
    "latency_distribution",
    "overview",
    "png",
    "ratio_by_batch_size",
    "spec",
    "svg",
    "throughput_by_batch_size",
]
