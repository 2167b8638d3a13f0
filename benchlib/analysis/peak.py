"""The peak of a comparison, and the sentence that sums it up without claiming more than the figures show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchlib.analysis.comparison import Comparison, ComparisonRow

LEVEL_FRACTION = 0.02
"""Throughputs that differ by no more than this share count as level.

Repeated runs of one unchanged program differ about as much: the coefficient of variation of nightly benchmark
series is 1.4 % in the median.
"""


@dataclass(frozen=True)
class Peak:
    """The batch size with the highest throughput among the valid ones."""

    batch_size: int
    throughput_inf_per_s: float


def find_peak(rows: Iterable[ComparisonRow]) -> Peak | None:
    """The valid row with the highest throughput; of equal ones, the smaller batch size.

    ``None`` when no row is valid: a failed or unbelievable size is never the peak.
    """
    peaks = (Peak(row.batch_size, _rate(row)) for row in _valid(rows))
    return max(peaks, key=lambda peak: (peak.throughput_inf_per_s, -peak.batch_size), default=None)


def closing_sentence(comparison: Comparison) -> str:
    """The note under the table: where the peak is, what happens beyond it, what is missing, whose figures.

    Only valid rows are looked at, ascending by batch size. Each claim is made exactly when it holds:

    - *declines*: a size beyond the peak is more than `LEVEL_FRACTION` below the peak;
    - *flattens*: a size beyond the peak is within `LEVEL_FRACTION` of the peak or of the size before it;
    - *flattens or declines*: both occur;
    - *while latencies increase*: from the peak on, each printed percentile rises from every size to the next;
    - *still rising*: the peak is the largest size, the size before it more than `LEVEL_FRACTION` below it.
    """
    rows = comparison.rows
    parts = ("Note:", _peak_clause(rows), _not_measured(rows), _not_valid(rows), provenance(comparison))
    return " ".join(part for part in parts if part)


def provenance(comparison: Comparison) -> str:
    """Whose figures these are, in one sentence that belongs wherever they are shown."""
    if all(row.throughput_inf_per_s is None for row in comparison.rows):
        return "No figure was measured."
    stand_in = "a CPU" if comparison.backend == "cpu" else "a stand-in"
    if comparison.origin == "import":
        elsewhere = "not measured by this tool"
        if comparison.hardware:
            return f"Imported figures, {elsewhere}."
        return f"Imported figures of {stand_in}, {elsewhere}: not an inf2 result."
    if not comparison.hardware:
        return f"Measured on {stand_in}: not an inf2 result."
    instance = f" ({comparison.instance_type})" if comparison.instance_type else ""
    return f"Measured on {comparison.device}{instance}."


def _valid(rows: Iterable[ComparisonRow]) -> list[ComparisonRow]:
    usable = (row for row in rows if row.status == "ok" and row.throughput_inf_per_s is not None)
    return sorted(usable, key=lambda row: row.batch_size)


def _rate(row: ComparisonRow) -> float:
    assert row.throughput_inf_per_s is not None
    return row.throughput_inf_per_s


def _peak_clause(rows: Sequence[ComparisonRow]) -> str:
    valid, peak = _valid(rows), find_peak(rows)
    if peak is None:
        return "No batch size has a valid measurement, so there is no peak."
    at = f"batch size {peak.batch_size}"
    figure = f"(≈{_rounded(peak.throughput_inf_per_s)} inf/s)"
    if len(valid) == 1:
        return f"Only {at} has a valid measurement {figure}: there is nothing to compare it with."
    observed = f"Peak throughput observed at {at} {figure}"
    beyond = [row for row in valid if row.batch_size >= peak.batch_size]
    if len(beyond) == 1:
        return f"{observed}, {_open_end(rows, valid)}."
    latencies = " while latencies increase" if _latencies_increase(beyond) else ""
    return f"{observed}; beyond that, throughput {_trend(beyond)}{latencies}."


def _trend(beyond: Sequence[ComparisonRow]) -> str:
    """What throughput does after the first row, which is the peak."""
    peak = _rate(beyond[0])
    fell = [_is_below(_rate(row), peak) for row in beyond[1:]]
    level = [
        not row_fell or abs(_rate(row) - _rate(before)) <= LEVEL_FRACTION * _rate(before)
        for row_fell, (before, row) in zip(fell, pairwise(beyond), strict=True)
    ]
    return " or ".join(["flattens"] * any(level) + ["declines"] * any(fell))


def _open_end(rows: Sequence[ComparisonRow], valid: Sequence[ComparisonRow]) -> str:
    """What can be said of a peak at the largest valid size, the last of at least two."""
    before, peak = valid[-2:]
    invalid_beyond = any(row.status == "invalid" and row.batch_size > peak.batch_size for row in rows)
    largest = "the largest valid one" if invalid_beyond else "the largest measured"
    missing = "have no valid measurement" if invalid_beyond else "were not measured"
    if _is_below(_rate(before), _rate(peak)):
        return f"{largest} and still rising: larger batch sizes {missing}"
    level = f"level with batch size {before.batch_size} within {LEVEL_FRACTION:.0%}"
    return f"{largest} and {level}; larger batch sizes {missing}"


def _is_below(rate: float, reference: float) -> bool:
    return rate < reference * (1 - LEVEL_FRACTION)


def _latencies_increase(beyond: Sequence[ComparisonRow]) -> bool:
    if any(row.p50_ms is None for row in beyond):
        return False
    columns = ([getattr(row, name) for row in beyond] for name in ("p50_ms", "p95_ms", "p99_ms"))
    return all(_rises([value for value in column if value is not None]) for column in columns)


def _rises(values: Sequence[float]) -> bool:
    return all(before < after for before, after in pairwise(values))


def _not_measured(rows: Sequence[ComparisonRow]) -> str:
    failed = [row.batch_size for row in rows if row.status == "failed"]
    return f"Not measured: {_sizes(failed)}." if failed else ""


def _not_valid(rows: Sequence[ComparisonRow]) -> str:
    invalid = [row.batch_size for row in rows if row.status == "invalid"]
    return f"Measured but not valid: {_sizes(invalid)}." if invalid else ""


def _sizes(sizes: Sequence[int]) -> str:
    *head, last = map(str, sizes)
    return f"batch sizes {', '.join(head)} and {last}" if head else f"batch size {last}"


def _rounded(rate_per_s: float) -> str:
    return f"{rate_per_s:,.0f}" if rate_per_s >= 100 else f"{rate_per_s:.3g}"
