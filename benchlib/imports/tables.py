"""CSV files, row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from benchlib.errors import BadInput


def csv_rows(lines: Iterable[str], required: frozenset[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row stands, and its cells by column; blank cells are left out.

    Raises:
        BadInput: a required column is missing, or it is no CSV file.
    """
    table = csv.DictReader(lines)
    try:
        missing = sorted(required - set(table.fieldnames or ()))
        if missing:
            raise BadInput("header", ", ".join(table.fieldnames or ()), f"one with {', '.join(missing)} too")
        for cells in table:
            yield (
                f"line {table.line_num}",
                {name: cell.strip() for name, cell in cells.items() if name and cell and cell.strip()},
            )
    except csv.Error as error:
        raise BadInput("file", f"line {table.line_num}", f"a CSV file ({error})") from error
