"""The doctor on hosts with one thing wrong each: named, explained, and mended by what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from benchlib.orchestration import doctor
from benchlib.orchestration.device_lock import device_lock
from benchlib.orchestration.doctor import CLOCK_SKEW_S, Finding, examine
from benchlib.records import SweepRecord
from benchlib.settings import Settings
from benchlib.spec import ModelSpec, SweepSpec
from benchlib.store.migrate import head_revision
from benchlib.store.spool import Spool

ROOT = Path(__file__).parents[2]
SWEEP = SweepRecord(
    sweep_id="5d0f2b0e-0c0b-5c57-9a2f-3c7d1e6b8a44",
    dag_id="d",
    run_id="r",
    spec=SweepSpec(model=ModelSpec(name="config:bert-tiny"), batch_sizes=(1,)),
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nprint({json.dumps(VERSIONS)!r})\n")
    python.chmod(0o755)
    return Settings(
        home=tmp_path / "home",
        database_url=None,
        artifact_url=f"file://{tmp_path}/home/artifacts",
        data_python=python,
    )


VERSIONS = dict.fromkeys(("torch", "transformers", "numpy", "pydantic", "fsspec"), "4.57.0")


def findings(settings: Settings, **environ: str) -> dict[str, Finding]:
    return {found.name: found for found in examine(settings, environ)}


def test_a_sound_host_has_no_error(settings: Settings, database_url: str) -> None:
    found = findings(replace(settings, database_url=database_url))
    assert {name for name, finding in found.items() if finding.status == "error"} == set()
    assert found["tables"].found == f"revision {head_revision()}"
    assert "4.57.0" in found["packages"].found
    assert list((settings.home / "artifacts").iterdir()) == []


def old_transformers(settings: Settings) -> Settings:
    text = settings.data_python.read_text()
    settings.data_python.write_text(text.replace('"transformers": "4.57.0"', '"transformers": "4.40.1"'))
    return settings


def without_torch(settings: Settings) -> Settings:
    settings.data_python.write_text(
        settings.data_python.read_text().replace('"torch": "4.57.0"', '"torch": null')
    )
    return settings


def without_python(settings: Settings) -> Settings:
    return replace(settings, data_python=Path("/nowhere/python"))


def storing_in(url: str) -> Callable[[Settings], Settings]:
    return lambda settings: replace(settings, artifact_url=url)


def with_a_waiting_result(settings: Settings) -> Settings:
    Spool(settings.spool_dir).write(SWEEP)
    return settings


@pytest.mark.parametrize(
    ("broken", "name", "status", "found", "remedy"),
    [
        (without_python, "interpreter", "error", "does not run", "BENCH_DATA_PYTHON"),
        (old_transformers, "packages", "error", "transformers 4.40.1", "pip install 'transformers>=4.52,<5'"),
        (without_torch, "packages", "error", "without torch", "pip install torch"),
        (storing_in("file:///proc/none"), "artifact store", "error", "/proc/none", "BENCH_ARTIFACT_URL"),
        (storing_in("what://is-this"), "artifact store", "error", "what", "BENCH_ARTIFACT_URL"),
        (with_a_waiting_result, "spool", "warning", "1 results wait", "bench db replay"),
        (
            lambda s: replace(s, database_url="postgresql+psycopg2://u:secret@127.0.0.1:1/none"),
            "database", "error", "127.0.0.1", "BENCH_DATABASE_URL",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_mended(
    settings: Settings,
    broken: Callable[[Settings], Settings],
    name: str,
    status: str,
    found: str,
    remedy: str,
) -> None:
    finding = findings(broken(settings))[name]
    assert (finding.status, finding.why != "") == (status, True)
    assert found in finding.found
    assert "secret" not in finding.found
    assert remedy in finding.remedy


def test_tables_that_are_behind_are_named(settings: Settings, empty_database_url: str) -> None:
    finding = findings(replace(settings, database_url=empty_database_url))["tables"]
    assert (finding.status, finding.remedy) == ("error", "bench db upgrade")


def test_the_remains_of_a_package_and_a_prerelease_are_no_broken_interpreter(
    settings: Settings, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    for name in VERSIONS:
        release = "5.0rc1" if name == "transformers" else "1.0"
        info = site / f"{name}-{release}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n")
    (site / "left_over-1.0.dist-info").mkdir()
    settings.data_python.write_text(f'#!/bin/sh\nPYTHONPATH={site} exec {sys.executable} "$@"\n')
    packages = findings(settings)["packages"]
    assert (packages.status, "transformers 5.0rc1" in packages.found) == ("ok", True)


def test_a_device_in_use_is_named_with_its_holder(settings: Settings) -> None:
    with device_lock(settings.device_lock, exclusive=True, what="measure of batch size 4", timeout_s=1):
        finding = findings(settings)["device lock"]
    assert finding.status == "warning"
    assert f"{os.getpid()} measure of batch size 4" in finding.found
    assert findings(settings)["device lock"].status == "ok"


@pytest.mark.parametrize(("skew_s", "status"), [(0.5, "ok"), (-CLOCK_SKEW_S - 1, "error"), (3600, "error")])
def test_a_clock_that_is_off_is_found(skew_s: float, status: str) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert doctor._clock(now, now + timedelta(seconds=skew_s)).status == status


def test_a_broker_that_is_away_is_found_without_its_password(settings: Settings) -> None:
    finding = findings(settings, AIRFLOW__CELERY__BROKER_URL="redis://:secret@127.0.0.1:1/0")["broker"]
    assert finding.status == "error"
    assert "127.0.0.1:1" in finding.found
    assert "secret" not in finding.found


def test_a_check_that_breaks_is_a_finding_and_stops_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def _broken(_: Settings, __: doctor.Environ) -> doctor.Iterator[Finding]:
        raise RuntimeError("no idea")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (_broken, *doctor.CHECKS))
    found = findings(settings)
    assert found["broken"].status == "error"
    assert "no idea" in found["broken"].found
    assert found["disk"].status == "ok"


@pytest.mark.parametrize(("python", "code"), [(None, 0), ("/nowhere/python", 1)])
def test_the_command_says_it_in_json_and_by_its_exit_code(
    settings: Settings, engine: Engine, python: str | None, code: int
) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "BENCH_HOME": str(settings.home),
        "BENCH_DATA_PYTHON": python or str(settings.data_python),
        "BENCH_DATABASE_URL": engine.url.render_as_string(hide_password=False),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchlib.cli", "doctor", "--json"], env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (code, "")
    told = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert told["interpreter"]["status"] == ("error" if code else "ok")
    assert told["database"]["status"] == "ok"
