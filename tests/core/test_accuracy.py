from __future__ import annotations

import numpy as np
import pytest

from benchlib.core.accuracy import check_outputs, relative_error

REFERENCE = np.array([[0.5, -2.0], [0.5, -2.0]], dtype=np.float32)


def test_the_error_is_relative_to_the_largest_output() -> None:
    output = REFERENCE.copy()
    output[1, 0] += 0.11
    assert relative_error(output, REFERENCE) == pytest.approx(0.05)


def test_logits_near_zero_do_not_turn_rounding_into_an_error() -> None:
    near_zero = np.array([[0.001, -0.001]], dtype=np.float32)
    assert check_outputs({"replica 0": near_zero * 2}, near_zero, "bf16")[0].passed
    assert not check_outputs({"replica 0": near_zero + 0.02}, near_zero, "bf16")[0].passed


@pytest.mark.parametrize(
    ("error", "fp32", "bf16"), [(1e-5, True, True), (0.01, False, True), (0.2, False, False)]
)
def test_each_precision_has_its_tolerance(error: float, fp32: bool, bf16: bool) -> None:
    outputs = {"replica 0": REFERENCE * np.float32(1 + error)}
    assert check_outputs(outputs, REFERENCE, "fp32")[0].passed == fp32
    assert check_outputs(outputs, REFERENCE, "bf16")[0].passed == bf16


def test_one_wrong_replica_is_named() -> None:
    outputs = {"replica 0": REFERENCE, "replica 7 after the load": -REFERENCE}
    match, finite = check_outputs(outputs, REFERENCE, "bf16")
    assert not match.passed
    assert match.figure == pytest.approx(4 / 2.2)
    assert "replica 7 after the load" in match.advice
    assert finite.passed


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_is_not_a_number_never_passes(poison: float) -> None:
    output = REFERENCE.copy()
    output[0, 1] = poison
    match, finite = check_outputs({"replica 0": REFERENCE, "replica 1": output}, REFERENCE, "bf16")
    assert not match.passed
    assert match.figure is None
    assert not finite.passed
    assert finite.figure == 1
    assert "replica 1" in finite.advice


def test_another_shape_never_passes() -> None:
    match, _ = check_outputs({"replica 0": REFERENCE[:1]}, REFERENCE, "bf16")
    assert not match.passed
