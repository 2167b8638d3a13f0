"""`bench db` as it is typed; a real server, and a spool with something in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from typer.testing import CliRunner, Result

from benchlib.cli import db
from benchlib.errors import BadInput, BenchError
from benchlib.orchestration.comparing_journal import LOGGED as LOGGED_PAIR
from benchlib.settings import PROJECT_ROOT
from benchlib.store import DatabaseUnreachable
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.experiments import record_experiment, stored_experiment
from benchlib.store.migrate import head_revision
from benchlib.store.spool import LOGGED, Spool
from tests.store import experiments, samples

AWAY = "postgresql://bench:open-sesame@127.0.0.1:1/results"
"""Nothing listens there."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    monkeypatch.delenv("BENCH_DATABASE_URL", raising=False)
    return tmp_path


@pytest.fixture
def external(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that is not ours to start or stop, with all tables."""
    monkeypatch.setenv("BENCH_DATABASE_URL", database_url)
    return database_url


def bench_db(*arguments: str) -> Result:
    return CliRunner().invoke(db.app, arguments)


def psql(*arguments: str) -> str:
    """psql takes the place of the process, so it needs one of its own."""
    script = "from benchlib.cli.db import app; app()"
    command = [sys.executable, "-c", script, "psql", *arguments]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_embedded_database_from_first_start_to_stop(home: Path) -> None:
    server = EmbeddedPostgres(home / "postgres")
    try:
        assert "running: postgresql://" in bench_db("start").output
        assert server.is_running()
        status = bench_db("status")
        assert (status.exit_code, f"{head_revision()} (newest: {head_revision()})" in status.output) == (
            0,
            True,
        )
        assert psql("-qtAX", "-c", "SELECT count(*) FROM comparison_table") == "0"
        assert psql("-qtAX", "-d", "airflow", "-c", "SELECT current_database()") == "airflow"
        assert bench_db("stop").exit_code == 0
        assert not server.is_running()
        stopped = bench_db("status")
        assert isinstance(stopped.exception, DatabaseUnreachable)
        assert "`bench db start`" in str(stopped.exception)
    finally:
        server.stop()


def test_an_external_database_is_asked_but_neither_started_nor_stopped(external: str) -> None:
    assert bench_db("status").exit_code == 0
    for verb in ("start", "stop"):
        refusal = bench_db(verb).exception
        assert isinstance(refusal, BenchError)
        assert f"not ours to {verb}" in str(refusal)


def test_psql_opens_an_external_database_too(external: str) -> None:
    assert psql("-qtAX", "-c", "SELECT count(*) FROM sweep") == "0"


def test_a_password_reaches_psql_out_of_sight_of_ps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spy = tmp_path / "psql"
    spy.write_text('#!/bin/sh\necho "$@"\necho "$PGPASSWORD"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("BENCH_DATABASE_URL", f"{AWAY}?sslmode=require")
    seen = psql("-c", "SELECT 1").splitlines()
    assert seen == ["-d postgresql://bench@127.0.0.1:1/results?sslmode=require -c SELECT 1", "open-sesame"]


def test_upgrade_makes_the_tables(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATABASE_URL", empty_database_url)
    behind = bench_db("status")
    assert "tables:   none" in behind.output
    assert "run `bench db upgrade`" in str(behind.exception)
    assert f"up to date: {head_revision()}" in bench_db("upgrade").output
    assert bench_db("status").exit_code == 0


def test_replay_says_what_came_in_and_what_was_set_aside(external: str, home: Path) -> None:
    spool = Spool(home / "spool")
    spool.write(samples.measurement(1))
    spool.write(samples.measurement(2)).write_text("rubbish")
    assert "2 waiting" in bench_db("status").output
    replayed = bench_db("replay")
    assert replayed.exit_code == 0
    assert "1 brought in, 1 set aside, 0 remaining" in replayed.output
    assert "checksum" in replayed.output
    assert "0 brought in, 0 set aside, 0 remaining" in bench_db("replay").output


@pytest.mark.usefixtures("external", "home")
def test_replay_takes_in_what_only_a_log_has(tmp_path: Path) -> None:
    record, log = samples.measurement(1), tmp_path / "attempt=1.log"
    as_airflow_keeps_it = json.dumps({"event": f"{LOGGED}{record.model_dump_json()}", "level": "error"})
    log.write_text(f"some other line\n{as_airflow_keeps_it}\n")
    replayed = bench_db("replay", "--log", str(log))
    assert replayed.exit_code == 0
    assert "1 taken in" in replayed.output
    assert "1 brought in, 0 set aside, 0 remaining" in replayed.output


@pytest.mark.usefixtures("home")
def test_replay_takes_in_a_pair_that_only_a_log_has(external: str, tmp_path: Path) -> None:
    engine, log = create_engine(external), tmp_path / "attempt=1.log"
    record_experiment(engine, experiments.experiment())
    event = f"{LOGGED_PAIR}{experiments.pair().model_dump_json()}"
    log.write_text(json.dumps({"event": event, "level": "error"}) + "\n")
    replayed = bench_db("replay", "--log", str(log))
    assert (replayed.exit_code, "1 pairs taken in" in replayed.output) == (0, True)
    stored = stored_experiment(engine, experiments.experiment().experiment_id)
    engine.dispose()
    assert stored is not None
    assert stored.pairs == (experiments.pair(),)


@pytest.mark.usefixtures("external", "home")
@pytest.mark.parametrize(
    ("content", "allowed"), [(None, "a file that can be read"), (f"{LOGGED}{{cut", "lines are whole")]
)
def test_a_log_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, allowed: str) -> None:
    log = tmp_path / "attempt=1.log"
    if content is not None:
        log.write_text(content)
    refused = bench_db("replay", "--log", str(log)).exception
    assert isinstance(refused, BadInput)
    assert (refused.field, refused.value) == ("--log", str(log))
    assert allowed in refused.allowed


def test_replay_without_a_database_keeps_everything_and_fails(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATABASE_URL", AWAY)
    Spool(home / "spool").write(samples.measurement())
    replayed = bench_db("replay")
    assert isinstance(replayed.exception, DatabaseUnreachable)
    assert "0 brought in, 0 set aside, 1 remaining" in replayed.output
    assert "open-sesame" not in replayed.output + str(replayed.exception)


@pytest.mark.parametrize("command", ["start", "stop", "status", "upgrade", "psql", "replay"])
def test_every_command_explains_itself(command: str) -> None:
    assert len(bench_db(command, "--help").output.splitlines()) > 6
