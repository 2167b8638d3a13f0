"""The paired comparison: its arithmetic against hand and brute force, and what it may and may not say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from benchlib.analysis.paired import (
    FEWEST_PAIRS,
    MORE_PAIRS,
    Estimate,
    Limits,
    Metric,
    Pair,
    estimate,
    judge_pairs,
    pairs_wanted,
    rank_sum_tail,
    verdict_of,
    walsh_averages,
)

THROUGHPUT: Metric = "throughput_inf_per_s"
P50: Metric = "p50_ms"
P99: Metric = "p99_ms"


def pair(size: int, number: int, change: float, noise: float = 0.0, p99: bool = True) -> Pair:
    """A new side that is slower by ``change``, and off by ``noise`` more."""
    slower = (1 + change) * math.exp(noise)
    latency = (10.0, 10.0 * slower)
    return Pair(
        size,
        number,
        {THROUGHPUT: (1000.0, 1000.0 / slower), P50: latency, P99: latency if p99 else None},
    )


def quiet(size: int, count: int, change: float, spread: float = 0.001) -> list[Pair]:
    """Pairs whose noise is evenly spread around nothing."""
    noises = np.linspace(-spread, spread, count)
    return [pair(size, number + 1, change, noise) for number, noise in enumerate(noises)]


def test_the_walsh_averages_and_their_median_by_hand() -> None:
    assert walsh_averages([1.0, 2.0, 6.0]).tolist() == [1.0, 1.5, 2.0, 3.5, 4.0, 6.0]
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    # Of the 21 averages of two the 11th is 3.5.
    assert found.log_ratio == 3.5
    # Of 64 sign patterns one has the least rank sum: only the outermost averages make 1 - 2/64 = 97 %.
    assert (found.log_low, found.log_high) == (1.0, 9.0)
    assert found.p_value == 2 / 64


@pytest.mark.parametrize("n", [1, 4, 9])
def test_the_distribution_of_the_rank_sum_is_that_of_all_sign_patterns(n: int) -> None:
    sums = [
        sum(rank for rank, sign in enumerate(signs, 1) if sign)
        for signs in itertools.product((0, 1), repeat=n)
    ]
    shares = [sum(one <= w for one in sums) / 2**n for w in range(n * (n + 1) // 2 + 1)]
    assert rank_sum_tail(n) == pytest.approx(shares)


@pytest.mark.parametrize("n", [6, 12, 20, 31, 60])
def test_the_interval_holds_exactly_the_shifts_that_the_test_does_not_reject(n: int) -> None:
    x = np.random.default_rng(n).normal(0.01, 0.02, n)
    found = estimate(x)
    inside = np.linspace(found.log_low, found.log_high, 7)[1:-1]
    outside = (found.log_low - 1e-9, found.log_high + 1e-9)
    assert all(stats.wilcoxon(x - shift, method="exact").pvalue > 0.05 for shift in inside)
    assert all(stats.wilcoxon(x - shift, method="exact").pvalue <= 0.05 for shift in outside)


def test_one_pair_far_out_moves_the_estimate_little() -> None:
    x = np.random.default_rng(0).normal(0.0, 0.01, 20)
    wild = np.append(x[:-1], 5.0)
    assert abs(estimate(wild).log_ratio - estimate(x).log_ratio) < 0.01


def test_no_difference_at_all_is_no_accident() -> None:
    found = estimate([0.0] * 20)
    assert (found.log_ratio, found.log_low, found.log_high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_too_few_pairs_have_no_interval() -> None:
    with pytest.raises(ValueError, match="takes 6"):
        estimate([0.1] * (FEWEST_PAIRS - 1))


def interval(low: float, high: float) -> Estimate:
    """Of a change, such as -0.02 to -0.01."""
    return Estimate(math.log1p((low + high) / 2), math.log1p(low), math.log1p(high), 0.001, 20)


@pytest.mark.parametrize(
    ("metric", "low", "high", "significant", "verdict"),
    [
        (THROUGHPUT, -0.030, -0.011, True, "worse"),
        (THROUGHPUT, -0.030, -0.011, False, "undecided"),
        (THROUGHPUT, -0.030, -0.009, True, "undecided"),
        (THROUGHPUT, -0.0099, 0.020, True, "no worse"),
        (THROUGHPUT, -0.0099, -0.001, True, "no worse"),  # less by something that does not matter
        (THROUGHPUT, 0.0101, 0.020, True, "better"),
        (THROUGHPUT, 0.0101, 0.020, False, "no worse"),
        (THROUGHPUT, 0.005, 0.020, True, "no worse"),
        (THROUGHPUT, -0.020, 0.020, False, "undecided"),
        (P50, 0.0101, 0.020, True, "worse"),
        (P50, 0.009, 0.020, True, "undecided"),
        (P50, -0.020, -0.0101, True, "better"),
        (P50, -0.020, 0.0099, True, "no worse"),
    ],
)
def test_the_verdict_is_the_intervals(
    metric: Metric, low: float, high: float, significant: bool, verdict: str
) -> None:
    assert verdict_of(interval(low, high), metric, 0.01, significant) == verdict


def verdicts(pairs: Sequence[Pair], limits: Limits = Limits()) -> dict[tuple[int | None, str], str]:  # noqa: B008
    return {(each.batch_size, each.metric): each.verdict for each in judge_pairs(pairs, limits).judgements}


def test_a_loss_is_worse_in_every_direction_and_a_tail_needs_more_of_it() -> None:
    assert verdicts(quiet(4, 20, 0.03)) == {
        (4, THROUGHPUT): "worse",
        (4, P50): "worse",
        (4, P99): "no worse",
    }
    assert verdicts(quiet(4, 20, 0.08))[4, P99] == "worse"
    assert verdicts(quiet(4, 20, -0.03)) == {
        (4, THROUGHPUT): "better",
        (4, P50): "better",
        (4, P99): "no worse",
    }


def test_the_worst_verdict_is_the_familys() -> None:
    both = [*quiet(1, 20, -0.03), *quiet(4, 20, 0.03)]
    found = judge_pairs(both)
    assert found.verdict == "worse"
    assert {each.batch_size for each in found.of("worse")} == {4}
    assert judge_pairs(quiet(1, 20, -0.03)).verdict == "better"
    assert judge_pairs(quiet(1, 20, 0.0)).verdict == "no worse"
    assert judge_pairs(quiet(1, 20, 0.0, spread=0.1)).verdict == "undecided"


def test_the_mean_over_batch_sizes_is_that_of_the_ratios() -> None:
    both = [*quiet(1, 20, 0.01), *quiet(4, 20, 0.05)]
    (mean,) = (e for e in judge_pairs(both).judgements if e.batch_size is None and e.metric == P50)
    assert 1 + mean.estimate.change == pytest.approx(math.sqrt(1.01 * 1.05))
    assert (mean.old, mean.new) == (None, None)
    assert (None, P50) not in verdicts(quiet(1, 20, 0.01))  # of one size it would say nothing new


def test_the_mean_takes_pairs_that_all_sizes_have() -> None:
    uneven = [*quiet(1, 40, 0.0), *quiet(4, 20, 0.0)]
    found = judge_pairs(uneven).judgements
    assert {(each.batch_size, each.estimate.pairs) for each in found} == {(1, 40), (4, 20), (None, 20)}


def test_what_is_judged_together_is_corrected_together() -> None:
    sizes = (1, 2, 4, 8)
    rng = np.random.default_rng(3)
    pairs = [pair(size, n + 1, 0.0, rng.normal(0, 0.05)) for size in sizes for n in range(20)]
    found = judge_pairs(pairs).judgements
    raw = np.array([each.estimate.p_value for each in found])
    order = np.argsort(raw)
    steps = raw[order] * len(raw) / np.arange(1, len(raw) + 1)
    by_hand = np.minimum.accumulate(steps[::-1])[::-1]
    assert [found[k].adjusted_p_value for k in order] == pytest.approx(np.minimum(by_hand, 1).tolist())


def test_a_difference_that_chance_makes_in_one_of_many_is_not_called_worse() -> None:
    """Alone it would be: its whole interval lies beyond the limit, and its own p-value is 0.031."""
    alone = quiet(1, 6, 0.05, spread=0.01)
    others = [p for size in range(2, 12) for p in quiet(size, 6, 0.0, spread=0.01)]
    limits = Limits(6, 6)
    assert verdicts(alone, limits)[1, P50] == "worse"
    assert verdicts([*alone, *others], limits)[1, P50] == "undecided"


@pytest.mark.parametrize(
    ("having", "verdict"),
    [(19, "worse"), (FEWEST_PAIRS, "undecided"), (FEWEST_PAIRS - 1, "undecided"), (0, "no worse")],
)
def test_a_percentile_is_judged_by_the_pairs_that_have_it(having: int, verdict: str) -> None:
    """Its loss is beyond the limit; the other metrics are no worse."""
    pairs = [
        Pair(
            1,
            n + 1,
            {THROUGHPUT: (1e3, 1e3), P50: (1.0, 1.0), P99: (1.0, 1.2 + n / 1e3) if n < having else None},
        )
        for n in range(20)
    ]
    found = judge_pairs(pairs, Limits(20, 20))
    assert found.verdict == verdict
    if having >= FEWEST_PAIRS:
        assert {each.metric: each.estimate.pairs for each in found.judgements} == {
            THROUGHPUT: 20, P50: 20, P99: having,
        }  # fmt: skip
        assert found.blanks == ()
        return
    (blank,) = found.blanks
    assert (blank.batch_size, blank.metric, blank.pairs) == (1, P99, having)
    assert blank.reason == f"{20 - having} of 20 pairs lack it: it needs 368 batches in each round"


def test_few_pairs_are_not_judged() -> None:
    found = judge_pairs(quiet(1, FEWEST_PAIRS - 1, 0.5))
    assert (found.judgements, found.verdict) == ((), "undecided")


def test_first_every_size_gets_its_pairs() -> None:
    assert pairs_wanted([], (1, 4), Limits()) == {1: 20, 4: 20}
    assert pairs_wanted(quiet(1, 20, 0.0, spread=0.1), (1, 4), Limits()) == {1: 20, 4: 20}


def test_only_the_undecided_size_gets_more_until_it_may_have_no_more() -> None:
    decided, limits = quiet(1, 20, 0.0), Limits(max_pairs=50)
    rng = np.random.default_rng(0)
    noisy = [pair(4, n + 1, 0.0, noise) for n, noise in enumerate(rng.normal(0, 0.1, 60))]
    wanted = [pairs_wanted([*decided, *noisy[:count]], (1, 4), limits)[4] for count in (19, 20, 39, 40, 50)]
    assert wanted == [20, 20 + MORE_PAIRS, 40, 50, 50]
    assert pairs_wanted([*decided, *noisy], (1, 4), limits)[1] == 20


def test_nobody_looks_between_two_looks() -> None:
    """Undecided at 20 pairs and decided at 40: what it is at 25 or 39 ends nothing."""
    wide = [pair(1, n + 1, 0.0, 0.1 * (-1) ** n) for n in range(20)]
    fine = [pair(1, n + 1, 0.0, 0.0) for n in range(20, 40)]
    assert verdicts([*wide, *fine[:19]])[1, P50] == "no worse"
    wanted = [pairs_wanted([*wide, *fine[:more]], (1,), Limits())[1] for more in (0, 5, 19, 20)]
    assert wanted == [40, 40, 40, 40]


def test_more_looks_make_each_of_them_stricter() -> None:
    assert (Limits().looks, Limits(20, 20).looks, Limits(30, 60).looks) == (3, 1, 3)
