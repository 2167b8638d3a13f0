"""Are the outputs right? A fast program that computes something else has no speed worth knowing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchlib.backends.base import ResolvedPrecision
from benchlib.results import Check

TOLERANCE: Mapping[ResolvedPrecision, float] = {"fp32": 1e-3, "bf16": 5e-2}
"""Largest relative error that a right program makes.

bf16 keeps 8 bits of a number, so that every operation may err by 2**-9. Over 32 seeded networks (2 to 12
layers) that grew to 0.0134 at most, while BERT-base with its attention mask ignored erred by 0.117 at least.
"""

NEAR_ZERO = 0.2
"""Added to the reference's magnitude: logits near zero would make any rounding look like a large error."""


def check_outputs(
    outputs: Mapping[str, NDArray[np.float32]], reference: NDArray[np.float32], precision: ResolvedPrecision
) -> tuple[Check, Check]:
    """Compare outputs with the reference; the keys of ``outputs`` say in words where each comes from.

    Returns the checks ``outputs_match_reference`` (figure: the largest relative error of any output; none
    when it is not a number) and ``outputs_finite`` (figure: how many values are not finite).
    """
    return _match(outputs, reference, TOLERANCE[precision]), _finite(outputs)


def relative_error(output: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Largest absolute difference over the reference's largest magnitude plus `NEAR_ZERO`.

    Infinite when the outputs cannot be compared: another shape, or values that are not finite.
    """
    if output.shape != reference.shape or not np.isfinite(output).all():
        return float("inf")
    return float(np.abs(output - reference).max() / (np.abs(reference).max() + NEAR_ZERO))


def _match(outputs: Mapping[str, NDArray[np.float32]], reference: NDArray[np.float32], limit: float) -> Check:
    errors = {source: relative_error(output, reference) for source, output in outputs.items()}
    source, worst = max(errors.items(), key=lambda item: item[1])
    passed = worst <= limit
    advice = (
        "Every output matches the CPU's fp32 output."
        if passed
        else f"The output of {source} is not the CPU's fp32 output: this program computes something else. "
        "Compile it again; if it stays so, compare the compiler's flags and version with the last good ones."
    )
    return Check(
        name="outputs_match_reference",
        passed=passed,
        figure=worst if np.isfinite(worst) else None,
        limit=limit,
        unit="relative error",
        advice=advice,
    )


def _finite(outputs: Mapping[str, NDArray[np.float32]]) -> Check:
    counts = {source: int((~np.isfinite(output)).sum()) for source, output in outputs.items()}
    source, worst = max(counts.items(), key=lambda item: item[1])
    advice = (
        "Every output is a finite number."
        if worst == 0
        else f"The output of {source} holds NaN or infinity: the device or the program is broken. "
        "Look at the device's error counters, and compile again without reduced precision."
    )
    return Check(
        name="outputs_finite", passed=worst == 0, figure=worst, limit=0, unit="values", advice=advice
    )
