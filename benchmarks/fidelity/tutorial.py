"""The loop that the accelerator's tutorials teach, in our own words: the peer that everybody starts from.

Wall clock, one list for all workers, a rate that counts thread start-up and the ragged end, and a warm-up in
the main thread. An exception in a worker goes nowhere, for nobody asks the futures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.fidelity.cases import Figures


def run_tutorial_loop(
    replicas: Sequence[Callable[..., Any]],
    example: tuple[Any, ...],
    batches_per_worker: int,
    warmup_batches: int,
) -> Figures:
    """One worker per replica."""
    for replica in replicas:
        for _ in range(warmup_batches):
            replica(*example)
    latencies_s: list[float] = []

    def work(replica: Callable[..., Any]) -> None:
        for _ in range(batches_per_worker):
            start_s = time.time()
            replica(*example)
            latencies_s.append(time.time() - start_s)

    began_s = time.time()
    with ThreadPoolExecutor(max_workers=len(replicas)) as pool:
        for replica in replicas:
            pool.submit(work, replica)
    wall_s = time.time() - began_s
    p50_ms, p99_ms = np.percentile(np.array(latencies_s) * 1e3, [50, 99])
    return Figures(len(latencies_s) / wall_s, float(p50_ms), float(p99_ms))
