"""The benchmark of the store's size fills the tables as they are today, and asks questions with answers."""

from __future__ import annotations

from sqlalchemy import create_engine, text

from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchmarks.store_scale import DATABASE, PAGES, ask, choose_subjects, connect, load

NIGHTS = 61
"""One more than the life of a release: the fewest with a change."""

TABLES = (
    "environment",
    "sweep",
    "compilation",
    "measurement",
    "round",
    "change",
    "baseline",
)


def test_a_fleet_of_two_months_can_be_made_and_asked(postgres: EmbeddedPostgres) -> None:
    postgres.start(databases=(DATABASE,))
    load(postgres, nights=NIGHTS, times=1)
    engine = create_engine(postgres.url(DATABASE), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for table in (*TABLES, "cost", "peak", "open_changes", "failed_check", "failure_history"):
            assert connection.scalar(text(f"SELECT EXISTS (SELECT FROM {table})")), table
    engine.dispose()
    with connect(postgres).cursor() as cursor:
        (subject,) = choose_subjects(cursor, 1)
        answers = {name: ask(cursor, name, question, [subject] * 2) for name, question in PAGES.items()}
    assert answers["throughput_history, 10 years"].rows > NIGHTS / 2
    assert answers["comparison_table of a sweep"].rows == 10
