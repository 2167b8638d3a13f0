"""Measure one compiled program under one load."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchlib import models
from benchlib.artifacts import ArtifactStore, Bundle, Manifest
from benchlib.backends import get_backend
from benchlib.backends.base import Backend, Replica
from benchlib.core.accuracy import check_outputs
from benchlib.core.compiling import OUTPUT
from benchlib.environment import capture
from benchlib.errors import BadInput, BenchError
from benchlib.loadgen import FixedRounds, LoadOptions, LoadProgress, LoadRun, measure, summarise
from benchlib.progress import Progress, emit
from benchlib.results import Check, Measurement, Round
from benchlib.spec import LoadSpec, MeasureRequest

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

LITTLES_LAW_TOLERANCE = 0.02

Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Layout:
    """Replica r goes onto core ``r % cores``, worker w drives replica ``w % replicas``."""

    cores: int
    replicas: int
    workers: int

    @classmethod
    def of(cls, load: LoadSpec, cores: int) -> Layout:
        """Resolve ``auto``: one replica per core (no more than there are workers), one worker per replica.

        Raises:
            BenchError: there is no core.
        """
        if cores < 1:
            raise BenchError("this host has no device to measure on: it can only compile")
        most = cores if load.workers == "auto" else min(cores, load.workers)
        replicas = most if load.replicas == "auto" else load.replicas
        return cls(cores, replicas, replicas if load.workers == "auto" else load.workers)

    def core_of_replica(self, replica: int) -> int:
        """Index of the core, from 0."""
        return replica % self.cores

    def core_of_worker(self, worker: int) -> int:
        """Index of the core that this worker drives."""
        return self.core_of_replica(worker % self.replicas)


@dataclass(frozen=True)
class _Loader:
    """Loads the i-th replica, in this process or in another."""

    backend: Backend
    program: Path
    layout: Layout

    def __call__(self, index: int) -> Replica:
        return self.backend.load(self.program, self.layout.core_of_replica(index))


def measure_program(request: MeasureRequest) -> Measurement:
    """Load the replicas, drive them, and say whether the figures can be believed.

    Raises:
        BadInput: the artifact was made for another backend or batch size, or the load cannot be laid out.
        ArtifactCorrupt: the stored program is not what was stored.
        WorkerFailed: a replica raised or could not be loaded.
    """
    backend = get_backend(request.backend)
    description = backend.describe()
    layout = Layout.of(request.load, description.cores)
    warnings = _limit_threads() + _crowding(layout)
    started_at = datetime.now(timezone.utc)
    with tempfile.TemporaryDirectory(prefix="bench-measure-") as name:
        bundle = ArtifactStore(request.artifact_url).fetch(request.artifact, Path(name))
        _check_match(request, bundle.manifest)
        example, reference = _read_reference(bundle)
        _log_layout(layout)
        with backend.watch(Path(name), min(layout.replicas, layout.cores)) as watch:
            run = _drive(request, _Loader(backend, bundle.program, layout), example)
    summary = summarise(run.stamps, request.batch_size)
    precision = bundle.manifest.ingredients.precision
    total = summary.total
    return Measurement(
        filename=request.artifact.filename,
        batch_size=request.batch_size,
        backend=request.backend,
        precision=precision,
        scenario=request.scenario,
        replicas=layout.replicas,
        workers=layout.workers,
        batches=total.batches,
        inferences=total.inferences,
        duration_s=total.duration_s,
        throughput_inf_per_s=total.throughput_inf_per_s,
        latency=total.latency,
        latency_histogram=summary.histogram,
        rounds=summary.rounds,
        checks=(
            *check_outputs(_outputs(run), reference, precision),
            littles_law(total, request.batch_size, layout.workers),
            *watch.checks,
        ),
        load_duration_s=run.load_duration_s,
        environment=capture(description),
        started_at=started_at,
        warnings=tuple(warnings),
    )


def littles_law(total: Round, batch_size: int, workers: int) -> Check:
    """Throughput x mean latency / batch size must be the number of busy workers (Little, 1961).

    A missing worker, a stopped clock or a latency in the wrong unit all show here.
    """
    mean_s = (total.latency.mean_ms or 0.0) / 1e3
    busy = total.throughput_inf_per_s * mean_s / batch_size
    error = abs(busy / workers - 1)
    passed = error <= LITTLES_LAW_TOLERANCE
    found = f"Throughput x mean latency / batch size is {busy:.2f} busy workers of {workers}."
    todo = (
        "" if passed else " The workers were unequally fast or not all busy: look for a slow or shared core."
    )
    return Check(
        name="littles_law",
        passed=passed,
        figure=error,
        limit=LITTLES_LAW_TOLERANCE,
        unit="relative error",
        advice=found + todo,
    )


def _drive(request: MeasureRequest, loader: _Loader, example: tuple[torch.Tensor, ...]) -> LoadRun:
    layout, load = loader.layout, request.load
    cpus = [loader.backend.worker_cpus(layout.core_of_worker(w)) for w in range(layout.workers)]
    known_cpus = [found for found in cpus if found is not None]
    return measure(
        loader,
        example,
        workers=layout.workers,
        batches_per_worker=load.batches_per_worker,
        warmup_batches=load.warmup_batches,
        stop=FixedRounds(load.rounds),
        options=LoadOptions(
            replicas=layout.replicas,
            cpus=known_cpus if len(known_cpus) == layout.workers else None,
            worker_context=loader.backend.worker_context,
            probe=_answer,
        ),
        on_progress=lambda progress: _tell(request, progress),
    )


def _answer(replica: Replica, example: tuple[Any, ...]) -> NDArray[np.float32]:
    """The probe of the load generator: what the replica answers, as numbers of the reference's type."""
    output: NDArray[np.float32] = replica(*example).float().numpy()
    return output


def _outputs(run: LoadRun) -> Outputs:
    before = {f"replica {r} before the load": output for r, output in run.probes_before.items()}
    return {**before, **{f"replica {r} after the load": output for r, output in run.probes_after.items()}}


def _read_reference(bundle: Bundle) -> tuple[tuple[torch.Tensor, ...], NDArray[np.float32]]:
    import torch

    with np.load(bundle.reference) as stored:
        example = tuple(torch.from_numpy(stored[name]) for name in models.INPUT_NAMES)
        return example, stored[OUTPUT]


def _check_match(request: MeasureRequest, manifest: Manifest) -> None:
    if request.backend != manifest.ingredients.backend:
        raise BadInput("backend", request.backend, f"{manifest.ingredients.backend}, as it was compiled for")
    if request.batch_size != manifest.batch_size:
        raise BadInput("batch_size", request.batch_size, f"{manifest.batch_size}, as it was compiled for")


def _limit_threads() -> list[str]:
    """One compute thread per worker: more would fight for the cores that the other replicas need.

    The variable must be there when torch is first imported; it is what threads started later go by.
    """
    asked = os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    if asked == "1":
        return []
    return [f"OMP_NUM_THREADS is {asked}, not 1: replicas may have fought for cores"]


def _crowding(layout: Layout) -> list[str]:
    if layout.replicas <= layout.cores:
        return []
    return [f"{layout.replicas} replicas shared {layout.cores} cores: latencies include waiting for a core"]


def _log_layout(layout: Layout) -> None:
    log.info("%d replicas on %d cores, %d workers", layout.replicas, layout.cores, layout.workers)


def _tell(request: MeasureRequest, progress: LoadProgress) -> None:
    fraction = progress.batches / progress.of_batches
    round_number = min(request.load.rounds, int(fraction * request.load.rounds) + 1)
    throughput = progress.batches_per_s * request.batch_size
    emit(
        Progress(
            stage="measure",
            state="running",
            batch_size=request.batch_size,
            fraction=fraction,
            message=f"round {round_number} of {request.load.rounds}, {throughput:,.1f} inf/s",
        )
    )
