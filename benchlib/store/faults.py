"""Turns what the database driver raises into sentences, and says which faults may pass by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from benchlib.errors import BenchError
from benchlib.store.errors import DatabaseUnreachable, RecordRejected

# https://www.postgresql.org/docs/current/errcodes-appendix.html
CONFLICT = ("40001", "40P01")
"""Serialization failure and deadlock: the same transaction will do when tried again."""

GOING_OR_COMING = ("08", "57P0", "53300")
"""Connection lost, server stopping or starting, too many connections; prefixes."""

NO_TABLES = ("42P01", "42703", "3F000")


def is_transient(error: BaseException) -> bool:
    """Whether the same work may well succeed in a moment."""
    if not isinstance(error, DBAPIError) or _is_rejection(error):
        return False
    code = _sqlstate(error)
    return error.connection_invalidated or code is None or code.startswith(CONFLICT + GOING_OR_COMING)


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Raise `DatabaseUnreachable` or `RecordRejected` in place of the driver's errors."""
    try:
        yield
    except DBAPIError as error:
        raise _explain(error, engine.url) from error


def address_of(url: URL) -> str:
    """Which database where, fit for people: no user name, no password."""
    host = url.host or _query_host(url) or "localhost"
    return f"{url.database or url.username} at {host}" + (f":{url.port}" if url.port else "")


def _explain(error: DBAPIError, url: URL) -> BenchError:
    reason = _first_line(error, url)
    if _is_rejection(error):
        return RecordRejected(f"the database {address_of(url)} refuses the record: {reason}")
    code = _sqlstate(error)
    if code in NO_TABLES:
        return DatabaseUnreachable(
            f"the database {address_of(url)} lacks tables of this version ({reason}): run `bench db upgrade`"
        )
    remedy = "; `bench db start` starts the embedded one" if code is None and _query_host(url) else ""
    return DatabaseUnreachable(f"the database {address_of(url)} cannot be used: {reason}{remedy}")


def _is_rejection(error: DBAPIError) -> bool:
    return isinstance(error, (IntegrityError, DataError))


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "pgcode", None)


def _first_line(error: DBAPIError, url: URL) -> str:
    line = (str(error.orig).splitlines() or [type(error.orig).__name__])[0].strip()
    return line.replace(url.password, "***") if url.password else line


def _query_host(url: URL) -> str | None:
    host = url.query.get("host")
    return host if isinstance(host, str) else ",".join(host or ()) or None
