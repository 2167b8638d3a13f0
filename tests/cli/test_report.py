"""`bench report` from the stored sweep to the screen or the file."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from benchlib.records import sweep_id_of
from benchlib.store.repository import Repository
from tests.cli.conftest import Bench
from tests.store.samples import NOON, failure, measurement, sweep


@pytest.fixture
def stored(engine: Engine) -> str:
    """Two sweeps; the id of the older one. Its batch size 2 failed."""
    repository = Repository(engine)
    repository.record(measurement(1))
    repository.record(measurement(2, failure=failure()))
    repository.record(
        sweep("run-2", sweep_id=sweep_id_of("inf2_batch_sweep", "run-2"), created_at=NOON + timedelta(1))
    )
    return str(sweep().sweep_id)


def test_a_sweep_is_found_by_its_id_or_run_and_printed_in_a_pipe(bench: Bench, stored: str) -> None:
    code, by_id, _ = bench("report", stored[:8])
    assert code == 0
    assert bench("report", "run-1") == (0, by_id, "")
    assert f"sweep {stored[:8]}" in by_id
    assert "device Test CPU" in by_id
    assert "12649.572" in by_id
    assert "Batch size 2 failed: The device ran out of memory." in by_id
    assert by_id.count("Measured on a CPU: not an inf2 result.") == 2
    assert "\x1b" not in by_id


def test_without_a_name_it_is_the_latest_sweep(bench: Bench, stored: str) -> None:
    code, out, _ = bench("report", "--format", "json")
    assert code == 0
    document = json.loads(out)
    assert document["sweep"]["sweep_id"] == str(sweep_id_of("inf2_batch_sweep", "run-2"))
    assert {row["status"] for row in document["rows"]} == {"failed"}


def test_every_format_has_the_same_figure(bench: Bench, stored: str) -> None:
    _, markdown, _ = bench("report", stored, "--format", "md")
    _, table, _ = bench("report", stored, "--format", "csv")
    _, document, _ = bench("report", stored, "--format", "json")
    first = next(csv.DictReader(io.StringIO(table)))
    assert "| **12649.572** |" in " ".join(markdown.split())
    assert first["Throughput (inf/s)"] == "12649.572"
    assert json.loads(document)["rows"][0]["throughput_inf_per_s"] == 12649.572


@pytest.mark.parametrize("fmt", ["terminal", "md", "csv", "json"])
def test_a_file_gets_what_a_pipe_gets(
    bench: Bench, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: str
) -> None:
    _, shown, _ = bench("report", stored, "--format", fmt)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert bench("report", stored, "--format", fmt, "--output", "out.txt") == (0, "", "")
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == shown


def test_nothing_stored_is_said_and_is_a_failure(bench: Bench) -> None:
    code, out, err = bench("report")
    assert (code, out) == (1, "")
    assert err.startswith("bench: no sweep is stored yet")


@pytest.mark.parametrize("output", [".", "missing/out.md"])
def test_an_impossible_file_is_refused(bench: Bench, stored: str, tmp_path: Path, output: str) -> None:
    code, out, err = bench("report", stored, "--output", output)
    assert (code, out) == (2, "")
    assert err == f"bench: --output: {output!r} is not allowed; allowed: a file in a directory that exists\n"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_sweep_is_refused_and_no_file_is_written(
    bench: Bench, stored: str, tmp_path: Path
) -> None:
    code, _, err = bench("report", "nosuch", "--output", "out.md")
    assert code == 2
    assert err.startswith("bench: sweep: 'nosuch' is not allowed")
    assert not (tmp_path / "out.md").exists()
