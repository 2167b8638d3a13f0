"""All that one measurement needs before its first call: program, inputs, reference, harness."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchlib.artifacts import ArtifactStore, Manifest
from benchlib.backends.base import Replica
from benchlib.core.compiling import read_reference
from benchlib.core.harness import Harness, choose_harness
from benchlib.core.layout import Loader
from benchlib.errors import BadInput
from benchlib.loadgen import LoadOptions, LoadProgress
from benchlib.progress import Progress, emit
from benchlib.spec import MeasureRequest

if TYPE_CHECKING:
    import torch

    from benchlib.backends.base import Backend
    from benchlib.core.layout import Layout

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """One program, ready to be driven."""

    request: MeasureRequest
    loader: Loader
    manifest: Manifest
    example: tuple[torch.Tensor, ...]
    reference: NDArray[np.float32]
    """The CPU's output for the example, made when the program was compiled."""
    harness: Harness

    @property
    def layout(self) -> Layout:
        """Replicas and workers on cores."""
        return self.loader.layout

    @classmethod
    def open(
        cls,
        request: MeasureRequest,
        backend: Backend,
        layout: Layout,
        directory: Path,
        harness: Harness | None = None,
    ) -> Session:
        """Fetch the program into ``directory`` and choose how to drive it, unless that is given.

        Raises:
            BadInput: the artifact was made for another backend or batch size.
            ArtifactCorrupt: the stored program is not what was stored.
            WorkerFailed: a replica could not be loaded or called for the calibration.
        """
        bundle = ArtifactStore(request.artifact_url).fetch(request.artifact, directory)
        _check_match(request, bundle.manifest)
        example, reference = read_reference(bundle)
        log.info("%d replicas on %d cores, %d workers", layout.replicas, layout.cores, layout.workers)
        loader = Loader(backend, bundle.program, layout)
        harness = harness or choose_harness(request.load, loader, example, answer)
        return cls(request, loader, bundle.manifest, example, reference, harness)

    @property
    def load_options(self) -> LoadOptions:
        """Of every run of this session."""
        return self.harness.options

    def tell(self, progress: LoadProgress, part: str) -> None:
        """Report how far the load is; ``part`` names it, such as ``round 2 of 3``."""
        throughput = progress.batches_per_s * self.request.batch_size
        half = progress.relative_half_width
        known = "" if half is None else f" ±{half:.1%}"
        emit(
            Progress(
                stage="measure",
                state="running",
                batch_size=self.request.batch_size,
                fraction=self._fraction(progress),
                message=f"{part}, {throughput:,.1f} inf/s{known}",
            )
        )

    def _fraction(self, progress: LoadProgress) -> float:
        load = self.request.load
        if load.stop == "rounds" or self.request.scenario == "server":
            return progress.batches / progress.of_batches
        # The rule may stop at any time before: the room for stamps says nothing of how far it is.
        return min(1.0, progress.measured_s / load.duration_s)


def limit_threads() -> tuple[str, ...]:
    """One compute thread per worker: more would fight for the cores that the other replicas need.

    The variable must be there when torch is first imported; it is what threads started later go by. Returns
    what to warn of.
    """
    asked = os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    if asked == "1":
        return ()
    return (f"OMP_NUM_THREADS is {asked}, not 1: replicas may have fought for cores",)


def answer(replica: Replica, example: tuple[Any, ...]) -> NDArray[np.float32]:
    """The probe of the load generator: what the replica answers, as numbers of the reference's type."""
    output: NDArray[np.float32] = replica(*example).float().numpy()
    return output


def _check_match(request: MeasureRequest, manifest: Manifest) -> None:
    if request.backend != manifest.ingredients.backend:
        raise BadInput("backend", request.backend, f"{manifest.ingredients.backend}, as it was compiled for")
    if request.batch_size != manifest.batch_size:
        raise BadInput("batch_size", request.batch_size, f"{manifest.batch_size}, as it was compiled for")
