"""The rules side by side on one set of made-up nights; prints Markdown. Exit code 1: a bar is missed.

``python -m benchmarks.detection.run [--half held-out] [--series 400] [--slow-series 24]
[--otava-python FILE] [--e-divisive-python FILE]``

Otava and E-Divisive pin other versions than ours: each needs an interpreter of its own that has
``apache-otava`` or ``signal-processing-algorithms``. They, and PELT, see the first few series of each family
only, since they take far longer; the table says how many nights that is.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchlib.analysis.changes import Change, detect_changes, in_hindsight, recovered
from benchmarks.detection import other_tools
from benchmarks.detection.noise import FAMILIES, NIGHTS, WARM_UP, Half, Made, quiet_series, stepped_series
from benchmarks.detection.rules import RULES, Alarm
from benchmarks.detection.scoring import IN_TIME_NIGHTS, Outcome, false_rate, found, outcome, score

ONE_MODE = tuple(family for family in FAMILIES if family != "two modes")
SIZES_SIGMA = ((1, 2), (2, 3), (3, 4), (4, 6), (6, 1000))
SLOW = frozenset(("PELT 3 log n (ruptures)", "gated PELT: second opinion"))

Asked = Callable[[Sequence[Made]], list[list[Alarm]]]
By = dict[str, list[Outcome]]


@dataclass(frozen=True)
class Judged:
    """One rule's outcomes, by family."""

    title: str
    quiet: By
    stepped: By
    seconds: float

    def of(self, outcomes: By, families: Iterable[str] = ONE_MODE) -> list[Outcome]:
        return [each for family in families for each in outcomes[family]]


def judged(title: str, ask: Asked, half: Half, count: int) -> Judged:
    began_s = time.perf_counter()
    quiet = {family: _outcomes(ask, quiet_series(family, half, count)) for family in FAMILIES}
    stepped = {family: _outcomes(ask, stepped_series(family, half, count)) for family in FAMILIES}
    print(f"{title}: {time.perf_counter() - began_s:.0f} s", file=sys.stderr)
    return Judged(title, quiet, stepped, time.perf_counter() - began_s)


def _outcomes(ask: Asked, series: Sequence[Made]) -> list[Outcome]:
    return [outcome(made, alarms) for made, alarms in zip(series, ask(series), strict=True)]


def false_table(every: Sequence[Judged]) -> str:
    rows = []
    for each in every:
        rate = false_rate(each.of(each.quiet))
        by_family = [f"{false_rate(each.quiet[family]).per_1000:.2f}" for family in FAMILIES]
        rows.append([each.title, *by_family, f"**{rate.per_1000:.2f}** ({rate.low:.2f} to {rate.high:.2f})"])
    return _markdown(["false per 1,000", *FAMILIES, "one mode (95 %)"], rows)


def nights_judged(every: Sequence[Judged]) -> str:
    nights = [(false_rate(each.of(each.quiet)).series_nights, each.title) for each in every]
    most = max(nights)[0]
    fewer = ", ".join(f"{title} ({count:,})" for count, title in nights if count < most)
    return f"Series-nights without a change, one mode: {most:,}; fewer for the slow ones: {fewer}."


def found_table(every: Sequence[Judged]) -> str:
    sizes = [f"{low}-{high} sigma" if high < 1000 else f"{low}+ sigma" for low, high in SIZES_SIGMA]
    rows = []
    for each in every:
        cells = [found(each.of(each.stepped), low, high) for low, high in SIZES_SIGMA]
        rows.append(
            [each.title, *(f"{cell.share:.0%}, {_nights(cell.median_delay_nights)}" for cell in cells)]
        )
    return _markdown(["found in 14 nights, median delay", *sizes], rows)


def score_table(every: Sequence[Judged]) -> str:
    header = ["2 sigma and more: P / R / F1", *("field", "mix", "one mode", "two modes")]
    rows = []
    for each in every:
        groups = (("field",), ("mix",), ONE_MODE, ("two modes",))
        scores = [score(each.of(each.stepped, group)) for group in groups]
        cells = [f"{one.precision:.2f} / {one.recall:.2f} / **{one.f1:.3f}**" for one in scores]
        rows.append([each.title, *cells, f"{scores[2].repeats_per_step:.2f}"])
    return _markdown([*header, "repeats a step"], rows)


@dataclass(frozen=True)
class Bar:
    """What the held-out half must show."""

    what: str
    limit: str
    figure: float
    met: bool | None
    """``None``: shown without a bar."""


def bars(every: Sequence[Judged]) -> list[Bar]:
    by_title = {each.title: each for each in every}
    default, sensitive = by_title["ours, h = 5.5 (default)"], by_title["ours, h = 5.0"]
    false = false_rate(default.of(default.quiet)).per_1000
    f1 = score(sensitive.of(sensitive.stepped)).f1
    field_f1 = score(sensitive.stepped["field"]).f1
    steps = sensitive.of(sensitive.stepped)
    from_four, at_four, around_four = (
        found(steps, *span).median_delay_nights for span in ((4, 1000), (4, 5), (3.5, 4.5))
    )
    return [
        Bar("false per 1,000 series-nights, defaults, one mode", "<= 0.5", false, false <= 0.5),
        Bar("F1, steps of 2 sigma and more, h = 5, one mode", ">= 0.93", f1, f1 >= 0.93),
        Bar("F1, steps of 2 sigma and more, h = 5, field", ">= 0.93", field_f1, field_f1 >= 0.93),
        Bar("median delay in nights, 4 sigma and more, h = 5", "<= 2", from_four, from_four <= 2),
        Bar("median delay in nights, 4 to 5 sigma, h = 5", "<= 2", at_four, at_four <= 2),
        Bar("the same, 3.5 to 4.5 sigma", "none", around_four, met=None),
    ]


def bar_table(found_bars: Sequence[Bar]) -> str:
    words = {True: "met", False: "MISSED", None: ""}
    rows = [[bar.what, bar.limit, f"{bar.figure:.3g}", words[bar.met]] for bar in found_bars]
    return _markdown(["bar", "limit", "figure", ""], rows)


def dates_and_sizes(half: Half, count: int) -> str:
    """How often a step that was found has its true date, and a 95 % interval that holds its true size."""
    told, later = [], []
    for family in ONE_MODE:
        for made in stepped_series(family, half, count):
            for change in detect_changes(made.values):
                at = change.told_index - (made.step_at or 0)
                if 0 <= at <= IN_TIME_NIGHTS and change.relative_change < 0:
                    told.append((made, change))
                    later.append((made, in_hindsight(made.values, change)))
    return f"{_dated(told, 'as told')} {_dated(later, 'ten nights later')}"


def _dated(pairs: Sequence[tuple[Made, Change]], when: str) -> str:
    off = np.array([abs(change.index - (made.step_at or 0)) for made, change in pairs])
    inside = np.mean([change.relative_low <= made.step <= change.relative_high for made, change in pairs])
    width = np.median([change.relative_high - change.relative_low for _, change in pairs])
    return (
        f"Of {off.size:,} steps found, h = 5.5, {when}: {np.mean(off == 0):.1%} are dated to the night, "
        f"within 1 {np.mean(off <= 1):.1%}, within 3 {np.mean(off <= 3):.1%}; the 95 % interval of the size "
        f"holds the true one for {inside:.1%}, and its median width is {width:.1%}."
    )


def recoveries(half: Half, count: int) -> str:
    """Steps that are told, and put right after 4 to 10 nights: how often and when the way back is told."""
    told, back, early, delays = 0, 0, 0, []
    for family in ONE_MODE:
        for number, made in enumerate(stepped_series(family, half, count)):
            assert made.step_at is not None
            values, returned_at = made.values.copy(), made.step_at + (4, 6, 8, 10)[number % 4]
            values[returned_at:] /= 1 + made.step
            for change in detect_changes(values[:returned_at]):
                if made.step_at <= change.index and change.relative_change < 0:
                    told += 1
                    found_back = recovered(values, change)
                    back += found_back is not None and found_back.told_index >= returned_at
                    if found_back:
                        delays.append(found_back.told_index - returned_at)
                    early += recovered(made.values, change) is not None
    return (
        f"Steps put right after 4 to 10 nights, h = 5.5: of {told:,} that were told, {back / told:.1%} "
        f"were told to be over, in the median {np.median(delays):.0f} nights after the first good one; of "
        f"the same steps without a way back, {early / told:.1%} were."
    )


def _nights(delay: float) -> str:
    return f"{delay:.0f}" if delay < float("inf") else ">14"


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _each(rule: Callable[..., list[Alarm]]) -> Asked:
    return lambda series: [rule(made.values) for made in series]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--half", choices=("tuning", "held-out"), default="held-out")
    parser.add_argument("--series", type=int, default=400, help="per family and kind")
    parser.add_argument("--slow-series", type=int, default=24, help="the same, for slow tools")
    parser.add_argument("--otava-python", type=Path)
    parser.add_argument("--e-divisive-python", type=Path)
    return parser.parse_args()


def main() -> int:
    asked = _arguments()
    half: Half = asked.half
    counts = {name: asked.slow_series if name in SLOW else asked.series for name in RULES}
    every = [judged(name, _each(rule), half, counts[name]) for name, rule in RULES.items()]
    tools = other_tools.otava(asked.otava_python) if asked.otava_python else []
    tools += other_tools.e_divisive(asked.e_divisive_python) if asked.e_divisive_python else []
    every += [judged(tool.title, tool.alarms, half, asked.slow_series) for tool in tools]
    met = bars(every)
    print(f"Half: {half}. {NIGHTS} nights a series, the first {WARM_UP} warm up.\n")
    tables = (false_table(every), found_table(every), score_table(every), bar_table(met))
    parts = (tables[0], nights_judged(every), *tables[1:])
    print("\n\n".join([*parts, dates_and_sizes(half, asked.series), recoveries(half, asked.series)]))
    return 1 if any(bar.met is False for bar in met) else 0


if __name__ == "__main__":
    sys.exit(main())
