"""The comparison as Markdown, laid out like the table that this project started from."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchlib.analysis.comparison import Comparison, ComparisonRow
from benchlib.analysis.peak import closing_sentence
from benchlib.report.table import (
    REASON_CHARS,
    THROUGHPUT,
    Column,
    Mark,
    caption,
    columns_of,
    marks,
    one_line,
    row_notes,
    shorten,
)

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")


def render_markdown(comparison: Comparison) -> str:
    """Caption, table, a list of what failed, and the closing sentence; ends with a newline."""
    columns, marked = columns_of(comparison), marks(comparison.rows)
    cells = [
        [_cell(column, row, marked.get(row.batch_size)) for column in columns] for row in comparison.rows
    ]
    notes = "\n".join(f"- {escape(note)}" for note in row_notes(comparison))
    parts = (escape(caption(comparison)), _table(columns, cells), notes, escape(closing_sentence(comparison)))
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """The text on one line, with everything that Markdown or HTML would read as markup escaped."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def _cell(column: Column, row: ComparisonRow, mark: Mark | None) -> str:
    text = escape(column.cell(row))
    if column is not THROUGHPUT:
        return text
    if row.status == "failed":
        return f"failed: {escape(shorten(row.reason, REASON_CHARS))}"
    if row.status == "invalid":
        return f"{text} (invalid)"
    if mark == "peak":
        return f"**{text}**"
    return f"{text} ({mark})" if mark else text


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Pad the cells so that the source reads as a table too."""
    headers = [column.header for column in columns]
    widths = [max(map(len, cells)) for cells in zip(headers, *rows, strict=True)]
    rule = [
        "-" * width if column.is_text else "-" * (width - 1) + ":"
        for column, width in zip(columns, widths, strict=True)
    ]
    lines = [rule if cells is rule else _padded(columns, cells, widths) for cells in (headers, rule, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _padded(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if column.is_text else cell.rjust(width)
        for column, cell, width in zip(columns, cells, widths, strict=True)
    ]
