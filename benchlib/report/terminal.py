"""The comparison in a terminal: figures are never wrapped or cut; a narrow one shows fewer columns."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchlib.analysis.comparison import Comparison
from benchlib.analysis.peak import closing_sentence
from benchlib.report.table import (
    FILENAME,
    MARGIN,
    THROUGHPUT,
    Column,
    caption,
    columns_of,
    marks,
    one_line,
    row_notes,
)

PLAIN_WIDTH = 10_000
"""Of a pipe or a file: no window ends there, so nothing is left out and nothing is wrapped."""

MIN_FILENAME_WIDTH = 10
"""Less of a name says nothing that the batch size does not say."""

LEFT_OUT_FIRST = (
    "filename",
    "batches",
    "inferences",
    "replicas",
    "workers",
    MARGIN.attribute,
    "p95_ms",
    "duration_s",
    "p99_ms",
)
"""What a narrow terminal loses, in this order: first what the other columns imply."""

STYLES = {"peak": "bold green", "tied": "green", "level": "green"}
"""By the mark of a row."""
STYLED = (THROUGHPUT.attribute, "mark")
"""The cells of a row that bear its style."""


@dataclass(frozen=True)
class _Strip:
    """One column of the printed table."""

    attribute: str
    header: str
    cells: tuple[str, ...]
    is_text: bool

    @property
    def width(self) -> int:
        return max(map(cell_len, (*self.header.split("\n"), *self.cells)))

    def narrowed(self, width: int) -> _Strip:
        """Keep the ends of the names, which is where file names differ."""
        return replace(self, cells=tuple(_end_of(cell, width) for cell in self.cells))


def open_console(file: TextIO | None = None) -> Console:
    """A console on ``file`` (default: standard output): plain in a pipe, without styles under NO_COLOR."""
    file = file or sys.stdout
    console = Console(file=file, color_system=None if os.environ.get("NO_COLOR") else "auto")
    return console if console.is_terminal else plain_console(file)


def plain_console(file: TextIO) -> Console:
    """A console that never styles, wraps or leaves anything out."""
    return Console(file=file, force_terminal=False, color_system=None, width=PLAIN_WIDTH)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print caption, table, reasons of failures and the closing sentence."""
    columns = columns_of(comparison)
    strips = _fitted(_strips(comparison, columns), console.width)
    console.print(Text(caption(comparison)), "", _table(strips), "", sep="\n")
    for note in (*row_notes(comparison), *_left_out(columns, strips)):
        console.print(Text(note))
    console.print(Text(one_line(closing_sentence(comparison)), "bold"))


def _strips(comparison: Comparison, columns: Sequence[Column]) -> list[_Strip]:
    strips = []
    for column in columns:
        cells = tuple(column.cell(row) for row in comparison.rows)
        strips.append(_Strip(column.attribute, _two_lines(column), cells, column.is_text))
        if column is THROUGHPUT:
            strips.append(_Strip("mark", "", _marks(comparison), is_text=True))
    return strips


def _marks(comparison: Comparison) -> tuple[str, ...]:
    """The word beside each throughput: it survives where styles do not."""
    marked, words = marks(comparison.rows), {"ok": "", "invalid": "invalid", "failed": "failed"}
    return tuple(marked.get(row.batch_size) or words[row.status] for row in comparison.rows)


def _two_lines(column: Column) -> str:
    return f"{column.name}\n({column.unit})" if column.unit else column.name


def _end_of(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    while cell_len(text) > width - 1:
        text = text[1:]
    return "…" + text


def _fitted(strips: list[_Strip], width: int) -> list[_Strip]:
    """Shorten the file names or leave columns out until the table fits."""
    kept = strips
    for attribute in LEFT_OUT_FIRST:
        excess = sum(strip.width + 1 for strip in kept) - 1 - width
        if excess <= 0:
            break
        name_width = kept[0].width - excess
        if kept[0].attribute == FILENAME.attribute and name_width >= MIN_FILENAME_WIDTH:
            return [kept[0].narrowed(name_width), *kept[1:]]
        kept = [strip for strip in kept if strip.attribute != attribute]
    return kept


def _left_out(columns: Sequence[Column], strips: Sequence[_Strip]) -> list[str]:
    shown = {strip.attribute for strip in strips}
    names = [column.name for column in columns if column.attribute not in shown]
    return [f"Left out, for the terminal is narrow: {', '.join(names)}."] if names else []


def _table(strips: Sequence[_Strip]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for strip in strips:
        table.add_column(Text(strip.header), justify="left" if strip.is_text else "right", no_wrap=True)
    marks = next(strip.cells for strip in strips if strip.attribute == "mark")
    for index, mark in enumerate(marks):
        style = STYLES.get(mark, "")
        table.add_row(
            *(Text(strip.cells[index], style if strip.attribute in STYLED else "") for strip in strips)
        )
    return table
