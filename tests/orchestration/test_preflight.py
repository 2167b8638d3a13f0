"""What would stop a sweep stops it at once, with what mends it; what would not is only told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from benchlib.orchestration import preflight
from benchlib.orchestration.device_lock import device_lock
from benchlib.orchestration.doctor import Finding
from benchlib.orchestration.job import is_retryable
from benchlib.orchestration.launcher import StepFailed
from benchlib.orchestration.preflight import preflight_sweep
from benchlib.orchestration.steps import sweep_record
from benchlib.records import CompilationRecord, MeasurementRecord, SweepRecord
from benchlib.settings import Settings
from benchlib.store.repository import Repository
from benchlib.store.spool import Spool
from tests.store import samples

from .fake_python import OBEDIENT

NOW = datetime(2026, 3, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def host(
    tmp_path: Path, database_url: str, make_python: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BENCH_DATABASE_URL", database_url)
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(OBEDIENT)))
    monkeypatch.delenv("BENCH_ARTIFACT_URL", raising=False)
    return tmp_path


def sweep(**params: Any) -> SweepRecord:
    asked = {"model": "config:tiny", "batch_sizes": [1, 2], **params}
    return sweep_record(asked, dag_id="inf2_batch_sweep", run_id="r", created_at=NOW)


def test_a_sound_host_says_so_and_writes_no_row(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        preflight_sweep(sweep(), attempt=1)
    assert any(record.getMessage().startswith("packages: torch 4.57.0") for record in caplog.records)
    assert Repository(engine).sweeps() == ()


def test_what_would_stop_the_sweep_is_the_reason_of_every_size_without_a_figure(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = samples.measurement(1, sweep=sweep())
    Repository(engine).record(measured)
    monkeypatch.setenv("BENCH_ARTIFACT_URL", "file:///proc/none")
    with pytest.raises(StepFailed, match="this host is not ready: artifact store: ") as raised:
        preflight_sweep(sweep(), attempt=1)
    assert "to mend it: set BENCH_ARTIFACT_URL to a place that this user may write to" in str(raised.value)
    assert is_retryable(raised.value)  # a store on the network may come back
    rows = Repository(engine).comparison(sweep().sweep_id).rows
    assert [(row.batch_size, row.status, row.reason) for row in rows] == [
        (1, "ok", ""),
        (2, "failed", str(raised.value)),
    ]


def test_an_interpreter_that_the_sweep_names_is_the_one_that_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="interpreter: /nowhere/python does not run"):
        preflight_sweep(sweep(interpreter="/nowhere/python"), attempt=1)


def test_a_neuron_sweep_needs_an_interpreter_with_torch_neuronx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA_PYTHON")
    with pytest.raises(StepFailed, match="no interpreter with torch-neuronx on this host"):
        preflight_sweep(sweep(backend="neuron"), attempt=1)


def test_a_database_that_is_away_stops_no_sweep(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BENCH_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/none")
    preflight_sweep(sweep(), attempt=1)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    assert told[0].startswith("database: ")
    assert "secret" not in told[0]


def test_a_place_for_copies_that_refuses_stops_no_sweep(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BENCH_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/none")
    monkeypatch.setenv("BENCH_SPOOL_URL", "file:///proc/none")
    preflight_sweep(sweep(), attempt=1)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [each.partition(":")[0] for each in told] == ["spool copies", "database"]


def test_with_the_database_away_the_reason_waits_in_the_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/none")
    monkeypatch.setenv("BENCH_ARTIFACT_URL", "file:///proc/none")
    with pytest.raises(StepFailed):
        preflight_sweep(sweep(), attempt=1)
    spool = Spool(Settings.from_environment().spool_dir)
    waiting = [spool.read(path) for path in spool.pending()]
    assert [type(record) for record in waiting] == [CompilationRecord, CompilationRecord]
    assert not any(isinstance(record, MeasurementRecord) for record in waiting)


def test_a_home_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_HOME", "/proc/none")
    with pytest.raises(StepFailed, match="BENCH_HOME: /proc/none cannot be used"):
        preflight_sweep(sweep(), attempt=1)


def test_an_instance_that_is_not_told_stops_no_sweep(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def instance(*_: object) -> Iterator[Finding]:
        yield Finding("neuron instance", "error", "no instance type")

    monkeypatch.setattr(preflight, "HOST_CHECKS", (instance,))
    preflight_sweep(sweep(), attempt=1)
    assert "neuron instance: no instance type" in caplog.text


def test_it_disturbs_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchlib.orchestration.preflight.DEVICE_TIMEOUT_S", 0.0)
    lock = Settings.from_environment().device_lock
    with (
        device_lock(lock, exclusive=True, what="measure", timeout_s=1),
        pytest.raises(StepFailed, match="the device was not free in time: it is held by process"),
    ):
        preflight_sweep(sweep(), attempt=1)
