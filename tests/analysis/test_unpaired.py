"""Two stored sweeps: ratios with the intervals of their rounds."""

from __future__ import annotations

import math

import pytest

from benchlib.analysis.unpaired import Known, compare_unpaired, from_rounds

QUIET = Known(1000.0, 990.0, 1010.0)


def compared(first: Known, second: Known, metric: str = "throughput_inf_per_s") -> tuple[str, float, object]:
    (found,) = compare_unpaired({4: {metric: first}}, {4: {metric: second}})  # type: ignore[dict-item]
    return found.standing, found.change, found.limits


def test_the_interval_of_a_ratio_comes_from_those_of_both() -> None:
    _, change, limits = compared(QUIET, Known(1020.0, 1010.0, 1030.0))
    assert change == pytest.approx(0.02)
    assert isinstance(limits, tuple)
    falls = math.hypot(math.log(1020 / 1010), math.log(1010 / 1000))
    assert limits[0] == pytest.approx(1.02 * math.exp(-falls) - 1)


@pytest.mark.parametrize(
    ("metric", "second", "standing"),
    [
        ("throughput_inf_per_s", Known(960.0, 950.0, 970.0), "slower"),
        ("throughput_inf_per_s", Known(1040.0, 1030.0, 1050.0), "faster"),
        ("p50_ms", Known(1040.0, 1030.0, 1050.0), "slower"),
        ("p99_ms", Known(960.0, 950.0, 970.0), "faster"),
        ("p50_ms", Known(1005.0, 995.0, 1015.0), "cannot be told apart"),
        ("p50_ms", Known(2000.0), "not known"),
        ("throughput_inf_per_s", Known(960.0, 970.0, 980.0), "not known"),  # limits beside the figure
    ],
)
def test_what_the_second_is(metric: str, second: Known, standing: str) -> None:
    assert compared(QUIET, second, metric)[0] == standing


def test_only_what_both_have_is_compared() -> None:
    first = {1: {"p50_ms": QUIET}, 4: {"p50_ms": QUIET, "p99_ms": QUIET}}
    second = {4: {"p50_ms": QUIET}, 8: {"p50_ms": QUIET}}
    found = compare_unpaired(first, second)  # type: ignore[arg-type]
    assert [(each.batch_size, each.metric) for each in found] == [(4, "p50_ms")]


def test_rounds_give_limits_where_a_result_has_none() -> None:
    known = from_rounds(100.0, [99.0, 100.0, 101.0])
    assert known.low is not None
    assert known.high is not None
    # Student's t of two degrees of freedom, 4.303, times the standard error of the three logarithms.
    assert math.log(known.high / 100) == pytest.approx(4.303 * 0.01 / math.sqrt(3), rel=0.01)
    assert from_rounds(100.0, [99.0, 101.0]) == Known(100.0)
