"""Two roles, tried with accounts that really log in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg2.errors import InsufficientPrivilege
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError

from benchlib.settings import PROJECT_ROOT
from benchlib.store.embedded_postgres import SUPERUSER, EmbeddedPostgres
from benchlib.store.migrate import VERSION_TABLE, current_revision, head_revision, upgrade
from benchlib.store.prices import add_price
from benchlib.store.repository import Repository
from benchlib.store.tables import Base
from tests.store import fleet, judgements, samples
from tests.store.conftest import run_psql
from tests.store.test_prices import DEARER

TABLES = (*Base.metadata.tables, VERSION_TABLE)
SOMEBODY_ELSES = "connection_passwords"


@contextmanager
def logged_in(owner: Engine, role: str) -> Iterator[Engine]:
    """An engine of a new account in ``role``."""
    account = f"{role}_of_{owner.url.database}"
    with owner.begin() as connection:
        connection.execute(text(f"CREATE ROLE {account} LOGIN IN ROLE {role}"))
    engine = create_engine(owner.url.set(username=account))
    yield engine
    engine.dispose()
    with owner.begin() as connection:
        connection.execute(text(f"DROP ROLE {account}"))


@pytest.fixture(scope="module")
def reader(small_fleet: Engine) -> Iterator[Engine]:
    with logged_in(small_fleet, "bench_reader") as engine:
        yield engine


@pytest.fixture
def writer(postgres: EmbeddedPostgres, engine: Engine) -> Iterator[Engine]:
    """In a database of its own, which another program uses too."""
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {SOMEBODY_ELSES} AS SELECT 'open-sesame' AS password"))
    run_psql(postgres, engine, "-f", str(PROJECT_ROOT / "sql" / "roles.sql"))
    with logged_in(engine, "bench_writer") as account:
        yield account


def views(engine: Engine) -> list[str]:
    found = text("SELECT viewname FROM pg_views WHERE schemaname = current_schema() ORDER BY 1")
    with engine.connect() as connection:
        return list(connection.scalars(found))


def assert_denied(engine: Engine, statement: str) -> None:
    with pytest.raises(ProgrammingError) as refusal, engine.begin() as connection:
        connection.execute(text(statement))
    assert isinstance(refusal.value.orig, InsufficientPrivilege), refusal.value


def test_the_reader_reads_every_view(reader: Engine) -> None:
    assert len(views(reader)) >= 20
    with reader.connect() as connection:
        for view in views(reader):
            connection.execute(text(f"SELECT * FROM {view} LIMIT 1"))
        figures = connection.scalar(text("SELECT count(*) FROM throughput_history"))
    assert figures == 37


@pytest.mark.parametrize("table", TABLES)
def test_the_reader_reads_no_table(reader: Engine, table: str) -> None:
    assert_denied(reader, f"SELECT FROM {table}")


def test_the_reader_may_ask_what_differs(reader: Engine) -> None:
    ids = text("SELECT DISTINCT environment_id FROM environment_field WHERE value IN ('2.25.0', '2.26.0')")
    with reader.connect() as connection:
        old, new = connection.scalars(ids).all()
        fields = text("SELECT field FROM environment_diff(:old, :new)")
        assert "neuron_sdk" in connection.scalars(fields, {"old": old, "new": new}).all()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO valid_measurement (sweep_id) SELECT sweep_id FROM peak",
        "UPDATE valid_measurement SET throughput_inf_per_s = 1e9",
        "DELETE FROM valid_measurement",
        "CREATE TABLE mine ()",
        "CREATE VIEW mine AS SELECT 1",
        "DROP VIEW peak",
    ],
)
def test_the_reader_changes_nothing(reader: Engine, statement: str) -> None:
    with pytest.raises(ProgrammingError) as refusal, reader.begin() as connection:
        connection.execute(text(statement))
    assert refusal.value.orig is not None
    # Ownership and permission have one code; a view that nobody can write through has another.
    assert refusal.value.orig.pgcode in ("42501", "55000")


def test_the_writer_does_all_that_a_sweep_needs(writer: Engine) -> None:
    assert current_revision(writer) == head_revision()
    upgrade(writer)
    repository = Repository(writer)
    later = samples.sweep("run-2", created_at=fleet.began(40, 0))
    for record in (samples.compilation(), samples.measurement(), samples.measurement(sweep=later)):
        repository.record(record)
    add_price(writer, DEARER)
    with writer.begin() as connection:
        good, bad = samples.sweep().sweep_id, later.sweep_id
        change_id = judgements.add_change(connection, good, bad)
        judgements.add_baseline(connection, good, good)
        judgements.annotate(connection, change_id=change_id, status="fixed")
        assert connection.scalar(text("SELECT status FROM change_history")) == "fixed"
    assert repository.comparison(samples.sweep().sweep_id).rows[0].status == "ok"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine ()",
        "DROP TABLE round",
        "ALTER TABLE round ADD COLUMN mine integer",
        "ALTER TABLE measurement DISABLE TRIGGER place_measurement",
        "TRUNCATE round",
        f"UPDATE {VERSION_TABLE} SET version_num = '0001'",
        f"SELECT FROM {SOMEBODY_ELSES}",
    ],
)
def test_the_writer_changes_no_shape_and_sees_nothing_that_is_not_ours(
    writer: Engine, statement: str
) -> None:
    assert_denied(writer, statement)


def test_another_programs_table_is_none_of_the_readers_business(writer: Engine) -> None:
    owner = create_engine(writer.url.set(username=SUPERUSER))
    with logged_in(owner, "bench_reader") as reader:
        assert_denied(reader, f"SELECT FROM {SOMEBODY_ELSES}")
    owner.dispose()


def test_giving_the_roles_again_changes_nothing(postgres: EmbeddedPostgres, small_fleet: Engine) -> None:
    granted = text(
        "SELECT oid::regclass::text, relacl::text FROM pg_class WHERE relacl IS NOT NULL ORDER BY 1"
    )
    with small_fleet.connect() as connection:
        before = connection.execute(granted).all()
        run_psql(postgres, small_fleet, "-f", str(PROJECT_ROOT / "sql" / "roles.sql"))
        assert connection.execute(granted).all() == before
