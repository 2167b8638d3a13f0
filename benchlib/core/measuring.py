"""Measure one compiled program under one load, and say whether the figures can be believed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from benchlib.backends import get_backend
from benchlib.backends.base import Backend, Watch
from benchlib.core.accuracy import check_outputs
from benchlib.core.driving import Driven, drive_closed
from benchlib.core.host_watch import HostActivity, HostSources, watching_host
from benchlib.core.layout import Layout
from benchlib.core.samples import keep_samples
from benchlib.core.server import drive_server
from benchlib.core.session import Session, limit_threads
from benchlib.core.validity import Evidence, validity
from benchlib.environment import capture
from benchlib.results import Check, Environment, HarnessOverhead, Measurement
from benchlib.spec import MeasureRequest


def measure_program(
    request: MeasureRequest,
    interrupted: Callable[[], bool] = lambda: False,
    samples: Path | None = None,
) -> Measurement:
    """Load the replicas, drive them, and check what was measured.

    Args:
        request: the program and the load.
        interrupted: asked several times a second; once true, no further round is begun. The finished ones
            make a measurement that says it is not complete, and is not valid.
        samples: directory for the raw samples, see `benchlib.core.samples`; ``None``: they are not kept.

    Raises:
        BadInput: the artifact was made for another backend or batch size, or the load cannot be laid out.
        ArtifactCorrupt: the stored program is not what was stored.
        WorkerFailed: a replica raised or could not be loaded.
        Interrupted: told to stop before the first round was complete.
    """
    backend = get_backend(request.backend)
    began = Began.now(backend, Layout.of(request.load, backend.describe().cores, request.scenario))
    with tempfile.TemporaryDirectory(prefix="bench-measure-") as name:
        session = Session.open(request, backend, began.layout, Path(name))
        seen = _drive(session, Path(name), interrupted)
    if not interrupted():
        keep_samples(seen.driven, request.batch_size, samples)
    return measurement_of(session, seen, began)


@dataclass(frozen=True)
class Began:
    """What is known before anything is loaded."""

    layout: Layout
    environment: Environment
    started_at: datetime
    warnings: tuple[str, ...]

    @classmethod
    def now(cls, backend: Backend, layout: Layout) -> Began:
        """Look at the host, and keep libraries from starting threads of their own."""
        warnings = (*limit_threads(), *layout.crowding)
        return cls(layout, capture(backend.describe()), datetime.now(timezone.utc), warnings)


@dataclass(frozen=True)
class Seen:
    """A load, with what watched the device and the host meanwhile."""

    driven: Driven
    watch: Watch
    host: HostActivity | None
    overhead: HarnessOverhead | None


def _drive(session: Session, directory: Path, interrupted: Callable[[], bool]) -> Seen:
    layout, backend = session.layout, session.loader.backend
    drive = drive_server if session.request.scenario == "server" else drive_closed
    sources = HostSources(device_pids=backend.device_pids)
    with watching_host(sources) as host, backend.watch(directory, layout.cores_in_use) as watch:
        driven = drive(session, interrupted)
    return Seen(driven, watch, host.activity, overhead_of(session, driven))


def overhead_of(session: Session, driven: Driven) -> HarnessOverhead | None:
    """Of the same topology in the same minute, so that it speaks of the host as it just was.

    ``None`` for an interrupted run: whoever stopped it does not wait.
    """
    if driven.course.interrupted:
        return None
    service_ms = driven.service.p50_ms or driven.service.mean_ms
    assert service_ms is not None
    return session.harness.overhead(service_ms, session.layout.workers)


def measurement_of(session: Session, seen: Seen, began: Began) -> Measurement:
    """The figures with everything that is needed to believe them."""
    driven, request, total = seen.driven, session.request, seen.driven.total
    topology = session.harness.topology
    environment = capture(session.loader.backend.describe())
    return Measurement(
        filename=request.artifact.filename,
        batch_size=request.batch_size,
        backend=request.backend,
        precision=session.manifest.ingredients.precision,
        scenario=request.scenario,
        replicas=session.layout.replicas,
        workers=session.layout.workers,
        worker_mode=session.harness.worker_mode,
        processes=topology.processes,
        topology=topology.why,
        batches=total.batches,
        inferences=total.inferences,
        duration_s=total.duration_s,
        throughput_inf_per_s=total.throughput_inf_per_s,
        throughput_interval=driven.throughput_interval,
        latency=total.latency,
        latency_intervals=driven.latency_intervals,
        latency_histogram=driven.histogram,
        overhead=seen.overhead,
        server=driven.server,
        telemetry=seen.watch.telemetry,
        rounds=driven.rounds,
        checks=_checks(session, seen, (began.environment, environment)),
        load_duration_s=driven.load_duration_s,
        environment=environment,
        started_at=began.started_at,
        warnings=began.warnings,
    )


def _checks(session: Session, seen: Seen, environments: tuple[Environment, Environment]) -> tuple[Check, ...]:
    driven = seen.driven
    evidence = Evidence(
        total=driven.total,
        batch_size=session.request.batch_size,
        workers=session.layout.workers,
        rounds=driven.rounds,
        worker_rates_per_s=driven.worker_rates_per_s,
        course=driven.course,
        overhead=seen.overhead,
        lock=session.harness.lock_use(session.layout),
        host=seen.host,
        environments=environments,
        arrivals=driven.arrivals,
    )
    precision = session.manifest.ingredients.precision
    outputs = check_outputs(driven.outputs, session.reference, precision)
    return (*outputs, *validity(evidence), *seen.watch.checks)
