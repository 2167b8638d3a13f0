"""A TorchScript replica that stalls once; imported by the data plane's interpreter only.

TorchScript wants true annotations: no postponed ones here.
"""

import time

import torch

from benchlib.loadgen.job import LoadOptions
from benchlib.loadgen.open_loop import OpenLoopRun, measure_open_loop
from tests.loadgen.scripted import EXAMPLE

calls: list[tuple[int, int]] = []
"""The device's own log: start and end in nanoseconds of every call."""


class Stalling(torch.nn.Module):
    """Takes ``service_s``, but ``stall_s`` at the ``at``-th call."""

    def __init__(self, service_s: float, stall_s: float, at: int) -> None:
        super().__init__()
        self.service_s = service_s
        self.stall_s = stall_s
        self.at = at

    @torch.jit.ignore
    def serve(self, x: torch.Tensor) -> torch.Tensor:
        start_ns = time.perf_counter_ns()
        time.sleep(self.stall_s if len(calls) == self.at else self.service_s)
        calls.append((start_ns, time.perf_counter_ns()))
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.serve(x)


def serve(loop, workers, arrivals_ns, stall_at=-1, **more):
    """Serve these arrivals with 1 ms a call; one stall of 0.1 s. Returns the run."""
    return measure_open_loop(
        lambda _: torch.jit.script(Stalling(0.001, 0.1, stall_at)),
        EXAMPLE,
        workers=workers,
        arrivals_ns=arrivals_ns,
        warmup_batches=3,
        options=LoadOptions(loop=loop),
        **more,
    )


def rows(run: OpenLoopRun) -> list[list[int]]:
    """Scheduled, start, end and worker of every arrival."""
    return [column.tolist() for column in (run.scheduled_ns, run.start_ns, run.end_ns, run.worker)]
