"""Postgres: tables, migrations, the embedded server, the repository and the spool."""
