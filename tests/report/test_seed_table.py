"""Tables are read to the last digit, or refused in one sentence that names the row and its figures."""

from __future__ import annotations

from decimal import Decimal

import pytest

from benchlib.errors import BadInput
from benchlib.report.markdown import render_markdown
from benchlib.report.seed_table import SeedTable, read_seed_table
from benchlib.report.table import NOTHING
from tests.analysis.comparisons import SEED, comparison, ok

SEED_TEXT = SEED.read_text()
HEADER, RULE, *ROWS = SEED_TEXT.splitlines()


def table_of(*rows: str, header: str = HEADER) -> str:
    rule = "|" + "---|" * (header.count("|") - 1)
    return "\n".join(("# a title", "", "text", "", header, rule, *rows, ""))


def changed(row: int, old: str, new: str) -> str:
    """The seed's table with one cell of a row (from 1) changed."""
    assert old in ROWS[row - 1]
    return table_of(*(text.replace(old, new) if text is ROWS[row - 1] else text for text in ROWS))


def test_the_seed_is_read_to_the_last_digit() -> None:
    table = read_seed_table(SEED_TEXT)
    fourth = table.rows[3]
    assert len(table.rows) == 10
    assert fourth.filename == "model_batch_size_4.pt"
    assert (fourth.batch_size, fourth.batches, fourth.inferences) == (4, 12000, 48000)
    assert (fourth.workers, fourth.replicas) == (12, 12)
    assert (str(fourth.duration_s), str(fourth.throughput_inf_per_s)) == ("2.730", "17584.681")
    assert (str(fourth.p50), str(fourth.p95), str(fourth.p99)) == ("2.723", "2.794", "2.820")
    assert (table.title, table.ignored_columns) == (None, ())


def test_the_seeds_seconds_are_milliseconds() -> None:
    unit = read_seed_table(SEED_TEXT).latency_unit
    assert (unit.declared, unit.unit, unit.contradicted) == ("s", "ms", True)


def only_row(row: str, header: str = HEADER) -> SeedTable:
    return read_seed_table(table_of(row, header=header))


@pytest.mark.parametrize("separator", [",", " ", "\u00a0", "\u2009", "\u202f"])
def test_thousands_separators_are_read(separator: str) -> None:
    row = "| a.pt | 1 | 12,000 | 12,000 | 12 | 12 | 0.949 | 12,649.572 | 0.939 | 0.974 | 0.990 |"
    (read,) = only_row(row.replace(",", separator)).rows
    assert (read.batches, read.inferences, read.throughput_inf_per_s) == (12000, 12000, Decimal("12649.572"))


def test_headers_may_differ_in_case_order_and_units() -> None:
    header = "|MODELS|threads|P50|throughput(inf/s)|Duration|inferences|batches|BATCH|filename|$|"
    table = only_row(
        "| 12 | 12 | 0.939 | **12649.572** | 0.949 | 12000 | 12000 | 1 | `a_b.pt` | 7 $ |", header
    )
    (row,) = table.rows
    assert (row.filename, row.p50, row.p95, row.p99) == ("a_b.pt", Decimal("0.939"), None, None)
    assert table.latency_unit.declared is None
    assert table.ignored_columns == ("$",)


def test_blank_percentiles_are_missing_not_wrong() -> None:
    (row,) = only_row(ROWS[0].replace("0.974", NOTHING).replace("0.990", "     ")).rows
    assert (row.p95, row.p99) == (None, None)


def test_our_own_table_reads_back_with_ties_and_margins() -> None:
    rows = [ok(1, 240, half_width=15), ok(2, 250, half_width=5), ok(4, 249)]
    table = read_seed_table(render_markdown(comparison(rows)))
    assert [float(row.throughput_inf_per_s) for row in table.rows] == [240, 250, 249]
    assert [row.filename for row in table.rows] == [row.filename for row in rows]
    assert table.latency_unit.declared == table.latency_unit.unit == "ms"
    assert len(table.ignored_columns) == 1


@pytest.mark.parametrize("mark", ["(invalid)", "tied", "(tied) (tied)", "(TIED)"])
def test_no_other_word_passes_beside_a_throughput(mark: str) -> None:
    with pytest.raises(BadInput, match="row 1, Throughput"):
        only_row(ROWS[0].replace("12649.572", f"12649.572 {mark}"))


def test_equal_percentiles_are_in_order() -> None:
    (row,) = only_row(ROWS[0].replace("0.974", "0.939").replace("0.990", "0.939")).rows
    assert row.p50 == row.p95 == row.p99


def test_the_first_heading_is_the_title() -> None:
    assert (
        read_seed_table("# bert_base *x* — on demand\n\n## b\n\n" + SEED_TEXT).title
        == "bert_base x — on demand"
    )


def test_other_tables_are_passed_over() -> None:
    other = "| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    assert len(read_seed_table(other + SEED_TEXT + "\n\n" + other).rows) == 10


def test_a_table_that_is_indented_in_a_list_is_found() -> None:
    listed = "- initial:\n\n" + "".join(f"  {line}\n" for line in SEED_TEXT.splitlines())
    assert len(read_seed_table(listed).rows) == 10


COLUMN_NAMES = "Filename, Batch, Batches, Inferences, Threads, Models, Duration, Throughput, P50, P95, P99"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", f"'no table' is not allowed; allowed: a Markdown table with the columns {COLUMN_NAMES}"),
        ("# only text\n\na | b", "document: 'no table'"),
        (table_of(), "table: 'no rows' is not allowed; allowed: at least one row below the header"),
        (SEED_TEXT + "\ntext\n\n" + SEED_TEXT, "document: '2 tables' is not allowed"),
        (SEED_TEXT.replace("Threads", "Cores"), "allowed: one with the columns Threads too"),
        (SEED_TEXT.replace("P50 (s)", "x").replace("Batches", "y"), "one with the columns Batches, P50 too"),
        (SEED_TEXT.replace("Models ", "Threads"), "allowed: one with the columns Models too"),
        (SEED_TEXT.replace("P99 (s)", "P95 (s)"), "allowed: the column P95 once"),
        (SEED_TEXT.replace("P95 (s)", "P95 (ms)"), "header of P95: 'ms' is not allowed"),
        (
            changed(3, "16869.460", "fast"),
            "row 3, Throughput: 'fast' is not allowed; allowed: a number above 0, such as 12649.572",
        ),
        (changed(3, "16869.460", ""), "row 3, Throughput: '' is not allowed"),
        (changed(3, "16869.460", "-16869.460"), "row 3, Throughput: '-16869.460' is not allowed"),
        (changed(3, "16869.460", "16,86.460"), "row 3, Throughput: '16,86.460' is not allowed"),
        (changed(3, "16869.460", "nan"), "row 3, Throughput: 'nan' is not allowed"),
        (changed(3, "16869.460", "1e400"), "row 3, Throughput: '1e400' is not allowed"),
        (changed(3, "16869.460", "٣"), "row 3, Throughput: '٣' is not allowed"),
        (changed(1, "0.939", "0,939"), "row 1, P50: '0,939' is not allowed"),
        (changed(1, "    1 ", "    0 "), "row 1, Batch: '0' is not allowed"),
        (changed(1, "    1 ", " 1025 "), "row 1, Batch: '1025' is not allowed; allowed: a whole number"),
        (changed(1, "    1 ", "  1.5 "), "row 1, Batch: '1.5' is not allowed; allowed: a whole number"),
        (
            table_of(ROWS[0], ROWS[1], ROWS[0]),
            "row 3, Batch: 1 is not allowed; allowed: a batch size that row 1 has not got",
        ),
        (
            changed(2, "24000", "24001"),
            "row 2, Inferences: 24001 is not allowed; allowed: 12000 batches x 2 = 24000",
        ),
        (
            changed(4, "17584.681", "17684.681"),
            "row 4, Throughput: '17684.681' is not allowed; "
            "allowed: 48000 inferences / 2.730 s = 17582.418 inf/s within rounding",
        ),
        (changed(4, "2.730", "2.732"), "row 4, Throughput: '17584.681' is not allowed"),
        (
            changed(5, "3.659", "3.511"),
            "row 5, P95: '3.511' is not allowed; allowed: at least its P50, 3.512",
        ),
        (changed(5, "3.694", "3.6"), "row 5, P99: '3.6' is not allowed; allowed: at least its P95, 3.659"),
        (
            changed(7, "|     12 |", "|     11 |"),
            "row 7, Threads and Models: '12 and 11' is not allowed; allowed: 12 and 12 as in row 1",
        ),
        (
            table_of(ROWS[0], ROWS[1].replace("1.522", "0.001522")),
            "row 2, P50: 0.001522 is not allowed; allowed: milliseconds as in row 1 (0.939), "
            "for 12 workers x 2 / 15394.022 inf/s = 1.559 ms",
        ),
        (
            changed(1, "0.939", "0.039"),
            "row 1, P50: 0.039 is not allowed; allowed: within a factor of 2 of "
            "12 workers x 1 / 12649.572 inf/s = 0.949 ms (Little's law), in s, ms, us or ns",
        ),
        (changed(6, "model\\_batch\\_size\\_6.pt", ""), "row 6, Filename: '' is not allowed"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_with_row_and_figures(text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read_seed_table(text)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("throughput", "fits"), [
    ("12638.228", False), ("12638.232", True), ("12651.555", True), ("12651.560", False),
])  # fmt: skip
def test_throughput_may_differ_by_the_rounding_of_the_duration_only(throughput: str, fits: bool) -> None:
    """0.949 s is anything from 0.9485 to 0.9495 s: 12000 inferences are 12651.555 to 12638.231 inf/s."""
    text = table_of(ROWS[0].replace("12649.572", throughput))
    if fits:
        assert read_seed_table(text).rows[0].throughput_inf_per_s == Decimal(throughput)
    else:
        with pytest.raises(BadInput, match="within rounding"):
            read_seed_table(text)
