"""What the tasks of `inf2_batch_sweep` call: each runs one step of a sweep and stores what came of it.

A result is safe before its task succeeds (the spool is on disk), a database that is away costs a warning, and
a step whose result is already there is not run again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from benchlib.analysis.comparison import Comparison
from benchlib.errors import BadInput, BenchError
from benchlib.interpreters import find_neuron_interpreter
from benchlib.neuron_failures import Remedy, classify
from benchlib.orchestration.device_lock import DeviceBusy, device_lock
from benchlib.orchestration.launcher import StepFailed, run_step
from benchlib.orchestration.names import DEVICE_QUEUE
from benchlib.orchestration.progress_file import tell
from benchlib.orchestration.shelf import Figures, open_shelf
from benchlib.orchestration.sweep_params import sweep_spec
from benchlib.profiles import sanity_check
from benchlib.progress import Progress, State
from benchlib.records import CompilationRecord, MeasurementRecord, SweepRecord, sweep_id_of
from benchlib.report.render import render
from benchlib.results import ArtifactRef, CompileResult, Failure, FailureKind, Measurement
from benchlib.settings import Settings
from benchlib.spec import CompileRequest, MeasureRequest, SweepSpec
from benchlib.store.errors import RecordRejected

STEP_TIMEOUT_S = 3600.0
"""For one compilation or one measurement; the largest of either took minutes."""

DEVICE_TIMEOUT_S = 3600.0
"""For the wait until the device is free."""

HOST_IS_BAD = (
    f"Take this host out: stop its worker on the queue {DEVICE_QUEUE}, and give it no more work until a "
    "person has looked at it"
)

_WORTH_A_TRY = ("retry_with_backoff", "retry_once_fresh_process")

log = logging.getLogger(__name__)


def is_retryable(error: BenchError, attempt: int = 1) -> bool:
    """Whether another try may end differently, after this one (from 1) has failed.

    Not for what was asked wrongly, not on a broken device, and only once where a fresh process is the cure.
    """
    if not isinstance(error, StepFailed):
        return not isinstance(error, (BadInput, RecordRejected))
    remedy = _remedy(error.failure, attempt)
    return error.failure.kind != "bad_input" and (remedy is None or remedy in _WORTH_A_TRY)


def _remedy(failure: Failure, attempt: int) -> Remedy | None:
    known = classify("\n".join([failure.message, *failure.log_tail]))
    return known.remedy_at(attempt) if known else None


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
    _tell(sweep, Progress(stage="plan", state="started"))
    with open_shelf(Settings.from_environment()) as shelf:
        shelf.keep(sweep)
    _tell(sweep, Progress(stage="plan", state="done"))
    return list(sweep.spec.batch_sizes)


def compile_batch_size(sweep: SweepRecord, batch_size: int, *, attempt: int) -> dict[str, Any]:
    """Compile one batch size and return its `ArtifactRef`, ready for JSON. A stored program is found.

    Raises:
        StepFailed: there is no program; the reason is stored.
    """
    job = _Job(Settings.from_environment(), sweep, "compile", batch_size, attempt)
    spec = sweep.spec
    result = job.run(
        CompileRequest(
            model=spec.model,
            batch_size=batch_size,
            backend=spec.backend,
            precision=spec.precision,
            compiler_args=spec.compiler_args,
            artifact_url=job.settings.artifact_url,
        )
    )
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
    job = _Job(Settings.from_environment(), sweep, "measure", batch_size, attempt)
    with open_shelf(job.settings) as shelf:
        figures = shelf.figures(sweep, batch_size)
    if figures:
        log.info(
            "batch size %d of this sweep has been measured: for new figures, start a new run", batch_size
        )
    else:
        result = job.run(
            MeasureRequest(
                artifact=ArtifactRef.model_validate(artifact),
                artifact_url=job.settings.artifact_url,
                batch_size=batch_size,
                backend=sweep.spec.backend,
                scenario=sweep.spec.scenario,
                load=sweep.spec.load,
            )
        )
        assert isinstance(result, Measurement)
        figures = Figures(result.throughput_inf_per_s, result.latency.p50_ms, result.valid)
    job.tell("done", f"{figures.throughput_inf_per_s:,.1f} inf/s")
    return asdict(figures)


def report_sweep(sweep: SweepRecord) -> Comparison:
    """Read the sweep's rows from the database, log the table and return it.

    Raises:
        DatabaseUnreachable: the results wait in the spool.
    """
    with open_shelf(Settings.from_environment()) as shelf:
        comparison = shelf.comparison(sweep)
    for line in render(comparison, "terminal").splitlines():
        log.info("%s", line)
    _tell(sweep, Progress(stage="report", state="done"))
    return comparison


@dataclass(frozen=True)
class _Job:
    """One try at one batch size."""

    settings: Settings
    sweep: SweepRecord
    stage: Literal["compile", "measure"]
    batch_size: int
    attempt: int

    def run(self, request: CompileRequest | MeasureRequest) -> CompileResult | Measurement:
        """Run the step, store its result or its failure, and return the one or raise the other."""
        self.tell("started")
        try:
            result = self._judged(self._run(request))
        except BenchError as error:
            failed = StepFailed(self._failure(error))
            self._keep(failure=failed.failure)
            self.tell("failed", str(failed))
            raise failed from error
        self._keep(result=result)
        return result

    def tell(self, state: State, message: str = "") -> None:
        """Tell who follows the run how far this batch size is."""
        self._pass_on(Progress(stage=self.stage, state=state, message=message))

    def _run(self, request: CompileRequest | MeasureRequest) -> CompileResult | Measurement:
        python = interpreter_of(self.sweep.spec, self.settings)
        what = f"{self.stage} of batch size {self.batch_size}, run {self.sweep.run_id}"
        with device_lock(
            self.settings.device_lock,
            exclusive=self.stage == "measure",
            what=what,
            timeout_s=DEVICE_TIMEOUT_S,
        ) as lock:
            return run_step(
                python, request, timeout_s=STEP_TIMEOUT_S, on_progress=self._pass_on_running, keep_open=[lock]
            )

    def _judged(self, result: CompileResult | Measurement) -> CompileResult | Measurement:
        """A measurement with the one check that needs the model's name, which the data plane forgets."""
        if not isinstance(result, Measurement):
            return result
        check = sanity_check(self.sweep.spec.model, result)
        return result.model_copy(update={"checks": (*result.checks, check)}) if check else result

    def _failure(self, error: BenchError) -> Failure:
        if not isinstance(error, StepFailed):
            kinds: dict[type[BenchError], FailureKind] = {BadInput: "bad_input", DeviceBusy: "timeout"}
            return Failure(stage=self.stage, kind=kinds.get(type(error), "error"), message=str(error))
        failure = error.failure
        if _remedy(failure, self.attempt) != "host_is_bad":
            return failure
        return failure.model_copy(update={"message": f"{failure.message.rstrip('.')}. {HOST_IS_BAD}"})

    def _keep(
        self, result: CompileResult | Measurement | None = None, failure: Failure | None = None
    ) -> None:
        kind = CompilationRecord if self.stage == "compile" else MeasurementRecord
        record = kind.model_validate(
            {
                "sweep": self.sweep,
                "batch_size": self.batch_size,
                "attempt": self.attempt,
                "result": result,
                "failure": failure,
                "recorded_at": datetime.now(UTC),
            }
        )
        with open_shelf(self.settings) as shelf:
            shelf.keep(record)

    def _pass_on_running(self, progress: Progress) -> None:
        # The other states are for this process to tell: it knows when the result is safe.
        if progress.state == "running":
            self._pass_on(progress)

    def _pass_on(self, progress: Progress) -> None:
        _tell(self.sweep, progress.model_copy(update={"batch_size": self.batch_size}))


def interpreter_of(spec: SweepSpec, settings: Settings) -> Path:
    """The Python that compiles and measures this sweep on this host.

    Raises:
        BadInput: the one that a Neuron sweep names has no torch-neuronx, or is none.
        BenchError: nothing on this Neuron host has torch-neuronx.
    """
    if spec.interpreter != "auto":
        named = Path(spec.interpreter)
        return find_neuron_interpreter(named).python if spec.backend == "neuron" else named
    if spec.backend == "neuron" and not os.environ.get("BENCH_DATA_PYTHON"):
        return find_neuron_interpreter().python
    return settings.data_python


def _tell(sweep: SweepRecord, progress: Progress) -> None:
    tell(progress.model_copy(update={"sweep_id": str(sweep.sweep_id)}))
