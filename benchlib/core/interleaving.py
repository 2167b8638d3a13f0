"""Several programs of one sweep, loaded side by side and measured in turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchlib.backends import get_backend
from benchlib.backends.base import Watch
from benchlib.core.driving import closed_loop_figures, part_of, stop_rule
from benchlib.core.host_watch import HostSources, watching_host
from benchlib.core.layout import Layout
from benchlib.core.measuring import Began, Seen, measurement_of, overhead_of
from benchlib.core.samples import keep_samples
from benchlib.core.session import Session
from benchlib.loadgen import InterleavedLoad, LoadProgress, LoadRun, measure_interleaved
from benchlib.loadgen.topology import calibrate
from benchlib.results import InterleavedResult
from benchlib.spec import InterleavedRequest


def measure_in_turns(
    request: InterleavedRequest,
    interrupted: Callable[[], bool] = lambda: False,
    samples: Path | None = None,
) -> InterleavedResult:
    """Load all programs, measure a round of each, then the next round of each, and check every one.

    What a drift of the host does, it does to all of them. Device and host are watched over the whole time.

    Args:
        request: the programs, with one load for all.
        interrupted: as for `measure_program`.
        samples: likewise.

    Raises:
        BadInput: an artifact was made for another backend or batch size; the device or the worker mode takes
            several processes.
        ArtifactCorrupt: a stored program is not what was stored.
        WorkerFailed: a replica raised or could not be loaded, such as for lack of device memory.
        Interrupted: told to stop before every program had a complete round.
    """
    first = request.requests[0]
    backend = get_backend(first.backend)
    began = Began.now(backend, Layout.of(first.load, backend.describe().cores, first.scenario))
    with tempfile.TemporaryDirectory(prefix="bench-measure-") as name, ExitStack() as watches:
        sessions = _open_all(request, began, Path(name))
        host = watches.enter_context(watching_host(HostSources(device_pids=backend.device_pids)))
        watch = watches.enter_context(backend.watch(Path(name), began.layout.cores_in_use))
        runs = _drive(sessions, interrupted)
        watches.close()
        if len(sessions) > 1:
            # Readings of the whole time are no single program's.
            watch = Watch(checks=watch.checks)
        driven = [closed_loop_figures(session, run) for session, run in zip(sessions, runs, strict=True)]
        seen = [
            Seen(figures, watch, host.activity, overhead_of(session, figures))
            for session, figures in zip(sessions, driven, strict=True)
        ]
    for session, figures in zip(sessions, driven, strict=True):
        if not interrupted():
            keep_samples(figures, session.request.batch_size, samples)
    measured = (measurement_of(session, what, began) for session, what in zip(sessions, seen, strict=True))
    return InterleavedResult(measurements=tuple(measured))


def _open_all(request: InterleavedRequest, began: Began, directory: Path) -> list[Session]:
    """One topology for all: what the first program's calls cost decides."""
    sessions: list[Session] = []
    for number, one in enumerate(request.requests):
        folder = directory / str(number)
        folder.mkdir()
        harness = sessions[0].harness if sessions else None
        session = Session.open(one, get_backend(one.backend), began.layout, folder, harness)
        sessions.append(_with_own_cost(session, request) if sessions else session)
    return sessions


def _with_own_cost(session: Session, request: InterleavedRequest) -> Session:
    """What a call costs differs from size to size, and where a lock is shared it is judged by."""
    topology = session.harness.topology
    why = f"as for batch size {request.requests[0].batch_size}: {topology.why}"
    topology = replace(topology, why=why, cost=None)
    if topology.loop == "python":
        options = replace(session.load_options, probe=None)
        topology = replace(topology, cost=calibrate(session.loader, session.example, options))
    return replace(session, harness=replace(session.harness, topology=topology))


def _drive(sessions: list[Session], interrupted: Callable[[], bool]) -> list[LoadRun]:
    load = sessions[0].request.load

    def tell(index: int, progress: LoadProgress) -> None:
        sessions[index].tell(progress, part_of(load, progress))

    return measure_interleaved(
        [_load_of(session) for session in sessions],
        warmup_batches=load.warmup_batches,
        stable=load.warmup == "stable",
        stop=stop_rule(load),
        interrupted=interrupted,
        on_progress=tell,
    )


def _load_of(session: Session) -> InterleavedLoad:
    return InterleavedLoad(
        load=session.loader,
        example=session.example,
        workers=session.layout.workers,
        batches_per_worker=session.request.load.batches_per_worker,
        options=session.load_options,
        name=f"batch size {session.request.batch_size}",
    )
