"""A result that contradicts itself never leaves the data plane."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from benchlib.results import LatencyHistogram, Measurement
from tests.store import samples

HISTOGRAM = LatencyHistogram(buckets=(-3, 0, 12), batches=(1, 11_000, 999))


@pytest.mark.parametrize(
    ("buckets", "batches", "complaint"),
    [
        ((), (), "at least 1 item"),
        ((1, 2), (5,), "at least one batch in each of its buckets"),
        ((1, 2), (5, 0), "at least one batch in each of its buckets"),
        ((2, 1), (5, 5), "ascend"),
        ((1, 1), (5, 5), "ascend"),
    ],
)
def test_a_broken_histogram_is_refused(
    buckets: tuple[int, ...], batches: tuple[int, ...], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        LatencyHistogram(buckets=buckets, batches=batches)


def test_a_measurement_comes_back_from_json_with_its_histogram() -> None:
    measured = samples.measured(latency_histogram=HISTOGRAM)
    assert Measurement.model_validate_json(measured.model_dump_json()) == measured


def test_results_of_before_the_histogram_are_still_read() -> None:
    old = samples.measured().model_dump(mode="json", exclude={"latency_histogram"})
    assert Measurement.model_validate(old).latency_histogram is None


@pytest.mark.parametrize(
    "changes",
    [
        {"batches": None},
        {"inferences": None},
        {"duration_s": None},
        {"latency": samples.latency(samples=None)},
        {"latency_histogram": LatencyHistogram(buckets=(0,), batches=(11_999,))},
    ],
)
def test_counts_that_do_not_go_together_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        samples.measured(**changes)
