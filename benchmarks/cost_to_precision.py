"""How many batches a result within +-0.5 % costs: the precision rule against the tutorial's fixed 12 000.

``.venv-data/bin/python -m benchmarks.cost_to_precision [--repeats 200] [--real 5]``

Devices with noise of 0.5, 1 and 3 % per call: independent from call to call, or slow (autoregressive, so that
a slow spell lasts for dozens of calls, as on a device that shares something). Each rule sees the same 12
workers. Simulated stamps show how often the answer really is within the target of the true rate; ``--real``
drives sleeping replicas through the whole load generator.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchlib.loadgen import LoadOptions, Precision, Stamps, measure, summarise
from benchlib.loadgen.ceiling import sharp_timer

WORKERS = 12
SERVICE_S = 0.939e-3
"""Of BERT-base at batch size 1 in the published tutorial's table."""
FIXED_BATCHES = 12_000
TARGET = 0.005
ROUND = 25
"""Batches per worker and round: how often the rule may look."""
MAX_ROUNDS = 400
NOISES = (0.005, 0.01, 0.03)
CORRELATION = 0.95
"""Of one call's deviation with the next one's, for the slow noise: a spell lasts some 20 calls."""


@dataclass(frozen=True)
class Outcome:
    """One run under one rule."""

    batches: int
    error: float
    """Relative, against the true rate."""


def simulated_stamps(noise: float, correlation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Latencies of `WORKERS` noisy replicas in ns, shape (workers, `MAX_ROUNDS` x `ROUND`)."""
    shocks = rng.normal(0, noise * (1 - correlation**2) ** 0.5, (WORKERS, MAX_ROUNDS * ROUND))
    deviations = np.empty_like(shocks)
    deviations[:, 0] = rng.normal(0, noise, WORKERS)
    for k in range(1, shocks.shape[1]):
        deviations[:, k] = correlation * deviations[:, k - 1] + shocks[:, k]
    latencies: NDArray[np.float64] = SERVICE_S * 1e9 * (1 + deviations)
    return latencies


def stamps_of(latencies_ns: NDArray[np.float64], rounds: int) -> Stamps:
    """The stamps of the first rounds."""
    ends = np.cumsum(latencies_ns[:, : rounds * ROUND], axis=1)
    all_ns = np.concatenate([np.zeros((WORKERS, 1)), ends], axis=1).round().astype(np.int64)
    return Stamps(np.stack([all_ns[:, r * ROUND : (r + 1) * ROUND + 1] for r in range(rounds)]))


def by_precision(latencies_ns: NDArray[np.float64]) -> Outcome:
    """Stop as the rule says."""
    rule = Precision(TARGET, max_rounds=MAX_ROUNDS)
    for rounds in range(1, MAX_ROUNDS + 1):
        stamps = stamps_of(latencies_ns, rounds)
        if rounds == MAX_ROUNDS or rule.enough(stamps):
            return outcome(stamps)
    raise AssertionError


def by_count(latencies_ns: NDArray[np.float64]) -> Outcome:
    """The tutorial's way: always so many."""
    return outcome(stamps_of(latencies_ns, FIXED_BATCHES // WORKERS // ROUND))


def outcome(stamps: Stamps) -> Outcome:
    """What the stamps cost and how far off they are."""
    total = summarise(stamps, 1).total
    truth = WORKERS / SERVICE_S
    return Outcome(total.batches, abs(total.throughput_inf_per_s / truth - 1))


@dataclass(frozen=True)
class NoisySleepers:
    """Replicas that take `SERVICE_S` with independent noise, and no CPU."""

    noise: float

    def __call__(self, index: int) -> Callable[[], None]:
        rng = random.Random(index)
        return lambda: time.sleep(SERVICE_S * (1 + rng.gauss(0, self.noise)))


def real(noise: float) -> int:
    """Batches that the rule takes over the real load generator."""
    run = measure(
        NoisySleepers(noise),
        (),
        workers=WORKERS,
        batches_per_worker=ROUND,
        stop=Precision(TARGET, max_rounds=MAX_ROUNDS),
        options=LoadOptions(worker_context=sharp_timer),
    )
    return summarise(run.stamps, 1).total.batches


def rows(repeats: int) -> Iterator[str]:
    """One row per device and rule."""
    rng = np.random.default_rng(20)
    for noise in NOISES:
        for name, correlation in (("independent", 0.0), ("slow", CORRELATION)):
            devices = [simulated_stamps(noise, correlation, rng) for _ in range(repeats)]
            for rule, run in (("precision", by_precision), ("12 000", by_count)):
                yield row(noise, name, rule, [run(device) for device in devices])


def row(noise: float, name: str, rule: str, outcomes: list[Outcome]) -> str:
    """The cells of one row, as Markdown."""
    batches = sorted(found.batches for found in outcomes)
    within = statistics.mean(found.error <= TARGET for found in outcomes)
    typical, high = statistics.median(batches), batches[int(0.95 * (len(batches) - 1))]
    share = typical / FIXED_BATCHES
    return f"| {noise:.1%} {name} | {rule} | {typical:,.0f} ({share:.0%}) | {high:,} | {within:.1%} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=200, metavar="N", help="simulated runs per device")
    parser.add_argument("--real", type=int, default=0, metavar="N", help="real runs per device")
    asked = parser.parse_args()
    print(
        f"| noise per call | rule | batches, median | 95th percentile | within ±{TARGET:.1%} of the truth |"
    )
    print("|---|---|---|---|---|")
    for line in rows(asked.repeats):
        print(line, flush=True)
    for noise in NOISES if asked.real else ():
        print(f"real, {noise:.1%}: {sorted(real(noise) for _ in range(asked.real))} batches", flush=True)


if __name__ == "__main__":
    main()
