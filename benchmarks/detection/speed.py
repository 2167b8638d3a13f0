"""What detection costs: ``python -m benchmarks.detection.speed`` prints Markdown.

Exit code 1: a bar is missed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from benchlib.analysis.changes import detect_changes, geometric_mean, judge_tonight, second_opinion, segments
from benchmarks.detection.noise import Floats

YEAR_NIGHTS = 365
STORED_VALUES = 730_000
YEAR_LIMIT_S = 0.005
STORED_LIMIT_S = 60.0


def _history(seed: int, nights: int = YEAR_NIGHTS) -> Floats:
    values = 1000 * np.exp(0.01 * np.random.default_rng(seed).standard_normal(nights))
    values[nights // 2 :] *= 0.97
    return values


def _best_s(work: Callable[[], object], times: int) -> float:
    """The least of several runs: others use the machine too."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return min(spent)


def main() -> int:
    year = _history(1)
    change = detect_changes(year)[0]
    panel = {size: _history(size) for size in range(1, 11)}
    alternating = np.where(np.arange(10_000) % 2, 1.0, 100.0)
    steps = np.repeat(np.where(np.arange(500) % 2, 1.0, 2.0), 20) * (1 + 0.001 * _history(2, 10_000))
    figures = {
        "detect_changes, 365 nights": _best_s(lambda: detect_changes(year), 50),
        "judge_tonight, 365 nights": _best_s(lambda: judge_tonight(year), 50),
        "segments, the last 100 nights": _best_s(lambda: segments(year), 20),
        "second_opinion": _best_s(lambda: second_opinion(year, change), 20),
        "geometric_mean, 10 batch sizes, 365 nights": _best_s(lambda: geometric_mean(panel), 20),
        "detect_changes, 10,000 nights, every one an outlier": _best_s(
            lambda: detect_changes(alternating), 3
        ),
        "detect_changes, 10,000 nights, a step every 20": _best_s(lambda: detect_changes(steps), 3),
    }
    print("| what | ms |\n| --- | --- |")
    for what, spent_s in figures.items():
        print(f"| {what} | {1000 * spent_s:.2f} |")
    began = time.perf_counter()
    for seed in range(STORED_VALUES // YEAR_NIGHTS):
        detect_changes(_history(seed))
    stored_s = time.perf_counter() - began
    print(f"| detect_changes, {STORED_VALUES:,} values in series of a year | {1000 * stored_s:,.0f} |")
    met = figures["detect_changes, 365 nights"] <= YEAR_LIMIT_S and stored_s <= STORED_LIMIT_S
    print(f"\nBars: 5 ms for 365 nights, 60 s for {STORED_VALUES:,} values: {'met' if met else 'MISSED'}.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
