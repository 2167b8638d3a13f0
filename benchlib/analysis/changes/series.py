"""One series of nightly values as the detectors take it: checked, and without the nights that lack data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchlib.errors import BadInput

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Values = Sequence[float | None] | Sequence[float] | Floats
"""One figure per night, oldest first; NaN or ``None``: no data."""


@dataclass(frozen=True)
class Series:
    """The nights that have data; a *position* counts these alone."""

    figures: Floats
    """Shape (nights with data,), in the metric's unit."""
    nights: Ints
    """Their indices in the series that was given; same shape."""
    length: int
    """Nights of the series that was given."""

    def position(self, index: int) -> int:
        """Of the first night with data at or after an index."""
        return int(np.searchsorted(self.nights, index))

    def resets(self, epochs: Iterable[int]) -> list[int]:
        """The positions at which a baseline begins: of the first night, and of the epochs.

        Raises:
            BadInput: an epoch is negative.
        """
        wanted = sorted(set(epochs))
        if wanted and wanted[0] < 0:
            raise BadInput("epochs", wanted[0], "the index of a night, 0 or above")
        return sorted({0, *(self.position(epoch) for epoch in wanted)})


def series_of(values: Values) -> Series:
    """Check the values and leave out the nights without data.

    Raises:
        BadInput: a value is no positive finite number, or they are no flat sequence of numbers.
    """
    try:
        given = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput("values", type(values).__name__, f"numbers, one per night ({error})") from error
    if given.ndim != 1:
        raise BadInput("values", given.shape, "one figure per night: one dimension")
    nights = np.flatnonzero(~np.isnan(given))
    figures = given[nights]
    wrong = nights[~((figures > 0) & np.isfinite(figures))]
    if wrong.size:
        index = int(wrong[0])
        raise BadInput(f"values[{index}]", float(given[index]), "above 0 and finite, or NaN for no data")
    return Series(figures, nights, given.size)
