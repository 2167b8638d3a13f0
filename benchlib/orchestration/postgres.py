"""The databases, made ready for a command."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from benchlib.settings import Settings
from benchlib.store.database import open_repository
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.errors import DatabaseUnreachable

log = logging.getLogger(__name__)


@contextmanager
def embedded_postgres(settings: Settings) -> Iterator[EmbeddedPostgres]:
    """Have the server run for this block. Whoever started it stops it, unless another such block goes on.

    Raises:
        BenchError: the server cannot run here.
    """
    server = EmbeddedPostgres(settings.postgres_dir)
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "postgres.users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        started_here = not server.is_running()
        server.start()
        try:
            yield server
        finally:
            if started_here and _is_last(users.fileno()):
                server.stop()


def upgrade_results(settings: Settings) -> None:
    """Bring the results' tables up to date. A database that is away costs a warning: the spool is for that.

    Raises:
        BenchError: a newer version of this program has used the database.
    """
    try:
        open_repository(settings, start_embedded=False)
    except DatabaseUnreachable as error:
        log.warning("%s; until then results are kept in %s", error, settings.spool_dir)


def _is_last(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
