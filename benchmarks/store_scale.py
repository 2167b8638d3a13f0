"""Do the views and the cookbook stay fast on ten years of one fleet?

    .venv/bin/python benchmarks/store_scale.py --plans /tmp/plans.txt

Fills a new embedded PostgreSQL, in a directory of its own that is deleted afterwards, with 3 650 nights of
20 sweeps of 10 batch sizes: 730 000 measurements and 3.65 million rounds. Then it asks every view as a page
would and every query of the cookbook as psql does, `--runs` times each, and says how long the answers took.
The bar is a 95th percentile below 100 ms, planning and transfer included, and no sequential scan of the
measurements.

Each run of a page is about another series, sweep or model. `--times 10` makes the fleet ten times as large;
with `--nights 365`, that shows what a larger fleet costs without the hour and the 26 GB that ten years of it
take.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import create_engine

from benchlib.store.embedded_postgres import PORT, SUPERUSER, EmbeddedPostgres
from benchlib.store.migrate import upgrade

HERE = Path(__file__).resolve().parent
QUERIES = HERE.parent / "sql" / "queries"
DATABASE = "scale"
BAR_MS = 100
BIG_TABLES = ("measurement", "round")

EXPLAIN = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_analyze = on;
SET auto_explain.log_buffers = on;
SET client_min_messages = log;
"""

SIZES = """
SELECT relname, pg_size_pretty(pg_table_size(oid)), pg_size_pretty(pg_indexes_size(oid))
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
ORDER BY pg_total_relation_size(oid) DESC
LIMIT 5
"""

SUBJECTS = """
WITH series AS (
    SELECT series_id, row_number() OVER (ORDER BY random()) AS place FROM series
),
sweep AS (
    SELECT sweep_id, model, row_number() OVER (ORDER BY random()) AS place FROM sweep
),
environment AS (
    SELECT environment_id, row_number() OVER (ORDER BY random()) AS place FROM environment
)
SELECT
    series_id AS series,
    sweep_id AS sweep,
    model,
    environment.environment_id AS environment,
    other.environment_id AS other_environment,
    (SELECT max(night) FROM public.sweep) AS newest
FROM series
JOIN sweep USING (place)
JOIN environment USING (place)
JOIN environment AS other ON other.place = environment.place + 1
LIMIT %s
"""

Cursor = Any
"""psycopg2 has no types."""

PAGES = {
    "comparison_table of a sweep": """SELECT * FROM comparison_table
        WHERE sweep_id = %(sweep)s ORDER BY batch_size""",
    "peak of a sweep": "SELECT * FROM peak WHERE sweep_id = %(sweep)s",
    "peak of a model, a year": """SELECT * FROM peak
        WHERE model = %(model)s AND night > %(newest)s::date - 365""",
    "throughput_history, 10 years": """SELECT night, origin, sdk, throughput_inf_per_s FROM throughput_history
        WHERE series_id = %(series)s ORDER BY created_at""",
    "throughput_history with labels, 10 years": """SELECT night, label, throughput_inf_per_s
        FROM throughput_history WHERE series_id = %(series)s ORDER BY created_at""",
    "throughput_history of a model, a year": """SELECT series_id, night, throughput_inf_per_s
        FROM throughput_history
        WHERE model = %(model)s AND instance_type = 'inf2.xlarge' AND night > %(newest)s::date - 365""",
    "latency_history, 10 years": """SELECT night, origin, sdk, p50_ms, p90_ms, p95_ms, p99_ms, p99_9_ms
        FROM latency_history WHERE series_id = %(series)s ORDER BY created_at""",
    "valid_measurement of a sweep": "SELECT * FROM valid_measurement WHERE sweep_id = %(sweep)s",
    "sdk_comparison of a series": "SELECT * FROM sdk_comparison WHERE series_id = %(series)s",
    "sdk_comparison of a model at batch 4": """SELECT * FROM sdk_comparison
        WHERE model = %(model)s AND batch_size = 4""",
    "open_changes": "SELECT * FROM open_changes ORDER BY detected_at DESC LIMIT 50",
    "sweep_list, the newest": "SELECT * FROM sweep_list ORDER BY created_at DESC LIMIT 50",
    "night_value of a series, a year": """SELECT * FROM night_value WHERE series_id = %(series)s
        AND night BETWEEN %(newest)s::date - 365 AND %(newest)s""",
    "open_incidents": "SELECT * FROM open_incidents ORDER BY opened_at DESC LIMIT 50",
    "incident_history of a model": "SELECT * FROM incident_history WHERE model = %(model)s",
    "incident_change of a series": "SELECT * FROM incident_change WHERE series_id = %(series)s",
    "night_event_history, 90 nights": """SELECT * FROM night_event_history
        WHERE night > %(newest)s::date - 90""",
    "mute_history": "SELECT * FROM mute_history",
    "change_history of a series": "SELECT * FROM change_history WHERE series_id = %(series)s",
    "current_baseline of a series": "SELECT * FROM current_baseline WHERE series_id = %(series)s",
    "annotation_history of a series": "SELECT * FROM annotation_history WHERE series_id = %(series)s",
    "coverage of a series, a year": """SELECT * FROM coverage WHERE series_id = %(series)s
        AND night BETWEEN %(newest)s::date - 365 AND %(newest)s""",
    "coverage of the fleet, 14 nights": """SELECT night, series_id, state, reason FROM coverage
        WHERE state <> 'valid' AND night BETWEEN %(newest)s::date - 13 AND %(newest)s""",
    "cost of a series, 10 years": """SELECT night, price_kind, usd_per_million_inferences FROM cost
        WHERE series_id = %(series)s ORDER BY created_at""",
    "price_period": "SELECT * FROM price_period",
    "series_list": "SELECT * FROM series_list",
    "environment_field": "SELECT * FROM environment_field WHERE environment_id = %(environment)s",
    "environment_diff": "SELECT * FROM environment_diff(%(environment)s, %(other_environment)s)",
    "environment_difference of a sweep": "SELECT * FROM environment_difference WHERE sweep_id = %(sweep)s",
    "compilation_history of a model, 90 nights": """SELECT night, batch_size, sdk, cache_hit,
        compile_duration_s, artifact_size_bytes
        FROM compilation_history WHERE model = %(model)s AND night > %(newest)s::date - 90""",
    "failure_history, 90 nights": "SELECT * FROM failure_history WHERE night > %(newest)s::date - 90",
    "failed_check, 90 nights": "SELECT * FROM failed_check WHERE night > %(newest)s::date - 90",
    "measurement_check of a sweep": "SELECT * FROM measurement_check WHERE sweep_id = %(sweep)s",
    "measurement_round of a sweep": "SELECT * FROM measurement_round WHERE sweep_id = %(sweep)s",
    "latency_bucket of a sweep": "SELECT * FROM latency_bucket WHERE sweep_id = %(sweep)s",
    "throughput_history with limits, a year": """SELECT night, throughput_inf_per_s, throughput_low_inf_per_s,
        throughput_high_inf_per_s FROM throughput_history
        WHERE series_id = %(series)s AND night > %(newest)s::date - 365 ORDER BY created_at""",
    "measurement_harness of a sweep": "SELECT * FROM measurement_harness WHERE sweep_id = %(sweep)s",
    "measurement_reading of a sweep": "SELECT * FROM measurement_reading WHERE sweep_id = %(sweep)s",
    "server_history of a model, a year": """SELECT * FROM server_history
        WHERE model = %(model)s AND night > %(newest)s::date - 365""",
    "server_trial of a sweep": "SELECT * FROM server_trial WHERE sweep_id = %(sweep)s",
}
"""What a page asks of each view."""


@dataclass(frozen=True)
class Answer:
    """How long one question took, in ms, and how it was answered."""

    name: str
    durations_ms: tuple[float, ...]
    rows: int
    plan: str

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.durations_ms)

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.durations_ms, n=20, method="inclusive")[-1]

    @property
    def scanned(self) -> list[str]:
        """The large tables that were read from end to end."""
        return [table for table in BIG_TABLES if re.search(rf"Seq Scan on {table}\b", self.plan)]


def main() -> int:
    """Load, ask, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=1, help="how many times the fleet of 20 sweeps a night")
    parser.add_argument("--nights", type=int, default=3650)
    parser.add_argument("--runs", type=int, default=20, help="how often each question is asked")
    parser.add_argument(
        "--plans", type=Path, default=Path("store_scale_plans.txt"), help="file for the plans"
    )
    parser.add_argument("--only", default="", help="ask only what contains this")
    parser.add_argument(
        "--directory", type=Path, help="keep the database here, and use the one that is there"
    )
    options = parser.parse_args()
    with database(options.directory) as server:
        if not is_loaded(server):
            load(server, options.nights, options.times)
        answers = list(ask_all(server, options.runs, options.only))
    options.plans.write_text("\n\n".join(f"== {answer.name}\n{answer.plan}" for answer in answers) + "\n")
    return report(answers)


@contextmanager
def database(directory: Path | None) -> Iterator[EmbeddedPostgres]:
    """A running server with an empty database or the one of an earlier call."""
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as temporary:
        server = EmbeddedPostgres((directory or Path(temporary)) / "data")
        server.start(databases=(DATABASE,))
        try:
            yield server
        finally:
            server.stop()


def connect(server: EmbeddedPostgres) -> Any:
    connection = psycopg2.connect(host=str(server.socket_dir), port=PORT, user=SUPERUSER, dbname=DATABASE)
    connection.autocommit = True
    return connection


def is_loaded(server: EmbeddedPostgres) -> bool:
    with connect(server).cursor() as cursor:
        cursor.execute("SELECT to_regclass('baseline') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return False
        cursor.execute("SELECT EXISTS (SELECT FROM baseline)")  # the table that is filled last
        return bool(cursor.fetchone()[0])


def load(server: EmbeddedPostgres, nights: int, times: int) -> None:
    """Make the tables and fill them."""
    engine = create_engine(server.url(DATABASE))
    upgrade(engine)
    engine.dispose()
    sections = re.split(r"^-- table: (\w+)\n", (HERE / "store_scale.sql").read_text(), flags=re.MULTILINE)[1:]
    started = time.monotonic()
    for table, rows in zip(sections[::2], sections[1::2], strict=True):
        count = copy(server, table, rows.replace(":nights", str(nights)).replace(":times", str(times)))
        say(f"{count:>10,} {table:<12} {time.monotonic() - started:6.0f} s")
    with connect(server).cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute(SIZES)
        for name, size, indexes in cursor.fetchall():
            say(f"{name:<14} {size:>10}, indexes {indexes:>10}")
    say(f"loaded and vacuumed in {time.monotonic() - started:.0f} s")


def copy(server: EmbeddedPostgres, table: str, rows: str) -> int:
    """Stream what a query makes into a table, triggers and constraints included."""
    with connect(server).cursor() as cursor:
        cursor.execute(f"SELECT * FROM ({rows}) AS made LIMIT 0")
        columns = ", ".join(column.name for column in cursor.description)
    reading, writing = os.pipe()
    maker = threading.Thread(target=make, args=(server, rows, writing))
    maker.start()
    with os.fdopen(reading, "rb") as source, connect(server).cursor() as cursor:
        cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", source, 1 << 20)
        maker.join()
        count = int(cursor.rowcount)
        # Later tables are made by asking the earlier ones, which a plan without statistics takes minutes for.
        cursor.execute(f"ANALYZE {table}")
        return count


def make(server: EmbeddedPostgres, rows: str, writing: int) -> None:
    with os.fdopen(writing, "wb") as target, connect(server).cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")
        cursor.copy_expert(f"COPY ({rows}) TO STDOUT", target, 1 << 20)


def ask_all(server: EmbeddedPostgres, runs: int, only: str) -> Iterator[Answer]:
    with connect(server).cursor() as cursor:
        subjects = choose_subjects(cursor, runs)
        for name, question in PAGES.items():
            if only in name:
                yield shown(ask(cursor, name, question, subjects))
    for path in sorted(QUERIES.glob("*.sql")):
        if only in path.name:
            yield shown(ask_psql(server, path, subjects[0]["newest"], runs))


def choose_subjects(cursor: Cursor, runs: int) -> list[dict[str, Any]]:
    """What the questions are about, another one for every run."""
    cursor.execute(SUBJECTS, [runs])
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def ask(cursor: Cursor, name: str, question: str, subjects: list[dict[str, Any]]) -> Answer:
    def once(subject: dict[str, Any]) -> int:
        cursor.execute(question, subject)
        return len(cursor.fetchall())

    rows = once(subjects[0])
    durations_ms = tuple(timed(once, subject) for subject in subjects)
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {question}", subjects[0])
    plan = "\n".join(line for (line,) in cursor.fetchall())
    return Answer(name, durations_ms, rows, plan)


def timed(work: Callable[[dict[str, Any]], object], subject: dict[str, Any]) -> float:
    started = time.perf_counter()
    work(subject)
    return (time.perf_counter() - started) * 1000


def ask_psql(server: EmbeddedPostgres, path: Path, newest: date, runs: int) -> Answer:
    """psql's own timing, statement by statement; the process and its connection are not counted."""
    until = ("-v", f"until={newest}")
    planned = psql(server, *until, "-c", EXPLAIN, "-f", str(path))
    repeated = [argument for _ in range(runs + 1) for argument in ("-f", str(path))]
    found = psql(server, *until, "-c", r"\timing on", *repeated)
    times_ms = [float(value) for value in re.findall(r"^Time: ([0-9.]+) ms", found.stdout, re.MULTILINE)]
    each = len(times_ms) // (runs + 1)
    totals_ms = [sum(times_ms[start : start + each]) for start in range(each, len(times_ms), each)]
    rows = sum(int(count) for count in re.findall(r"^\((\d+) rows?\)", planned.stdout, re.MULTILINE))
    return Answer(path.name, tuple(totals_ms), rows, planned.stderr)


def psql(server: EmbeddedPostgres, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = server.psql(DATABASE, "-X", "-v", "ON_ERROR_STOP=1", *arguments)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done


def shown(answer: Answer) -> Answer:
    remarks = ["LATE"] * (answer.p95_ms >= BAR_MS) + [f"reads all of {table}" for table in answer.scanned]
    times = f"p50 {answer.p50_ms:7.1f}  p95 {answer.p95_ms:7.1f} ms"
    say(f"{answer.name:<45} {answer.rows:>6} rows  {times}  {', '.join(remarks)}".rstrip())
    return answer


def report(answers: list[Answer]) -> int:
    """Whether the bar was reached, as an exit code."""
    missed = [answer.name for answer in answers if answer.p95_ms >= BAR_MS or answer.scanned]
    say(
        f"{len(answers) - len(missed)} of {len(answers)} below {BAR_MS} ms at p95"
        + "".join(f"\n  not: {name}" for name in missed)
    )
    return 1 if missed else 0


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
