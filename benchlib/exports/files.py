"""Write the stored measurements as JSON lines or as Parquet; the file appears whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import duckdb
from pydantic_core import to_json
from sqlalchemy import ARRAY, BigInteger, Boolean, Date, DateTime, Double, Engine, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from benchlib.errors import BenchError
from benchlib.store.export import Selection, export_columns, exported, round_columns

ExportFormat = Literal["jsonl", "parquet"]

# Identifiers stay readable everywhere as text; BigInteger is an Integer too and must come first.
_PARQUET_TYPES: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
    (BigInteger, "BIGINT"),
    (Integer, "INTEGER"),
    (Boolean, "BOOLEAN"),
    (Double, "DOUBLE"),
    (DateTime, "TIMESTAMPTZ"),
    (Date, "DATE"),
    (Uuid, "VARCHAR"),
    (Text, "VARCHAR"),
)
_LISTS = {
    "checks": 'name VARCHAR, passed BOOLEAN, figure DOUBLE, "limit" DOUBLE, unit VARCHAR, advice VARCHAR',
    "server_trials": "target_batches_per_s DOUBLE, achieved_batches_per_s DOUBLE, samples BIGINT, "
    "p99_ms DOUBLE, met BOOLEAN",
    "telemetry": "name VARCHAR, value DOUBLE, unit VARCHAR, core INTEGER",
}
"""What the elements of each list are."""


def export(engine: Engine, selection: Selection, fmt: ExportFormat, output: Path) -> int:
    """Write the selected measurements to a file, and return how many there were.

    Raises:
        BenchError: the file cannot be written; one that was there before is left as it was.
        DatabaseUnreachable: the database does not answer.
    """
    write: dict[str, Callable[[Engine, Selection, Path], int]] = {
        "jsonl": _write_json_lines,
        "parquet": _write_parquet,
    }
    try:
        with _published(output) as path:
            return write[fmt](engine, selection, path)
    except (OSError, duckdb.IOException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BenchError(f"{output} could not be written: {reason}") from error


def parquet_schema() -> dict[str, str]:
    """Column name to DuckDB's name of its type; Parquet has the like of each."""
    fields = ", ".join(f"{column.name} {_parquet_type(column.kind)}" for column in round_columns())
    columns = {column.name: _parquet_type(column.kind) for column in export_columns()}
    lists = {**_LISTS, "rounds": fields}
    return {**columns, **{name: f"STRUCT({elements})[]" for name, elements in lists.items()}}


@contextmanager
def _published(output: Path) -> Iterator[Path]:
    """A path beside the file that takes its place at the end."""
    with tempfile.TemporaryDirectory(prefix=".bench-export-", dir=output.parent) as directory:
        path = Path(directory) / "rows"
        yield path
        path.replace(output)


def _write_json_lines(engine: Engine, selection: Selection, path: Path) -> int:
    count = 0
    with path.open("wb") as file:
        for row in exported(engine, selection):
            file.write(to_json(row) + b"\n")
            count += 1
    return count


def _write_parquet(engine: Engine, selection: Selection, path: Path) -> int:
    # DuckDB takes * and [ in a path that it reads for a pattern: a name that we chose has none.
    with tempfile.TemporaryDirectory(prefix="bench-export-") as directory:
        lines = Path(directory) / "rows.jsonl"
        count = _write_json_lines(engine, selection, lines)
        with duckdb.connect() as connection:
            rows = connection.read_json(str(lines), format="newline_delimited", columns=parquet_schema())
            rows.write_parquet(str(path), compression="zstd")
    return count


def _parquet_type(kind: TypeEngine[Any]) -> str:
    if isinstance(kind, ARRAY):
        return f"{_parquet_type(kind.item_type)}[]"
    if isinstance(kind, JSONB):
        return "JSON"
    return next(name for type_, name in _PARQUET_TYPES if isinstance(kind, type_))
