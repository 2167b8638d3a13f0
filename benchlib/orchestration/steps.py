"""What the tasks of `inf2_batch_sweep` call: each runs one step of a sweep and stores what came of it.

A result is safe before its task succeeds (the spool is on disk), a database that is away costs a warning, and
a step whose result is already there is not run again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from benchlib.analysis.comparison import Comparison
from benchlib.analysis.peak import find_peak
from benchlib.errors import BenchError
from benchlib.orchestration.job import Job, tell_sweep
from benchlib.orchestration.launcher import StepInterrupted
from benchlib.orchestration.shelf import Figures, open_shelf
from benchlib.orchestration.sweep_params import sweep_spec
from benchlib.progress import Progress
from benchlib.records import SweepRecord, sweep_id_of
from benchlib.report.render import render
from benchlib.results import ArtifactRef, CompileResult, Measurement
from benchlib.settings import Settings
from benchlib.spec import CompileRequest, InterleavedRequest, MeasureRequest

log = logging.getLogger(__name__)


def sweep_record(params: Mapping[str, Any], *, dag_id: str, run_id: str, created_at: datetime) -> SweepRecord:
    """The sweep that a run of a DAG asks for; every task of the run builds the same.

    Raises:
        BadInput: a parameter is wrong.
    """
    return SweepRecord(
        sweep_id=sweep_id_of(dag_id, run_id),
        dag_id=dag_id,
        run_id=run_id,
        spec=sweep_spec(params),
        created_at=created_at,
    )


def plan_sweep(sweep: SweepRecord) -> list[int]:
    """Store what is asked and return the batch sizes to run, smallest first."""
    tell_sweep(sweep, Progress(stage="plan", state="started"))
    with open_shelf(Settings.from_environment()) as shelf:
        shelf.keep(sweep)
    tell_sweep(sweep, Progress(stage="plan", state="done"))
    return list(sweep.spec.batch_sizes)


def compile_batch_size(sweep: SweepRecord, batch_size: int, *, attempt: int) -> dict[str, Any]:
    """Compile one batch size and return its `ArtifactRef`, ready for JSON. A stored program is found.

    Raises:
        StepFailed: there is no program; the reason is stored.
    """
    job = Job(Settings.from_environment(), sweep, "compile", batch_size, attempt)
    result = job.run(_compile_request(job))
    assert isinstance(result, CompileResult)
    job.tell("cached" if result.cache_hit else "done")
    return result.artifact.model_dump(mode="json")


def measure_batch_size(
    sweep: SweepRecord, batch_size: int, artifact: Mapping[str, Any], *, attempt: int
) -> dict[str, Any]:
    """Measure one batch size with the device to itself and return its headline figures, ready for JSON.

    What an earlier try measured before it died is not measured again.

    Raises:
        StepFailed: there is no measurement; the reason is stored.
    """
    job = Job(Settings.from_environment(), sweep, "measure", batch_size, attempt)
    with open_shelf(job.settings) as shelf:
        figures = shelf.figures(sweep, batch_size)
    if figures:
        log.info(
            "batch size %d of this sweep has been measured: for new figures, start a new run", batch_size
        )
    else:
        program = ArtifactRef.model_validate(artifact)
        in_turns = _measure_in_turns(job, program) if sweep.spec.load.interleave else None
        result = in_turns or job.run(_measure_request(job, batch_size, program))
        assert isinstance(result, Measurement)
        figures = Figures(result.throughput_inf_per_s, result.latency.p50_ms, result.valid)
    job.tell("done", f"{figures.throughput_inf_per_s:,.1f} inf/s")
    return asdict(figures)


def _compile_request(job: Job) -> CompileRequest:
    spec = job.sweep.spec
    return CompileRequest(
        model=spec.model,
        batch_size=job.batch_size,
        backend=spec.backend,
        precision=spec.precision,
        compiler_args=spec.compiler_args,
        artifact_url=job.settings.artifact_url,
    )


def _measure_request(job: Job, batch_size: int, program: ArtifactRef) -> MeasureRequest:
    spec = job.sweep.spec
    return MeasureRequest(
        artifact=program,
        artifact_url=job.settings.artifact_url,
        batch_size=batch_size,
        backend=spec.backend,
        scenario=spec.scenario,
        load=spec.load,
    )


def _measure_in_turns(job: Job, program: ArtifactRef) -> Measurement | None:
    """Measure all batch sizes of the sweep round by round, store all, and return this one's.

    The first of the sweep's measuring tasks does so for all; the others find theirs stored. Programs that are
    still missing are compiled on the way. ``None``: it did not work, such as for lack of device memory, and
    this batch size is to be measured alone.
    """
    programs = {job.batch_size: program, **_other_programs(job)}
    requests = tuple(_measure_request(job, size, programs[size]) for size in sorted(programs))
    if len(requests) == 1:
        return None
    try:
        measured = job.run_in_turns(InterleavedRequest(requests=requests))
    except StepInterrupted:
        raise
    except BenchError as error:
        log.warning("measuring in turns did not work, so that each batch size is measured alone: %s", error)
        return None
    return next(each for each in measured if each.batch_size == job.batch_size)


def _other_programs(job: Job) -> dict[int, ArtifactRef]:
    """Those that can be had and are not measured yet; one that does not compile has a task to say so."""
    found = {}
    with open_shelf(job.settings) as shelf:
        missing = [size for size in job.sweep.spec.batch_sizes if not shelf.figures(job.sweep, size)]
    for size in missing:
        if size == job.batch_size:
            continue
        other = replace(job, stage="compile", batch_size=size)
        try:
            result = other.try_out(_compile_request(other))
        except BenchError as error:
            log.warning("batch size %d cannot be measured in turns: %s", size, error)
            continue
        assert isinstance(result, CompileResult)
        found[size] = result.artifact
    return found


def report_sweep(sweep: SweepRecord) -> Comparison:
    """Read the sweep's rows from the database, log the table and return it.

    Raises:
        DatabaseUnreachable: the results wait in the spool.
    """
    with open_shelf(Settings.from_environment()) as shelf:
        comparison = shelf.comparison(sweep)
    for line in render(comparison, "terminal").splitlines():
        log.info("%s", line)
    tell_sweep(sweep, Progress(stage="report", state="done"))
    return comparison


@dataclass(frozen=True)
class SweepDone:
    """What the asset's event says of a finished sweep; every field is flat, ready for JSON."""

    sweep_id: str
    valid: int
    """Batch sizes with a valid figure."""
    invalid: int
    """Measured, but not to be believed."""
    failed: int
    """Without a figure."""
    peak_batch_size: int | None
    """``None``: no size is valid."""
    verdict: str | None = None
    """What detection made of it; ``None``: it was not judged."""


def sweep_done(comparison: Comparison, verdict: str | None = None) -> SweepDone:
    """What other DAGs are told of a finished sweep."""
    states = [row.status for row in comparison.rows]
    peak = find_peak(comparison.rows)
    return SweepDone(
        sweep_id=str(comparison.sweep_id),
        valid=states.count("ok"),
        invalid=states.count("invalid"),
        failed=states.count("failed"),
        peak_batch_size=peak.batch_size if peak else None,
        verdict=verdict,
    )
