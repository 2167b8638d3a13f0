"""What stands above and below every table, whatever its format."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchlib.analysis.comparison import ComparisonRow
from benchlib.report.table import caption, marks, row_notes
from tests.analysis.comparisons import comparison, failed, invalid, ok


def test_the_caption_says_how_the_load_was_made() -> None:
    rows = [
        replace(ok(1, 10), worker_mode="thread"),
        replace(ok(2, 20), worker_mode="native"),
        replace(ok(4, 20), worker_mode="native"),
        failed(8),
    ]
    text = caption(comparison(rows, scenario="single_stream", latency_limit_ms=12.5))
    assert ", scenario single_stream, worker mode native and thread, P99 limit 12.5 ms, " in text
    assert text.endswith("Measured on a CPU: not an inf2 result.")


def test_what_is_not_known_of_the_load_is_left_out_of_the_caption() -> None:
    text = caption(comparison([ok(1, 10)]))
    assert "scenario offline" in text
    assert "worker mode" not in text
    assert "limit" not in text


def test_the_scenario_with_another_latency_says_so() -> None:
    assert "server (random arrivals, latency from the scheduled arrival)," in caption(
        comparison([ok(1, 10)], scenario="server")
    )


SHORT = [replace(ok(size, 10), samples=72, p99_ms=None) for size in (1, 2)]
LONG = replace(ok(4, 10), samples=368)


@pytest.mark.parametrize(
    ("rows", "notes"),
    [
        ([ok(1, 10)], []),
        (SHORT, ["P99 needs 368 samples, there are 72"]),
        ([*SHORT, failed(8, "x")], ["Batch size 8 failed: x", "P99 needs 368 samples, there are 72"]),
        ([*SHORT, LONG], ["P99 of batch sizes 1 and 2 needs 368 samples, there are 72"]),
        (
            [SHORT[0], replace(SHORT[1], samples=3, p50_ms=None, p95_ms=None)],
            [
                "P50 of batch size 2 needs 6 samples, there are 3",
                "P95 of batch size 2 needs 72 samples, there are 3",
                "P99 of batch size 1 needs 368 samples, there are 72",
                "P99 of batch size 2 needs 368 samples, there are 3",
            ],
        ),
        (  # an imported table without the column, with and without counts
            [replace(SHORT[0], samples=None), replace(LONG, p99_ms=None)],
            ["P99 was not recorded"],
        ),
        (
            [replace(invalid(1, 10, "busy"), p95_ms=None, samples=71)],
            ["Batch size 1 is not valid: busy", "P95 needs 72 samples, there are 71"],
        ),
    ],
)
def test_every_gap_has_its_reason(rows: list[ComparisonRow], notes: list[str]) -> None:
    assert row_notes(comparison(rows)) == notes


def test_only_what_stands_out_is_marked() -> None:
    rows = [ok(1, 985), ok(2, 996, half_width=3), ok(4, 1000, half_width=3), invalid(8, 1000), ok(16, 900)]
    assert marks(rows) == {1: "level", 2: "tied", 4: "peak"}
    assert marks([failed(1)]) == {}
