"""What a page shows, as a table to take away: CSV for spreadsheets, Markdown for tickets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from benchlib.report.exports import FORMULA_STARTS
from benchlib.report.markdown import escape
from benchlib.report.table import one_line

Cell = str | int | float | bool | date | datetime | None


@dataclass(frozen=True)
class Sheet:
    """Rows under headers; every unit is in its header, figures are unrounded, what is missing is empty."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...] = ()
    """What one must know to read it; the first says whose figures these are."""


def as_csv(sheet: Sheet) -> str:
    """Headers and rows. A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(sheet.headers)
    writer.writerows([_csv_cell(cell) for cell in row] for row in sheet.rows)
    return target.getvalue()


def as_markdown(sheet: Sheet) -> str:
    """Title, table, notes; ends with a newline."""
    cells = [[escape(_text(cell)) for cell in row] for row in sheet.rows]
    numeric = [_is_numeric(column) for column in zip(*sheet.rows, strict=True)] or [False] * len(
        sheet.headers
    )
    rule = ["---:" if each else "---" for each in numeric]
    lines = [_line(map(escape, sheet.headers)), _line(rule), *map(_line, cells)]
    notes = "\n".join(f"- {escape(note)}" for note in sheet.notes)
    return (
        "\n\n".join(part for part in (f"**{escape(sheet.title)}**", "\n".join(lines), notes) if part) + "\n"
    )


def _csv_cell(cell: Cell) -> str:
    text = _text(cell)
    return f"'{text}" if isinstance(cell, str) and text.startswith(FORMULA_STARTS) else text


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, (date, datetime)):
        return cell.isoformat()
    return one_line(str(cell))


def _is_numeric(column: Sequence[Cell]) -> bool:
    known = [cell for cell in column if cell is not None]
    return bool(known) and all(
        isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in known
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
