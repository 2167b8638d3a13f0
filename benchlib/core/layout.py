"""Which replica goes onto which core, and which worker drives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchlib.backends.base import Backend, Replica
from benchlib.errors import BenchError
from benchlib.results import Scenario
from benchlib.spec import LoadSpec


@dataclass(frozen=True)
class Layout:
    """Replica r goes onto core ``r % cores``, worker w drives replica ``w % replicas``."""

    cores: int
    replicas: int
    workers: int

    @classmethod
    def of(cls, load: LoadSpec, cores: int, scenario: Scenario = "offline") -> Layout:
        """Resolve ``auto``: one replica per core (no more than there are workers), one worker per replica.

        ``single_stream`` has one of each.

        Raises:
            BenchError: there is no core.
        """
        if cores < 1:
            raise BenchError("this host has no device to measure on: it can only compile")
        if scenario == "single_stream":
            return cls(cores, 1, 1)
        most = cores if load.workers == "auto" else min(cores, load.workers)
        replicas = most if load.replicas == "auto" else load.replicas
        return cls(cores, replicas, replicas if load.workers == "auto" else load.workers)

    def core_of_replica(self, replica: int) -> int:
        """Index of the core, from 0."""
        return replica % self.cores

    def core_of_worker(self, worker: int) -> int:
        """Index of the core that this worker drives."""
        return self.core_of_replica(worker % self.replicas)

    def worker_cpus(self, backend: Backend) -> list[frozenset[int]] | None:
        """For each worker the CPUs next to its core; ``None`` where the backend does not know them."""
        found = [backend.worker_cpus(self.core_of_worker(w)) for w in range(self.workers)]
        known = [cpus for cpus in found if cpus is not None]
        return known if len(known) == self.workers else None

    @property
    def cores_in_use(self) -> int:
        """Cores that hold a replica."""
        return min(self.replicas, self.cores)

    @property
    def crowding(self) -> tuple[str, ...]:
        """What to warn of when replicas have to share cores."""
        if self.replicas <= self.cores:
            return ()
        shared = f"{self.replicas} replicas shared {self.cores} cores"
        return (f"{shared}: latencies include waiting for a core",)


@dataclass(frozen=True)
class ProcessEnvironment:
    """The variables of a child process that loads some of the replicas."""

    backend: Backend
    layout: Layout

    def __call__(self, replicas: Sequence[int]) -> Mapping[str, str]:
        """For the child that loads these."""
        cores = sorted({self.layout.core_of_replica(replica) for replica in replicas})
        return self.backend.process_environment(cores)


@dataclass(frozen=True)
class Loader:
    """Loads the i-th replica, in this process or in another."""

    backend: Backend
    program: Path
    layout: Layout

    def __call__(self, index: int) -> Replica:
        """The i-th replica, on its core."""
        return self.backend.load(self.program, self.layout.core_of_replica(index))


@dataclass
class KeptReplicas:
    """Loads each replica once in this process: a core has no room for a second copy per run."""

    loader: Callable[[int], Replica]
    _loaded: dict[int, Replica] = field(default_factory=dict)

    def __call__(self, index: int) -> Replica:
        """The i-th replica, loaded now or before."""
        if index not in self._loaded:
            self._loaded[index] = self.loader(index)
        return self._loaded[index]
