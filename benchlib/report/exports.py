"""The comparison for other programs: CSV for spreadsheets, JSON in full precision."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict

from benchlib.analysis.comparison import Comparison, ComparisonRow
from benchlib.analysis.peak import closing_sentence, find_peak, provenance, recommend
from benchlib.report.table import COLUMNS, Column, marks, one_line, row_notes

SCHEMA_VERSION = 1
"""Of the JSON document; grows when a key changes its meaning or goes away."""

FORMULA_STARTS = ("=", "+", "-", "@")

STANDING = ("Status", "Reason", "Peak", "Tied with peak", "Recommended")
"""Yes or no; a size that cannot be told from the peak is 'tied' or 'level', see `benchlib.analysis.peak`."""
MORE_COLUMNS = (
    Column("Throughput low", "throughput_low_inf_per_s", "inf/s", 3),
    Column("Throughput high", "throughput_high_inf_per_s", "inf/s", 3),
    Column("P90", "p90_ms", "ms", 3),
    Column("P99.9", "p99_9_ms", "ms", 3),
    Column("Samples", "samples"),
    Column("Worker mode", "worker_mode", decimals=None),
)
"""What people rarely look at in a table and programs may want. The limits are those of the 95 % interval."""


def render_csv(comparison: Comparison) -> str:
    """The table's columns and digits, then on every row what it needs to be believed on its own.

    A value that is missing is an empty cell. A text that a spreadsheet would take for a formula gets an
    apostrophe in front.
    """
    marked, advised, sweep = marks(comparison.rows), recommend(comparison), _sweep_columns(comparison)
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([*_headers(COLUMNS), *STANDING, *_headers(MORE_COLUMNS), *sweep])
    for row in comparison.rows:
        mark = marked.get(row.batch_size, "no")
        standing = [
            row.status,
            harmless(row.reason),
            "yes" if mark == "peak" else "no",
            "no" if mark == "peak" else mark,
            "yes" if advised and advised.batch_size == row.batch_size else "no",
        ]
        cells, more = ([_cell(column, row) for column in columns] for columns in (COLUMNS, MORE_COLUMNS))
        writer.writerow([*cells, *standing, *more, *map(harmless, sweep.values())])
    return target.getvalue()


def _headers(columns: Iterable[Column]) -> list[str]:
    return [column.header for column in columns]


def render_json(comparison: Comparison) -> str:
    """One document; every unit is in its key, figures are unrounded, what is missing is null.

    ===============  =================================================================================
    schema_version   `SCHEMA_VERSION`
    sweep            what the sweep was: sweep_id, model, sequence_length (tokens), backend, precision,
                     device, hardware (false: not an accelerator), instance_type, label, origin,
                     created_at (ISO 8601), latency_limit_ms (of P99, asked for), scenario
    rows             ascending by batch_size; status is ok, invalid or failed, reason says why; then
                     filename, batches, inferences, workers, replicas, duration_s,
                     throughput_inf_per_s with the low and high end of its 95 % interval, p50_ms,
                     p90_ms, p95_ms, p99_ms, p99_9_ms, samples (of the latencies), worker_mode
    peak             batch_size and throughput_inf_per_s of the best valid row, and the batch sizes
                     that cannot be told from it (tied); or null
    recommended      batch_size and the reason for it, or null
    provenance       whose figures these are, in one sentence
    row_notes        why rows failed, cannot be believed or lack a percentile, one line each
    note             the closing sentence of the table
    ===============  =================================================================================
    """
    sweep = asdict(comparison)
    rows = sweep.pop("rows")
    sweep |= {"sweep_id": str(comparison.sweep_id), "created_at": comparison.created_at.isoformat()}
    peak, advised = find_peak(comparison.rows), recommend(comparison)
    document = {
        "schema_version": SCHEMA_VERSION,
        "sweep": sweep,
        "rows": rows,
        "peak": asdict(peak) if peak else None,
        "recommended": asdict(advised) if advised else None,
        "provenance": provenance(comparison),
        "row_notes": row_notes(comparison),
        "note": closing_sentence(comparison),
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _cell(column: Column, row: ComparisonRow) -> str:
    text = column.cell(row, missing="")
    return harmless(text) if column.is_text else text


def harmless(text: str) -> str:
    """The text on one line, with an apostrophe in front where a spreadsheet would take it for a formula."""
    line = one_line(text)
    return f"'{line}" if line.startswith(FORMULA_STARTS) else line


def _sweep_columns(comparison: Comparison) -> dict[str, str]:
    return {
        "Model": comparison.model,
        "Sequence length": str(comparison.sequence_length),
        "Precision": comparison.precision or "",
        "Backend": comparison.backend,
        "Device": comparison.device,
        "Hardware": "yes" if comparison.hardware else "no",
        "Instance type": comparison.instance_type or "",
        "Label": comparison.label or "",
        "Scenario": comparison.scenario,
        "P99 limit (ms)": ""
        if comparison.latency_limit_ms is None
        else f"{comparison.latency_limit_ms:.10g}",
        "Sweep": str(comparison.sweep_id),
        "Date": comparison.created_at.isoformat(),
        "Provenance": provenance(comparison),
    }
