"""The comparison for other programs: CSV for spreadsheets, JSON in full precision."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict

from benchlib.analysis.comparison import Comparison, ComparisonRow
from benchlib.analysis.peak import closing_sentence, find_peak, provenance
from benchlib.report.table import COLUMNS, Column, one_line

SCHEMA_VERSION = 1
"""Of the JSON document; grows when a key changes its meaning or goes away."""

FORMULA_STARTS = ("=", "+", "-", "@")


def render_csv(comparison: Comparison) -> str:
    """The table's columns and digits, then on every row what it needs to be believed on its own.

    A value that is missing is an empty cell. A text that a spreadsheet would take for a formula gets an
    apostrophe in front.
    """
    peak = find_peak(comparison.rows)
    sweep = _sweep_columns(comparison)
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([*(column.header for column in COLUMNS), "Status", "Reason", "Peak", *sweep])
    for row in comparison.rows:
        is_peak = peak is not None and row.batch_size == peak.batch_size
        cells = [_cell(column, row) for column in COLUMNS]
        status = [row.status, _harmless(row.reason), "yes" if is_peak else "no"]
        writer.writerow([*cells, *status, *map(_harmless, sweep.values())])
    return target.getvalue()


def render_json(comparison: Comparison) -> str:
    """One document; every unit is in its key, figures are unrounded, what is missing is null.

    ===============  =================================================================================
    schema_version   `SCHEMA_VERSION`
    sweep            what the sweep was: sweep_id, model, sequence_length (tokens), backend, precision,
                     device, hardware (false: not an accelerator), instance_type, label, origin,
                     created_at (ISO 8601)
    rows             ascending by batch_size; status is ok, invalid or failed, reason says why; then
                     filename, batches, inferences, workers, replicas, duration_s,
                     throughput_inf_per_s, p50_ms, p95_ms, p99_ms
    peak             batch_size and throughput_inf_per_s of the best valid row, or null
    provenance       whose figures these are, in one sentence
    note             the closing sentence of the table
    ===============  =================================================================================
    """
    sweep = asdict(comparison)
    rows = sweep.pop("rows")
    sweep |= {"sweep_id": str(comparison.sweep_id), "created_at": comparison.created_at.isoformat()}
    peak = find_peak(comparison.rows)
    document = {
        "schema_version": SCHEMA_VERSION,
        "sweep": sweep,
        "rows": rows,
        "peak": asdict(peak) if peak else None,
        "provenance": provenance(comparison),
        "note": closing_sentence(comparison),
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _cell(column: Column, row: ComparisonRow) -> str:
    text = column.cell(row, missing="")
    return _harmless(text) if column.is_text else text


def _harmless(text: str) -> str:
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
        "Sweep": str(comparison.sweep_id),
        "Date": comparison.created_at.isoformat(),
        "Provenance": provenance(comparison),
    }
