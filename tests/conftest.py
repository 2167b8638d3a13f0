"""A real PostgreSQL for whoever needs one: started once per test process, a fresh database per test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest
from sqlalchemy import Engine, create_engine, text

from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.migrate import upgrade

TEMPLATE = "template_bench"
_numbers = count(1)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running server of this test process; leave it running."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "data")
    server.start(databases=(TEMPLATE,))
    template = create_engine(server.url(TEMPLATE))
    upgrade(template)
    template.dispose()
    yield server
    server.stop()
    shutil.rmtree(server.data_dir)


@contextmanager
def new_database(server: EmbeddedPostgres, template: str = TEMPLATE) -> Iterator[str]:
    """The URL of a database that lives as long as the block; it has all tables, and no rows."""
    name = f"test_{next(_numbers)}"
    admin = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        yield server.url(name)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a new database without tables."""
    with new_database(postgres, "template1") as url:
        yield url


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a new database with all tables, empty."""
    with new_database(postgres) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on `database_url`."""
    engine = create_engine(database_url, hide_parameters=True)
    yield engine
    engine.dispose()
