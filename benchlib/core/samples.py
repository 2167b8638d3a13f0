"""The clock readings of every measured batch in one file, so that any figure can be made again from them.

``numpy.load`` reads it. Times are nanoseconds since the first reading, int64. Closed loops: ``ns`` with shape
(rounds, workers, batches per worker + 1), see `benchlib.loadgen.stamps.Stamps`; ``numpy.diff`` along the last
axis is the latencies. Scenario server: ``scheduled_ns``, ``start_ns``, ``end_ns`` and ``worker``, each with
shape (arrivals,), see `benchlib.loadgen.open_loop.OpenLoopRun`; latency is end minus scheduled.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchlib.core.driving import Driven
from benchlib.results import samples_filename

log = logging.getLogger(__name__)


def keep_samples(driven: Driven, batch_size: int, directory: Path | None) -> None:
    """Write the samples into a directory, if there is one; that it fails costs a warning, no measurement.

    Those of an interrupted run are left: whoever stopped it gives it seconds, and the result comes first.
    """
    if directory is None or driven.course.interrupted:
        return
    path = directory / samples_filename(batch_size)
    try:
        readings = _readings(driven)
        if readings:
            np.savez_compressed(path, **readings)  # type: ignore[arg-type]
    except (OSError, MemoryError, ValueError) as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        why = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        log.warning("the raw samples of batch size %d are not kept: %s", batch_size, why)


def _readings(driven: Driven) -> dict[str, NDArray[np.int64]]:
    if driven.arrivals is not None:
        run = driven.arrivals
        times = {"scheduled_ns": run.scheduled_ns, "start_ns": run.start_ns, "end_ns": run.end_ns}
        first_ns = run.scheduled_ns.min()
        return {"worker": run.worker, **{name: ns - first_ns for name, ns in times.items()}}
    if driven.stamps is not None:
        return {"ns": driven.stamps.ns - driven.stamps.ns.min()}
    return {}
