"""Every claim of the closing sentence holds on the data, and every claim that holds is made."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchlib.analysis.comparison import ComparisonRow
from benchlib.analysis.peak import Peak, closing_sentence, find_peak, provenance
from tests.analysis.comparisons import comparison, failed, invalid, ok

CPU = "Measured on a CPU: not an inf2 result."


def sentence_of(*rows: ComparisonRow) -> str:
    return closing_sentence(comparison(rows)).removeprefix("Note: ").removesuffix(" " + CPU)


def test_the_peak_is_the_fastest_valid_size() -> None:
    rows = [ok(1, 500), invalid(2, 900), ok(4, 800), failed(8), ok(16, 700)]
    assert find_peak(rows) == Peak(4, 800)


def test_of_equal_sizes_the_smaller_is_the_peak() -> None:
    assert find_peak([ok(8, 500), ok(4, 500), ok(2, 400)]) == Peak(4, 500)


def test_without_a_valid_size_there_is_no_peak() -> None:
    assert find_peak([failed(1), invalid(2, 100)]) is None


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [ok(1, 800), ok(2, 1000), ok(4, 900), ok(8, 800)],
            "Peak throughput observed at batch size 2 (≈1,000 inf/s); "
            "beyond that, throughput declines while latencies increase.",
        ),
        (
            [ok(1, 800), ok(2, 1000), ok(4, 990), ok(8, 981)],
            "Peak throughput observed at batch size 2 (≈1,000 inf/s); "
            "beyond that, throughput flattens while latencies increase.",
        ),
        (
            [ok(1, 800), ok(2, 1000), ok(4, 990), ok(8, 500)],
            "Peak throughput observed at batch size 2 (≈1,000 inf/s); "
            "beyond that, throughput flattens or declines while latencies increase.",
        ),
        (  # level again, but below the peak
            [ok(2, 1000), ok(4, 800), ok(8, 805)],
            "Peak throughput observed at batch size 2 (≈1,000 inf/s); "
            "beyond that, throughput flattens or declines while latencies increase.",
        ),
        (  # 500 to 480 is a fall of 4 %
            [ok(2, 1000), ok(4, 500), ok(8, 480)],
            "Peak throughput observed at batch size 2 (≈1,000 inf/s); "
            "beyond that, throughput declines while latencies increase.",
        ),
        (
            [ok(1, 1000), ok(2, 900, p50_ms=5)],
            "Peak throughput observed at batch size 1 (≈1,000 inf/s); beyond that, throughput declines.",
        ),
        (
            [ok(1, 8), ok(2, 12.345)],
            "Peak throughput observed at batch size 2 (≈12.3 inf/s), the largest measured and still rising: "
            "larger batch sizes were not measured.",
        ),
        (
            [ok(1, 500), ok(2, 990), ok(4, 1000)],
            "Peak throughput observed at batch size 4 (≈1,000 inf/s), the largest measured and level with "
            "batch size 2 within 2%; larger batch sizes were not measured.",
        ),
        (
            [ok(1, 500), ok(2, 1000), invalid(4, 2000), failed(8)],
            "Peak throughput observed at batch size 2 (≈1,000 inf/s), the largest valid one and still "
            "rising: larger batch sizes have no valid measurement. Not measured: batch size 8. "
            "Measured but not valid: batch size 4.",
        ),
        (
            [ok(1, 1000), failed(2), ok(4, 700), failed(8), failed(16)],
            "Peak throughput observed at batch size 1 (≈1,000 inf/s); beyond that, throughput declines while "
            "latencies increase. Not measured: batch sizes 2, 8 and 16.",
        ),
        (
            [ok(4, 1000)],
            "Only batch size 4 has a valid measurement (≈1,000 inf/s): there is nothing to compare it with.",
        ),
        (
            [failed(1), invalid(2, 10)],
            "No batch size has a valid measurement, so there is no peak. Not measured: batch size 1. "
            "Measured but not valid: batch size 2.",
        ),
    ],
)
def test_the_sentence(rows: list[ComparisonRow], expected: str) -> None:
    assert sentence_of(*rows) == expected


def test_latencies_that_are_not_printed_are_not_spoken_of() -> None:
    rows = [replace(row, p95_ms=None, p99_ms=None) for row in (ok(1, 1000), ok(2, 900), ok(4, 800))]
    assert "latencies increase" in sentence_of(*rows)
    assert "latencies increase" not in sentence_of(rows[0], replace(rows[1], p50_ms=None), rows[2])


def test_one_falling_percentile_is_enough_to_say_nothing_of_latencies() -> None:
    rows = [ok(1, 1000), ok(2, 900), ok(4, 800)]
    rows[2] = replace(rows[2], p99_ms=rows[1].p99_ms)
    assert "latencies" not in sentence_of(*rows)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, CPU),
        ({"backend": "neuron"}, "Measured on a stand-in: not an inf2 result."),
        (
            {"backend": "neuron", "hardware": True, "device": "Inferentia2", "instance_type": "inf2.xlarge"},
            "Measured on Inferentia2 (inf2.xlarge).",
        ),
        (
            {"backend": "neuron", "hardware": True, "origin": "import"},
            "Imported figures, not measured by this tool.",
        ),
        (
            {"origin": "import"},
            "Imported figures of a CPU, not measured by this tool: not an inf2 result.",
        ),
    ],
)
def test_provenance(fields: dict[str, object], expected: str) -> None:
    measured = comparison([ok(1, 100)], **fields)
    assert provenance(measured) == expected
    assert closing_sentence(measured).endswith(" " + expected)


def test_a_sweep_without_figures_is_nobody_s_result() -> None:
    assert provenance(comparison([failed(1)], backend="neuron")) == "No figure was measured."


# Factors around the limit of what counts as level, and clear ones.
RATES = st.sampled_from([1000.0, 999.0, 981.0, 980.0, 979.0, 961.0, 960.0, 500.0, 490.0, 489.0, 20.0])
LATENCIES_MS = st.none() | st.sampled_from([0.5, 1.0, 1.5, 2.0])


@st.composite
def sweeps(draw: st.DrawFn) -> list[ComparisonRow]:
    sizes = sorted(draw(st.sets(st.integers(1, 64), max_size=7)))
    rows = []
    for size in sizes:
        status = draw(st.sampled_from(["ok", "ok", "ok", "invalid", "failed"]))
        row = failed(size) if status == "failed" else replace(ok(size, draw(RATES)), status=status)
        if draw(st.booleans()) and status != "failed":
            row = replace(row, **{name: draw(LATENCIES_MS) for name in ("p50_ms", "p95_ms", "p99_ms")})
        rows.append(row)
    return rows


def numbers_after(phrase: str, sentence: str) -> list[int]:
    match = re.search(phrase + r" batch sizes? ([0-9, and]+)\.", sentence)
    return [int(number) for number in re.findall("[0-9]+", match[1])] if match else []


@given(sweeps())
@example([])
def test_every_claim_holds_and_every_gap_is_named(rows: list[ComparisonRow]) -> None:
    sentence = sentence_of(*rows)
    valid = {row.batch_size: row.throughput_inf_per_s or 0.0 for row in rows if row.status == "ok"}
    assert numbers_after("Not measured:", sentence) == [r.batch_size for r in rows if r.status == "failed"]
    assert numbers_after("not valid:", sentence) == [r.batch_size for r in rows if r.status == "invalid"]
    assert ("there is no peak" in sentence) == (not valid)
    assert ("nothing to compare" in sentence) == (len(valid) == 1)
    match = re.search(r"batch size ([0-9]+)[^(]*\(≈([0-9.,]+) inf/s\)", sentence)
    assert bool(match) == bool(valid)
    if match:
        size, rate = int(match[1]), float(match[2].replace(",", ""))
        assert valid[size] == max(valid.values())
        assert all(valid[smaller] < valid[size] for smaller in valid if smaller < size)
        assert rate == pytest.approx(valid[size], rel=0.005)


def surely(holds: list[bool], holds_nearly: list[bool]) -> bool | None:
    """Whether anything holds; None where only the last digit decides."""
    return any(holds) if any(holds) == any(holds_nearly) else None


@given(sweeps())
def test_the_trend_beyond_the_peak_is_told_truly(rows: list[ComparisonRow]) -> None:
    peak = find_peak(rows)
    beyond = [row for row in rows if row.status == "ok" and peak and row.batch_size >= peak.batch_size]
    valid = [row for row in rows if row.status == "ok"]
    if peak is None or len(valid) < 2:
        return
    sentence = sentence_of(*rows)
    rates = [row.throughput_inf_per_s or 0.0 for row in beyond]
    tiny = 1e-9
    below = surely(
        [rate / rates[0] < 0.98 - tiny for rate in rates[1:]],
        [rate / rates[0] < 0.98 + tiny for rate in rates[1:]],
    )
    assert below in (None, "declines" in sentence)

    def level(slack: float) -> list[bool]:
        return [
            rate / rates[0] > 0.98 - slack or abs(rate / before - 1) < 0.02 + slack
            for before, rate in pairwise(rates)
        ]

    assert surely(level(-tiny), level(tiny)) in (None, "flattens" in sentence)
    columns = [[getattr(row, name) for row in beyond] for name in ("p50_ms", "p95_ms", "p99_ms")]
    printed = [[value for value in column if value is not None] for column in columns]
    increase = len(printed[0]) == len(beyond) > 1 and all(column == sorted(set(column)) for column in printed)
    assert ("latencies increase" in sentence) == increase


@given(sweeps())
def test_what_is_said_of_larger_sizes_is_true(rows: list[ComparisonRow]) -> None:
    sentence = sentence_of(*rows)
    valid = [row for row in rows if row.status == "ok"]
    peak = find_peak(rows)
    at_the_end = len(valid) > 1 and peak is not None and peak.batch_size == valid[-1].batch_size
    assert ("larger batch sizes" in sentence) == at_the_end
    if not at_the_end:
        return
    larger = [row.status for row in rows if row.batch_size > valid[-1].batch_size]
    assert ("were not measured" in sentence) == ("invalid" not in larger)
    before, last = (row.throughput_inf_per_s or 0.0 for row in valid[-2:])
    if before / last != pytest.approx(0.98, abs=1e-9):
        assert ("still rising" in sentence) == (before / last < 0.98)
        assert ("level with" in sentence) == (before / last > 0.98)
