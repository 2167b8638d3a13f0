"""What a run is asked to do, as one picklable value that child processes get too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from benchlib.loadgen.worker import Worker

Replica = Callable[..., Any]
"""A loaded copy of the model: called with the example inputs."""


@dataclass(frozen=True)
class LoadOptions:
    """The less common settings of a run. Whatever crosses into child processes must be picklable."""

    replicas: int | None = None
    """Loaded copies; ``None``: one per worker. Worker w drives replica ``w % replicas``."""
    loop: Literal["python", "native"] = "python"
    """What issues the calls; native: C++ for TorchScript replicas, see `benchlib.loadgen.native`."""
    processes: int = 1
    """Processes that the workers are spread over; 1 needs no child."""
    cpus: Sequence[frozenset[int]] | None = None
    """For each worker, the CPUs that its thread may run on; ``None``: wherever the kernel likes."""
    worker_context: Callable[[], AbstractContextManager[Any]] = nullcontext
    """Entered once in each worker's thread, such as ``torch.inference_mode``."""
    probe: Callable[[Replica, tuple[Any, ...]], Any] | None = None
    """Called on each replica before and after the load; its answers are handed back."""
    process_env: Callable[[Sequence[int]], Mapping[str, str]] | None = None
    """Further environment variables of the child that loads these replicas."""


@dataclass(frozen=True)
class LoadJob:
    """A run: which replicas, which inputs, how many workers, how long."""

    load: Callable[[int], Replica]
    example: tuple[Any, ...]
    workers: int
    warmup_batches: int
    options: LoadOptions = field(default_factory=LoadOptions)
    loop_body: Callable[[Worker], None] | None = None
    """What each worker does after the start instant; ``None``: the closed loop. Picklable for processes."""

    @property
    def replicas(self) -> int:
        """Loaded copies of the model in the whole run."""
        return self.workers if self.options.replicas is None else self.options.replicas

    def replica_of(self, worker: int) -> int:
        """The replica that this worker drives."""
        return worker % self.replicas

    def workers_of_process(self, process: int) -> tuple[int, ...]:
        """The workers of one process. All workers of a replica share its process."""
        processes = self.options.processes
        # Neighbours stay together: an accelerator's runtime takes ranges of cores.
        return tuple(
            w for w in range(self.workers) if self.replica_of(w) * processes // self.replicas == process
        )
