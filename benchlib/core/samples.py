"""The clock readings of every measured batch in one file, so that any figure can be made again from them.

``numpy.load`` reads it. Times are nanoseconds since the first reading, int64. Closed loops: ``ns`` with shape
(rounds, workers, batches per worker + 1), see `benchlib.loadgen.stamps.Stamps`; ``numpy.diff`` along the last
axis is the latencies. Scenario server: ``scheduled_ns``, ``start_ns``, ``end_ns`` and ``worker``, each with
shape (arrivals,), see `benchlib.loadgen.open_loop.OpenLoopRun`; latency is end minus scheduled.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchlib.core.driving import Driven
from benchlib.results import samples_filename

log = logging.getLogger(__name__)


def keep_samples(driven: Driven, batch_size: int, directory: Path | None) -> None:
    """Write the samples into a directory, if there is one; a full disk costs a warning, no measurement."""
    readings = _readings(driven)
    if directory is None or not readings:
        return
    path = directory / samples_filename(batch_size)
    try:
        np.savez_compressed(path, **readings)  # type: ignore[arg-type]
    except OSError as error:
        path.unlink(missing_ok=True)
        log.warning("the raw samples of batch size %d are not kept: %s", batch_size, error.strerror)


def _readings(driven: Driven) -> dict[str, NDArray[np.int64]]:
    if driven.arrivals is not None:
        run = driven.arrivals
        times = {"scheduled_ns": run.scheduled_ns, "start_ns": run.start_ns, "end_ns": run.end_ns}
        first_ns = run.scheduled_ns.min()
        return {"worker": run.worker, **{name: ns - first_ns for name, ns in times.items()}}
    if driven.stamps is not None:
        return {"ns": driven.stamps.ns - driven.stamps.ns.min()}
    return {}
