"""The comparison as Markdown, laid out like the table that this project started from."""

from __future__ import annotations

import re

from benchlib.analysis.comparison import Comparison, ComparisonRow
from benchlib.analysis.peak import Peak, closing_sentence, find_peak
from benchlib.report.table import (
    COLUMNS,
    REASON_CHARS,
    THROUGHPUT,
    Column,
    caption,
    one_line,
    row_notes,
    shorten,
)

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")


def render_markdown(comparison: Comparison) -> str:
    """Caption, table, a list of what failed, and the closing sentence; ends with a newline."""
    peak = find_peak(comparison.rows)
    cells = [[_cell(column, row, peak) for column in COLUMNS] for row in comparison.rows]
    notes = "\n".join(f"- {escape(note)}" for note in row_notes(comparison))
    parts = (escape(caption(comparison)), _table(cells), notes, escape(closing_sentence(comparison)))
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """The text on one line, with everything that Markdown or HTML would read as markup escaped."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def _cell(column: Column, row: ComparisonRow, peak: Peak | None) -> str:
    text = escape(column.cell(row))
    if column is not THROUGHPUT:
        return text
    if row.status == "failed":
        return f"failed: {escape(shorten(row.reason, REASON_CHARS))}"
    if row.status == "invalid":
        return f"{text} (invalid)"
    return f"**{text}**" if peak is not None and row.batch_size == peak.batch_size else text


def _table(rows: list[list[str]]) -> str:
    """Pad the cells so that the source reads as a table too."""
    headers = [column.header for column in COLUMNS]
    widths = [max(map(len, cells)) for cells in zip(headers, *rows, strict=True)]
    rule = [
        "-" * width if column.is_text else "-" * (width - 1) + ":"
        for column, width in zip(COLUMNS, widths, strict=True)
    ]
    lines = [_padded(headers, widths), rule, *(_padded(row, widths) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _padded(cells: list[str], widths: list[int]) -> list[str]:
    return [
        cell.ljust(width) if column.is_text else cell.rjust(width)
        for column, cell, width in zip(COLUMNS, cells, widths, strict=True)
    ]
