"""What the import makes of AWS's published tables, how long it takes, and how large the exports are.

``python benchmarks/published_series.py FILE`` works on a database of its own that goes at the end. It prints
the whole import report, then the times, then the sizes. Fails when a second import changes a row, or when the
exported lines do not come back as the same rows.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine, create_engine, text

from benchlib.exports.files import export
from benchlib.imports.jsonl import read_json_lines
from benchlib.imports.published import read_published
from benchlib.imports.reading import Reading, render_report
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.export import Selection
from benchlib.store.migrate import upgrade
from benchlib.store.repository import Repository

DATABASES = ("first", "second")
TABLES = ("sweep", "measurement", "round", "environment", "series")

T = TypeVar("T")


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-published-") as directory:
        server = EmbeddedPostgres(Path(directory) / "postgres")
        server.start(databases=DATABASES)
        try:
            engines = [create_engine(server.url(name)) for name in DATABASES]
            for engine in engines:
                upgrade(engine)
            _run(file, *map(Repository, engines), Path(directory))
        finally:
            server.stop()


def _run(file: Path, first: Repository, second: Repository, directory: Path) -> None:
    reading = _timed("read", lambda: _read(file))
    new = _timed("first import", lambda: first.record_all(reading.records))
    before = _rows(first.engine)
    again = _timed("second import", lambda: first.record_all(reading.records))
    assert (again, _rows(first.engine)) == (0, before), "a second import changed something"
    lines, parquet = directory / "rows.jsonl", directory / "rows.parquet"
    _timed("export as JSON lines", lambda: export(first.engine, Selection(), "jsonl", lines))
    _timed("export as Parquet", lambda: export(first.engine, Selection(), "parquet", parquet))
    with lines.open(encoding="utf-8") as exported:
        records = read_json_lines(exported).records
    _timed("import of the JSON lines", lambda: second.record_all(records))
    assert _rows(second.engine) == before, "the exported lines are other rows"
    for path in (file, lines, parquet):
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    print()
    print(render_report(reading, file.name, new))


def _read(file: Path) -> Reading:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return read_published(lines)


def _timed(what: str, work: Callable[[], T]) -> T:
    began_s = time.perf_counter()
    result = work()
    print(f"{what}: {time.perf_counter() - began_s:.2f} s")
    return result


def _rows(engine: Engine) -> list[list[str]]:
    """Everything stored, without the internal keys."""
    with engine.connect() as connection:
        queries = (
            text(f"SELECT (to_jsonb({table}) - 'measurement_id')::text AS row FROM {table} ORDER BY row")
            for table in TABLES
        )
        return [list(connection.scalars(query)) for query in queries]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
