"""Every query of the cookbook answers its question about a small fleet, asked by psql as the reader."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from sqlalchemy import Engine

from benchlib.analysis.peak import find_ties
from benchlib.settings import PROJECT_ROOT
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.repository import Repository
from tests.store import fleet, load_fleet
from tests.store.conftest import run_psql
from tests.store.fleet import UNTIL

QUERIES = PROJECT_ROOT / "sql" / "queries"

SDK_STEP = (
    "neuron_sdk 2.25.0 -> 2.26.0, neuronx_cc 2.20.9961 -> 2.21.18209, neuron_runtime 2.27.23 -> 2.28.23"
)

ANSWERS: dict[str, list[str]] = {
    "throughput_by_sdk": [
        "bert-base-uncased|inf2.xlarge|t|1|2.25.0|2026-02-02|2026-02-06|5|550.0",
        "bert-base-uncased|inf2.xlarge|t|1|2.26.0|2026-02-07|2026-02-11|5|550.0",
        "bert-base-uncased|inf2.xlarge|t|2|2.25.0|2026-02-02|2026-02-06|5|1000.0",
        "bert-base-uncased|inf2.xlarge|t|2|2.26.0|2026-02-07|2026-02-11|3|900.0",
    ],
    "nightly_trend days=5": [
        "bert-base-uncased|inf2.xlarge|t|1|2026-02-07|550.0|550.0|550.0|",
        "bert-base-uncased|inf2.xlarge|t|1|2026-02-08|550.0|550.0|550.0|",
        "bert-base-uncased|inf2.xlarge|t|1|2026-02-09|550.0|550.0|550.0|",
        "bert-base-uncased|inf2.xlarge|t|1|2026-02-10|550.0|550.0|550.0|",
        "bert-base-uncased|inf2.xlarge|t|1|2026-02-11|550.0|550.0|550.0|",
        "bert-base-uncased|inf2.xlarge|t|2|2026-02-07|900.0|1000.0|1000.0|below",
        "bert-base-uncased|inf2.xlarge|t|2|2026-02-08|900.0|901.7|1065.0|below",
        "bert-base-uncased|inf2.xlarge|t|2|2026-02-11|900.0|850.5|1069.5|",
    ],
    "costliest_sdk_upgrades": [
        "2.25.0|2.26.0|2026-02-07|3|-2.81|-10.00|bert-base-uncased, batch size 4, inf2.xlarge"
    ],
    "tail_only_regressions recent_days=5": [
        "bert-base-uncased|4|inf2.xlarge|t|1|8.000|9.600|20.0|0.0|5|5",
    ],
    "tail_only_regressions recent_days=5 p99_percent=21": [],
    "best_batch_size": ["bert-base-uncased||128|offline|inf2.xlarge|neuron|t|1|2|2|bf16|500.0|4.500"],
    "best_batch_size limit_ms=24": [
        "bert-base-uncased||128|offline|inf2.xlarge|neuron|t|4|2|2|bf16|1000.0|9.500",
        "bert-tiny||128|offline||cpu|f|1|2|2|fp32|102.0|24.000",
    ],
    "cost_per_million": [
        "bert-base-uncased|inf2.xlarge|4|2|8|1000.0|0.758|0.900|0.2106",
        "bert-base-uncased|inf2.xlarge|4|1|10|550.0|0.758|0.900|0.3828",
        "bert-base-uncased|inf2.xlarge|1|2|8|500.0|0.758|0.900|0.4211",
    ],
    "nights_without_data": [
        "bert-base-uncased|1|inf2.xlarge|t|2|2026-02-08|2026-02-08|1|invalid|The rounds drift: run again.",
        "bert-base-uncased|1|inf2.xlarge|t|2|2026-02-09|2026-02-09|1|none|no sweep",
        "bert-base-uncased|4|inf2.xlarge|t|2|2026-02-09|2026-02-09|1|none|no sweep",
        "bert-base-uncased|4|inf2.xlarge|t|2|2026-02-10|2026-02-10|1|failed|No end within 600 s.",
    ],
    "nights_without_data until=2026-02-20 days=9": [
        "bert-base-uncased|1|inf2.xlarge|t|2|2026-02-12|2026-02-20|9|none|no sweep",
        "bert-base-uncased|4|inf2.xlarge|t|1|2026-02-12|2026-02-20|9|none|no sweep",
        "bert-base-uncased|4|inf2.xlarge|t|2|2026-02-12|2026-02-20|9|none|no sweep",
        "bert-tiny|1||f|2|2026-02-12|2026-02-20|9|none|no sweep",
    ],
    "nights_without_data until=2026-04-20": [],
    "noisiest_series": [
        "bert-tiny|1||f|2|10|102.0|2.92",
        "bert-base-uncased|4|inf2.xlarge|t|2|8|962.5|2.67",
        "bert-base-uncased|1|inf2.xlarge|t|2|8|503.8|0.53",
        "bert-base-uncased|4|inf2.xlarge|t|1|10|550.0|0.00",
    ],
    "compile_time_by_compiler": [
        "bert-base-uncased|neuron|t|2.25.0|2026-02-02|2|62.5|64.0|4.00",
        "bert-base-uncased|neuron|t|2.26.0|2026-02-07|2|92.5|94.0|4.00",
    ],
    "slowest_compilations at_most=3": [
        "bert-base-uncased|4|neuron|t|2.26.0|2026-02-07|94.0|114.0",
        "bert-base-uncased|1|neuron|t|2.26.0|2026-02-07|91.0|111.0",
        "bert-base-uncased|4|neuron|t|2.25.0|2026-02-02|64.0|104.0",
    ],
    "artifact_growth": [
        "bert-base-uncased||neuron|bf16||1|2.25.0|2026-02-02|101.0|",
        "bert-base-uncased||neuron|bf16||1|2.26.0|2026-02-07|111.0|9.9",
        "bert-base-uncased||neuron|bf16||4|2.25.0|2026-02-02|104.0|",
        "bert-base-uncased||neuron|bf16||4|2.26.0|2026-02-07|114.0|9.6",
    ],
    "scaling_per_replica": [
        "bert-base-uncased||offline|inf2.xlarge|neuron|t|1|550.0|550.0|1.000",
        "bert-base-uncased||offline|inf2.xlarge|neuron|t|2|1000.0|500.0|0.909",
    ],
    "failures_by_reason": [
        "measure|crashed|Core N of N crashed.|2|2|1|bert-base-uncased|2026-02-10",
        "measure|timeout|No end within N s.|1|1|0|bert-base-uncased|2026-02-10",
    ],
    "latest_comparison_table model=bert-base%": [
        "model_batch_size_1.pt|1|12000|12000|2|2|23.529|510.000|3.922|4.211|4.500|||Inferentia2|t",
        "model_batch_size_4.pt|4|12000|48000|2|2|53.333|900.000|8.889|9.194|9.500|peak||Inferentia2|t",
    ],
    "latest_comparison_table model=bert-base% until=2026-02-08": [
        "model_batch_size_1.pt|1|12000|12000|2|2|1.333|9000.000|0.222|2.361|4.500|invalid"
        "|The rounds drift: run again.|Inferentia2|t",
        "model_batch_size_4.pt|4|12000|48000|2|2|53.333|900.000|8.889|9.194|9.500|peak||Inferentia2|t",
    ],
    "what_changed_last model=bert-base%": [],
    "what_changed_last model=bert-base% until=2026-02-07": [
        "bert-base-uncased|2026-02-06|2026-02-07|neuron_sdk|2.25.0|2.26.0",
        "bert-base-uncased|2026-02-06|2026-02-07|neuronx_cc|2.20.9961|2.21.18209",
        "bert-base-uncased|2026-02-06|2026-02-07|neuron_runtime|2.27.23|2.28.23",
    ],
    "environment_timeline": [f"2026-02-07|inf2.xlarge|3|{SDK_STEP}"],
    "failing_checks": ["drift|1|2.70|0.3100|0.0200||2026-02-08|bert-base-uncased on inf2.xlarge"],
    "open_changes": [
        "1|acknowledged|Ana|bert-base-uncased|4|inf2.xlarge|t|throughput_inf_per_s|worse|-10.0|-12.0|-8.0"
        f"|2026-02-06|2026-02-07|{SDK_STEP}",
    ],
    "peak_moves": [
        "2026-02-10|bert-base-uncased||offline||inf2.xlarge|t|2|4|1|900.0|510.0|2.26.0|2.26.0",
        "2026-02-11|bert-base-uncased||offline||inf2.xlarge|t|2|1|4|510.0|900.0|2.26.0|2.26.0",
    ],
    "morning": [
        "2026-02-11|bert-base-uncased||offline||inf2.xlarge|t|1|2.26.0|4|550.0|550.0|0.0",
        "2026-02-11|bert-base-uncased||offline||inf2.xlarge|t|2|2.26.0|4|900.0|950.0|-5.3",
        "2026-02-11|bert-tiny||offline|||f|2|torch 2.13.0|1|104.0|100.0|4.0",
    ],
}
"""File and variables to rows; the figures follow from the table in `tests.store.fleet`."""

DRIVEN_ANSWERS: dict[str, list[str]] = {
    "tied_with_peak": ["2026-02-03|bert-base-uncased|inf2.xlarge|t|2|8|4|1002.0|1000.0|18.000|9.500"],
    "limited_by_harness": [
        "bert-base-uncased|inf2.xlarge|t|1|2|thread|2|2026-02-03|2.00|90.0"
        "|Python threads of one process, as asked"
    ],
    "limited_by_harness overhead_percent=3 ideal_percent=90": [],
    "highest_server_rate": [
        "2026-02-02|bert-base-uncased|inf2.xlarge|t|4|2|20|200.0|800.0|18.000|9.000|",
        "2026-02-03|bert-base-uncased|inf2.xlarge|t|4|2|20|210.0|840.0|19.000|9.000|5.0",
    ],
}
"""Likewise, from the table in `tests.store.load_fleet`."""


def ask(server: EmbeddedPostgres, engine: Engine, path: Path, *variables: str) -> list[str]:
    settings = [argument for variable in variables for argument in ("-v", variable)]
    printed = run_psql(server, engine, "--csv", *settings, "-c", "SET ROLE bench_reader", "-f", str(path))
    return ["|".join(row) for row in csv.reader(io.StringIO(printed))][1:]


@pytest.mark.parametrize("question", ANSWERS)
def test_a_query_answers_its_question(postgres: EmbeddedPostgres, small_fleet: Engine, question: str) -> None:
    name, *variables = question.split()
    rows = ask(postgres, small_fleet, QUERIES / f"{name}.sql", f"until={UNTIL}", *variables)
    assert rows == ANSWERS[question]


@pytest.mark.parametrize("question", DRIVEN_ANSWERS)
def test_a_query_about_the_load_answers_its_question(
    postgres: EmbeddedPostgres, driven_fleet: Engine, question: str
) -> None:
    name, *variables = question.split()
    path = QUERIES / f"{name}.sql"
    rows = ask(postgres, driven_fleet, path, f"until={load_fleet.UNTIL}", *variables)
    assert rows == DRIVEN_ANSWERS[question]


def test_sizes_are_tied_in_sql_where_the_comparison_says_so(
    postgres: EmbeddedPostgres, driven_fleet: Engine
) -> None:
    rows = ask(postgres, driven_fleet, QUERIES / "tied_with_peak.sql", f"until={load_fleet.UNTIL}")
    in_sql = {(night, int(tied)) for night, *_, tied in (row.split("|")[:7] for row in rows)}
    found = set()
    for night in (0, 1):
        comparison = Repository(driven_fleet).comparison(load_fleet.offline(night).sweep_id)
        ties = find_ties(comparison.rows)
        found |= {(str(fleet.night_of(night)), size) for size, tie in ties.items() if tie == "tied"}
    assert in_sql == found
    assert found


def test_every_query_has_an_answer_above() -> None:
    answered = {question.split()[0] for question in (*ANSWERS, *DRIVEN_ANSWERS)}
    assert {path.stem for path in QUERIES.iterdir()} == answered


@pytest.mark.parametrize("path", sorted(QUERIES.iterdir()), ids=lambda path: path.stem)
def test_a_query_begins_with_its_question_and_runs_without_variables(
    postgres: EmbeddedPostgres, small_fleet: Engine, path: Path
) -> None:
    assert re.match(r"-- [A-Z][^\n]*\?\n", path.read_text())
    ask(postgres, small_fleet, path)


@pytest.mark.parametrize("path", sorted(QUERIES.iterdir()), ids=lambda path: path.stem)
def test_a_query_says_what_its_variables_are(path: Path) -> None:
    script = path.read_text()
    comment = script.partition("\\")[0]
    assert [
        name for name in re.findall(r"\\set (\w+)", script) if not re.search(rf"\b{name}\b", comment)
    ] == []
