"""What an import says that it did is what it did."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from benchlib.imports.published import read_published
from benchlib.imports.reading import Reading, headline
from benchlib.store.repository import Repository, Written
from tests.imports.published_rows import SOUND, table_of

LATE = {**SOUND, "first_seen_date": "2025-09-05"}
EARLY = {**SOUND, "throughput": "2900.5", "first_seen_date": "2025-08-05"}
OTHER = {**SOUND, "batch_size": "4", "throughput": "1431.87"}


def read(*cells: dict[str, str]) -> Reading:
    return read_published(table_of(*cells).splitlines(keepends=True))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (Written(inserted=2), "(nothing was stored before)"),
        (Written(inserted=1), "(1 of them new)"),
        (Written(), "(all of them stored before, so nothing changed)"),
        (Written(replaced=1), "(0 of them new, 1 replaced)"),
        (Written(inserted=1, replaced=1), "(1 of them new, 1 replaced)"),
    ],
)
def test_the_headline_says_what_became_of_the_rows(written: Written, said: str) -> None:
    assert said in headline(read(SOUND, OTHER), written)


def test_a_table_that_has_grown_doubles_no_row_and_loses_none(engine: Engine) -> None:
    repository = Repository(engine)
    assert repository.record_all(read(LATE).records) == Written(inserted=1)
    grown = read(LATE, EARLY)
    assert repository.record_all(grown.records) == Written(inserted=1, replaced=1)
    assert repository.record_all(grown.records) == Written()
    stored = text("SELECT attempt, status, throughput_inf_per_s FROM measurement ORDER BY attempt")
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(stored)] == [
            (1, "invalid", 2900.5),
            (2, "invalid", 2863.74),
        ]
        assert connection.scalar(text("SELECT count(*) FROM peak")) == 0
