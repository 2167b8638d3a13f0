"""Two programs measured in turns on one host: by how much they differ, and what may be said of it.

Each pair is one short measurement of either program, one right after the other, A B then B A and so on. What
a host does to both within a pair cancels in the logarithm of their ratio; what differs from pair to pair is
the noise. Nothing is assumed of its distribution but that it is as likely above its centre as below:

- estimate: the median of all Walsh averages (Hodges and Lehmann, Ann. Math. Statist. 34, 1963);
- interval: order statistics of the Walsh averages, by the exact distribution of the signed-rank sum
  (Hollander, Wolfe and Chicken, *Nonparametric Statistical Methods*, 3rd ed., 3.3);
- p-value: Wilcoxon's signed-rank test, two-sided, of no difference;
- many at once: Benjamini and Hochberg (J. R. Stat. Soc. B 57, 1995) over all that is judged together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchlib.results import CONFIDENCE, samples_needed

Side = Literal["old", "new"]
Metric = Literal["throughput_inf_per_s", "p50_ms", "p99_ms"]
Verdict = Literal["worse", "better", "no worse", "undecided"]
"""Of the new one against the old one."""

METRICS: tuple[Metric, ...] = ("throughput_inf_per_s", "p50_ms", "p99_ms")
HIGHER_IS_BETTER = frozenset[Metric]({"throughput_inf_per_s"})
P99_SAMPLES = samples_needed(99.0)

FEWEST_PAIRS = 6
"""The signed ranks of fewer have no two-sided 95 % interval: 2 / 2**5 > 0.05."""
MORE_PAIRS = 20
"""Are added where so far nothing can be decided."""
FALSE_DISCOVERY_RATE = 0.05
"""Of 'worse' and 'better' together, over all that is judged together and all looks at it."""


@dataclass(frozen=True)
class Limits:
    """What is to be decided, and at what cost at most."""

    pairs: int = 20
    """Per batch size, before the first verdict."""
    max_pairs: int = 60
    min_effect: float = 0.01
    """Smallest relative difference in throughput and P50 that matters."""
    p99_min_effect: float = 0.05
    """Smallest relative difference in P99 that matters: a tail is noisier."""

    def min_effect_of(self, metric: Metric) -> float:
        """The smallest relative difference that matters in this metric."""
        return self.p99_min_effect if metric == "p99_ms" else self.min_effect

    @property
    def looks(self) -> int:
        """How often a verdict may be sought: each time is another chance for noise to look like one."""
        return 1 + math.ceil(max(0, self.max_pairs - self.pairs) / MORE_PAIRS)


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Pair:
    """Both values of each metric, old first whatever ran first; ``None``: too few samples in a round."""

    batch_size: int
    number: int
    """From 1 for each batch size."""
    figures: Mapping[Metric, tuple[float, float] | None]

    def log_ratio(self, metric: Metric) -> float | None:
        """Natural logarithm of new over old."""
        both = self.figures.get(metric)
        return None if both is None else math.log(both[1] / both[0])


@dataclass(frozen=True)
class Estimate:
    """New over old with its interval at `CONFIDENCE`, from so many pairs."""

    log_ratio: float
    log_low: float
    log_high: float
    p_value: float
    """Two-sided, of no difference, for this one alone."""
    pairs: int

    @property
    def change(self) -> float:
        """New over old - 1: -0.02 is 2 % less."""
        return math.expm1(self.log_ratio)

    @property
    def limits(self) -> tuple[float, float]:
        """The interval of `change`."""
        return math.expm1(self.log_low), math.expm1(self.log_high)

    @property
    def half_width(self) -> float:
        """Half of the interval, relative."""
        return math.expm1((self.log_high - self.log_low) / 2)


@dataclass(frozen=True)
class Judgement:
    """One metric at one batch size, or over all of them."""

    batch_size: int | None
    """``None``: the geometric mean over all batch sizes."""
    metric: Metric
    old: float | None
    new: float | None
    """Medians of the pairs, in the metric's unit; ``None`` for the geometric mean."""
    estimate: Estimate
    min_effect: float
    adjusted_p_value: float
    """By Benjamini and Hochberg, over all judgements of the experiment."""
    verdict: Verdict


@dataclass(frozen=True)
class Blank:
    """A metric that could not be judged at a batch size, and why."""

    batch_size: int
    metric: Metric
    reason: str
    pairs: int = 0
    """That have it: with any, more batches might have decided; with none, nobody asked for it."""


@dataclass(frozen=True)
class Family:
    """All that is judged together."""

    judgements: tuple[Judgement, ...]
    blanks: tuple[Blank, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Worse if anything is; else undecided if anything is; else better if anything is.

        A metric that some pairs have, but too few to judge it, is undecided.
        """
        found: set[Verdict] = {judgement.verdict for judgement in self.judgements}
        if any(blank.pairs for blank in self.blanks):
            found.add("undecided")
        ranked: tuple[Verdict, ...] = ("worse", "undecided", "better", "no worse")
        return next((verdict for verdict in ranked if verdict in found), "undecided")

    def of(self, verdict: Verdict) -> tuple[Judgement, ...]:
        """The judgements with this verdict."""
        return tuple(judgement for judgement in self.judgements if judgement.verdict == verdict)


def walsh_averages(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of all pairs of values, each value with itself included, ascending; n (n + 1) / 2 of them."""
    x = np.asarray(values, dtype=np.float64)
    rows, columns = np.triu_indices(len(x))
    return np.sort((x[rows] + x[columns]) / 2)


@cache
def rank_sum_tail(n: int) -> NDArray[np.float64]:
    """``P(W <= w)`` for w = 0 ... n (n + 1) / 2: W is the signed-rank sum of n values without effect."""
    ways = np.ones(1)
    for rank in range(1, n + 1):
        # Each rank is in the sum or not, with equal chance.
        ways = (np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))) / 2
    return np.cumsum(ways)


def estimate(log_ratios: Sequence[float] | NDArray[np.float64]) -> Estimate:
    """The difference that pairs show.

    Args:
        log_ratios: new over old, one per pair; at least `FEWEST_PAIRS`.

    Raises:
        ValueError: there are fewer.
    """
    x = np.asarray(log_ratios, dtype=np.float64)
    if len(x) < FEWEST_PAIRS:
        raise ValueError(f"{len(x)} pairs have no interval: it takes {FEWEST_PAIRS}")
    averages = walsh_averages(x)
    cut = int(np.searchsorted(rank_sum_tail(len(x)), (1 - CONFIDENCE) / 2, side="right"))
    p_value = float(stats.wilcoxon(x).pvalue) if x.any() else 1.0
    low, high = averages[cut - 1], averages[len(averages) - cut]
    return Estimate(float(np.median(averages)), float(low), float(high), p_value, len(x))


def verdict_of(found: Estimate, metric: Metric, min_effect: float, significant: bool) -> Verdict:
    """What may be said of one metric.

    *Worse* or *better* when the whole interval lies beyond the smallest effect that matters, and the
    difference is significant among all that is judged; *no worse* when the bad end of the interval lies
    inside it.
    """
    more, less = math.log1p(min_effect), -math.log1p(-min_effect)
    if metric in HIGHER_IS_BETTER:
        best, worst, matters, gains = -found.log_high, -found.log_low, less, more
    else:
        best, worst, matters, gains = found.log_low, found.log_high, more, less
    if best > matters and significant:
        return "worse"
    if worst < -gains and significant:
        return "better"
    return "no worse" if worst <= matters else "undecided"


def judge_pairs(pairs: Iterable[Pair], limits: Limits = DEFAULT_LIMITS) -> Family:
    """Judge every metric at every batch size, and the geometric mean over them, as one family.

    Batch sizes with fewer than `FEWEST_PAIRS` pairs are left out. A metric that pairs lack is judged by those
    that have it, and is a blank where these are fewer.
    """
    by_size = _judgeable(pairs)
    series = [
        found for size, own in by_size.items() for metric in METRICS if (found := _series(size, metric, own))
    ]
    if len(by_size) > 1:
        series += [found for metric in METRICS if (found := _mean_series(metric, by_size))]
    return Family(tuple(_judged(series, limits)), tuple(_blanks(by_size)))


def pairs_wanted(pairs: Iterable[Pair], batch_sizes: Iterable[int], limits: Limits) -> Mapping[int, int]:
    """How many pairs each batch size should have by now, given those that it has.

    At first ``limits.pairs``; `MORE_PAIRS` more wherever the verdict on one of its metrics is then undecided,
    up to ``limits.max_pairs``. Looks are taken at these numbers only, and at the pairs up to there: whoever
    looked after each pair would sooner or later see what he wants. When every batch size has what it should,
    the experiment is over.
    """
    wanted = dict.fromkeys(batch_sizes, limits.pairs)
    by_size = {size: list[Pair]() for size in wanted} | _grouped(pairs)
    while all(len(by_size[size]) >= count for size, count in wanted.items()):
        seen = [pair for size, count in wanted.items() for pair in by_size[size][:count]]
        undecided = {judgement.batch_size for judgement in judge_pairs(seen, limits).of("undecided")}
        growing = [size for size, count in wanted.items() if size in undecided and count < limits.max_pairs]
        if not growing:
            break
        wanted |= {size: min(wanted[size] + MORE_PAIRS, limits.max_pairs) for size in growing}
    return wanted


@dataclass(frozen=True)
class _Series:
    batch_size: int | None
    metric: Metric
    log_ratios: tuple[float, ...]
    old: float | None = None
    new: float | None = None


def _grouped(pairs: Iterable[Pair]) -> dict[int, list[Pair]]:
    """By batch size, in the order in which they were measured."""
    found: dict[int, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: (pair.batch_size, pair.number)):
        found.setdefault(pair.batch_size, []).append(pair)
    return found


def _judgeable(pairs: Iterable[Pair]) -> dict[int, list[Pair]]:
    return {size: own for size, own in _grouped(pairs).items() if len(own) >= FEWEST_PAIRS}


def _series(size: int, metric: Metric, own: Sequence[Pair]) -> _Series | None:
    both = [pair.figures.get(metric) for pair in own]
    known = [each for each in both if each is not None]
    if len(known) < FEWEST_PAIRS:
        return None
    ratios = tuple(math.log(new / old) for old, new in known)
    old, new = np.median(np.array(known), axis=0)
    return _Series(size, metric, ratios, float(old), float(new))


def _mean_series(metric: Metric, by_size: Mapping[int, Sequence[Pair]]) -> _Series | None:
    """Of the k-th pairs of all batch sizes, which were measured about the same time."""
    ratios = [[pair.log_ratio(metric) for pair in own] for own in by_size.values()]
    together = [each for each in zip(*ratios, strict=False) if None not in each]
    if len(together) < FEWEST_PAIRS:
        return None
    return _Series(None, metric, tuple(float(np.mean(np.array(each, float))) for each in together))


def _judged(series: Sequence[_Series], limits: Limits) -> Iterable[Judgement]:
    if not series:
        return
    found = [estimate(each.log_ratios) for each in series]
    adjusted = stats.false_discovery_control([each.p_value for each in found], method="bh")
    for each, own, p_value in zip(series, found, adjusted, strict=True):
        min_effect = limits.min_effect_of(each.metric)
        significant = bool(p_value <= FALSE_DISCOVERY_RATE / limits.looks)
        verdict = verdict_of(own, each.metric, min_effect, significant)
        yield Judgement(
            each.batch_size, each.metric, each.old, each.new, own, min_effect, float(p_value), verdict
        )


def _blanks(by_size: Mapping[int, Sequence[Pair]]) -> Iterable[Blank]:
    for size, own in by_size.items():
        for metric in METRICS:
            known = sum(pair.figures.get(metric) is not None for pair in own)
            if known < FEWEST_PAIRS:
                needs = f": it needs {P99_SAMPLES} batches in each round" if metric == "p99_ms" else ""
                told = f"{len(own) - known} of {len(own)} pairs lack it{needs}"
                yield Blank(size, metric, told, known)
