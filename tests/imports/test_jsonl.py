"""Damaged lines are refused one by one; what is whole is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from benchlib.errors import BadInput
from benchlib.exports.files import export
from benchlib.imports.jsonl import read_json_lines
from benchlib.store.export import Selection
from benchlib.store.repository import Repository
from tests.store import samples


@pytest.fixture
def row(engine: Engine, tmp_path: Path) -> dict[str, Any]:
    """One exported row."""
    Repository(engine).record(samples.measurement())
    export(engine, Selection(), "jsonl", tmp_path / "rows.jsonl")
    line: dict[str, Any] = json.loads((tmp_path / "rows.jsonl").read_text())
    return line


def test_a_row_is_the_record_that_was_stored(row: dict[str, Any]) -> None:
    assert read_json_lines([json.dumps(row)]).records == (samples.measurement(),)


def test_a_damaged_line_is_refused_and_the_others_are_taken(row: dict[str, Any]) -> None:
    whole = json.dumps(row)
    reading = read_json_lines([whole[: len(whole) // 2], "\n", whole])
    (verdict,) = reading.refused
    assert (verdict.where, verdict.kind, reading.taken) == ("line 1", "it is no JSON", 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"batches": 0}, "batches: 0 is not allowed"),
        ({"p99_ms": -1}, "latency.p99_ms: -1 is not allowed"),
        ({"created_at": "yesterday"}, "created_at: 'yesterday' is not allowed"),
        ({"created_at": "2026-03-01T12:00:00"}, "created_at: '2026-03-01T12:00:00' is not allowed"),
        ({"samples": None}, "Measurement: "),
        ({"latency_buckets": [1, 2], "latency_bucket_batches": [12000]}, "latency_histogram: "),
    ],
)
def test_a_row_that_no_record_may_be_is_refused(
    row: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    (verdict,) = read_json_lines([json.dumps({**row, **change})]).refused
    assert verdict.reason.startswith(reason)


@pytest.mark.parametrize("missing", ["status", "model", "asked_workers", "rounds"])
def test_a_row_without_a_column_is_refused(row: dict[str, Any], missing: str) -> None:
    del row[missing]
    (verdict,) = read_json_lines([json.dumps(row)]).refused
    assert "missing" in verdict.reason


def test_lines_of_a_newer_version_are_left_alone(row: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="schema_version: 2 is not allowed"):
        read_json_lines([json.dumps({**row, "schema_version": 2})])


@pytest.mark.parametrize("line", ["[1]", "1", "null"])
def test_json_that_is_no_row_is_refused(line: str) -> None:
    (verdict,) = read_json_lines([line]).refused
    assert verdict.reason == "it is no exported row: a column is missing"
