"""The charts of the pages: one definition each in `benchlib.report.charts`, drawn by the browser."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Literal

from fastapi import HTTPException
from fastapi.responses import Response
from pydantic import Field

from bench_pages.asked import Asked, CompareSdks, RangeAsked
from bench_pages.readers import Held
from benchlib.analysis.unpaired import Difference
from benchlib.report import charts
from benchlib.report.table import shorten
from benchlib.store.history import History, Metric
from benchlib.store.sweep_reading import SweepReading

SweepChart = Literal["throughput", "latency", "distribution"]
HEIGHT_PX = 400
NAMES: dict[str, str] = {"throughput_inf_per_s": "Throughput", "p50_ms": "P50", "p99_ms": "P99"}


class LookAsked(Asked):
    """Where the chart is to stand."""

    theme: Literal["light", "dark"] = "light"
    width_px: int = Field(720, ge=240, le=4000)

    @property
    def look(self) -> charts.Look:
        """As the charts know it."""
        return charts.Look(self.theme, self.width_px, HEIGHT_PX)


class SweepChartAsked(LookAsked):
    """Which sweep."""

    sweep: uuid.UUID


class HistoryChartAsked(LookAsked, RangeAsked):
    """Which series, and what of it."""

    series: uuid.UUID
    metric: Metric = "throughput_inf_per_s"


class MetricAsked(LookAsked):
    """What of a comparison."""

    metric: Literal["throughput_inf_per_s", "p50_ms", "p99_ms"] = "throughput_inf_per_s"


class CompareChartAsked(MetricAsked):
    """Which sweeps."""

    a: uuid.UUID
    b: uuid.UUID


class SdkChartAsked(MetricAsked, CompareSdks):
    """Which SDKs."""


def of_sweep(reading: SweepReading, name: SweepChart, asked: LookAsked) -> Response:
    """One of the three charts of a sweep."""
    makers = {
        "throughput": charts.throughput_by_batch_size,
        "latency": charts.latency_by_batch_size,
        "distribution": charts.latency_distribution,
    }
    chart = makers[name](reading, asked.look)
    if chart is None:
        raise HTTPException(404, "No measurement of this sweep kept a histogram of its latencies.")
    return drawn(chart)


def of_history(history: History, asked: HistoryChartAsked) -> Response:
    """The chart of one series."""
    return drawn(charts.history_over_time(history, asked.metric, asked.look))


def of_compare(held: Held, metric: str, asked: LookAsked) -> Response:
    """The chart of two that are held against each other."""
    labels = [each.provenance for each in (held.first, held.second) if not each.is_ours_on_hardware]
    models = " / ".join(dict.fromkeys((held.second.model, held.first.model)))
    heading = charts.Heading(
        f"{NAMES[metric]}: second over first", models, (), " ".join(dict.fromkeys(labels))
    )
    names = (held.first.short, held.second.short)
    if names[0] == names[1]:
        names = ("first", "second")
    return drawn(charts.ratio_by_batch_size(list(_ratios(held, metric)), heading, names, asked.look))


def _ratios(held: Held, metric: str) -> Iterator[charts.Ratio]:
    for each in held.differences:
        if each.metric == metric:
            low, high = each.limits or (None, None)
            yield charts.Ratio(
                each.batch_size,
                1 + each.change,
                None if low is None else 1 + low,
                None if high is None else 1 + high,
                standing_of(each),
                shorten(each.standing, 60),
            )


def standing_of(difference: Difference) -> Literal["better", "worse", "same", "not known"]:
    """In the words of the chart."""
    words: dict[str, Literal["better", "worse", "same", "not known"]] = {
        "faster": "better",
        "slower": "worse",
        "cannot be told apart": "same",
        "not known": "not known",
        "not comparable": "not known",
    }
    return words[difference.standing]


def drawn(chart: charts.Chart) -> Response:
    """The definition as JSON."""
    return Response(json.dumps(charts.spec(chart)), media_type="application/json")
