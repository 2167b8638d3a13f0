"""From the settings to a connection: which PostgreSQL, and how patient to be with it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from benchlib.errors import BadInput
from benchlib.settings import Settings
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.migrate import upgrade
from benchlib.store.repository import Repository

CONNECT_TIMEOUT_S = 5
DATABASE = "bench"
"""Name of our database in the embedded server."""

DRIVER = "postgresql+psycopg2"
URL_ALLOWED = "a PostgreSQL URL such as postgresql://user:password@host:5432/bench"


def url_of(settings: Settings) -> URL:
    """The URL of the results' database, for SQLAlchemy with psycopg2.

    Raises:
        BadInput: ``BENCH_DATABASE_URL`` is not a PostgreSQL URL. The message keeps what may be a password to
            itself.
    """
    if settings.database_url is None:
        return make_url(EmbeddedPostgres(settings.postgres_dir).url(DATABASE, DRIVER))
    scheme, separator, _ = settings.database_url.partition("://")
    complaint = BadInput("BENCH_DATABASE_URL", f"{scheme}://..." if separator else "...", URL_ALLOWED)
    if scheme.partition("+")[0] not in ("postgres", "postgresql"):
        raise complaint
    try:
        url = make_url(settings.database_url).set(drivername=DRIVER)
    except (ArgumentError, ValueError):
        raise complaint from None
    # libpq takes a password there too; everywhere else it is looked for, and hidden, in one place only.
    password = url.query.get("password")
    if isinstance(password, str):
        return url.difference_update_query(["password"]).set(password=password)
    return url


def engine_for(settings: Settings, *, statement_timeout_ms: int | None = None) -> Engine:
    """An engine for the results' database. Nothing is connected or started yet.

    With ``statement_timeout_ms`` the server ends every statement that takes longer.

    Raises:
        BadInput: ``BENCH_DATABASE_URL`` is not a PostgreSQL URL.
    """
    url = url_of(settings)
    patience = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_TIMEOUT_S}
    # A measurement's figures and log lines have no business in an error message.
    engine = create_engine(url, pool_pre_ping=True, connect_args=patience, hide_parameters=True)
    # The views' plans are costed so high that a server with LLVM would compile each, for longer than it runs.
    wanted = {"jit": "off", "statement_timeout": statement_timeout_ms}

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # Not in the URL's options, which connection poolers refuse; they have to pool sessions, though.
        with connection.cursor() as cursor:
            for name, value in wanted.items():
                if value is not None:
                    cursor.execute(f"SET {name} = {value}")
        connection.commit()

    return engine


def open_repository(settings: Settings, start_embedded: bool) -> Repository:
    """A repository whose schema is up to date.

    Raises:
        BadInput: ``BENCH_DATABASE_URL`` is not a PostgreSQL URL.
        DatabaseUnreachable: the database does not answer.
        BenchError: the embedded server cannot run here, or the schema is newer than this benchlib.
    """
    if settings.database_url is None and start_embedded:
        EmbeddedPostgres(settings.postgres_dir).start()
    engine = engine_for(settings)
    upgrade(engine)
    return Repository(engine)


def open_to_read(settings: Settings) -> Repository:
    """A repository on the database as it is: an account that only reads could not bring it up to date.

    The embedded server is started, and its tables are brought up to date.

    Raises:
        BadInput: ``BENCH_DATABASE_URL`` is not a PostgreSQL URL.
    """
    if settings.database_url is None:
        return open_repository(settings, start_embedded=True)
    return Repository(engine_for(settings))
