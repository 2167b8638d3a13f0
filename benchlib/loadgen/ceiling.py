"""How much of a result is the load generator's own doing.

Two figures answer "is it the model or the harness?": what the loop costs per call, from a replica that does
nothing, and what the whole arrangement of threads and processes shows of an ideal device, one that takes
exactly so long and no CPU. Neither needs a compiler, save for the native loop, which has one.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from benchlib.errors import BadInput
from benchlib.loadgen.job import LoadOptions, Replica
from benchlib.loadgen.native import load_extension
from benchlib.loadgen.run import measure
from benchlib.loadgen.summary import summarise

Loop = Literal["python", "native"]
Device = tuple[Callable[[int], Replica], tuple[Any, ...]]
"""A loader of replicas, and the arguments to call them with."""

PR_SET_TIMERSLACK = 29
NULL_CALLS = 50_000
CEILING_RUN_S = 0.4
WARMUP_BATCHES = 3
"""TorchScript optimises a module during its second call."""
LONGEST_IDLE_S = 0.1
"""Longer calls are judged by this one: a harness that keeps up with it keeps up with them."""


@dataclass(frozen=True)
class Overhead:
    """What the load generator adds, in the topology that was measured."""

    service_s: float
    """The latency that the figures are for."""
    cost_per_call_ns: float
    """Median time of the loop around a replica that does nothing."""
    ideal_batches_per_s: float
    """Workers / service time: what nothing on this host can exceed."""
    ceiling_batches_per_s: float
    """What this harness shows of an ideal device with that service time: wake-ups by the host included."""

    @property
    def share_of_latency(self) -> float:
        """The loop's cost as a share of the service time."""
        return self.cost_per_call_ns / (self.service_s * 1e9)

    @property
    def sentence(self) -> str:
        """Both figures for people."""
        shown = self.ceiling_batches_per_s / self.ideal_batches_per_s
        return (
            f"The loop costs {self.cost_per_call_ns:.0f} ns per call, {self.share_of_latency:.3%} of the "
            f"latency; of an ideal device that takes {self.service_s * 1e3:.3f} ms this harness shows "
            f"{self.ceiling_batches_per_s:,.1f} batches/s, {shown:.1%} of what is possible."
        )


def measure_overhead(
    service_s: float,
    workers: int,
    options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
) -> Overhead:
    """Measure the load generator itself, in about a second and as many processes as ``options`` say.

    Args:
        service_s: how long a call of the real replica takes, such as its P50.
        workers: as in the real run.
        options: of the real run; replicas, processes, loop and pinning count.

    Raises:
        BadInput: no service time, no worker, or more replicas or processes than can be used.
        NativeUnavailable: the options ask for the native loop, which cannot be had here.
    """
    if service_s <= 0:
        raise BadInput("service_s", service_s, "a time above zero")
    idle_s = min(service_s, LONGEST_IDLE_S)
    share = _ideal_device_throughput(idle_s, workers, options) * idle_s / workers
    ideal_batches_per_s = workers / service_s
    return Overhead(
        service_s, _cost_per_call_ns(options.loop), ideal_batches_per_s, ideal_batches_per_s * share
    )


@contextmanager
def sharp_timer() -> Iterator[None]:
    """Let the calling thread's sleeps end when they should, not up to 50 us later."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
    yield


@dataclass(frozen=True)
class _Sleepers:
    """Loads replicas that only sleep, in any process."""

    idle_s: float

    def __call__(self, _index: int) -> Replica:
        return partial(time.sleep, self.idle_s)


def _ideal_device_throughput(idle_s: float, workers: int, options: LoadOptions) -> float:
    load, example = _ideal_device(idle_s, options.loop)
    run = measure(
        load,
        example,
        workers=workers,
        batches_per_worker=max(3, math.ceil(CEILING_RUN_S / idle_s)),
        warmup_batches=WARMUP_BATCHES,
        options=replace(options, worker_context=sharp_timer, probe=None, process_env=None),
    )
    return summarise(run.stamps, 1).total.throughput_inf_per_s


def _ideal_device(idle_s: float, loop: Loop) -> Device:
    if loop == "python":
        return _Sleepers(idle_s), ()
    import torch

    load_extension()
    return _torchscript(lambda x: torch.ops.benchlib.idle(x, round(idle_s * 1e9)))


def _cost_per_call_ns(loop: Loop) -> float:
    load, example = (lambda _: _do_nothing, ()) if loop == "python" else _torchscript(lambda x: x)
    run = measure(load, example, workers=1, batches_per_worker=NULL_CALLS, options=LoadOptions(loop=loop))
    return float(np.median(np.diff(run.stamps.ns)))


def _do_nothing() -> None:
    pass


def _torchscript(answer: Callable[[Any], Any]) -> Device:
    import torch

    class Module(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return answer(x)

    example = (torch.zeros(1),)
    return lambda _: torch.jit.trace(Module(), example), example
