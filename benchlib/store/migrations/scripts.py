"""What several migrations do: run a frozen script, and say what the columns of views are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from alembic import op


def run(script: Path) -> None:
    """Execute the statements of a file."""
    op.execute(script.read_text().rstrip(";\n"))


def replace(script: Path) -> None:
    """Execute a file that creates a view or a function of which there is an older one.

    A view may only have grown at its end; what asks it, and who may, stays.
    """
    op.execute(script.read_text().rstrip(";\n").replace("CREATE ", "CREATE OR REPLACE ", 1))


def comment_columns(views: Iterable[str], meanings: Mapping[str, str | None]) -> None:
    """Comment the columns of these views, by name or by ``view.column``; with None take the comments away."""
    values = ",\n        ".join(
        f"({_quoted(name)}, {_quoted(meaning)})" for name, meaning in meanings.items()
    )
    names = ", ".join(_quoted(view) for view in views)
    script = f"""DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT relation.relname AS view, attribute.attname AS name, meaning.said
        FROM pg_class AS relation
        INNER JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid AND attribute.attnum > 0
        INNER JOIN LATERAL (
            SELECT meanings.said
            FROM (VALUES
        {values}
            ) AS meanings (name, said)
            WHERE meanings.name IN (attribute.attname, relation.relname || '.' || attribute.attname)
            ORDER BY length(meanings.name) DESC
            LIMIT 1
        ) AS meaning ON true
        WHERE relation.relnamespace = current_schema()::regnamespace AND relation.relname IN ({names})
    LOOP
        EXECUTE 'COMMENT ON COLUMN ' || quote_ident(found.view) || '.' || quote_ident(found.name)
            || ' IS ' || quote_nullable(found.said);
    END LOOP;
END $$"""  # noqa: S608 - a migration's own words
    op.execute(script)


def _quoted(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"
