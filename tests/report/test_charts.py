"""The charts as they are drawn."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from benchlib.report import charts
from benchlib.report.charts import Chart, Heading, Look, Ratio
from benchlib.store.history import History
from tests.report import readings
from tests.report.drawn import Drawing, colours_of_png, rows_of

RATIOS = (
    Ratio(1, 1.001, 0.99, 1.012, "same"),
    Ratio(4, 0.94, 0.93, 0.95, "worse"),
    Ratio(8, 1.05, None, None, "not known"),
)
NOT_INF2 = "Measured on a CPU: not an inf2 result."


def ratios(look: Look, warning: str = "", name: str = "bert-base-uncased") -> Chart:
    heading = Heading("SDK 2.27 against 2.26", name, (name, "inf2.xlarge"), warning)
    return charts.ratio_by_batch_size(RATIOS, heading, (name, "new"), look)


def distribution(look: Look, **changes: Any) -> Chart:
    chart = charts.latency_distribution(readings.sweep(**changes), look)
    assert chart is not None
    return chart


ALL: dict[str, Callable[[Look], Chart]] = {
    "throughput": lambda look: charts.throughput_by_batch_size(readings.sweep(), look),
    "latency": lambda look: charts.latency_by_batch_size(readings.sweep(), look),
    "distribution": distribution,
    "overview": lambda look: charts.overview(readings.sweep(), look),
    "history": lambda look: charts.history_over_time(readings.history(), look=look),
    "ratios": ratios,
}


@pytest.mark.parametrize("draw", ALL.values(), ids=ALL)
def test_every_chart_keeps_to_the_schema_and_is_an_image(draw: Callable[[Look], Chart]) -> None:
    chart = draw(Look(width_px=None))
    chart.to_dict(validate=True)
    width, height, shades = colours_of_png(charts.png(draw(Look()), scale=1))
    assert width <= 760
    assert height >= 300
    assert shades > 100


@pytest.mark.parametrize("name", [name for name in ALL if name != "overview"])
def test_a_chart_is_as_wide_as_asked_and_names_what_it_is_about(name: str) -> None:
    for look in (Look("light", 390), Look("dark", 1280)):
        drawing = Drawing(ALL[name](look))
        assert drawing.size_px[0] == look.width_px
        assert "bert-base-uncased" in drawing.text
        assert "inf2" in drawing.text
        assert look.palette.background in drawing.fills
        assert "not an inf2 result" not in drawing.text


ON_CPU: dict[str, Callable[[], Chart]] = {
    "throughput": lambda: charts.throughput_by_batch_size(readings.sweep(readings.on_cpu())),
    "latency": lambda: charts.latency_by_batch_size(readings.sweep(readings.on_cpu())),
    "distribution": lambda: distribution(Look(), table=readings.on_cpu()),
    "overview": lambda: charts.overview(readings.sweep(readings.on_cpu())),
    "history": lambda: charts.history_over_time(
        readings.history(20, series=readings.series(hardware=False, backend="cpu"))
    ),
    "ratios": lambda: ratios(Look(), NOT_INF2),
}


@pytest.mark.parametrize("draw", ON_CPU.values(), ids=ON_CPU)
def test_a_cpu_says_so_above_the_plot_and_inside_it(draw: Callable[[], Chart]) -> None:
    drawing = Drawing(draw())
    assert NOT_INF2 in drawing.text
    # Above the plot it is one line, inside it is two.
    assert drawing.texts.count("not an inf2 result") == (2 if draw is ON_CPU["overview"] else 1)


def test_the_peak_stands_out_and_what_cannot_be_believed_is_off_the_line() -> None:
    drawing = Drawing(charts.throughput_by_batch_size(readings.sweep()))
    standings = {mark["Batch size"]: mark["Standing"] for mark in drawing.marks("point")}
    assert standings["4"] == "peak"
    assert standings["9"] == "not valid"
    assert standings["16"] == "failed"
    assert set(standings.values()) == {"peak", "valid", "not valid", "failed"}
    assert "peak 17,585" in drawing.texts
    (failed,) = (mark for mark in drawing.marks("point") if mark["Standing"] == "failed")
    assert failed["Reason"] == "The device ran out of memory."
    data = rows_of(charts.throughput_by_batch_size(readings.sweep()))
    assert [row["batch_size"] for row in data if row["kind"] == "valid"] == [1, 2, 3, 4, 5, 6, 7, 8, 10]


def test_sizes_that_cannot_be_told_from_the_peak_are_named() -> None:
    tied = (readings.row(1, 100.0, 1, 2, 3), readings.row(2, 100.5, 1, 2, 3), readings.row(4, 50.0, 1, 2, 3))
    drawing = Drawing(charts.throughput_by_batch_size(readings.sweep(readings.comparison(rows=tied))))
    standings = {mark["Batch size"]: mark["Standing"] for mark in drawing.marks("point")}
    assert standings == {"1": "tied with the peak", "2": "peak", "4": "valid"}
    assert "tied with the peak" in drawing.texts


def test_the_interval_is_drawn_where_it_is_known_only() -> None:
    known = readings.row(1, 100.0, 1, 2, 3)
    unknown = replace(known, batch_size=2, throughput_low_inf_per_s=None)
    table = readings.comparison(rows=(known, unknown))
    rows = rows_of(charts.throughput_by_batch_size(readings.sweep(table)))
    assert [(row["low"], row["high"]) for row in rows] == [(99.0, 101.0), (None, None)]


def test_the_limit_is_a_line_and_far_latencies_get_a_logarithmic_axis() -> None:
    near = Drawing(charts.latency_by_batch_size(readings.sweep()))
    assert "P99 limit 6 ms" in near.texts
    axes = [axis for axis in near.root.iter() if axis.attrib.get("aria-roledescription") == "axis"]
    assert "linear scale with values from 0" in axes[1].attrib["aria-label"]
    far = readings.comparison(rows=(readings.row(1, 100, 1, 2, 3), readings.row(64, 100, 40, 60, 80)))
    chart = Drawing(charts.latency_by_batch_size(readings.sweep(far)))
    axes = [axis for axis in chart.root.iter() if axis.attrib.get("aria-roledescription") == "axis"]
    assert "log scale" in axes[1].attrib["aria-label"]


def test_a_distribution_has_a_ridge_per_size_that_ends_where_the_latencies_end() -> None:
    sweep = readings.sweep(sizes=(readings.size(readings.rows()[0]), readings.size(readings.rows()[3])))
    chart = charts.latency_distribution(sweep)
    assert chart is not None
    rows = [row for row in rows_of(chart) if row["kind"] == "ridge"]
    for place, size in enumerate(sweep.sizes):
        ridge = [row for row in rows if row["batch_size"] == size.batch_size]
        assert ridge[0]["latency_ms"] == size.buckets[0].above_ms
        assert ridge[-1]["latency_ms"] == size.buckets[-1].up_to_ms
        assert {row["base"] for row in ridge} == {place}
        assert max(row["height"] for row in ridge) == pytest.approx(place + 0.86)
        # Between the bell and the stragglers there is nothing.
        gap = [
            row
            for row in ridge
            if row["latency_ms"] in (size.buckets[-2].up_to_ms, size.buckets[-1].above_ms)
        ]
        assert place in [row["height"] for row in gap]
    assert charts.latency_distribution(readings.sweep(sizes=())) is None


def test_a_distribution_that_is_not_valid_says_so_and_is_grey() -> None:
    drawing = Drawing(charts.latency_distribution(readings.sweep()))
    assert {"8", "9 (not valid)"} <= set(drawing.texts)
    chart = charts.spec(charts.latency_distribution(readings.sweep()))
    ridges = {
        layer["transform"][0]["filter"]: layer["mark"]["color"]
        for layer in chart["layer"]
        if "mark" in layer and layer["mark"]["type"] == "area"
    }
    assert [shade for filtered, shade in ridges.items() if "invalid" in str(filtered)] == [
        Look().palette.muted
    ]
    rows = rows_of(charts.latency_distribution(readings.sweep()))
    assert {row["batch_size"] for row in rows if row["kind"] == "invalid ridge"} == {9}


def test_what_was_measured_again_is_hollow_and_off_the_line() -> None:
    first = readings.night(1)
    again = replace(first, sweep_id=uuid.UUID(int=7), confirms_sweep_id=first.sweep_id)
    chart = charts.history_over_time(_of((readings.night(0), first, again, readings.night(2))))
    standings = [(row["standing"], row["segment"]) for row in rows_of(chart) if row["kind"] == "night"]
    assert standings == [("valid", 0), ("valid", 0), ("measured again", -1), ("valid", 0)]
    assert "measured again" in Drawing(chart).texts


def test_a_history_shows_every_night_for_what_it_is() -> None:
    drawing = Drawing(charts.history_over_time(readings.history()))
    nights = {mark["Night"]: mark for mark in drawing.marks("point") if "Night" in mark}
    assert len(nights) == 86
    assert {mark["Standing"] for mark in nights.values()} == {"valid", "not valid"}
    assert nights[str(readings.NIGHT + timedelta(22))]["Reason"] == readings.FAILED.advice
    assert nights["2026-03-31"]["Environment"] == "neuronx_cc 2.20 → 2.21"
    missing = [
        (mark["First night"], mark["Last night"], mark["Missing"]) for mark in drawing.marks("rect mark")
    ]
    assert missing == [("2026-03-13", "2026-03-15", "no sweep"), ("2026-04-15", "2026-04-15", "no figure")]
    assert {"SDK 2.26.0", "SDK 2.27.1"} <= set(drawing.texts)
    (change,) = (mark for mark in drawing.marks("point") if "Change" in mark)
    assert change["Status"] == "acknowledged, Ana: Reported to the compiler's people."
    assert "\N{MINUS SIGN}6.0 %" in drawing.texts


def test_the_line_of_a_history_ends_at_a_hole_and_skips_what_is_not_valid() -> None:
    rows = rows_of(charts.history_over_time(readings.history(40)))
    segments = {row["night"]: row["segment"] for row in rows if row["kind"] == "night"}
    assert segments["2026-03-12"] == 0
    assert segments["2026-03-16"] == 1
    assert segments["2026-03-23"] == -1
    weekly = tuple(readings.night(7 * number) for number in range(8))
    rows = rows_of(charts.history_over_time(_of(weekly)))
    assert {row["segment"] for row in rows if row["standing"] == "valid"} == {0}


def _of(nights: tuple[Any, ...]) -> History:
    return replace(readings.history(57), nights=nights, missing=(), sdk_changes=(), changes=())


@pytest.mark.parametrize("metric", ["p99_ms", "p99_9_ms"])
def test_a_metric_without_figures_is_an_empty_chart(metric: Any) -> None:
    drawing = Drawing(charts.history_over_time(readings.history(20), metric))
    shown = [mark for mark in drawing.marks("point") if "Night" in mark]
    assert len(shown) == (17 if metric == "p99_ms" else 0)
    Drawing(charts.history_over_time(replace(readings.history(20), nights=(), missing=()), metric))


def test_a_quiet_series_is_not_blown_up() -> None:
    quiet = tuple(readings.night(0, created_at=readings.BEGAN + timedelta(day)) for day in range(5))
    chart = charts.spec(charts.history_over_time(_of(quiet)))
    domains = [
        layer["encoding"]["y"]["scale"]["domain"]
        for layer in chart["layer"]
        if "mark" in layer and "y" in layer.get("encoding", {}) and "scale" in layer["encoding"]["y"]
    ]
    low, high = domains[0]
    assert low < 17500 * 0.98
    assert high > 17500 * 1.02


def test_a_ratio_says_by_how_much() -> None:
    drawing = Drawing(ratios(Look()))
    said = {mark["Batch size"]: (mark["Difference"], mark["Standing"]) for mark in drawing.marks("point")}
    assert said["4"] == ("\N{MINUS SIGN}6.0 %", "worse")
    assert said["8"] == ("+5.0 %", "not known")
    intervals = {mark["Batch size"]: mark["95 % interval"] for mark in drawing.marks("point")}
    assert intervals["4"] == "\N{MINUS SIGN}7.0 % to \N{MINUS SIGN}5.0 %"


HOSTILE = readings.comparison(
    model=readings.HOSTILE,
    label=readings.HOSTILE,
    device=readings.HOSTILE,
    instance_type=readings.HOSTILE,
    backend="a.b[0]",
    rows=(replace(readings.rows()[0], status="invalid", reason=readings.HOSTILE), readings.rows()[1]),
)
OF_HOSTILE: dict[str, Callable[[], Chart]] = {
    "throughput": lambda: charts.throughput_by_batch_size(readings.sweep(HOSTILE), Look(width_px=390)),
    "latency": lambda: charts.latency_by_batch_size(readings.sweep(HOSTILE), Look(width_px=390)),
    "history": lambda: charts.history_over_time(
        replace(
            readings.history(),
            series=readings.series(model=readings.HOSTILE, instance_type=readings.HOSTILE),
            nights=tuple(
                readings.night(n, sdk=readings.HOSTILE, label=readings.HOSTILE, device=readings.HOSTILE)
                for n in range(3)
            ),
        ),
        look=Look(width_px=390),
    ),
    "ratios": lambda: ratios(Look(width_px=390), name=readings.HOSTILE),
}


@pytest.mark.parametrize("draw", OF_HOSTILE.values(), ids=OF_HOSTILE)
def test_names_are_data(draw: Callable[[], Chart]) -> None:
    chart = draw()
    chart.to_dict(validate=True)
    drawing = Drawing(chart)
    assert drawing.tags <= {"svg", "g", "path", "text", "rect", "line", "defs", "tspan", "clipPath"}
    assert drawing.links == []
    assert '<script>alert("1")</script>' in drawing.text
    assert "\u202e" not in drawing.text
    assert drawing.size_px[1] < 700
    assert len(json.dumps(charts.spec(chart))) < 100_000
    assert colours_of_png(charts.png(chart, scale=1))[2] > 100
