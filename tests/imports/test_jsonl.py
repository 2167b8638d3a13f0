"""Damaged lines are refused one by one; what is whole is taken."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from benchlib.errors import BadInput
from benchlib.exports.files import export
from benchlib.imports.jsonl import read_json_lines
from benchlib.records import MeasurementRecord
from benchlib.spec import ModelSpec
from benchlib.store.export import Selection
from benchlib.store.repository import Repository
from benchlib.store.spool import Spool
from tests.store import samples


@pytest.fixture
def row(engine: Engine, tmp_path: Path) -> dict[str, Any]:
    """One exported row."""
    Repository(engine).record(samples.measurement())
    export(engine, Selection(), "jsonl", tmp_path / "rows.jsonl")
    line: dict[str, Any] = json.loads((tmp_path / "rows.jsonl").read_text())
    return line


ENCODER = ModelSpec(name="bert-base-uncased", head="encoder", inputs="zeros_int32")
ENCODING = samples.sweep("encoder", spec=samples.sweep().spec.model_copy(update={"model": ENCODER}))
GIVEN = samples.asked_of_server("given", target_batches_per_s=500.0, stop="duration", worker_mode="thread")


@pytest.mark.parametrize(
    "record",
    [
        samples.measurement(),
        samples.measurement(failure=samples.failure(log_tail=("one", "two"))),
        samples.measurement(sweep=ENCODING, result=samples.told()),
        samples.server_measurement(),
        samples.server_measurement(sweep=GIVEN, result=samples.served(500.0, trials=(), p99_limit_ms=None)),
    ],
    ids=["plain", "failed", "told", "searched", "given"],
)
def test_a_record_comes_back_from_spool_database_and_export(
    engine: Engine, tmp_path: Path, record: MeasurementRecord
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.write(record)
    assert spool.replay(Repository(engine)).replayed == 1
    export(engine, Selection(), "jsonl", tmp_path / "rows.jsonl")
    with (tmp_path / "rows.jsonl").open() as lines:
        assert read_json_lines(lines).records == (record,)


NEWER = re.compile(r"asked_(worker_mode|warmup$|stop|duration_s|relative|target|latency|arrival)|head|inputs|"
                   r"model_variant|processes|topology|.*_(low|high)_|overhead|ideal|ceiling|target|p99_limit|"
                   r"arrival|server|service|telemetry")  # fmt: skip
"""Columns that older versions did not export."""


def test_a_line_of_an_older_version_asked_for_what_everything_did_then(row: dict[str, Any]) -> None:
    older = {name: value for name, value in row.items() if not NEWER.match(name)}
    assert len(row) - len(older) == 42
    (record,) = read_json_lines([json.dumps(older)]).records
    load = record.sweep.spec.load
    assert (load.worker_mode, load.warmup, load.stop) == ("thread", "fixed", "rounds")
    assert record.result == samples.measured()
    assert record.sweep.spec.model == samples.sweep().spec.model


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
        ({"p50_low_ms": 0.9}, "latency_intervals.p50_ms.high: None is not allowed"),
        ({"overhead_service_ms": 1.0}, "overhead.cost_per_call_ns: None is not allowed"),
        ({"target_batches_per_s": 5.0}, "server.arrival_seed: None is not allowed"),
        ({"asked_target_batches_per_s": 5.0}, "target_batches_per_s: 5.0 is not allowed"),
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
