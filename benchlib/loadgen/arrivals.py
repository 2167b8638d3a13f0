"""When batches arrive in the server scenario. One arrival is one batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchlib.errors import BadInput

NS_PER_S = 1e9
SLOWEST_PER_S = 1e-6


@dataclass(frozen=True)
class PoissonArrivals:
    """Arrivals that know nothing of each other: the gaps between them are exponential.

    The same seed gives the same arrivals on every host and, scaled in time, at every rate.

    Raises:
        BadInput: a rate out of reason, a negative seed, or no arrival.
    """

    rate_batches_per_s: float
    """Mean rate; that of a finite number n of arrivals scatters around it by one part in sqrt(n)."""
    seed: int
    count: int

    def __post_init__(self) -> None:
        if not SLOWEST_PER_S <= self.rate_batches_per_s <= NS_PER_S:
            allowed = "a rate from one in a million seconds to one a nanosecond"
            raise BadInput("rate_batches_per_s", self.rate_batches_per_s, allowed)
        if self.seed < 0:
            raise BadInput("arrival_seed", self.seed, "a whole number of at least 0")
        if self.count < 1:
            raise BadInput("count", self.count, "a whole number of at least 1")

    def offsets_ns(self) -> NDArray[np.int64]:
        """Instants after the start, ascending, shape (count,), in nanoseconds."""
        # The stream of a bit generator is promised to stay as it is, that of Generator's methods is not
        # (numpy's NEP 19), so the exponentials are made here, by inversion.
        uniform = (np.random.PCG64(self.seed).random_raw(self.count) >> np.uint64(11)) * 2.0**-53
        gaps_ns = -np.log1p(-uniform) * (NS_PER_S / self.rate_batches_per_s)
        return np.cumsum(np.rint(gaps_ns).astype(np.int64))
