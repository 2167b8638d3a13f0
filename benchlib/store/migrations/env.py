"""What alembic runs: every migration in the transaction of the connection that `migrate` hands over."""

from __future__ import annotations

from alembic import context

from benchlib.store.migrate import VERSION_TABLE
from benchlib.store.tables import Base

connection = context.config.attributes.get("connection")
context.configure(
    connection=connection,
    dialect_name=None if connection else "postgresql",
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    literal_binds=connection is None,
)
with context.begin_transaction():
    context.run_migrations()
