"""Which database the settings mean, and that no message gives a password away."""

from __future__ import annotations

import dataclasses
import traceback
from pathlib import Path

import pytest

from benchlib.errors import BadInput
from benchlib.settings import Settings
from benchlib.store import DatabaseUnreachable
from benchlib.store.database import engine_for, open_repository, url_of
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.faults import address_of
from tests.store import samples


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"BENCH_HOME": str(tmp_path)})


def at(settings: Settings, url: str) -> Settings:
    return dataclasses.replace(settings, database_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ana:open-sesame@db.example:5433/results?sslmode=require",
        "postgres://ana:open-sesame@db.example:5433/results?sslmode=require",
        "postgresql+psycopg2://ana:open-sesame@db.example:5433/results?sslmode=require",
        "postgresql://ana@db.example:5433/results?sslmode=require&password=open-sesame",
    ],
)
def test_every_spelling_of_a_postgresql_url_is_understood(settings: Settings, url: str) -> None:
    engine = engine_for(at(settings, url))
    _, arguments = engine.dialect.create_connect_args(engine.url)
    assert engine.driver == "psycopg2"
    assert arguments == {
        "host": "db.example",
        "port": 5433,
        "dbname": "results",
        "user": "ana",
        "password": "open-sesame",
        "sslmode": "require",
    }
    assert address_of(engine.url) == "results at db.example:5433"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ana:open-sesame@db.example/results",
        "sqlite:///open-sesame.db",
        "postgresql://ana:open-sesame@db.example:port/results",
        "host=db.example password=open-sesame",
        "open-sesame",
    ],
)
def test_anything_else_is_bad_input_and_not_repeated(settings: Settings, url: str) -> None:
    with pytest.raises(BadInput, match="allowed: a PostgreSQL URL") as caught:
        engine_for(at(settings, url))
    assert "open-sesame" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ana:open-sesame@127.0.0.1:1/results",
        "postgresql://ana@127.0.0.1:1/results?password=open-sesame",
        "postgresql://ana:open-sesame@no-such-host.invalid/results",
        "postgresql://ana:open-sesame@127.0.0.1:1/results?nonsense=1",
    ],
)
def test_a_database_that_does_not_answer_is_named_without_its_password(settings: Settings, url: str) -> None:
    with pytest.raises(DatabaseUnreachable, match="results at") as caught:
        open_repository(at(settings, url), start_embedded=True)
    assert "open-sesame" not in "".join(traceback.format_exception(caught.value))


def test_without_a_url_it_is_the_embedded_server_which_starts_when_allowed(settings: Settings) -> None:
    with pytest.raises(DatabaseUnreachable, match="`bench db start`"):
        open_repository(settings, start_embedded=False)
    server = EmbeddedPostgres(settings.postgres_dir)
    try:
        repository = open_repository(settings, start_embedded=True)
        repository.record(samples.measurement())
        assert server.is_running()
        assert open_repository(settings, start_embedded=False).latest_sweep_id() == samples.sweep().sweep_id
    finally:
        server.stop()


def test_plans_are_not_compiled_and_statements_end_in_time(settings: Settings, database_url: str) -> None:
    results = at(settings, database_url)
    for timeout_ms, shown in ((None, "0"), (1500, "1500ms")):
        engine = engine_for(results, statement_timeout_ms=timeout_ms)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW jit").scalar_one() == "off"
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == shown
        engine.dispose()


def test_a_patience_that_the_url_asks_for_is_kept(settings: Settings) -> None:
    url = url_of(at(settings, "postgresql://db.example/results?connect_timeout=30"))
    assert url.query["connect_timeout"] == "30"
