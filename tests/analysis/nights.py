"""Made-up nights of one series: quiet, and with what happened to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 1000.0


def quiet(seed: int, nights: int, variation: float = 0.007) -> Floats:
    """Autocorrelated noise with a slow night in 25, like that of nightly benchmarks."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal(nights)
    for night in range(1, nights):
        noise[night] = 0.2 * noise[night - 1] + 0.98 * noise[night]
    slow = np.where(random.random(nights) < 0.04, -4 - random.exponential(3, nights), 0)
    return np.asarray(LEVEL * np.exp(variation * (noise + slow)))


def stepped(seed: int, nights: int, *steps: tuple[int, float], variation: float = 0.007) -> Floats:
    """The same, and from each index on so much more or less, relative."""
    values = quiet(seed, nights, variation)
    for at, relative in steps:
        values[at:] *= 1 + relative
    return values
