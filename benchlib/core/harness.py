"""How the load is driven: which loop over how many processes, and what that harness costs and can show."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchlib.backends.base import Backend
from benchlib.core.layout import Layout, Loader, ProcessEnvironment
from benchlib.core.validity import LockUse
from benchlib.errors import BadInput
from benchlib.loadgen import LoadOptions
from benchlib.loadgen.ceiling import measure_overhead
from benchlib.loadgen.topology import Topology, calibrate, choose_topology
from benchlib.results import HarnessOverhead, WorkerMode
from benchlib.spec import LoadSpec

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

    def lock_use(self, layout: Layout) -> LockUse | None:
        """What shares an interpreter's lock; ``None`` where nobody shares one."""
        cost = self.topology.cost
        sharing = math.ceil(layout.workers / self.topology.processes)
        if self.topology.loop == "native" or sharing == 1 or cost is None:
            return None
        return LockUse(sharing, cost.cpu_ns, cost.service_ns, layout.workers / layout.cores_in_use)

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
    load: LoadSpec,
    loader: Loader,
    example: tuple[Any, ...],
    probe: Callable[[Any, tuple[Any, ...]], Any],
) -> Harness:
    """The topology that was asked for or, for ``auto``, the cheapest one that calls of this cost allow.

    Raises:
        BadInput: a mode of one process was asked for, but the device takes one process per core.
        WorkerFailed: the replica could not be loaded or called.
    """
    layout, backend = loader.layout, loader.backend
    options = LoadOptions(
        replicas=layout.replicas,
        cpus=layout.worker_cpus(backend),
        worker_context=backend.worker_context,
        probe=probe,
        process_env=ProcessEnvironment(backend, layout),
    )
    alone = replace(options, probe=None)
    _check(load, layout, backend)
    topology = _asked_topology(load.worker_mode, layout, backend) or choose_topology(
        loader, example, workers=layout.workers, options=alone
    )
    topology = _in_one_process(load, layout, backend, topology)
    if topology.loop == "python" and topology.processes < layout.workers and topology.cost is None:
        # Several workers share a lock: whether it slows them down shows only beside a call alone.
        topology = replace(topology, cost=calibrate(loader, example, alone))
    log.info("workers: %s", topology.why)
    return Harness(topology, topology.apply(options))


def _check(load: LoadSpec, layout: Layout, backend: Backend) -> None:
    """Refuse what a device that takes one process per core cannot do, before anything is loaded."""
    if not backend.needs_process_per_core():
        return
    if load.interleave:
        raise BadInput("interleave", True, "false: the device takes one process per core here")
    if layout.replicas > layout.cores:
        allowed = f"at most {layout.cores}, one per core: each takes its own process"
        raise BadInput("replicas", layout.replicas, allowed)
    if load.worker_mode in ("thread", "native"):
        allowed = "auto or process: the device takes one process per core here"
        raise BadInput("worker_mode", load.worker_mode, allowed)


def _in_one_process(load: LoadSpec, layout: Layout, backend: Backend, topology: Topology) -> Topology:
    """Threads instead, where replicas or programs share what two processes cannot."""
    if topology.processes == 1:
        return topology
    if load.interleave:
        shared = "which holds the programs of all batch sizes"
    elif layout.replicas > layout.cores and backend.process_environment([0]):
        shared = "because replicas share cores, and two processes cannot"
    else:
        return topology
    return Topology("python", 1, f"Python threads of one process, {shared}", topology.cost)


def _asked_topology(asked: WorkerModeAsked, layout: Layout, backend: Backend) -> Topology | None:
    replicas = layout.replicas
    if backend.needs_process_per_core():
        return Topology("python", replicas, "one process per replica: a process can load onto one core only")
    topologies: dict[str, Topology] = {
        "thread": Topology("python", 1, "Python threads of one process, as asked"),
        "process": Topology("python", replicas, "one process per replica, as asked"),
        "native": Topology("native", 1, "C++ loop, as asked"),
    }
    return topologies.get(asked)
