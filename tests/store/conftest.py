"""The databases of the small fleets, and their roles."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine

from benchlib.settings import PROJECT_ROOT
from benchlib.store.embedded_postgres import EmbeddedPostgres
from tests.conftest import new_database
from tests.store import fleet, load_fleet


def run_psql(server: EmbeddedPostgres, engine: Engine, *arguments: str) -> str:
    """What psql prints; any error fails the test."""
    command = server.psql(str(engine.url.database), "-qX", "-v", "ON_ERROR_STOP=1", *arguments)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def small_fleet(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """The database of `tests.store.fleet` with both roles; tests only read it, or roll back."""
    with new_database(postgres) as url:
        engine = create_engine(url)
        fleet.fill(engine)
        run_psql(postgres, engine, "-f", str(PROJECT_ROOT / "sql" / "roles.sql"))
        yield engine
        engine.dispose()


@pytest.fixture(scope="module")
def driven_fleet(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """The database of `tests.store.load_fleet` with both roles; tests only read it."""
    with new_database(postgres) as url:
        engine = create_engine(url)
        load_fleet.fill(engine)
        run_psql(postgres, engine, "-f", str(PROJECT_ROOT / "sql" / "roles.sql"))
        yield engine
        engine.dispose()
