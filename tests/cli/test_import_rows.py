"""`bench import` of published tables, NeuronPerf's reports and exports: what is said, stored and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from benchlib.report.table import NOTHING
from tests.cli.conftest import Bench
from tests.imports import published_rows as rows
from tests.imports.neuronperf_reports import FILE, REPORT, as_csv
from tests.imports.published_rows import SOUND, table_of

KNOWN_BAD = (rows.TOO_SLOW, rows.TOO_FAST, rows.TOO_MANY, rows.FOOTNOTE, rows.FIRST_VALUE, rows.SECOND_VALUE)


def stored(engine: Engine) -> list[list[tuple[object, ...]]]:
    """Every row of every table that an import writes to."""
    with engine.connect() as connection:
        tables = ("sweep", "measurement", "environment")
        queries = (text(f"SELECT * FROM {table} ORDER BY 1") for table in tables)
        return [[tuple(row) for row in connection.execute(query)] for query in queries]


@pytest.fixture
def published(tmp_path: Path) -> str:
    """A sound row, all kinds of doubtful ones, and two that cannot be stored."""
    path = tmp_path / "published.csv"
    path.write_text(table_of(SOUND, *KNOWN_BAD, rows.SHIFTED, rows.TOKENS))
    return str(path)


def test_an_import_says_what_was_taken_flagged_and_refused_and_why(bench: Bench, published: str) -> None:
    code, out, err = bench("import", published)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == ("9 rows: 1 taken and 6 flagged in 6 sweeps (nothing was stored before), 2 refused.")
    assert lines[1:6] == [
        "Flagged: 3 x throughput and latency contradict each other (Little's law)",
        "Flagged: 2 x several values for one version",
        "Flagged: 1 x the version cell says more than a version",
        "Refused: 1 x the columns are shifted",
        "Refused: 1 x throughput unit tokens/s: a measurement is in inferences/s",
    ]
    assert lines[6].startswith(
        "line 3: published latency, bert-base-cased on inf2.xlarge SDK 2.20.0, batch size 1: 41.2401 inf/s. "
        "Throughput x latency / batch size is 0.0419 batches under way, for 2 workers."
    )
    assert len(lines) == 12


def test_flagged_rows_are_shown_but_count_nowhere(bench: Bench, engine: Engine, published: str) -> None:
    bench("import", published)
    with engine.connect() as connection:
        statuses = connection.execute(text("SELECT status, count(*) FROM measurement GROUP BY 1")).all()
        counted = connection.scalars(
            text("SELECT model FROM valid_measurement JOIN sweep USING (sweep_id)")
        ).all()
        reasons = connection.scalars(
            text("SELECT reason FROM comparison_table WHERE status = 'invalid'")
        ).all()
    assert {row.status: row.count for row in statuses} == {"ok": 1, "invalid": 6}
    assert counted == ["bert-base-uncased"]
    assert all(reasons)


def test_a_second_import_changes_nothing(bench: Bench, engine: Engine, published: str) -> None:
    bench("import", published)
    before = stored(engine)
    code, out, _ = bench("import", published, "--format", "published")
    assert code == 0
    assert "(all of them stored before, so nothing changed)" in out
    assert stored(engine) == before


def test_the_sdk_can_be_asked_for(bench: Bench, engine: Engine, published: str) -> None:
    bench("import", published)
    query = text(
        "SELECT throughput_inf_per_s FROM measurement JOIN environment USING (environment_id) "
        "WHERE neuron_sdk = '2.25.0'"
    )
    with engine.connect() as connection:
        assert connection.scalars(query).all() == [2863.74]


def test_the_report_lists_every_row_that_was_not_taken(bench: Bench, published: str) -> None:
    code, _, _ = bench("import", published, "--report", "report.md")
    assert code == 0
    report = Path("report.md").read_text()
    assert report.startswith("# Import of published.csv\n\n9 rows: 1 taken and 6 flagged")
    listed = [line.split(" | ")[0] for line in report.splitlines() if line.startswith("| line")]
    assert listed == [f"| line {number}" for number in (*range(3, 9), 9, 10)]
    assert "the columns are shifted: neuron\\_version reads 'Data Parallel'" in report


def test_a_file_of_which_nothing_can_be_stored_fails(bench: Bench, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "tokens.csv").write_text(table_of(rows.TOKENS))
    code, out, err = bench("import", "tokens.csv")
    assert (code, err) == (1, "bench: no row of tokens.csv can be stored\n")
    assert "1 row: 0 taken and 0 flagged in 0 sweeps" in out
    assert stored(engine) == [[], [], []]


def test_many_flags_are_left_to_the_report(bench: Bench, tmp_path: Path) -> None:
    bad = [{**rows.TOO_SLOW, "model": f"model-{number}"} for number in range(40)]
    (tmp_path / "bad.csv").write_text(table_of(*bad))
    _, out, _ = bench("import", "bad.csv")
    assert sum(line.startswith("line ") for line in out.splitlines()) == 30
    assert out.endswith("And 10 more: --report FILE lists every row.\n")


def test_somebody_elses_text_cannot_steer_the_terminal(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "evil.csv").write_text(table_of({**rows.TOO_SLOW, "model": "bert\x1b[2Jx"}))
    _, out, _ = bench("import", "evil.csv")
    assert "\x1b" not in out


def test_neuronperf_csv_and_json_are_told_and_are_the_same(bench: Bench, engine: Engine) -> None:
    in_json = FILE.with_suffix(".json")
    Path(FILE).write_text("".join(as_csv(REPORT)))
    in_json.write_text(json.dumps([REPORT]))
    code, out, _ = bench("import", str(FILE), "--neuron-sdk", "2.18.0")
    assert code == 0
    assert out.splitlines() == [
        "The table does not say the sequence length: 128 tokens are assumed.",
        "1 row: 1 taken and 0 flagged in 1 sweep (nothing was stored before), 0 refused.",
    ]
    before = stored(engine)
    code, out, _ = bench("import", str(in_json), "--neuron-sdk", "2.18.0", "--sequence-length", "128")
    assert "nothing changed" in out
    assert "assumed" not in out
    assert stored(engine) == before


def test_a_report_shows_in_the_comparison_table(bench: Bench) -> None:
    Path(FILE).write_text("".join(as_csv(REPORT)))
    bench("import", str(FILE))
    _, out, _ = bench("report")
    assert "2850.500" in out
    assert "Imported figures, not measured by this tool." in out


def test_what_no_table_says_shows_as_missing_in_the_comparison_table(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "sound.csv").write_text(table_of(SOUND))
    bench("import", "sound.csv")
    _, out, _ = bench("report")
    row = next(line for line in out.splitlines() if line.startswith("throughput_data_encoder.csv"))
    expected = (
        f"throughput_data_encoder.csv 8 {NOTHING} {NOTHING} 2 2 {NOTHING} 2863.740 peak 5.540 {NOTHING} 5.990"
    )
    assert row.split() == expected.split()


def test_an_export_is_told_and_comes_back(bench: Bench, engine: Engine, published: str) -> None:
    bench("import", published)
    before = stored(engine)
    bench("export", "--output", "rows.jsonl")
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE sweep, environment CASCADE"))
    code, out, _ = bench("import", "rows.jsonl")
    assert (code, out) == (
        0,
        "7 rows: 7 taken and 0 flagged in 6 sweeps (nothing was stored before), 0 refused.\n",
    )
    without_keys = [[[row[1:] for row in table] for table in tables] for tables in (before, stored(engine))]
    assert [len(table) for table in without_keys[0]] == [6, 7, 5]
    assert _sorted(without_keys[0]) == _sorted(without_keys[1])


def _sorted(tables: list[list[tuple[object, ...]]]) -> list[list[str]]:
    return [sorted(map(repr, table)) for table in tables]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("p.csv", "--model", "x"), "--model: 'x' is not allowed; allowed: no such option for a file of"),
        (("p.csv", "--backend", "cpu"), "--backend: 'cpu' is not allowed"),
        (("p.csv", "--date", "2024-01-01"), "--date: '2024-01-01"),
        (("p.csv", "--report", "nosuch/report.md"), "--report: 'nosuch/report.md' is not allowed"),
        (("p.csv", "--format", "neuronperf-csv"), "header: "),
        (("p.csv", "--format", "neuronperf-json"), "file: 'p.csv' is not allowed; allowed: JSON"),
        (("seed.md", "--report", "r.md"), "--report: 'r.md' is not allowed"),
        (("seed.md", "--neuron-sdk", "2.18"), "--neuron-sdk: '2.18' is not allowed"),
        (("undated.csv",), "--date: None is not allowed; allowed: the day it was measured"),
        (("undated.csv", "--date", "2024-01-01", "--sequence-length", "4"), "sequence_length: 4 is not"),
        (("latin.csv",), "file: 'latin.csv' is not allowed; allowed: a text file in UTF-8"),
        (("nosuch.csv",), "file: 'nosuch.csv' is not allowed"),
        ((".",), "file: '.' is not allowed"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_and_nothing_is_stored(
    bench: Bench, engine: Engine, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "p.csv").write_text(table_of(SOUND))
    (tmp_path / "seed.md").write_text("| a |\n|---|\n")
    (tmp_path / "undated.csv").write_text("".join(as_csv(REPORT)))
    (tmp_path / "latin.csv").write_bytes(table_of({**SOUND, "model": "é"}).encode("latin-1"))
    code, out, err = bench("import", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {sentence}")
    assert err.count("\n") == 1
    assert stored(engine) == [[], [], []]
