"""Published single values: a release is blamed for what it changed, and for little else."""

from __future__ import annotations

import math
import uuid
from dataclasses import replace

import numpy as np
import pytest

from benchlib.analysis.releases import (
    METRICS,
    Event,
    ReleaseFigures,
    ReleaseHistory,
    ReleaseReport,
    judge_releases,
)
from benchlib.errors import BadInput

SERIES, RELEASES = 40, 10


def history(number: int, factors: dict[tuple[int, str], float], releases: int = RELEASES) -> ReleaseHistory:
    """Made-up figures with a scatter of its own, times a factor from a release on, by metric."""
    random = np.random.default_rng(number)
    scatter = 0.015 * math.exp(0.6 * random.standard_normal())
    levels = {"throughput_inf_per_s": 1000.0, "p50_ms": 2.0, "p99_ms": 2.2}
    lines = []
    for at in range(releases):
        noise = {metric: math.exp(scatter * random.standard_normal()) for metric in METRICS}
        figures = {
            metric: levels[metric] * noise[metric] * math.prod(
                factor for (since, of), factor in factors.items() if of == metric and at >= since
            )
            for metric in METRICS
        }  # fmt: skip
        lines.append(ReleaseFigures(f"2.{9 + at}.0", **figures))
    return ReleaseHistory(
        uuid.UUID(int=number), f"model-{number}", 128, "bf16", 8, "inf2.xlarge", tuple(lines)
    )


def panel(changed: dict[int, dict[tuple[int, str], float]], seed: int = 0) -> list[ReleaseHistory]:
    return [history(1000 * seed + number, changed.get(number, {})) for number in range(1, SERIES + 1)]


def event_of(report: ReleaseReport, release: str, pattern: str, direction: str) -> Event:
    (event,) = (
        each
        for each in report.events
        if (each.release, each.pattern, each.direction) == (release, pattern, direction)
    )
    return event


def test_of_unchanged_figures_no_more_than_the_rate_is_told() -> None:
    reports = [judge_releases(panel({}, seed)) for seed in range(10)]
    told = sum(report.told for report in reports)
    comparisons = sum(report.comparisons for report in reports)
    assert comparisons > 5_000
    assert 0.001 * comparisons < told < 0.02 * comparisons
    assert sum(report.expected_by_chance for report in reports) == pytest.approx(0.02 * comparisons)


def test_a_lasting_loss_of_throughput_is_told_with_its_size_and_release() -> None:
    report = judge_releases(panel({7: {(6, "throughput_inf_per_s"): 0.85, (6, "p50_ms"): 1 / 0.85}}))
    event = event_of(report, "2.15.0", "throughput", "worse")
    step = next(step for step in event.steps if step.history.model == "model-7")
    move = step.leading
    assert (step.previous_release, step.next_release) == ("2.14.0", "2.16.0")
    assert move.baseline == ("2.10.0", "2.11.0", "2.12.0", "2.13.0", "2.14.0")
    assert move.relative_low < -0.15 < move.relative_high < 0
    assert move.lasting
    assert step.from_previous("throughput_inf_per_s") == pytest.approx(-0.15, abs=0.05)
    later = [step for event in report.events if event.release > "2.15.0" for step in event.steps]
    assert all(step.history.model != "model-7" or "throughput" not in step.pattern for step in later)


def test_a_slow_tail_of_many_models_is_one_event_that_goes_again() -> None:
    tail = {(5, "p99_ms"): 1.4, (6, "p99_ms"): 1 / 1.4}
    report = judge_releases(panel(dict.fromkeys(range(1, 9), tail)))
    event = event_of(report, "2.14.0", "tail only", "worse")
    assert {step.history.model for step in event.steps} >= {f"model-{number}" for number in range(1, 8)}
    assert (event.tested, len(event.steps) > 3 * event.expected_by_chance) == (SERIES, True)
    assert [step.leading.lasting for step in event.steps[:6]] == [False] * 6
    back = [each for each in report.events if (each.release, each.direction) == ("2.15.0", "better")]
    assert all(each.pattern != "tail only" or len(each.steps) < 3 for each in back)


def test_what_was_there_before_is_not_blamed_on_a_later_release() -> None:
    report = judge_releases(panel({3: {(2, "throughput_inf_per_s"): 0.7}}))
    steps = [step for event in report.events for step in event.steps if step.history.model == "model-3"]
    assert all(move.metric != "throughput_inf_per_s" for step in steps for move in step.told)


def test_only_shows_one_model_by_the_judgement_of_all() -> None:
    report = judge_releases(panel({7: {(6, "throughput_inf_per_s"): 0.85}}))
    shown = report.only("model-7")
    assert shown.comparisons == report.comparisons
    assert {step.history.model for event in shown.events for step in event.steps} == {"model-7"}
    assert report.only("model-0").events == ()


def test_order_of_the_histories_makes_no_difference() -> None:
    histories = panel({7: {(6, "throughput_inf_per_s"): 0.85}})
    assert judge_releases(histories[::-1]) == judge_releases(histories)


def test_too_few_values_are_not_judged() -> None:
    short = [history(number, {}, releases=3) for number in range(5)]
    assert judge_releases(short) == replace(judge_releases([]), ambiguous=0)
    without_tail = replace(
        short[0], figures=tuple(replace(each, p99_ms=None) for each in history(1, {}).figures)
    )
    assert judge_releases([without_tail]).comparisons == 2 * (RELEASES - 3)


def test_equal_values_are_no_division_by_zero() -> None:
    steady = history(1, {})
    same = replace(
        steady, figures=tuple(replace(steady.figures[0], release=each.release) for each in steady.figures)
    )
    assert judge_releases([same]).told == 0


@pytest.mark.parametrize("rate", [0, -1, 0.3, math.nan])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(BadInput, match="rate"):
        judge_releases([], rate)
