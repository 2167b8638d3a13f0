"""`bench export` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import Engine

from benchlib.store.repository import Repository
from tests.cli.conftest import Bench
from tests.store import samples


@pytest.fixture(autouse=True)
def stored(engine: Engine) -> None:
    """Batch sizes 1 and 2 of one sweep."""
    Repository(engine).record(samples.measurement(1))
    Repository(engine).record(samples.measurement(2))


def test_lines_are_written_and_counted(bench: Bench) -> None:
    code, out, err = bench("export", "--output", "rows.jsonl")
    size = Path("rows.jsonl").stat().st_size
    assert (code, out, err) == (0, f"2 measurements written to rows.jsonl ({size:,} bytes)\n", "")
    assert [json.loads(line)["batch_size"] for line in Path("rows.jsonl").read_text().splitlines()] == [1, 2]


def test_parquet_is_written(bench: Bench) -> None:
    assert bench("export", "--format", "parquet", "-o", "rows.parquet")[0] == 0
    assert len(duckdb.read_parquet("rows.parquet")) == 2


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--model", "bert-base-uncased", "--batch-size", "2"), 1),
        (("--since", "2026-03-01", "--until", "2026-03-01"), 2),
        (("--since", "2026-03-02"), 0),
        (("--until", "2026-02-28"), 0),
        (("--instance-type", "inf2.xlarge"), 0),
    ],
)
def test_options_select(bench: Bench, options: tuple[str, ...], count: int) -> None:
    _, out, _ = bench("export", "--output", "rows.jsonl", *options)
    assert out.startswith(f"{count} measurements written")


def test_an_impossible_file_is_refused(bench: Bench) -> None:
    code, _, err = bench("export", "--output", "nosuch/rows.jsonl")
    assert code == 2
    assert err.startswith("bench: --output: 'nosuch/rows.jsonl' is not allowed")
