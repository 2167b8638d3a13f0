"""Bring a database to the schema that this version of benchlib expects, and render that schema as SQL.

``python -m benchlib.store.migrate DIRECTORY`` writes the scripts of the newest schema there.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, select

from benchlib.errors import BenchError
from benchlib.store.faults import address_of, explained

VERSION_TABLE = "bench_alembic_version"
"""Not alembic's default: the database may be shared with Airflow, which uses that one."""

LOCK_KEY = 0x62656E6368
"""Advisory lock of whoever changes the schema; any number will do that nobody else uses."""

VIEWS = Path(__file__).parent / "migrations" / "views"
"""The views' definitions, one frozen file per view and the revision that brought it."""

FUNCTIONS = VIEWS.parent / "functions"
"""The functions' definitions, likewise."""

NOTICE = "-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.\n\n"


def head_revision() -> str:
    """The revision that this version of benchlib expects."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


def current_revision(engine: Engine) -> str | None:
    """The revision that the database is at; ``None``: it has no tables of ours.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.connect() as connection:
        return _revision_of(connection)


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest revision; several processes may do so at once.

    Raises:
        DatabaseUnreachable: the database does not answer.
        BenchError: a newer benchlib has been here; going on could damage its rows.
    """
    if current_revision(engine) == head_revision():
        return
    with explained(engine), _locked(engine) as connection:
        current = _revision_of(connection)
        known = {script.revision for script in _scripts().walk_revisions()}
        if current is not None and current not in known:
            where = address_of(engine.url)
            raise BenchError(f"the tables of {where} are a newer version's, {current}: update this checkout")
        command.upgrade(_config(connection), "head")


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to ``revision``, or to nothing with ``"base"``. What no longer fits is lost."""
    with explained(engine), _locked(engine) as connection:
        command.downgrade(_config(connection), revision)


def rendered() -> dict[str, str]:
    """The newest schema as SQL scripts, by file name: all of it, and every view by itself."""
    script = io.StringIO()
    command.upgrade(_config(output=script), "head", sql=True)
    views = {
        f"views/{path.stem.rpartition('_')[0]}.sql": path.read_text() for path in sorted(VIEWS.iterdir())
    }
    return {
        name: NOTICE + text.strip() + "\n"
        for name, text in {"schema.sql": script.getvalue(), **views}.items()
    }


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    """A transaction that changes the schema while nobody else does."""
    with engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
        yield connection


def _revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    ).get_current_revision()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config(connection: Connection | None = None, output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", "benchlib.store:migrations")
    config.attributes["connection"] = connection
    return config


if __name__ == "__main__":
    for name, text in rendered().items():
        target = Path(sys.argv[1]) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
