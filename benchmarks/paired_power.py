"""What the paired comparison claims wrongly, and what it finds: simulated hosts, the product's own verdicts.

``.venv/bin/python -m benchmarks.paired_power [--repeats 400] [--seed 7]``

A comparison is three batch sizes with three metrics each and their geometric means: 12 decisions. Each run is
noisy by itself (independent; 4 % of the runs are three times as far out), and the host drifts (1 %, the state
of one run resembles that of the next by 0.98). P99 is three times as noisy as the rest. A B B A as the tool
does it, and all of A before all of B for comparison.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchlib.analysis.paired import (
    DEFAULT_LIMITS,
    HIGHER_IS_BETTER,
    METRICS,
    Family,
    Limits,
    Metric,
    Pair,
    judge_pairs,
    pairs_wanted,
)

SIZES = (1, 4, 8)
OUTLIERS = 0.04
CORRELATION = 0.98
"""Of the host's state from one run to the next."""
TAIL = 3.0
"""How much noisier P99 is."""


@dataclass(frozen=True)
class Scene:
    """One kind of host and change."""

    name: str
    noise: float = 0.01
    drift: float = 0.01
    change: float = 0.0
    """Loss of throughput and gain of latency, in all batch sizes."""
    outliers: float = OUTLIERS
    interleaved: bool = True
    limits: Limits = DEFAULT_LIMITS


ONLY_20, ONLY_30 = Limits(20, 20), Limits(30, 30)
SCENES = (
    Scene("A/A"),
    Scene("A/A, 3 % noise", noise=0.03),
    Scene("A/A, 10 % noise", noise=0.10),
    Scene("A/A, 3 % drift", drift=0.03),
    Scene("A/A, first all old, then all new", interleaved=False, limits=ONLY_30),
    Scene("1 % worse, just at the limit", change=0.01),
    Scene("2 % worse, 20 pairs", change=0.02, limits=ONLY_20),
    Scene("2 % worse, 30 pairs", change=0.02, limits=ONLY_30),
    Scene("2 % worse, 30 pairs, no outliers", change=0.02, outliers=0.0, limits=ONLY_30),
    Scene("2 % worse, 20 to 60 pairs", change=0.02),
    Scene("2 % worse, 3 % drift, 20 to 60 pairs", change=0.02, drift=0.03),
    Scene("3 % worse, 20 pairs", change=0.03, limits=ONLY_20),
    Scene("10 % worse, 20 pairs", change=0.10, limits=ONLY_20),
)


@dataclass(frozen=True)
class Tally:
    """What became of one comparison."""

    speed: tuple[str, ...]
    """Verdicts on throughput and P50 at each batch size."""
    decisions: tuple[str, ...]
    """All of them."""
    family: str
    pairs: float
    """Per batch size."""


def host(scene: Scene, runs: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How much slower the host is at each run."""
    shocks = rng.normal(0, scene.drift * (1 - CORRELATION**2) ** 0.5, runs)
    state = np.empty(runs)
    state[0] = rng.normal(0, scene.drift)
    for run in range(1, runs):
        state[run] = CORRELATION * state[run - 1] + shocks[run]
    return state


def own_noise(scene: Scene, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Of each run by itself."""
    return rng.normal(0, scene.noise, shape) * np.where(rng.random(shape) < scene.outliers, 3.0, 1.0)


def hosts_of_sides(scene: Scene, rng: np.random.Generator) -> NDArray[np.float64]:
    """How much slower the host is for old and new, shape (pairs, batch sizes, 2)."""
    count, sizes = scene.limits.max_pairs, len(SIZES)
    state = host(scene, 2 * count * sizes, rng)
    if not scene.interleaved:
        return state.reshape(2, count, sizes).transpose(1, 2, 0)
    in_turns = state.reshape(count, sizes, 2)
    in_turns[1::2] = in_turns[1::2, :, ::-1]  # new before old in every second pair
    return in_turns


def simulate(scene: Scene, rng: np.random.Generator) -> list[Pair]:
    """As many pairs as could be wanted, of all batch sizes in turns."""
    slower = hosts_of_sides(scene, rng)
    speed = slower + own_noise(scene, slower.shape, rng)
    tail = slower + TAIL * own_noise(scene, slower.shape, rng)
    logs: dict[Metric, NDArray[np.float64]] = {"throughput_inf_per_s": speed, "p50_ms": speed, "p99_ms": tail}
    return [
        Pair(size, n + 1, {metric: figures(scene, metric, logs[metric][n, k]) for metric in METRICS})
        for n in range(len(slower))
        for k, size in enumerate(SIZES)
    ]


def figures(scene: Scene, metric: Metric, logs: NDArray[np.float64]) -> tuple[float, float]:
    """Old and new."""
    old, new = np.exp(logs)
    if metric in HIGHER_IS_BETTER:
        return float(1000 / old), float(1000 / new * (1 - scene.change))
    return float(old), float(new * (1 + scene.change))


def drive(scene: Scene, pairs: list[Pair]) -> tuple[Family, float]:
    """As the tool does: so many pairs, and more where nothing can be decided."""
    has: list[Pair] = []
    wanted = pairs_wanted(has, SIZES, scene.limits)
    while len(has) < sum(wanted.values()):
        has = [pair for pair in pairs if pair.number <= wanted[pair.batch_size]]
        wanted = pairs_wanted(has, SIZES, scene.limits)
    return judge_pairs(has, scene.limits), len(has) / len(SIZES)


def compare(scene: Scene, seed: int) -> Tally:
    """One simulated comparison."""
    family, pairs = drive(scene, simulate(scene, np.random.default_rng(seed)))
    speed = [each for each in family.judgements if each.metric != "p99_ms" and each.batch_size]
    return Tally(
        speed=tuple(each.verdict for each in speed),
        decisions=tuple(each.verdict for each in family.judgements),
        family=family.verdict,
        pairs=pairs,
    )


def share(verdicts: list[str], *wanted: str) -> str:
    """Such as '3.2 %'."""
    return f"{100 * sum(verdict in wanted for verdict in verdicts) / len(verdicts):.1f} %"


def row(scene: Scene, tallies: list[Tally]) -> str:
    """One line of the table."""
    decisions = [verdict for tally in tallies for verdict in tally.decisions]
    speed = [verdict for tally in tallies for verdict in tally.speed]
    families = [tally.family for tally in tallies]
    cells = (
        scene.name,
        share(decisions, "worse", "better"),
        share(speed, "worse"),
        share(speed, "no worse"),
        share(speed, "undecided"),
        share(families, "worse"),
        f"{np.mean([tally.pairs for tally in tallies]):.0f}",
    )
    return f"| {' | '.join(cells)} |"


def rows(repeats: int, seed: int) -> Iterator[str]:
    """The table, line by line."""
    with ProcessPoolExecutor() as pool:
        for number, scene in enumerate(SCENES):
            seeds = [seed + number * 100_000 + k for k in range(repeats)]
            yield row(scene, list(pool.map(partial(compare, scene), seeds, chunksize=25)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=400, metavar="N", help="comparisons per line")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    print(
        "| host and change | worse or better | speed: worse | speed: no worse | speed: undecided "
        "| comparison: worse | pairs |"
    )
    print("|---|---|---|---|---|---|---|")
    for line in rows(asked.repeats, asked.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
