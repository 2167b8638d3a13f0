"""The record of every sweep: PostgreSQL, its schema, the repository and the spool before it."""

from benchlib.store.errors import DatabaseUnreachable, RecordRejected

__all__ = ["DatabaseUnreachable", "RecordRejected"]
