"""`bench import`: from somebody's table to a stored sweep, to the last digit and only once."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.analysis.comparisons import SEED
from tests.cli.conftest import Bench

TABLES = ("sweep", "measurement", "environment")


def stored(engine: Engine) -> list[list[tuple[object, ...]]]:
    """Every row of every table that an import writes to."""
    with engine.connect() as connection:
        queries = (text(f"SELECT * FROM {table} ORDER BY 1") for table in TABLES)
        return [[tuple(row) for row in connection.execute(query)] for query in queries]


def table_of(markdown: str) -> list[str]:
    return [line for line in markdown.splitlines() if line.startswith("|")]


def test_the_seed_comes_back_to_the_last_digit_with_the_right_unit(bench: Bench) -> None:
    code, out, _ = bench("import", str(SEED), "--instance-type", "inf2.48xlarge", "--model", "bert-base")
    assert code == 0
    assert out.startswith(
        "The latency columns are headed (s) but are milliseconds by Little's law: "
        "12 workers x 1 / 12649.572 inf/s = 0.949 ms.\n"
        "The table does not say the sequence length: 128 tokens are assumed.\n"
        "\n"
        "Model bert-base, sequence length 128, precision unknown, scenario offline, worker mode thread, "
        "backend neuron, device unnamed accelerator, instance type inf2.48xlarge, sweep "
    )
    assert out.endswith(
        "Note: Peak throughput observed at batch size 4 (≈17,585 inf/s); beyond that, throughput flattens or "
        "declines while latencies increase. Imported figures, not measured by this tool.\n"
    )
    _, markdown, _ = bench("report", "--format", "md")
    seed = table_of(SEED.read_text())
    ours = table_of(markdown)
    assert ours[2:] == [
        # Only the header's unit differs, and with it the width of three columns.
        " | ".join([*line.split(" | ")[:8], *(cell.rjust(8) for cell in _latencies(line))]) + " |"
        for line in seed[2:]
    ]
    assert [cell.strip() for cell in ours[0].split("|")] == [
        cell.strip().replace("(s)", "(ms)") if cell.strip().startswith("P") else cell.strip()
        for cell in seed[0].split("|")
    ]


def _latencies(line: str) -> list[str]:
    return [cell.strip(" |") for cell in line.split(" | ")[8:]]


def test_a_second_import_changes_nothing(bench: Bench, engine: Engine, tmp_path: Path) -> None:
    bench("import", str(SEED))
    before = stored(engine)
    assert [len(rows) for rows in before] == [1, 10, 1]
    code, out, _ = bench("import", str(SEED), "--sequence-length", "128")
    assert code == 0
    assert "This table had been imported before; nothing was changed." in out
    assert stored(engine) == before


def test_an_import_that_broke_off_is_completed(bench: Bench, engine: Engine) -> None:
    bench("import", str(SEED))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM measurement WHERE batch_size > 4"))
    code, out, _ = bench("import", str(SEED))
    assert (code, "imported before" in out) == (0, False)
    assert [len(rows) for rows in stored(engine)] == [1, 10, 1]


def test_what_report_writes_import_reads_as_the_same_sweep(bench: Bench, engine: Engine) -> None:
    options = ("--model", "bert", "--label", "a|b", "--backend", "cpu")
    bench("import", str(SEED), *options)
    before = stored(engine)
    bench("report", "--format", "md", "--output", "ours.md")
    code, out, _ = bench("import", "ours.md", *options)
    assert code == 0
    assert "are headed (ms) and are milliseconds" in out
    assert "not measured by this tool: not an inf2 result." in out
    assert stored(engine) == before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [  # the beginning of the sentence
        (b"no table here", "bench: document: 'no table' is not allowed; allowed: a Markdown table"),
        (b"\xff\xfe|", "bench: file: 'table.md' is not allowed; allowed: a Markdown file in UTF-8"),
        (b"x" * (2**20 + 1), "bench: file: 'table.md' is not allowed; allowed: a Markdown file in UTF-8"),
        (SEED.read_bytes().replace(b"0.939", b"0.039"), "bench: row 1, P50: 0.039 is not allowed"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_and_nothing_is_stored(
    bench: Bench, engine: Engine, tmp_path: Path, content: bytes, sentence: str
) -> None:
    (tmp_path / "table.md").write_bytes(content)
    code, out, err = bench("import", "table.md")
    assert (code, out) == (2, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1
    assert stored(engine) == [[], [], []]


def test_a_missing_file_is_refused(bench: Bench) -> None:
    code, _, err = bench("import", "nosuch.md")
    assert code == 2
    assert "'nosuch.md' is not allowed" in err
    assert "No such file" in err


def test_an_impossible_option_is_refused_and_nothing_is_stored(bench: Bench, engine: Engine) -> None:
    code, _, err = bench("import", str(SEED), "--sequence-length", "4")
    assert code == 2
    assert err.startswith("bench: sequence_length: 4 is not allowed")
    assert stored(engine) == [[], [], []]


def test_the_title_names_the_model_and_the_file_where_there_is_none(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "titled.md").write_text("# My *model*\n\n" + SEED.read_text())
    (tmp_path / "plain.md").write_bytes(b"\xef\xbb\xbf" + SEED.read_bytes())
    assert "Model My model," in bench("import", "titled.md")[1]
    assert "Model plain," in bench("import", "plain.md")[1]
