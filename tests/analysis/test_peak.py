"""Every claim of the closing sentence holds on the data, and every claim that holds is made."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchlib.analysis.comparison import ComparisonRow
from benchlib.analysis.peak import (
    Peak,
    closing_sentence,
    find_peak,
    find_ties,
    provenance,
    recommend,
)
from tests.analysis.comparisons import comparison, failed, invalid, ok

CPU = "Measured on a CPU: not an inf2 result."


def sentence_of(*rows: ComparisonRow) -> str:
    return closing_sentence(comparison(rows)).removeprefix("Note: ").removesuffix(" " + CPU)


def test_the_peak_is_the_fastest_valid_size() -> None:
    rows = [ok(1, 500), invalid(2, 900), ok(4, 800), failed(8), ok(16, 700)]
    assert find_peak(rows) == Peak(4, 800, tied=())


def test_of_equal_sizes_the_smaller_is_the_peak() -> None:
    assert find_peak([ok(8, 500), ok(4, 500), ok(2, 400)]) == Peak(4, 500, tied=(8,))


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
            "beyond that, throughput flattens while latencies increase. "
            "Level with the peak within 2 %: batch sizes 4 and 8.",
        ),
        (
            [ok(1, 800), ok(2, 1000), ok(4, 990), ok(8, 500)],
            "Peak throughput observed at batch size 2 (≈1,000 inf/s); "
            "beyond that, throughput flattens or declines while latencies increase. "
            "Level with the peak within 2 %: batch size 4.",
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
            "Peak throughput observed at batch size 4 (≈1,000 inf/s), the largest measured; "
            "larger batch sizes were not measured. Level with the peak within 2 %: batch size 2. "
            "Recommended: batch size 2, the smallest size level with the peak within 2 %.",
        ),
        (  # 1 % apart, and known to be: hypot(3, 4) = 5 inf/s, less than 10
            [ok(1, 500, half_width=1), ok(2, 990, half_width=3), ok(4, 1000, half_width=4)],
            "Peak throughput observed at batch size 4 (≈1,000 inf/s), the largest measured and level with "
            "batch size 2 within 2 %; larger batch sizes were not measured.",
        ),
        (  # 4 % apart, but that may be chance: hypot(30, 30) = 42.4 inf/s
            [ok(1, 500, half_width=1), ok(2, 960, half_width=30), ok(4, 1000, half_width=30)],
            "Peak throughput observed at batch size 4 (≈1,000 inf/s), the largest measured; "
            "larger batch sizes were not measured. Tied with the peak at 95 %: batch size 2. "
            "Recommended: batch size 2, the smallest size tied with the peak at 95 %.",
        ),
        (  # the last two fell: by chance perhaps, and for certain
            [ok(2, 1000, half_width=30), ok(4, 960, half_width=30), ok(8, 940, half_width=30)],
            "Peak throughput observed at batch size 2 (≈1,000 inf/s); "
            "beyond that, throughput flattens or declines while latencies increase. "
            "Tied with the peak at 95 %: batch size 4.",
        ),
        (  # only the first has no limits
            [ok(1, 990), ok(2, 960, half_width=30), ok(4, 1000, half_width=30), ok(8, 900, half_width=1)],
            "Peak throughput observed at batch size 4 (≈1,000 inf/s); "
            "beyond that, throughput declines while latencies increase. "
            "Tied with the peak at 95 %: batch size 2. Level with the peak within 2 %: batch size 1. "
            "Recommended: batch size 1, the smallest size level with the peak within 2 %.",
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


# Ties by the limits of two throughputs, computed by hand.


@pytest.mark.parametrize(
    ("rate", "half_width", "tied"),
    [
        (17, 4, True),  # 3 apart, hypot(3, 4) = 5
        (15, 4, True),  # 5 apart: 0 is the very end of the interval
        (14.9, 4, False),
        (14, 4, False),  # the limits 17 to 23 and 10 to 18 overlap, yet 6 apart is more than chance
        (17, 0, True),  # the peak's own doubt is enough
        (16.9, 0, False),
    ],
)
def test_a_size_is_tied_unless_the_interval_of_the_difference_is_clear_of_zero(
    rate: float, half_width: float, tied: bool
) -> None:
    peak = find_peak([ok(1, rate, half_width=half_width), ok(2, 20, half_width=3)])
    assert peak is not None
    assert peak.tied == ((1,) if tied else ())


def test_only_the_limits_that_face_each_other_count() -> None:
    """Of the peak the lower, of the other the upper one."""
    peak, other = ok(2, 20, half_width=3), ok(1, 15, half_width=4)
    assert find_ties([replace(other, throughput_low_inf_per_s=15.0), peak]) == {1: "tied"}
    assert find_ties([replace(other, throughput_high_inf_per_s=15.0), peak]) == {}
    assert find_ties([other, replace(peak, throughput_high_inf_per_s=99.0)]) == {1: "tied"}
    assert find_ties([other, replace(peak, throughput_low_inf_per_s=20.0)]) == {}


def test_limits_that_do_not_hold_the_throughput_say_nothing_of_it() -> None:
    """One slow stretch takes the throughput out of the limits of its parts: it counts as one without any."""
    odd = replace(ok(1, 985), throughput_low_inf_per_s=990.0, throughput_high_inf_per_s=995.0)
    assert find_ties([odd, ok(2, 1000, half_width=0.1)]) == {1: "level"}
    assert find_ties([replace(odd, throughput_inf_per_s=970.0), ok(2, 1000, half_width=99)]) == {}


@given(
    rate=st.floats(1, 100),
    below=st.floats(0, 100),
    half_widths=st.tuples(st.floats(0, 50), st.floats(0, 50)),
    factor=st.sampled_from([0.125, 1.0, 4096.0]),
)
def test_ties_obey_what_limits_mean(
    rate: float, below: float, half_widths: tuple[float, float], factor: float
) -> None:
    best, other = rate + below, rate
    rows = [
        ok(1, factor * other, half_width=factor * half_widths[0]),
        ok(2, factor * best, half_width=factor * half_widths[1]),
    ]
    peak = find_peak(rows)
    assert peak is not None
    if best - half_widths[1] > other + half_widths[0] + 1e-9:  # apart
        assert peak.tied == ()
    if best - half_widths[1] < other - 1e-9:  # the other's own figure lies within the peak's limits
        assert peak.tied == (({1, 2} - {peak.batch_size}).pop(),)
    wider = [replace(row, throughput_low_inf_per_s=0.0) for row in rows]
    assert set(peak.tied) <= set(find_ties(wider))


# The recommendation.

FAST = [ok(1, 600, p50_ms=1), ok(2, 900, p50_ms=2), ok(4, 1000, p50_ms=4), ok(8, 800, p50_ms=8)]
"""P99: 1.5, 3, 6 and 12 ms."""


@pytest.mark.parametrize(
    ("limit_ms", "rows", "expected"),
    [
        (None, FAST, (4, "the highest throughput")),
        (20, FAST, (4, "the highest throughput with a P99 of at most 20 ms")),
        (6, FAST, (4, "the highest throughput with a P99 of at most 6 ms")),
        (5.999, FAST, (2, "the highest throughput with a P99 of at most 5.999 ms")),
        (1.4, FAST, None),
        (None, [failed(1)], None),
        (20, [failed(1), invalid(2, 900)], None),
        (20, [*FAST[:2], replace(FAST[2], p99_ms=None, samples=72)], (2, "the highest")),
        (20, [*FAST[:2], replace(FAST[2], status="invalid")], (2, "the highest")),
        (None, [*FAST, ok(16, 1001)], (4, "the smallest size level with the peak within 2 %")),
        (None, [ok(1, 1000), ok(2, 999)], (1, "the highest throughput")),
        (
            None,
            [ok(2, 900, half_width=80), ok(4, 1000, half_width=80)],
            (2, "the smallest size tied with the peak at 95 %"),
        ),
        (
            5,
            [
                ok(1, 880, 1, half_width=30),
                ok(2, 900, 2, half_width=30),
                ok(4, 1000, 4, half_width=30),
                ok(8, 901, 1, half_width=30),
            ],
            (
                1,
                "the smallest with a P99 of at most 5 ms and tied at 95 % with batch size 8, "
                "the fastest of these",
            ),
        ),
    ],
)
def test_the_recommended_size_is_the_fastest_within_the_limit_or_the_smallest_tied_with_it(
    limit_ms: float | None, rows: list[ComparisonRow], expected: tuple[int, str] | None
) -> None:
    advised = recommend(comparison(rows, latency_limit_ms=limit_ms))
    if expected is None:
        assert advised is None
    else:
        assert advised is not None
        assert advised.batch_size == expected[0]
        assert advised.reason.startswith(expected[1])


@pytest.mark.parametrize(
    ("limit_ms", "rows", "expected"),
    [
        (20, FAST, "Recommended: batch size 4, the highest throughput with a P99 of at most 20 ms."),
        (1.4, FAST, "No batch size is known with a P99 of at most 1.4 ms."),
        (
            20,
            [FAST[0], *(replace(row, p99_ms=None, samples=72) for row in FAST[1:3])],
            "Recommended: batch size 1, the highest throughput with a P99 of at most 20 ms. "
            "Cannot be recommended: batch sizes 2 and 4, as P99 needs 368 samples, there are 72.",
        ),
        (
            20,
            [replace(FAST[0], p99_ms=None, samples=None), replace(FAST[1], p99_ms=None)],
            "No batch size is known with a P99 of at most 20 ms. "
            "Cannot be recommended: batch sizes 1 and 2, as P99 was not recorded.",
        ),
        (20, [failed(1)], "so there is no peak. Not measured: batch size 1."),
    ],
)
def test_what_the_sentence_recommends(limit_ms: float, rows: list[ComparisonRow], expected: str) -> None:
    sentence = closing_sentence(comparison(rows, latency_limit_ms=limit_ms))
    assert f". {expected} " in sentence.replace("measurement, so", "measurement. so")
    assert sentence.count("ecommended") == expected.count("ecommended")


# Factors around the limit of what counts as level, and clear ones; half widths of which no sum in quadrature
# is a difference of two rates.
RATES = st.sampled_from([1000.0, 999.0, 981.0, 980.0, 979.0, 961.0, 960.0, 500.0, 490.0, 489.0, 20.0])
HALF_WIDTHS = st.sampled_from([None, None, 0.25, 3.0, 15.0, 30.0])
LATENCIES_MS = st.none() | st.sampled_from([0.5, 1.0, 1.5, 2.0])


@st.composite
def sweeps(draw: st.DrawFn) -> list[ComparisonRow]:
    sizes = sorted(draw(st.sets(st.integers(1, 64), max_size=7)))
    rows = []
    for size in sizes:
        status = draw(st.sampled_from(["ok", "ok", "ok", "invalid", "failed"]))
        measured = ok(size, draw(RATES), half_width=draw(HALF_WIDTHS))
        row = failed(size) if status == "failed" else replace(measured, status=status)
        if draw(st.booleans()) and status != "failed":
            row = replace(row, **{name: draw(LATENCIES_MS) for name in ("p50_ms", "p95_ms", "p99_ms")})
        rows.append(row)
    return rows


def difference_holds_zero(row: ComparisonRow, best: ComparisonRow) -> bool | None:
    """By both limits of the difference; None where one of the two has no limits of its own."""
    rate, low, high = row.throughput_inf_per_s, row.throughput_low_inf_per_s, row.throughput_high_inf_per_s
    most, least, top = (
        best.throughput_inf_per_s,
        best.throughput_low_inf_per_s,
        best.throughput_high_inf_per_s,
    )
    if None in (low, least) or not (rate and low and high and most and least and top):
        return None
    lower = most - rate - ((most - least) ** 2 + (high - rate) ** 2) ** 0.5
    upper = most - rate + ((top - most) ** 2 + (rate - low) ** 2) ** 0.5
    return lower <= 0 <= upper


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
    tied = [difference_holds_zero(row, beyond[0]) is True for row in beyond]
    tiny = 1e-9

    def below(slack: float) -> list[bool]:
        fell = [rate / rates[0] < 0.98 + slack for rate in rates]
        return [row_fell and not row_tied for row_fell, row_tied in zip(fell, tied, strict=True)]

    assert surely(below(-tiny), below(tiny)) in (None, "declines" in sentence)

    def level(slack: float) -> list[bool]:
        return [
            row_tied or rate / rates[0] > 0.98 - slack or abs(rate / before - 1) < 0.02 + slack
            for row_tied, (before, rate) in zip(tied[1:], pairwise(rates), strict=True)
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
    tied = difference_holds_zero(*valid[-2:])
    before, last = (row.throughput_inf_per_s or 0.0 for row in valid[-2:])
    if before / last != pytest.approx(0.98, abs=1e-9):
        assert ("still rising" in sentence) == (before / last < 0.98 and not tied)
        assert (f"level with batch size {valid[-2].batch_size}" in sentence) == (
            before / last > 0.98 and tied is False
        )


@given(sweeps())
def test_ties_are_named_all_and_only(rows: list[ComparisonRow]) -> None:
    sentence = sentence_of(*rows)
    peak = find_peak(rows)
    if peak is None:
        return
    best = next(row for row in rows if row.batch_size == peak.batch_size)
    others = {row.batch_size: row for row in rows if row.status == "ok" and row is not best}
    holds = {size: difference_holds_zero(row, best) for size, row in others.items()}
    tied = numbers_after("Tied with the peak at 95 %:", sentence)
    assert tied == [size for size in others if holds[size]]
    level = numbers_after("Level with the peak within 2 %:", sentence)
    for size, row in others.items():
        share = (row.throughput_inf_per_s or 0.0) / peak.throughput_inf_per_s
        if share != pytest.approx(0.98, abs=1e-9):
            assert (size in level) == (holds[size] is None and share > 0.98)
    assert peak.tied == tuple(sorted([*tied, *level]))


@given(sweeps(), st.none() | st.sampled_from([0.75, 1.5, 40.0]))
def test_a_recommended_size_is_valid_within_the_limit_and_none_smaller_is_as_good(
    rows: list[ComparisonRow], limit_ms: float | None
) -> None:
    measured = comparison(rows, latency_limit_ms=limit_ms)
    within = [
        row
        for row in rows
        if row.status == "ok" and (limit_ms is None or (row.p99_ms is not None and row.p99_ms <= limit_ms))
    ]
    advised = recommend(measured)
    assert (advised is None) == (not within)
    if advised is None:
        return
    # Among the sizes that meet the limit it is what the peak and its ties say, as if there were no others.
    peak = find_peak(within)
    assert peak is not None
    assert advised.batch_size == min((peak.batch_size, *peak.tied))
    said = f"Recommended: batch size {advised.batch_size}, {advised.reason}."
    overall = find_peak(rows)
    assert overall is not None
    wanted = limit_ms is not None or advised.batch_size != overall.batch_size
    assert (said in closing_sentence(measured)) == wanted
