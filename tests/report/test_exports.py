"""CSV for spreadsheets and JSON in full precision say the same as the table."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from benchlib.report.exports import render_csv, render_json
from benchlib.report.table import COLUMNS
from tests.analysis.comparisons import comparison, failed, invalid, ok

ROWS = [ok(1, 100), ok(2, 250.123456789), invalid(4, 300), failed(8, "no memory")]


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_the_tables_columns_and_digits() -> None:
    text = render_csv(comparison(ROWS))
    assert text.startswith(
        "Filename,Batch,Batches,Inferences,Threads,Models,"
        "Duration (s),Throughput (inf/s),P50 (ms),P95 (ms),P99 (ms),Status,Reason,Peak,"
    )
    best = csv_rows(text)[1]
    assert [best[column.header] for column in COLUMNS] == [
        "model_batch_size_2.pt", "2", "1000", "2000", "10", "5",
        "7.996", "250.123", "79.961", "99.951", "119.941",
    ]  # fmt: skip


def test_csv_rows_say_what_they_are() -> None:
    rows = csv_rows(render_csv(comparison(ROWS)))
    assert [(row["Status"], row["Reason"], row["Peak"]) for row in rows] == [
        ("ok", "", "no"),
        ("ok", "", "yes"),
        ("invalid", "the host was busy", "no"),
        ("failed", "no memory", "no"),
    ]
    assert rows[3]["Throughput (inf/s)"] == rows[3]["P50 (ms)"] == ""
    assert {(row["Hardware"], row["Provenance"]) for row in rows} == {
        ("no", "Measured on a CPU: not an inf2 result.")
    }


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1", '\n=HYPERLINK("x")', " =1"])
def test_no_name_is_a_formula(name: str) -> None:
    rows = [replace(ok(1, 100), filename=name), failed(2, name)]
    measured = comparison(rows, model=name, label=name, device=name, instance_type=name)
    (first, second) = csv_rows(render_csv(measured))
    cells = [first["Filename"], second["Reason"]]
    cells += [first[column] for column in ("Model", "Label", "Device", "Instance type")]
    assert cells == ["'" + name.strip()] * 6


def test_a_name_with_separators_stays_one_cell() -> None:
    (row,) = csv_rows(render_csv(comparison([ok(1, 100)], model='a,"b"\nc;d')))
    assert row["Model"] == 'a,"b" c;d'


def test_json_holds_every_digit_and_every_gap() -> None:
    document = json.loads(render_json(comparison(ROWS, label="é\n[red]")))
    assert list(document) == [
        "schema_version", "sweep", "rows", "peak", "recommended", "provenance", "row_notes", "note",
    ]  # fmt: skip
    assert document["schema_version"] == 1
    assert document["sweep"] == {
        "sweep_id": "1b0a9c56-7a0e-5e0f-8c1d-2f4b6a8c0e21",
        "model": "bert-base-uncased",
        "sequence_length": 128,
        "backend": "cpu",
        "precision": "fp32",
        "device": "Xeon",
        "hardware": False,
        "instance_type": None,
        "label": "é\n[red]",
        "origin": "dag",
        "created_at": "2026-03-01T02:30:00+00:00",
        "latency_limit_ms": None,
        "scenario": "offline",
    }
    assert document["peak"] == {"batch_size": 2, "throughput_inf_per_s": 250.123456789, "tied": []}
    assert document["recommended"] == {"batch_size": 2, "reason": "the highest throughput"}
    assert document["row_notes"][1] == "Batch size 8 failed: no memory"
    assert document["rows"][1]["duration_s"] == 2000 / 250.123456789
    assert document["rows"][3] == {
        "filename": "model_batch_size_8.pt",
        "batch_size": 8,
        "status": "failed",
        "reason": "no memory",
        **dict.fromkeys(
            ("batches", "inferences", "workers", "replicas", "duration_s", "throughput_inf_per_s")
        ),
        **dict.fromkeys(("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms", "samples", "worker_mode")),
        **dict.fromkeys(("throughput_low_inf_per_s", "throughput_high_inf_per_s")),
    }
    assert "not an inf2 result" in document["provenance"]
    assert "not an inf2 result" in document["note"]


def test_json_without_a_peak() -> None:
    document = json.loads(render_json(comparison([failed(1)])))
    assert (document["peak"], document["recommended"]) == (None, None)


TIED = [
    replace(ok(1, 240, half_width=15), p90_ms=45.5, p99_9_ms=70.0, worker_mode="native"),
    ok(2, 250, half_width=5),
    replace(ok(4, 249), samples=None, p99_ms=None),
    ok(8, 200, half_width=1),
]


def test_csv_tells_what_a_size_is_worth_and_how_surely() -> None:
    text = render_csv(comparison(TIED, scenario="server", latency_limit_ms=400.5))
    rows = csv_rows(text)
    assert [row["Tied with peak"] for row in rows] == ["tied", "no", "level", "no"]
    assert [row["Recommended"] for row in rows] == ["yes", "no", "no", "no"]
    first = rows[0]
    assert (first["Throughput low (inf/s)"], first["Throughput high (inf/s)"]) == ("225.000", "255.000")
    assert (first["P90 (ms)"], first["P99.9 (ms)"]) == ("45.500", "70.000")
    assert (first["Samples"], first["Worker mode"]) == ("1000", "native")
    assert {(row["Scenario"], row["P99 limit (ms)"]) for row in rows} == {("server", "400.5")}
    unknown = ("Throughput low (inf/s)", "P90 (ms)", "P99 (ms)", "Samples", "Worker mode")
    assert [rows[2][column] for column in unknown] == [""] * 5


def test_json_tells_what_a_size_is_worth_and_how_surely() -> None:
    document = json.loads(render_json(comparison(TIED, scenario="server", latency_limit_ms=400.5)))
    assert document["peak"]["tied"] == [1, 4]
    assert document["recommended"]["batch_size"] == 1
    first = document["rows"][0]
    assert (first["throughput_low_inf_per_s"], first["throughput_high_inf_per_s"]) == (225, 255)
    assert (first["p90_ms"], first["p99_9_ms"], first["worker_mode"]) == (45.5, 70, "native")
    assert (document["sweep"]["scenario"], document["sweep"]["latency_limit_ms"]) == ("server", 400.5)
    assert document["row_notes"] == ["P99 of batch size 4 was not recorded"]


def test_a_csv_without_rows_still_says_what_its_columns_are() -> None:
    (line,) = render_csv(comparison([])).splitlines()
    assert line == render_csv(comparison(TIED)).splitlines()[0]
