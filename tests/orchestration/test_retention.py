"""A host's old files: those of no use go, those that may hold a result are only named."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchlib.errors import BadInput
from benchlib.orchestration import retention
from benchlib.orchestration.comparing_journal import LOGGED as LOGGED_PAIR
from benchlib.orchestration.comparing_journal import Journal
from benchlib.orchestration.device_lock import DeviceBusy, device_lock
from benchlib.orchestration.retention import Rule, prune_host
from benchlib.settings import Settings
from benchlib.store.spool import HEADER, LOGGED, Spool
from tests.store import experiments, samples

from .conftest import PROJECT

NOW = datetime.now(UTC)
RULE = Rule.keeping(7, now=NOW)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(retention.tempfile, "tempdir", str(temporary))
    return Settings(tmp_path / "home", None, "file:///nowhere", Path("/nowhere"))


def make(path: Path, days_old: float, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    age(path, days_old)
    return path


def age(path: Path, days_old: float) -> None:
    touched_s = (NOW - timedelta(days=days_old)).timestamp()
    os.utime(path, (touched_s, touched_s))


def test_old_logs_and_working_directories_go_and_young_ones_stay(settings: Settings, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    old = [
        make(settings.logs_dir / "demo-1.log", 8),
        make(settings.airflow_home / "logs" / "dag_id=a" / "run" / "attempt=1.log", 8),
        make(temporary / "bench-step-old" / "deep" / "result.json", 8),
    ]
    age(temporary / "bench-step-old" / "deep", 8)
    age(temporary / "bench-step-old", 8)
    young = [
        make(settings.logs_dir / "demo-2.log", 6),
        make(settings.logs_dir / "up-scheduler.log", 8),  # a running component may hold it open
        make(settings.airflow_home / "logs" / "dag_id=a" / "attempt=1.log", 6),
        make(settings.airflow_home / "secrets.json", 100),
        make(temporary / "bench-step-young" / "request.json", 6),
        make(temporary / "somebody-elses" / "file", 100),
        make(settings.home / "artifacts" / "program", 100),
    ]
    age(temporary / "bench-step-young", 8)  # what counts is what was touched last, at any depth
    (temporary / "bench-run-link").symlink_to(temporary / "somebody-elses")

    assert len(prune_host(settings, Rule.keeping(7, now=NOW, dry_run=True)).removed) == 3
    assert all(path.exists() for path in old)
    pruned = prune_host(settings, RULE)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in young)
    assert (len(pruned.removed), pruned.size_bytes, pruned.for_people) == (3, 3, [])
    assert not (temporary / "bench-step-old").exists()
    assert prune_host(settings, RULE).removed == []


def test_emptied_folders_of_logs_go_when_they_are_old_too(settings: Settings) -> None:
    run = make(settings.airflow_home / "logs" / "dag_id=a" / "run" / "attempt=1.log", 8).parent
    prune_host(settings, RULE)
    assert run.exists()  # emptying it made it young
    age(run, 8)
    age(run.parent, 8)
    prune_host(settings, RULE)
    assert not run.exists()


def test_what_may_be_a_result_is_named_and_stays(settings: Settings, tmp_path: Path) -> None:
    spool = Spool(settings.spool_dir)
    record = samples.measurement()
    poisoned = spool.set_aside(spool.write(record), "breaks a rule").path
    waiting = spool.write(record)
    whole, unreadable = spool.directory / ".a.tmp", spool.directory / ".b.tmp"
    whole.write_bytes(waiting.read_bytes())
    of_later = b'{"kind": "of a later version"}'
    unreadable.write_bytes(HEADER + hashlib.sha256(of_later).hexdigest().encode() + b"\n" + of_later)
    young = make(spool.directory / ".young.tmp", 6, content=waiting.read_text())
    cut = make(spool.directory / ".cut.tmp", 8, content="bench-spool 1")
    logs = tmp_path / "airflow logs"
    last_resort = make(logs / "run" / "attempt=1.log", 8, content=f"a\n{LOGGED}{{}}\n")
    of_pair = make(settings.logs_dir / "compare.log", 8, content=f"{LOGGED_PAIR}{{}}\n")
    journal = Journal.of(settings, experiments.experiment().experiment_id)
    journal.write_record(experiments.experiment())
    journal.write_pair(experiments.pair())
    for path in (poisoned, waiting, whole, unreadable, journal.directory / "pair-0001-0001.json"):
        age(path, 8)

    told = prune_host(settings, RULE, airflow_logs=logs).for_people
    assert not cut.exists()
    kept = (poisoned, waiting, whole, unreadable, young, last_resort, of_pair, journal.directory)
    assert all(path.exists() for path in kept)
    assert len(told) == 7
    assert f"{of_pair} holds a result that may be nowhere else" in told[0]
    assert f"{last_resort} holds a result that may be nowhere else" in told[1]
    assert told[2].startswith(f"{whole} is a whole result")
    assert told[3].startswith(f"{unreadable} is a whole result")
    assert told[4] == f"{poisoned} was set aside: breaks a rule"
    day = f"{NOW - timedelta(days=8):%Y-%m-%d}"
    assert told[5] == f"results have waited in {spool.directory} since {day}: `bench db replay`"
    assert told[6].startswith(f"{journal.directory} holds a comparison that has waited since {day}: ")
    tomorrow = Rule.keeping(7, now=NOW + timedelta(hours=20))
    assert prune_host(settings, tomorrow, airflow_logs=logs).for_people == told  # so that it is told once


def test_files_are_not_touched_beside_a_measurement(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make(settings.logs_dir / "demo-1.log", 8)
    monkeypatch.setattr(retention, "DEVICE_TIMEOUT_S", 0.0)
    with device_lock(settings.device_lock, exclusive=True, what="measure", timeout_s=1):
        with pytest.raises(DeviceBusy):
            prune_host(settings, RULE)
        assert old.exists()


def test_two_at_once_remove_each_file_once(settings: Settings) -> None:
    old = [make(settings.airflow_home / "logs" / str(number) / "attempt=1.log", 8) for number in range(200)]
    with ThreadPoolExecutor(2) as pool:
        pruned = list(pool.map(lambda _: prune_host(settings, RULE), range(2)))
    assert sorted(path for each in pruned for path in each.removed) == sorted(map(str, old))


@pytest.mark.parametrize("days", [0, -1, 3651, 1.5, "30", True, None])
def test_the_days_to_keep_are_checked(days: object) -> None:
    with pytest.raises(
        BadInput, match=r"keep_days: .* is not allowed; allowed: a whole number from 1 to 3650"
    ):
        Rule.keeping(days)


@pytest.mark.parametrize(("days", "code"), [("7", 0), ("0", 2)])
def test_the_command_does_it_without_airflow(
    settings: Settings, tmp_path: Path, days: str, code: int
) -> None:
    old = make(settings.logs_dir / "demo-1.log", 8)
    command = [sys.executable, "-m", "benchlib.orchestration.retention", "--keep-days", days]
    env = {**PROJECT, "BENCH_HOME": str(settings.home), "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert old.exists() == bool(code)
    assert ("1 files and folders" in done.stdout) == (not code)
    assert "Traceback" not in done.stderr
