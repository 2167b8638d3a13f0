"""The peak of a comparison, and the sentence that sums it up without claiming more than the figures show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from benchlib.analysis.comparison import Comparison, ComparisonRow, blanks
from benchlib.results import CONFIDENCE

LEVEL_FRACTION = 0.02
"""Throughputs that differ by no more than this share count as level.

Repeated runs of one unchanged program differ about as much: the coefficient of variation of nightly benchmark
series is 1.4 % in the median.
"""

Tie = Literal["tied", "level"]
"""Why a size cannot be told from the fastest: ``tied``, by the 95 % limits of both; ``level``, by
`LEVEL_FRACTION` where one of them has no limits."""

_EXTENT: Mapping[Tie, str] = {
    "tied": f"at {100 * CONFIDENCE:g} %",
    "level": f"within {100 * LEVEL_FRACTION:g} %",
}


@dataclass(frozen=True)
class Peak:
    """The batch size with the highest throughput among the valid ones."""

    batch_size: int
    throughput_inf_per_s: float
    tied: tuple[int, ...]
    """The valid sizes that cannot be told from it, ascending; see `find_ties`."""


@dataclass(frozen=True)
class Recommendation:
    """The batch size to use."""

    batch_size: int
    reason: str
    """Such as 'the smallest size tied with the peak at 95 %'."""


def find_peak(rows: Iterable[ComparisonRow]) -> Peak | None:
    """The valid row with the highest throughput; of equal ones, the smaller batch size.

    ``None`` when no row is valid: a failed or unbelievable size is never the peak.
    """
    valid = _valid(rows)
    best = _fastest(valid)
    return Peak(best.batch_size, _rate(best), tuple(_ties(best, valid))) if best else None


def find_ties(rows: Iterable[ComparisonRow]) -> Mapping[int, Tie]:
    """The valid sizes that cannot be told from the peak, ascending, each with why not."""
    valid = _valid(rows)
    best = _fastest(valid)
    return _ties(best, valid) if best else {}


def recommend(comparison: Comparison) -> Recommendation | None:
    """The fastest valid size whose P99 meets the sweep's limit; of those tied with it, the smallest.

    Without a limit every valid size meets it. A size whose P99 is blank never meets one. ``None``: no size is
    known to meet the limit, or none is valid.
    """
    candidates = _within_limit(comparison)
    best = _fastest(candidates)
    if best is None:
        return None
    limit = _limit(comparison)
    ties = _ties(best, candidates)
    smallest = min(ties, default=best.batch_size)
    if smallest >= best.batch_size:
        return Recommendation(best.batch_size, f"the highest throughput {limit}".rstrip())
    tie = ties[smallest]
    if limit:
        fastest = f"batch size {best.batch_size}, the fastest of these"
        return Recommendation(smallest, f"the smallest {limit} and {tie} {_EXTENT[tie]} with {fastest}")
    return Recommendation(smallest, f"the smallest size {tie} with the peak {_EXTENT[tie]}")


def closing_sentence(comparison: Comparison) -> str:
    """The note under the table: where the peak is, what happens beyond it, what is missing, whose figures.

    Only valid rows are looked at, ascending by batch size. A size is *like* the peak when it cannot be told
    from it, see `find_ties`, or differs from it by no more than `LEVEL_FRACTION`. Each claim is made exactly
    when it holds:

    - *declines*: a size beyond the peak is not like the peak;
    - *flattens*: a size beyond the peak is like the peak, or within `LEVEL_FRACTION` of the size before it;
    - *flattens or declines*: both occur;
    - *while latencies increase*: from the peak on, each printed percentile rises from every size to the next;
    - *still rising*: the peak is the largest size, and the size before it is not like it;
    - *and level with*: the peak is the largest size, the size before it is like it, yet not tied;
    - *tied*, *level*: all sizes that cannot be told from the peak are named;
    - *recommended*: with a limit always, without one when it is not the peak itself.
    """
    rows = comparison.rows
    parts = (
        "Note:",
        _peak_clause(rows),
        *_ties_clauses(find_ties(rows)),
        *_recommendation_clauses(comparison),
        _named("Not measured", [row.batch_size for row in rows if row.status == "failed"]),
        _named("Measured but not valid", [row.batch_size for row in rows if row.status == "invalid"]),
        provenance(comparison),
    )
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


def _fastest(rows: Iterable[ComparisonRow]) -> ComparisonRow | None:
    return max(rows, key=lambda row: (_rate(row), -row.batch_size), default=None)


def _ties(best: ComparisonRow, rows: Iterable[ComparisonRow]) -> dict[int, Tie]:
    """Of ``rows``, ascending and none faster than ``best``."""
    found = ((row.batch_size, _tie(row, best)) for row in rows if row is not best)
    return {batch_size: tie for batch_size, tie in found if tie}


def _tie(row: ComparisonRow, best: ComparisonRow) -> Tie | None:
    """Whether the 95 % interval of the difference of two throughputs holds 0, where both have limits.

    The limits of a difference follow from those of its two independent terms: it loses what the greater may
    fall and the lesser may rise, added like the sides of a right triangle (Zou and Donner, Statistics in
    Medicine 27, 2008, 1693-1702).
    """
    if row.throughput_limits is None or best.throughput_limits is None:
        return "level" if _is_level(row, best) else None
    may_fall = _rate(best) - best.throughput_limits[0]
    may_rise = row.throughput_limits[1] - _rate(row)
    return "tied" if _rate(best) - _rate(row) <= math.hypot(may_fall, may_rise) else None


def _is_level(row: ComparisonRow, reference: ComparisonRow) -> bool:
    return abs(_rate(row) - _rate(reference)) <= LEVEL_FRACTION * _rate(reference)


def _is_like(row: ComparisonRow, best: ComparisonRow) -> bool:
    return _tie(row, best) is not None or _is_level(row, best)


def _within_limit(comparison: Comparison) -> list[ComparisonRow]:
    valid, limit_ms = _valid(comparison.rows), comparison.latency_limit_ms
    if limit_ms is None:
        return valid
    return [row for row in valid if row.p99_ms is not None and row.p99_ms <= limit_ms]


def _limit(comparison: Comparison) -> str:
    """The sweep's limit, as what a size has that meets it; empty without one."""
    limit_ms = comparison.latency_limit_ms
    return "" if limit_ms is None else f"with a P99 of at most {limit_ms:.10g} ms"


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
    peak = beyond[0]
    alike = [_is_like(row, peak) for row in beyond[1:]]
    flat = [
        like or _is_level(row, before) for like, (before, row) in zip(alike, pairwise(beyond), strict=True)
    ]
    return " or ".join(["flattens"] * any(flat) + ["declines"] * (not all(alike)))


def _open_end(rows: Sequence[ComparisonRow], valid: Sequence[ComparisonRow]) -> str:
    """What can be said of a peak at the largest valid size, the last of at least two."""
    before, peak = valid[-2:]
    invalid_beyond = any(row.status == "invalid" and row.batch_size > peak.batch_size for row in rows)
    largest = "the largest valid one" if invalid_beyond else "the largest measured"
    missing = "have no valid measurement" if invalid_beyond else "were not measured"
    if not _is_like(before, peak):
        return f"{largest} and still rising: larger batch sizes {missing}"
    if _tie(before, peak):  # named among the others that are
        return f"{largest}; larger batch sizes {missing}"
    level = f"level with batch size {before.batch_size} {_EXTENT['level']}"
    return f"{largest} and {level}; larger batch sizes {missing}"


def _ties_clauses(ties: Mapping[int, Tie]) -> list[str]:
    return [
        _named(f"{tie.capitalize()} with the peak {extent}", [size for size in ties if ties[size] == tie])
        for tie, extent in _EXTENT.items()
    ]


def _recommendation_clauses(comparison: Comparison) -> list[str]:
    peak, advised, limit = find_peak(comparison.rows), recommend(comparison), _limit(comparison)
    if peak is None or (not limit and advised and advised.batch_size == peak.batch_size):
        return []
    said = f"No batch size is known {limit}."
    if advised:
        said = f"Recommended: batch size {advised.batch_size}, {advised.reason}."
    return [said, *(_unknown_clauses(comparison) if limit else ())]


def _unknown_clauses(comparison: Comparison) -> list[str]:
    unknown = blanks(_valid(comparison.rows), "p99_ms")
    return [f"Cannot be recommended: {name_sizes(sizes)}, as P99 {why}." for why, sizes in unknown.items()]


def _latencies_increase(beyond: Sequence[ComparisonRow]) -> bool:
    if any(row.p50_ms is None for row in beyond):
        return False
    columns = ([getattr(row, name) for row in beyond] for name in ("p50_ms", "p95_ms", "p99_ms"))
    return all(_rises([value for value in column if value is not None]) for column in columns)


def _rises(values: Sequence[float]) -> bool:
    return all(before < after for before, after in pairwise(values))


def _named(claim: str, sizes: Sequence[int]) -> str:
    """The claim with the sizes that it holds for; empty where there are none."""
    return f"{claim}: {name_sizes(sizes)}." if sizes else ""


def name_sizes(sizes: Sequence[int]) -> str:
    """Such as 'batch sizes 1, 2 and 4'; at least one."""
    *head, last = map(str, sizes)
    return f"batch sizes {', '.join(head)} and {last}" if head else f"batch size {last}"


def _rounded(rate_per_s: float) -> str:
    return f"{rate_per_s:,.0f}" if rate_per_s >= 100 else f"{rate_per_s:.3g}"
