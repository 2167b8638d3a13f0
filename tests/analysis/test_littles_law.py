"""The unit of a latency column comes out right whatever the header says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchlib.analysis.littles_law import PER_SECOND, ClosedLoop, infer_latency_unit
from benchlib.errors import BadInput

SEED_ROW = ClosedLoop("row 1", workers=12, batch_size=1, throughput_inf_per_s=12649.572, p50=0.939)


def test_seconds_in_the_header_are_milliseconds() -> None:
    found = infer_latency_unit([SEED_ROW], "s")
    assert (found.unit, found.contradicted) == ("ms", True)
    assert found.sentence == (
        "The latency columns are headed (s) but are milliseconds by Little's law: "
        "12 workers x 1 / 12649.572 inf/s = 0.949 ms."
    )


@pytest.mark.parametrize("declared", ["ms", "MS", " msec", "milliseconds"])
def test_a_right_header_is_not_contradicted(declared: str) -> None:
    found = infer_latency_unit([SEED_ROW], declared)
    assert not found.contradicted
    assert f"are headed ({declared}) and are milliseconds by" in found.sentence


def test_a_header_without_a_unit_contradicts_nothing() -> None:
    found = infer_latency_unit([SEED_ROW], None)
    assert not found.contradicted
    assert "are headed without a unit and are milliseconds by" in found.sentence


@given(
    workers=st.integers(1, 1024),
    batch_size=st.integers(1, 1024),
    throughput=st.floats(1e-3, 1e7),
    median_to_mean=st.floats(0.501, 1.999),
    unit=st.sampled_from(sorted(PER_SECOND)),
)
def test_every_unit_is_found(
    workers: int, batch_size: int, throughput: float, median_to_mean: float, unit: str
) -> None:
    mean_s = workers * batch_size / throughput
    row = ClosedLoop("row 1", workers, batch_size, throughput, mean_s * median_to_mean * PER_SECOND[unit])
    assert infer_latency_unit([row], unit).unit == unit


@given(st.floats(2.001, 490), st.booleans())
def test_between_two_units_nothing_is_guessed(factor: float, above: bool) -> None:
    p50 = 0.94866 * (factor if above else 1 / factor)
    with pytest.raises(BadInput, match=r"^row 1, P50: .*12 workers x 1 / 12649.572 inf/s = 0.949 ms"):
        infer_latency_unit([ClosedLoop("row 1", 12, 1, 12649.572, p50)], "ms")


def test_rows_in_different_units_are_refused() -> None:
    odd = ClosedLoop("row 2", workers=12, batch_size=2, throughput_inf_per_s=15394.022, p50=0.001522)
    with pytest.raises(
        BadInput, match=r"^row 2, P50: 0\.001522 .* milliseconds as in row 1 \(0\.939\).*1\.559 ms"
    ):
        infer_latency_unit([SEED_ROW, odd], "s")
