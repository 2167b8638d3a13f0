"""The migrations lead to the model's schema and back, and the SQL scripts say the same."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import IntegrityError

from benchlib.errors import BenchError
from benchlib.settings import PROJECT_ROOT
from benchlib.store.embedded_postgres import EmbeddedPostgres, binary
from benchlib.store.migrate import (
    VERSION_TABLE,
    _config,
    _locked,
    current_revision,
    downgrade,
    head_revision,
    rendered,
    upgrade,
)
from benchlib.store.repository import Repository
from benchlib.store.tables import Base
from tests.store import fleet, samples


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Engine]:
    engine = create_engine(empty_database_url)
    yield engine
    engine.dispose()


def schema_of(server: EmbeddedPostgres, engine: Engine) -> str:
    """Everything that pg_dump knows of the database's own tables."""
    where = ["-h", str(server.socket_dir), "-U", "postgres", "-d", str(engine.url.database)]
    command = [binary("pg_dump"), "--schema-only", "--no-owner", "--exclude-table", VERSION_TABLE, *where]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", dump, flags=re.MULTILINE)


def drop_what_only_migrations_make(engine: Engine) -> None:
    """Views and functions are no part of the model."""
    kinds = {"v": "VIEW", "m": "MATERIALIZED VIEW"}
    relations = text(
        "SELECT relkind::text, oid::regclass::text FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')"
    )
    functions = text(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    )
    with engine.begin() as connection:
        for kind, name in connection.execute(relations).all():
            connection.execute(text(f"DROP {kinds[kind]} IF EXISTS {name} CASCADE"))
        for (name,) in connection.execute(functions).all():
            connection.execute(text(f"DROP ROUTINE {name} CASCADE"))


def test_up_down_and_up_again_with_rows_in_between(empty: Engine) -> None:
    assert current_revision(empty) is None
    upgrade(empty)
    Repository(empty).record(samples.measurement())
    downgrade(empty, "base")
    assert inspect(empty).get_table_names() == [VERSION_TABLE]
    assert current_revision(empty) is None
    upgrade(empty)
    Repository(empty).record(samples.measurement())
    assert current_revision(empty) == head_revision()


def test_rows_that_were_there_before_get_their_series_and_nights(empty: Engine) -> None:
    upgrade(empty)
    fleet.fill(empty)
    placed = text(
        "SELECT measurement_id, series_id, night, origin, sweep_created_at FROM measurement ORDER BY 1"
    )
    recorded = text("SELECT count(*), sum(throughput_inf_per_s) FROM measurement")
    with empty.connect() as connection:
        before, figures = connection.execute(placed).all(), connection.execute(recorded).one()
    downgrade(empty, "0002")
    with empty.connect() as connection:
        assert connection.execute(recorded).one() == figures
    upgrade(empty)
    with empty.connect() as connection:
        assert connection.execute(placed).all() == before
        assert connection.scalar(text("SELECT count(DISTINCT series_id) FROM series")) == 4
        assert connection.scalar(text("SELECT count(*) FROM change")) == 0
        assert connection.scalar(text("SELECT count(*) FROM price")) == 8


@pytest.mark.parametrize("revision", ["0002", "0003", "0004"])
def test_an_older_revision_is_left_as_it_was_found(
    postgres: EmbeddedPostgres, empty: Engine, revision: str
) -> None:
    upgrade_to(empty, revision)
    before = schema_of(postgres, empty)
    upgrade(empty)
    downgrade(empty, revision)
    assert schema_of(postgres, empty) == before


VIEW_COLUMNS = text(
    "SELECT relation.relname, attribute.attname, format_type(attribute.atttypid, NULL) AS type "
    "FROM pg_class AS relation JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid "
    "WHERE relation.relnamespace = 'public'::regnamespace AND relation.relkind = 'v' "
    "ORDER BY relation.relname, attribute.attnum"
)


def view_columns(engine: Engine) -> dict[str, list[tuple[str, str]]]:
    columns: dict[str, list[tuple[str, str]]] = {}
    with engine.connect() as connection:
        for view, name, kind in connection.execute(VIEW_COLUMNS):
            columns.setdefault(view, []).append((name, kind))
    return columns


def test_views_have_only_grown_at_their_ends(empty: Engine) -> None:
    upgrade_to(empty, "0003")
    older = view_columns(empty)
    upgrade(empty)
    newer = view_columns(empty)
    assert len(older) >= 20
    assert {view: newer[view][: len(columns)] for view, columns in older.items()} == older


def test_who_may_read_a_view_still_may_after_an_upgrade(empty: Engine) -> None:
    readers = text("SELECT relacl::text FROM pg_class WHERE oid = 'throughput_history'::regclass")
    upgrade_to(empty, "0003")
    with empty.begin() as connection:
        connection.execute(text("GRANT SELECT ON throughput_history TO PUBLIC"))
        before = connection.scalar(readers)
    upgrade(empty)
    with empty.connect() as connection:
        assert before is not None
        assert connection.scalar(readers) == before


def test_rows_of_the_third_revision_stay_and_keep_their_series(empty: Engine) -> None:
    upgrade(empty)
    fleet.fill(empty)
    measured = text(
        "SELECT measurement_id, series_id, worker_mode, throughput_inf_per_s, checks "
        "FROM measurement ORDER BY measurement_id"
    )
    judged = text("SELECT change_id, series_id, status, environment_changes FROM change_history ORDER BY 1")
    downgrade(empty, "0003")
    with empty.begin() as connection:  # as that revision derived them
        connection.execute(text("UPDATE measurement SET series_id = NULL"))
        before = connection.execute(measured).all(), connection.execute(judged).all()
    upgrade(empty)
    with empty.begin() as connection:
        assert (connection.execute(measured).all(), connection.execute(judged).all()) == before
        connection.execute(text("UPDATE measurement SET series_id = NULL"))
        assert (connection.execute(measured).all(), connection.execute(judged).all()) == before
        assert len(before[0]) == 41


def test_what_was_said_of_changes_is_said_of_their_incidents_and_back(empty: Engine) -> None:
    upgrade(empty)
    fleet.fill(empty)
    downgrade(empty, "0005")
    stood = text("SELECT change_id, status, author, reason FROM change_history ORDER BY 1")
    said = text("SELECT change_id, status, reason FROM annotation ORDER BY annotated_at, annotation_id")
    with empty.begin() as connection:
        again = (
            "INSERT INTO annotation (change_id, status, author, reason) VALUES (2, 'open', 'Ben', 'Again.')"
        )
        connection.execute(text(again))
        before = connection.execute(stood).all(), connection.execute(said).all()
    upgrade(empty)
    with empty.begin() as connection:
        assert connection.execute(stood).all() == before[0]
        incidents = text("SELECT status FROM incident_history ORDER BY first_bad_night, direction DESC")
        assert connection.scalars(incidents).all() == ["acknowledged", "reopened"]
        infra = text(
            "INSERT INTO annotation (incident_id, status, author, reason) "
            "SELECT incident_id, 'infra', 'Ana', 'The host.' FROM change WHERE change_id = 1"
        )
        connection.execute(infra)
    downgrade(empty, "0005")
    with empty.connect() as connection:
        assert connection.execute(said).all() == [*before[1], (1, "fixed", "The host.")]


def test_sweeps_of_the_third_revision_asked_for_what_everything_did_then(empty: Engine) -> None:
    upgrade(empty)
    Repository(empty).record(samples.sweep())
    downgrade(empty, "0003")
    upgrade(empty)
    asked = text("SELECT worker_mode, warmup, stop, head, inputs, model_variant, latency_limit_ms FROM sweep")
    with empty.connect() as connection:
        row = connection.execute(asked).one()
    assert tuple(row) == ("thread", "fixed", "rounds", "classification", "text", None, None)


def test_going_back_before_the_scenarios_drops_only_what_does_not_fit(empty: Engine) -> None:
    upgrade(empty)
    repository = Repository(empty)
    repository.record_all(
        [
            samples.measurement(1),
            samples.measurement(2, result=samples.told(2)),
            samples.measurement(4, result=samples.told(4, worker_mode="process")),
            samples.server_measurement(result=samples.served(worker_mode="thread")),
        ]
    )
    downgrade(empty, "0003")
    with empty.connect() as connection:
        assert connection.scalars(text("SELECT batch_size FROM measurement ORDER BY 1")).all() == [1, 4]
        assert connection.scalar(text("SELECT count(*) FROM series")) == 2


def test_going_back_drops_the_sweeps_of_other_variants_of_a_model(empty: Engine) -> None:
    upgrade(empty)
    spec = samples.sweep().spec
    encoder = spec.model.model_copy(update={"head": "encoder"})
    other = samples.sweep("encoder", spec=spec.model_copy(update={"model": encoder}))
    repository = Repository(empty)
    repository.record(samples.measurement(1))
    repository.record(samples.measurement(1, sweep=other))
    repository.record(samples.measurement(1, 2, sweep=other, failure=samples.failure()))
    repository.record(samples.compilation(2, sweep=other))
    downgrade(empty, "0003")
    upgrade(empty)
    with empty.connect() as connection:
        assert connection.scalars(text("SELECT run_id FROM sweep")).all() == ["run-1"]
        assert connection.scalar(text("SELECT count(*) FROM compilation")) == 0


def test_older_rows_that_break_a_newer_rule_stay_and_new_ones_are_refused(empty: Engine) -> None:
    upgrade(empty)
    Repository(empty).record(samples.measurement())
    downgrade(empty, "0003")
    with empty.begin() as connection:
        connection.execute(text("UPDATE measurement SET worker_mode = NULL"))
    upgrade(empty)
    with empty.connect() as connection:
        assert connection.scalars(text("SELECT worker_mode FROM measurement")).all() == [None]
    with pytest.raises(IntegrityError, match="load_is_known"), empty.begin() as connection:
        connection.execute(text("UPDATE measurement SET attempt = 2"))
    validated = text(
        "SELECT conname FROM pg_constraint WHERE NOT convalidated AND connamespace = 'public'::regnamespace"
    )
    with empty.connect() as connection:
        assert connection.scalars(validated).all() == ["ck_measurement_load_is_known"]


def upgrade_to(engine: Engine, revision: str) -> None:
    with _locked(engine) as connection:
        command.upgrade(_config(connection), revision)


def test_an_upgrade_that_has_nothing_to_do_keeps_the_rows(empty: Engine) -> None:
    upgrade(empty)
    Repository(empty).record(samples.measurement())
    upgrade(empty)
    assert Repository(empty).latest_sweep_id() == samples.sweep().sweep_id


def test_upgrades_at_the_same_time_wait_for_each_other(empty: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [empty] * 4))
    assert current_revision(empty) == head_revision()


def test_tables_of_a_newer_version_are_left_alone(empty: Engine) -> None:
    upgrade(empty)
    with empty.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(BenchError, match="newer version's, 9999"):
        upgrade(empty)


def test_airflow_may_keep_its_tables_beside_ours(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num text)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('airflows-own')"))
    upgrade(empty)
    with empty.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "airflows-own"


def test_alembic_finds_no_difference_to_the_model(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []


def test_constraints_and_comments_are_the_models_too(
    postgres: EmbeddedPostgres, engine: Engine, empty: Engine
) -> None:
    Base.metadata.create_all(empty)
    drop_what_only_migrations_make(engine)
    assert schema_of(postgres, engine) == schema_of(postgres, empty)


def test_every_table_and_column_says_what_it_is() -> None:
    silent = [
        str(column) for table in Base.metadata.sorted_tables for column in table.columns if not column.comment
    ]
    assert silent == []
    assert [table.name for table in Base.metadata.sorted_tables if not table.comment] == []


def test_the_committed_scripts_are_those_that_the_migrations_render() -> None:
    directory = PROJECT_ROOT / "sql"
    committed = {name: (directory / name).read_text() for name in rendered()}
    assert committed == rendered(), "run `python -m benchlib.store.migrate sql`"


def test_the_script_alone_makes_the_same_database(
    postgres: EmbeddedPostgres, engine: Engine, empty: Engine
) -> None:
    script = str(PROJECT_ROOT / "sql" / "schema.sql")
    run = postgres.psql(str(empty.url.database), "-qX", "-v", "ON_ERROR_STOP=1", "-f", script)
    subprocess.run(run, check=True, capture_output=True)
    assert schema_of(postgres, empty) == schema_of(postgres, engine)
    assert current_revision(empty) == head_revision()


def test_going_back_before_the_histograms_drops_only_what_does_not_fit(empty: Engine) -> None:
    upgrade(empty)
    repository = Repository(empty)
    nobody_counted = {"batches": None, "inferences": None, "duration_s": None, "rounds": ()}
    told = samples.sweep("told", origin="import")
    bare = samples.measured(2, latency=samples.latency(samples=None), **nobody_counted)
    repository.record_all([samples.measurement(1), samples.measurement(2, sweep=told, result=bare)])
    downgrade(empty, "0001")
    with empty.connect() as connection:
        assert connection.scalars(text("SELECT batch_size FROM measurement")).all() == [1]
