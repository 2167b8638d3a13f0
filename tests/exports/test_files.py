"""What is exported comes back as it was, and Parquet says the same as the lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from pydantic import BaseModel
from sqlalchemy import Engine, create_engine, text

from benchlib.errors import BenchError
from benchlib.exports.files import ExportFormat, export, parquet_schema
from benchlib.imports.jsonl import read_json_lines
from benchlib.imports.published import read_published
from benchlib.loadgen.histogram import latency_histogram
from benchlib.records import sweep_id_of
from benchlib.results import Check, Reading, ServerTrial
from benchlib.settings import PROJECT_ROOT
from benchlib.spec import ModelSpec
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.export import Selection, export_columns, round_columns
from benchlib.store.repository import Repository, Written
from tests.conftest import new_database
from tests.imports import published_rows
from tests.store import samples

TABLES = ("sweep", "environment", "series", "measurement", "round")
SEARCH = samples.asked_of_server(
    worker_mode="native", warmup="fixed", stop="duration", duration_s=30.0, relative_half_width=0.01
)
SEARCH = SEARCH.model_copy(
    update={
        "spec": SEARCH.spec.model_copy(
            update={"model": ModelSpec(name="bert-base-uncased", head="encoder", inputs="zeros_int32")}
        )
    }
)


@pytest.fixture
def other(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """A second, empty database."""
    with new_database(postgres) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Everything that a row can be: ok, invalid, failed, imported, with and without histogram and rounds."""
    repository = Repository(engine)
    latencies_ns = np.random.default_rng(0).lognormal(13.8, 0.1, 12_000).astype(np.int64)
    measured = samples.measured(
        latency_histogram=latency_histogram(latencies_ns), warnings=("a, b", "\u2028")
    )
    repository.record(samples.measurement(1, result=measured))
    doubtful = samples.measured(2, checks=(samples.LITTLE, samples.NOISY))
    repository.record(samples.measurement(2, result=doubtful))
    repository.record(samples.measurement(2, attempt=2, failure=samples.failure(log_tail=("x\0y", "{"))))
    repository.record(samples.measurement(4, failure=samples.failure()))
    repository.record(samples.measurement(8, result=samples.told(8)))
    repository.record(samples.server_measurement(sweep=SEARCH))
    rows = published_rows.table_of(published_rows.SOUND, published_rows.TOO_SLOW, published_rows.INF1)
    repository.record_all(read_published(rows.splitlines(keepends=True)).records)
    return engine


def rows_of(engine: Engine) -> dict[str, list[str]]:
    """Everything that is stored, without the keys of one database; a round beside its measurement."""
    queries = {
        table: text(f"SELECT (to_jsonb({table}) - 'measurement_id')::text AS row FROM {table} ORDER BY row")
        for table in TABLES
    }
    with engine.connect() as connection:
        return {table: list(connection.scalars(query)) for table, query in queries.items()}


def lines_of(engine: Engine, directory: Path, selection: Selection = Selection()) -> list[dict[str, Any]]:  # noqa: B008
    export(engine, selection, "jsonl", directory / "rows.jsonl")
    return [json.loads(line) for line in (directory / "rows.jsonl").open()]


def test_lines_come_back_as_the_same_rows_in_another_database(
    filled: Engine, other: Engine, tmp_path: Path
) -> None:
    assert export(filled, Selection(), "jsonl", tmp_path / "rows.jsonl") == 9
    with (tmp_path / "rows.jsonl").open() as lines:
        reading = read_json_lines(lines)
    assert reading.refused == ()
    assert Repository(other).record_all(reading.records).inserted == 9
    assert rows_of(other) == rows_of(filled)
    assert Repository(other).record_all(reading.records) == Written()
    assert rows_of(other) == rows_of(filled)


def test_a_line_holds_every_column_and_the_rounds(filled: Engine, tmp_path: Path) -> None:
    line = next(row for row in lines_of(filled, tmp_path) if row["status"] == "ok" and row["rounds"])
    assert list(line) == [*(column.name for column in export_columns()), "rounds"]
    assert [set(each) for each in line["rounds"]] == [{column.name for column in round_columns()}] * 2
    assert line["throughput_inf_per_s"] == 12649.572
    assert line["created_at"] == "2026-03-01T12:00:00Z"
    assert (line["model"], line["device"], line["hardware"]) == ("bert-base-uncased", "Test CPU", False)
    assert (line["asked_batch_sizes"], line["batch_size"]) == ([1, 2], 1)


def test_parquet_has_the_lines_rows_with_their_types(filled: Engine, tmp_path: Path) -> None:
    count = export(filled, Selection(), "parquet", tmp_path / "rows.parquet")
    relation = duckdb.read_parquet(str(tmp_path / "rows.parquet"))
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    assert types["throughput_inf_per_s"] == "DOUBLE"
    assert types["created_at"] == "TIMESTAMP WITH TIME ZONE"
    assert types["latency_buckets"] == "INTEGER[]"
    assert list(types) == list(parquet_schema())
    lines = lines_of(filled, tmp_path)
    found = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    assert (count, len(found)) == (9, len(lines))
    for row, line in zip(found, lines, strict=True):
        assert {name: _plain(value) for name, value in row.items()} == line


def _plain(value: object) -> object:
    match value:
        case datetime():
            text = value.astimezone(UTC).isoformat()
            return text.replace("+00:00", "Z")
        case date():
            return value.isoformat()
    return value


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        (Selection(), 9),
        (Selection(model="bert-base-cased"), 1),
        (Selection(model="bert-base-uncased", batch_size=2), 2),
        (Selection(instance_type="inf2.xlarge"), 2),
        (Selection(since=date(2026, 3, 1)), 6),
        (Selection(since=date(2026, 3, 2)), 0),
        (Selection(until=date(2022, 4, 29)), 1),
        (Selection(until=date(2022, 4, 28)), 0),
    ],
)
def test_a_selection_leaves_the_rest_out(
    filled: Engine, tmp_path: Path, selection: Selection, count: int
) -> None:
    for fmt in ("jsonl", "parquet"):
        assert export(filled, selection, fmt, tmp_path / fmt) == count
    assert len(duckdb.read_parquet(str(tmp_path / "parquet"))) == count


def test_sweeps_come_oldest_first(filled: Engine, tmp_path: Path) -> None:
    days = [line["created_at"] for line in lines_of(filled, tmp_path)]
    assert days == sorted(days)


def test_a_sweep_just_before_midnight_belongs_to_its_day(engine: Engine, tmp_path: Path) -> None:
    late = datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)
    for number, when in enumerate((late, late + timedelta(microseconds=1))):
        name = f"run-{number}"
        sweep = samples.sweep(name, sweep_id=sweep_id_of("inf2_batch_sweep", name), created_at=when)
        Repository(engine).record(samples.measurement(sweep=sweep))
    day = date(2026, 3, 1)
    assert [line["run_id"] for line in lines_of(engine, tmp_path, Selection(until=day))] == ["run-0"]
    assert [line["run_id"] for line in lines_of(engine, tmp_path, Selection(since=day + timedelta(1)))] == [
        "run-1"
    ]


@pytest.mark.parametrize("fmt", ["jsonl", "parquet"])
def test_a_path_that_looks_like_a_pattern_is_a_path(
    filled: Engine, tmp_path: Path, fmt: ExportFormat
) -> None:
    directory = tmp_path / "a*[b] 'c'"
    directory.mkdir()
    export(filled, Selection(), fmt, directory / "rows")
    assert [path.name for path in directory.iterdir()] == ["rows"]


@pytest.mark.parametrize("fmt", ["jsonl", "parquet"])
def test_a_file_that_cannot_be_replaced_stays_and_nothing_lies_around(
    filled: Engine, tmp_path: Path, fmt: ExportFormat
) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(BenchError, match="taken could not be written: Is a directory"):
        export(filled, Selection(), fmt, tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("column", "contract"), [("checks", Check), ("telemetry", Reading), ("server_trials", ServerTrial)]
)
def test_the_fields_of_a_list_are_those_of_the_contract(column: str, contract: type[BaseModel]) -> None:
    fields = duckdb.sqltype(parquet_schema()[column].removesuffix("[]")).children
    assert [name for name, _ in fields] == list(contract.model_fields)


def test_the_document_explains_every_column() -> None:
    document = (PROJECT_ROOT / "docs" / "import-export.md").read_text()
    lines = [f"| `{each.name}` | {each.meaning} |" for each in (*export_columns(), *round_columns())]
    assert [line for line in lines if line not in document] == [], "add these lines"
