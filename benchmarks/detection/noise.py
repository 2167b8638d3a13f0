"""Nightly series without a change, and the same with one step: all made up, from seeds.

The families stress one property each; `field` draws its properties from the ranges that public nightly
series of other projects show: coefficient of variation 0.3 to 3.7 %, lag-1 autocorrelation 0.05 to 0.35, 2 to
6.5 % of nights far off on the slow side, a slow drift in four of ten, a transient level in one of ten. Two
modes are a family of their own, as no detector copes with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Half = Literal["tuning", "held-out"]

NIGHTS = 120
WARM_UP = 30
FIRST_STEP, LAST_STEP = 50, 90
LEVEL = 1000.0
SEEDS: dict[Half, int] = {"tuning": 71, "held-out": 72}
STEPS_PERCENT = (1.0, 2.0, 3.0, 5.0, 10.0)

Noise = Callable[[np.random.Generator], Floats]
"""Makes `NIGHTS` deviations in standard deviations of the quiet part; slow is negative: a throughput."""


@dataclass(frozen=True)
class Made:
    """One series, higher is better."""

    values: Floats
    sigma: float
    """Robust standard deviation of its noise, relative to the level."""
    step_at: int | None = None
    step: float = 0.0
    """Relative, below 0: slower."""

    @property
    def size_sigma(self) -> float:
        """The step in standard deviations of this series."""
        return abs(self.step) / self.sigma


def _autoregressive(random: np.random.Generator, rho: float) -> Floats:
    shocks = random.standard_normal(NIGHTS + 50) * np.sqrt(1 - rho * rho)
    values = np.empty_like(shocks)
    values[0] = shocks[0]
    for night in range(1, shocks.size):
        values[night] = rho * values[night - 1] + shocks[night]
    return values[50:]


def _slow_nights(random: np.random.Generator, share: float) -> Floats:
    """Some nights 4 deviations slower and more."""
    return np.where(random.random(NIGHTS) < share, -(4 + random.exponential(4.0, NIGHTS)), 0.0)


def _drift(random: np.random.Generator, size: float) -> Floats:
    period = random.uniform(120, 360)
    return size * np.sin(2 * np.pi * (np.arange(NIGHTS) / period + random.random()))


def _modes(random: np.random.Generator) -> Floats:
    """Goes to and fro between two levels 3 to 8 deviations apart, with mean stays of 1 to 20 nights."""
    stay = random.uniform(1, 20, 2)
    mode, modes = 0, np.empty(NIGHTS)
    for night in range(NIGHTS):
        modes[night] = mode
        mode = 1 - mode if random.random() < 1 / stay[mode] else mode
    return -random.uniform(3, 8) * modes


def _transient(random: np.random.Generator) -> Floats:
    """A level that goes by itself after 3 to 20 nights."""
    first, nights = int(random.integers(0, NIGHTS)), int(random.integers(3, 21))
    level = np.zeros(NIGHTS)
    level[first : first + nights] = random.choice((-1, 1)) * random.uniform(1, 3)
    return level


def iid(random: np.random.Generator) -> Floats:
    return random.standard_normal(NIGHTS)


def autocorrelated(random: np.random.Generator) -> Floats:
    return _autoregressive(random, 0.5)


def heavy(random: np.random.Generator) -> Floats:
    return random.standard_normal(NIGHTS) + _slow_nights(random, 0.05)


def drifting(random: np.random.Generator) -> Floats:
    return random.standard_normal(NIGHTS) + _drift(random, random.uniform(0.5, 2))


def mix(random: np.random.Generator) -> Floats:
    slow = _slow_nights(random, 0.04)
    return _autoregressive(random, 0.3) + slow + _drift(random, random.uniform(0, 1))


def two_modes(random: np.random.Generator) -> Floats:
    return random.standard_normal(NIGHTS) + _modes(random)


def field(random: np.random.Generator) -> Floats:
    noise = _autoregressive(random, random.uniform(0.05, 0.35))
    noise = noise + _slow_nights(random, random.uniform(0.02, 0.065))
    if random.random() < 0.4:
        noise = noise + _drift(random, random.uniform(0.3, 1.2))
    if random.random() < 0.1:
        noise = noise + _transient(random)
    return noise


FAMILIES: dict[str, Noise] = {
    "iid": iid,
    "autocorrelated": autocorrelated,
    "heavy tails": heavy,
    "drifting": drifting,
    "mix": mix,
    "field": field,
    "two modes": two_modes,
}


def quiet_series(family: str, half: Half, count: int) -> list[Made]:
    """So many series without a change; the first ones are the same whatever the count."""
    return [_made(family, half, number) for number in range(count)]


def stepped_series(family: str, half: Half, count: int) -> list[Made]:
    """So many others with one step down each, by 1 to 10 %."""
    return [_stepped(family, half, 1_000_000 + number) for number in range(count)]


def _random(family: str, half: Half, number: int) -> np.random.Generator:
    return np.random.default_rng([SEEDS[half], list(FAMILIES).index(family), number])


def _made(family: str, half: Half, number: int) -> Made:
    random = _random(family, half, number)
    variation = float(np.exp(random.uniform(np.log(0.003), np.log(0.037))))
    values = LEVEL * np.exp(variation * FAMILIES[family](random))
    sigma = 1.4826 * float(np.median(np.abs(values - np.median(values)))) / float(np.median(values))
    return Made(values, sigma)


def _stepped(family: str, half: Half, number: int) -> Made:
    made = _made(family, half, number)
    random = _random(family, half, number + 1_000_000)
    step = -float(random.choice(STEPS_PERCENT)) / 100
    at = int(random.integers(FIRST_STEP, LAST_STEP))
    values = made.values.copy()
    values[at:] *= 1 + step
    return Made(values, made.sigma, at, step)
