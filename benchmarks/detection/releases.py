"""How often the method for published releases blames one that changed nothing, and finds one that did.

``python -m benchmarks.detection.releases`` prints Markdown. The panels are made up: 40 series of 5 to 12
releases each, with scatters that differ by a factor of 10, half of them with heavy tails.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable

import numpy as np

from benchlib.analysis.releases import METRICS, ReleaseFigures, ReleaseHistory, judge_releases

PANELS, SERIES = 100, 40
RATES = (0.05, 0.02, 0.01, 0.001)
LOSSES = (0.05, 0.08, 0.12, 0.2)
STEP_AT = 4


def _history(random: np.random.Generator, loss: float = 0.0) -> ReleaseHistory:
    scatter = 0.018 * math.exp(0.8 * random.standard_normal())
    releases, heavy = int(random.integers(5, 13)), random.random() < 0.5
    noise = (
        random.standard_t(4, (releases, 3)) / math.sqrt(2) if heavy else random.standard_normal((releases, 3))
    )
    noise[:, 2] *= 1.8
    figures = np.array([1000.0, 2.0, 2.2]) * np.exp(scatter * noise)
    figures[STEP_AT:, 0] *= 1 - loss
    lines = tuple(
        ReleaseFigures(f"2.{at}.0", **dict(zip(METRICS, map(float, line), strict=True)))
        for at, line in enumerate(figures)
    )
    return ReleaseHistory(uuid.UUID(int=int(random.integers(2**62))), "made up", 128, None, 8, "inf2", lines)


def _false_alarms() -> Iterable[str]:
    random = np.random.default_rng(73)
    panels = [[_history(random) for _ in range(SERIES)] for _ in range(PANELS)]
    for rate in RATES:
        reports = [judge_releases(panel, rate) for panel in panels]
        told, comparisons = (sum(getattr(each, name) for each in reports) for name in ("told", "comparisons"))
        yield f"| {rate:g} | {comparisons:,} | {told / comparisons:.2%} |"


def _found() -> Iterable[str]:
    for loss in LOSSES:
        random = np.random.default_rng(74)
        found = 0
        for _ in range(PANELS):
            changed = _history(random, loss)
            report = judge_releases([changed, *(_history(random) for _ in range(SERIES - 1))])
            told = [step for event in report.events for step in event.steps if step.history is changed]
            found += any((step.release, step.pattern) == (f"2.{STEP_AT}.0", "throughput") for step in told)
        yield f"| {loss:.0%} | {found / PANELS:.0%} |"


def main() -> None:
    print("| rate | comparisons | told, nothing changed |\n| --- | --- | --- |")
    print("\n".join(_false_alarms()))
    print("\n| loss of throughput in one of 40 series | told, rate 0.02 |\n| --- | --- |")
    print("\n".join(_found()))


if __name__ == "__main__":
    main()
