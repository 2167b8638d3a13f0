"""What can go wrong between a result and its row."""

from __future__ import annotations

from benchlib.errors import BenchError


class DatabaseUnreachable(BenchError):
    """The database takes nothing now: it is away, shutting down, out of space or lacks its tables.

    A record that met this stays in the spool and is replayed later.
    """


class RecordRejected(BenchError):
    """The database is well but refuses this record: trying again cannot help."""
