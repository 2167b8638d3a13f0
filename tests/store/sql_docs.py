"""The parts of docs/sql.md that the database and the cookbook themselves say.

``python -m tests.store.sql_docs`` writes them anew; a test holds them to be current.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from sqlalchemy import Engine, create_engine, text

from benchlib.settings import PROJECT_ROOT
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.migrate import upgrade

DOCUMENT = PROJECT_ROOT / "docs" / "sql.md"
QUERIES = PROJECT_ROOT / "sql" / "queries"

COLUMNS = text(
    "SELECT view.relname AS view, obj_description(view.oid) AS purpose, attribute.attname AS name, "
    "format_type(attribute.atttypid, NULL) AS type, col_description(view.oid, attribute.attnum) AS meaning "
    "FROM pg_class AS view "
    "JOIN pg_attribute AS attribute ON attribute.attrelid = view.oid AND attribute.attnum > 0 "
    "WHERE view.relnamespace = 'public'::regnamespace AND view.relkind = 'v' "
    "ORDER BY view.relname, attribute.attnum"
)

SERIES_COLUMNS = (
    "series_id", "model", "model_revision", "sequence_length", "precision", "compiler_args", "batch_size",
    "scenario", "replicas", "workers", "worker_mode", "backend", "instance_type", "hardware",
)  # fmt: skip
"""Told once, not again for each of the views that begin with them."""


def views_section(engine: Engine) -> str:
    """One table per view; the columns of a series, where a view begins with all of them, are one line."""
    with engine.connect() as connection:
        rows = connection.execute(COLUMNS).all()
    parts = []
    for view in dict.fromkeys(row.view for row in rows):
        columns = [row for row in rows if row.view == view]
        heading = f"### {view}\n\n{columns[0].purpose}.\n\n| column | type | meaning |\n|---|---|---|\n"
        lines = [f"| `{row.name}` | {row.type} | {row.meaning} |" for row in columns]
        if tuple(row.name for row in columns[: len(SERIES_COLUMNS)]) == SERIES_COLUMNS:
            own = lines[len(SERIES_COLUMNS) :]
            lines = lines if view == "series_list" else ["| *series* | | the columns of a series |", *own]
        parts.append(heading + "\n".join(lines))
    return "\n\n".join(parts)


def cookbook_section() -> str:
    """One line per query: its question."""
    lines = ["| file | question |", "|---|---|"]
    for path in sorted(QUERIES.glob("*.sql")):
        question = path.read_text().partition("\n")[0].removeprefix("-- ")
        lines.append(f"| [{path.stem}](../sql/queries/{path.name}) | {question} |")
    return "\n".join(lines)


def with_sections(document: str, engine: Engine) -> str:
    """The document with its rendered sections as they should be."""
    for name, section in (("views", views_section(engine)), ("cookbook", cookbook_section())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        pattern = f"{begin}.*?{end}"
        document, count = re.subn(
            pattern, lambda _, s=section, b=begin, e=end: f"{b}\n{s}\n{e}", document, flags=re.DOTALL
        )
        assert count == 1, f"docs/sql.md has no place for its {name}"
    return document


def main() -> None:
    """Rewrite docs/sql.md."""
    with tempfile.TemporaryDirectory() as temporary:
        server = EmbeddedPostgres(Path(temporary) / "data")
        server.start(databases=("docs",))
        engine = create_engine(server.url("docs"))
        try:
            upgrade(engine)
            DOCUMENT.write_text(with_sections(DOCUMENT.read_text(), engine))
        finally:
            engine.dispose()
            server.stop()


if __name__ == "__main__":
    main()
