"""How the load is driven: which loop over how many processes, and what that harness costs and can show."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchlib.core.layout import Loader
from benchlib.loadgen import LoadOptions
from benchlib.loadgen.ceiling import measure_overhead
from benchlib.loadgen.topology import Topology, choose_topology
from benchlib.results import HarnessOverhead, WorkerMode

log = logging.getLogger(__name__)

WorkerModeAsked = Literal["auto", "thread", "process", "native"]


@dataclass(frozen=True)
class Harness:
    """A chosen topology with the options that go with it."""

    topology: Topology
    options: LoadOptions

    @property
    def worker_mode(self) -> WorkerMode:
        """What a worker is in this topology."""
        if self.topology.loop == "native":
            return "native"
        return "process" if self.topology.processes > 1 else "thread"

    def overhead(self, service_ms: float, workers: int) -> HarnessOverhead:
        """Measure this harness itself, for calls that take ``service_ms``; takes about a second."""
        found = measure_overhead(service_ms * 1e-3, workers, self.options)
        return HarnessOverhead(
            cost_per_call_ns=found.cost_per_call_ns,
            service_ms=service_ms,
            ideal_batches_per_s=found.ideal_batches_per_s,
            ceiling_batches_per_s=found.ceiling_batches_per_s,
        )


def choose_harness(
    asked: WorkerModeAsked,
    loader: Loader,
    example: tuple[Any, ...],
    probe: Callable[[Any, tuple[Any, ...]], Any],
) -> Harness:
    """The topology that was asked for or, for ``auto``, the cheapest one that calls of this cost allow.

    Raises:
        WorkerFailed: the replica could not be loaded or called.
    """
    layout = loader.layout
    options = LoadOptions(
        replicas=layout.replicas,
        cpus=layout.worker_cpus(loader.backend),
        worker_context=loader.backend.worker_context,
        probe=probe,
    )
    topology = _asked_topology(asked, layout.replicas) or choose_topology(
        loader, example, workers=layout.workers, options=replace(options, probe=None)
    )
    log.info("workers: %s", topology.why)
    return Harness(topology, topology.apply(options))


def _asked_topology(asked: WorkerModeAsked, replicas: int) -> Topology | None:
    topologies: dict[str, Topology] = {
        "thread": Topology("python", 1, "Python threads of one process, as asked"),
        "process": Topology("python", replicas, "one process per replica, as asked"),
        "native": Topology("native", 1, "C++ loop, as asked"),
    }
    return topologies.get(asked)
