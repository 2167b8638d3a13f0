"""The reports as one HTML file each: it loads nothing, so it can be mailed, archived and printed.

The charts are images first, which mail programs and printers show. Where scripts run, the same charts take
their place, drawn by the page, with tooltips.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from benchlib import __version__
from benchlib.analysis.comparison import Comparison
from benchlib.analysis.peak import closing_sentence, name_sizes, provenance
from benchlib.report.charts import (
    Chart,
    Look,
    Theme,
    history_over_time,
    javascript,
    latency_by_batch_size,
    latency_distribution,
    spec,
    svg,
    throughput_by_batch_size,
)
from benchlib.report.grid import Cells, Grid, Tone
from benchlib.report.history_table import history_grid, summary_of
from benchlib.report.history_words import METRIC_NAMES, percent, series_facts, series_warning
from benchlib.report.table import (
    NOTHING,
    SHORT_ID_CHARS,
    THROUGHPUT,
    Column,
    caption,
    columns_of,
    marks,
    one_line,
    row_notes,
    shorten,
)
from benchlib.results import Check
from benchlib.store.history import History, Metric
from benchlib.store.sweep_reading import CompilationReading, SizeReading, SweepReading

WIDE, NARROW = 1072, 372
"""Widths of the images, px; a page chooses by its own width."""

Draw = Callable[[Look], Chart]


@dataclass(frozen=True)
class Figure:
    """One chart of a page, as images and as definitions."""

    name: str
    description: str
    images: Mapping[str, str]
    """By 'light' or 'dark', with '_narrow' or without: a data URL of an SVG."""
    width_px: int
    height_px: int
    specs: Mapping[Theme, Mapping[str, Any]]
    """Vega-Lite as wide as its place."""


@dataclass(frozen=True)
class CheckGroup:
    """One check at all batch sizes."""

    name: str
    verdict: str
    passed: bool
    table: Grid


def render_sweep(sweep: SweepReading) -> str:
    """The report of one sweep: what it says, then everything that one needs to believe it."""
    comparison = sweep.comparison
    figures = [
        _figure("throughput", lambda look: throughput_by_batch_size(sweep, look)),
        _figure("latency", lambda look: latency_by_batch_size(sweep, look)),
    ]
    if any(size.buckets for size in sweep.sizes):
        figures.append(_figure("distribution", lambda look: _distribution(sweep, look)))
    return _render(
        "sweep.html.j2",
        title=f"{shorten(comparison.model, 120)}, sweep {str(comparison.sweep_id)[:SHORT_ID_CHARS]}",
        model=one_line(comparison.model),
        warning="" if comparison.hardware and comparison.origin == "dag" else provenance(comparison),
        caption=caption(comparison),
        verdict=one_line(closing_sentence(comparison)).removeprefix("Note: "),
        comparison=comparison_table(comparison),
        notes=row_notes(comparison),
        figures=figures,
        checks=check_groups(sweep),
        behind=_behind_table(sweep),
        topologies=_topologies(sweep),
        environments=[_environment_table(sweep, place) for place in range(len(sweep.environments))],
        since_last=sweep.since_last,
        compilations=_compilation_table(sweep.compilations),
        changes=[_change_line(sweep, place) for place in range(len(sweep.changes))],
        annotations=sweep.annotations,
        facts=_facts(sweep),
    )


def render_history(history: History, metric: Metric = "throughput_inf_per_s") -> str:
    """The report of one series: this metric over time, then throughput and P99, and every night."""
    metrics: dict[Metric, None] = dict.fromkeys((metric, "throughput_inf_per_s", "p99_ms"))
    name = f"{shorten(history.series.model, 120)}, batch size {history.series.batch_size}"
    return _render(
        "history.html.j2",
        title=f"{name}, {history.since} to {history.until}",
        model=one_line(history.series.model),
        warning=series_warning(history),
        caption=", ".join((f"Batch size {history.series.batch_size}", *series_facts(history.series))),
        verdict=summary_of(history, metric),
        figures=[_figure(each, _of_metric(history, each)) for each in metrics],
        nights=history_grid(history, metric),
        metric=METRIC_NAMES[metric],
    )


def comparison_table(comparison: Comparison) -> Grid:
    """The columns and digits of the terminal's table, with a mark beside each throughput."""
    columns, marked = columns_of(comparison), marks(comparison.rows)
    headers = [header for column in columns for header in _with_mark(column, column.header, "")]
    rows: list[tuple[Tone, Cells]] = []
    for row in comparison.rows:
        mark = marked.get(row.batch_size) or _STATUS_WORDS[row.status]
        cells = [cell for column in columns for cell in _with_mark(column, column.cell(row), mark)]
        rows.append((_TONES.get(mark, ""), tuple(cells)))
    words = (0, headers.index(""))
    return Grid(tuple(headers), rows, frozenset(range(len(headers))).difference(words))


def _with_mark(column: Column, cell: str, mark: str) -> Cells:
    """The word that survives where colours do not stands beside the throughput."""
    return (cell, mark) if column is THROUGHPUT else (cell,)


def check_groups(sweep: SweepReading) -> list[CheckGroup]:
    """Every check with its figure, limit and explanation at each batch size, failed ones first."""
    found: dict[str, list[tuple[int, Check]]] = {}
    for size in sweep.sizes:
        for check in size.checks:
            found.setdefault(check.name, []).append((size.batch_size, check))
    groups = [_check_group(name, checks) for name, checks in found.items()]
    return sorted(groups, key=lambda group: group.passed)


def _check_group(name: str, checks: Sequence[tuple[int, Check]]) -> CheckGroup:
    failed = [str(batch_size) for batch_size, check in checks if not check.passed]
    rows: list[tuple[Tone, Cells]] = [
        (
            "" if check.passed else "bad",
            (
                str(batch_size),
                "passed" if check.passed else "failed",
                _number(check.figure, check.unit),
                _number(check.limit, check.unit),
                one_line(check.advice),
            ),
        )
        for batch_size, check in checks
    ]
    verdict = f"failed at batch size {', '.join(failed)}" if failed else f"passed at all {len(checks)} sizes"
    headers = ("Batch", "Result", "Figure", "Limit", "What it says")
    return CheckGroup(one_line(name), verdict, not failed, Grid(headers, rows, frozenset((0, 2, 3))))


def _behind_table(sweep: SweepReading) -> Grid:
    """What is behind each figure: rounds, loading, the load generator."""
    headers = (
        "Batch", "Attempt", "Rounds", "Lowest round (inf/s)", "Highest round (inf/s)", "Mean (ms)",
        "Max (ms)", "Load time (s)", "Loop (us per call)",
    )  # fmt: skip
    every = frozenset(range(len(headers)))
    return Grid(headers, [("", _behind_cells(size)) for size in sweep.sizes], every)


def _behind_cells(size: SizeReading) -> Cells:
    rates = [each.throughput_inf_per_s for each in size.rounds]
    loop_ns = size.overhead_ns_per_call
    return (
        str(size.batch_size),
        str(size.attempt),
        str(len(rates)),
        _fixed(min(rates, default=None), 3),
        _fixed(max(rates, default=None), 3),
        _fixed(size.mean_ms, 3),
        _fixed(size.max_ms, 3),
        _fixed(size.load_duration_s, 1),
        _fixed(None if loop_ns is None else loop_ns / 1000, 2),
    )


def _topologies(sweep: SweepReading) -> dict[str, str]:
    """What issued the calls, and at which batch sizes."""
    found: dict[str, list[int]] = {}
    for size in sweep.sizes:
        if size.topology:
            found.setdefault(one_line(size.topology), []).append(size.batch_size)
    return {topology: name_sizes(sizes) for topology, sizes in found.items()}


def _environment_table(sweep: SweepReading, place: int) -> tuple[str, Grid]:
    environment = sweep.environments[place]
    changed = {each.field for each in sweep.since_last.differences} if sweep.since_last else set()
    rows: list[tuple[Tone, Cells]] = [
        ("new" if name in changed else "", (one_line(name), one_line(value)))
        for name, value in environment.fields
    ]
    sizes = ", ".join(map(str, environment.batch_sizes))
    title = f"Batch sizes {sizes}" if len(sweep.environments) > 1 else ""
    return title, Grid(("Field", "Value"), rows)


def _compilation_table(compilations: Iterable[CompilationReading]) -> Grid:
    headers = (
        "Batch", "Attempt", "Result", "Compile time (s)", "Peak memory (GiB)", "Artifact (MiB)", "Key",
        "Reason",
    )  # fmt: skip
    numeric = frozenset((0, 1, 3, 4, 5))
    return Grid(headers, [_compilation_row(each) for each in compilations], numeric)


def _compilation_row(compilation: CompilationReading) -> tuple[Tone, Cells]:
    made = "from the store" if compilation.cache_hit else "compiled"
    result = "failed" if compilation.status == "failed" else made
    cells = (
        str(compilation.batch_size),
        str(compilation.attempt),
        result,
        _fixed(compilation.compile_duration_s, 1),
        _fixed(_scaled(compilation.peak_rss_bytes, 30), 2),
        _fixed(_scaled(compilation.artifact_size_bytes, 20), 1),
        (compilation.artifact_key or "")[:SHORT_ID_CHARS],
        one_line(compilation.failure_message or ""),
    )
    return "bad" if compilation.status == "failed" else "", cells


def _change_line(sweep: SweepReading, place: int) -> str:
    change = sweep.changes[place]
    names: Mapping[str, str] = {str(metric): name for metric, name in METRIC_NAMES.items()}
    name = names.get(change.metric, change.metric)
    return one_line(
        f"{name} at batch size {change.batch_size}: {percent(change.relative_change, 2)} "
        f"({percent(change.relative_low, 2)} to {percent(change.relative_high, 2)}) since "
        f"{change.last_good_night}, {change.direction}, {change.status}. "
        f"Environment: {change.environment_changes}."
    )


def _facts(sweep: SweepReading) -> dict[str, str]:
    comparison = sweep.comparison
    facts = {
        "Sweep": str(comparison.sweep_id),
        "Run": f"{sweep.run_id} of {sweep.dag_id}",
        "Began": f"{comparison.created_at:%Y-%m-%d %H:%M:%S %Z}",
        "Label": comparison.label,
        "Note": sweep.note,
        "Model revision": sweep.model_revision,
        "Model variant": sweep.model_variant,
        "Compiler arguments": " ".join(sweep.compiler_args),
    }
    return {name: one_line(value) for name, value in facts.items() if value}


def _figure(name: str, draw: Draw) -> Figure:
    themes: tuple[Theme, ...] = ("light", "dark")
    images = {
        f"{theme}{suffix}": _data_url(svg(draw(Look(theme, width_px))))
        for theme in themes
        for suffix, width_px in (("", WIDE), ("_narrow", NARROW))
    }
    specs = {theme: spec(draw(Look(theme, None))) for theme in themes}
    height_px = specs["light"]["height"]
    return Figure(name, specs["light"]["description"], images, WIDE, height_px, specs)


def _distribution(sweep: SweepReading, look: Look) -> Chart:
    chart = latency_distribution(sweep, look)
    assert chart is not None
    return chart


def _of_metric(history: History, metric: Metric) -> Draw:
    return lambda look: history_over_time(history, metric, look)


def _data_url(image: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(image.encode()).decode()}"


def _render(template: str, **values: Any) -> str:
    figures: Sequence[Figure] = values["figures"]
    specs = {figure.name: dict(figure.specs) for figure in figures}
    page = _templates().get_template(template)
    return page.render(**values, specs=specs, script=javascript(), version=__version__) + "\n"


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("benchlib.report"),
        autoescape=select_autoescape(("html", "html.j2"), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _number(value: float | None, unit: str) -> str:
    return NOTHING if value is None else f"{value:.6g} {one_line(unit)}".rstrip()


def _fixed(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else f"{value:.{decimals}f}"


def _scaled(size_bytes: int | None, bits: int) -> float | None:
    return None if size_bytes is None else size_bytes / (1 << bits)


_STATUS_WORDS = {"ok": "", "invalid": "invalid", "failed": "failed"}
_TONES: Mapping[str, Tone] = {
    "peak": "peak",
    "tied": "tied",
    "level": "tied",
    "invalid": "doubtful",
    "failed": "bad",
}
