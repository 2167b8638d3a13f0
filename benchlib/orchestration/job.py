"""One try at one step of a sweep: under the device's lock, in the data plane, with its result stored."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from benchlib.artifacts import ArtifactStore
from benchlib.errors import BadInput, BenchError
from benchlib.interpreters import find_neuron_interpreter
from benchlib.neuron_failures import Remedy, classify
from benchlib.orchestration.device_lock import DeviceBusy, device_lock
from benchlib.orchestration.launcher import Measured, Request, StepFailed, StepInterrupted, run_step
from benchlib.orchestration.names import DEVICE_QUEUE
from benchlib.orchestration.progress_file import tell
from benchlib.orchestration.shelf import open_shelf
from benchlib.profiles import sanity_check
from benchlib.progress import Progress, State
from benchlib.records import CompilationRecord, MeasurementRecord, SweepRecord
from benchlib.results import (
    CompileResult,
    Failure,
    FailureKind,
    InterleavedResult,
    Measurement,
    samples_filename,
)
from benchlib.settings import Settings
from benchlib.spec import CompileRequest, InterleavedRequest, MeasureRequest, SweepSpec
from benchlib.store.errors import RecordRejected

STEP_TIMEOUT_S = 3600.0
"""For one compilation or one measurement, beyond the time that it was asked to measure for."""

MOST_CORES = 24
"""Of any inf2 instance."""

DEVICE_TIMEOUT_S = 3600.0
"""For the wait until the device is free."""

HOST_IS_BAD = (
    f"Take this host out: stop its worker on the queue {DEVICE_QUEUE}, and give it no more work until a "
    "person has looked at it"
)

log = logging.getLogger(__name__)

_WORTH_A_TRY = ("retry_with_backoff", "retry_once_fresh_process")


def is_retryable(error: BenchError, attempt: int = 1) -> bool:
    """Whether another try may end differently, after this one (from 1) has failed.

    Not for what was asked wrongly, not on a broken device, and only once where a fresh process is the cure.
    """
    if not isinstance(error, StepFailed):
        return not isinstance(error, (BadInput, RecordRejected))
    remedy = _remedy(error.failure, attempt)
    return error.failure.kind != "bad_input" and (remedy is None or remedy in _WORTH_A_TRY)


def is_hosts(failure: Failure) -> bool:
    """Whether the host is to blame: a broken device, a driver that is not there."""
    return _remedy(failure, attempt=2) in ("host_is_bad", "preflight")


def _remedy(failure: Failure, attempt: int) -> Remedy | None:
    known = classify("\n".join([failure.message, *failure.log_tail]))
    return known.remedy_at(attempt) if known else None


@dataclass(frozen=True)
class Job:
    """One try at one batch size."""

    settings: Settings
    sweep: SweepRecord
    stage: Literal["compile", "measure"]
    batch_size: int
    attempt: int

    def run(self, request: CompileRequest | MeasureRequest) -> CompileResult | Measurement:
        """Run the step, store its result or its failure, and return the one or raise the other."""
        self.tell("started")
        with tempfile.TemporaryDirectory(prefix="bench-step-") as samples:
            try:
                done = self.try_out(request, Path(samples))
                assert not isinstance(done, InterleavedResult)
                result = self._judged(done) if isinstance(done, Measurement) else done
            except StepInterrupted as stopped:
                # Not stored as a failure: that would take the place of what the step had finished.
                self.tell("failed", str(stopped))
                raise
            except BenchError as error:
                failed = StepFailed(self._failure(error))
                self._keep(failure=failed.failure)
                self.tell("failed", str(failed))
                raise failed from error
            self._keep(result=result)
            if isinstance(result, Measurement):
                self._keep_samples(result, Path(samples))
        return result

    def run_in_turns(self, request: InterleavedRequest) -> tuple[Measurement, ...]:
        """Run one step for several batch sizes and store the measurement of each."""
        self.tell("started")
        with tempfile.TemporaryDirectory(prefix="bench-step-") as samples:
            result = self.try_out(request, Path(samples))
            assert isinstance(result, InterleavedResult)
            return self._keep_all(result, Path(samples))

    def _keep_all(
        self, result: Measurement | InterleavedResult, samples: Path | None
    ) -> tuple[Measurement, ...]:
        parts = (result,) if isinstance(result, Measurement) else result.measurements
        judged = tuple(self._judged(part) for part in parts)
        parts_of = [(replace(self, batch_size=each.batch_size), each) for each in judged]
        with open_shelf(self.settings) as shelf:
            shelf.keep_all([part._record(result=each) for part, each in parts_of])
        if samples is not None:
            for part, each in parts_of:
                part._keep_samples(each, samples)
        return judged

    def _keep_samples(self, result: Measurement, directory: Path) -> None:
        """Store the raw samples, and with the result where they are.

        The result is safe by then: a store that hangs until somebody ends this process costs none.
        """
        url = self._samples_url(directory)
        if url is None:
            return
        try:
            self._keep(result=result, samples_url=url)
        except BenchError as error:
            log.warning("where the raw samples of batch size %d are is not kept: %s", self.batch_size, error)

    def _samples_url(self, directory: Path) -> str | None:
        """Store what the step left of raw samples; that they cannot be kept costs no measurement."""
        file = directory / samples_filename(self.batch_size)
        if not file.exists():
            return None
        name = f"batch_size_{self.batch_size}_{self.sweep.spec.scenario}_attempt_{self.attempt}.npz"
        try:
            store = ArtifactStore(self.settings.artifact_url)
            return store.put_samples(file, str(self.sweep.sweep_id), name)
        except BenchError as error:
            log.warning("the raw samples of batch size %d are not kept: %s", self.batch_size, error)
            return None

    def tell(self, state: State, message: str = "") -> None:
        """Tell who follows the run how far this batch size is."""
        self._pass_on(Progress(stage=self.stage, state=state, message=message))

    def try_out(self, request: Request, samples: Path | None = None) -> CompileResult | Measured:
        """Run the step with the device's lock; stores nothing but what an interruption leaves.

        ``samples`` is a directory for the raw samples.
        """
        python = interpreter_of(self.sweep.spec, self.settings)
        what = f"{self.stage} of batch size {self.batch_size}, run {self.sweep.run_id}"
        with device_lock(
            self.settings.device_lock,
            exclusive=self.stage == "measure",
            what=what,
            timeout_s=DEVICE_TIMEOUT_S,
        ) as lock:
            return run_step(
                python,
                request,
                timeout_s=STEP_TIMEOUT_S + asked_s(request),
                on_progress=self._pass_on_running,
                keep_open=[lock],
                on_partial=lambda part: self._keep_all(part, samples),
                samples=samples,
            )

    def _judged(self, result: Measurement) -> Measurement:
        """A measurement with the one check that needs the model's name, which the data plane forgets."""
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
        self,
        result: CompileResult | Measurement | None = None,
        failure: Failure | None = None,
        samples_url: str | None = None,
    ) -> None:
        with open_shelf(self.settings) as shelf:
            shelf.keep(self._record(result, failure, samples_url))

    def _record(
        self,
        result: CompileResult | Measurement | None = None,
        failure: Failure | None = None,
        samples_url: str | None = None,
    ) -> CompilationRecord | MeasurementRecord:
        kind: type[CompilationRecord | MeasurementRecord] = (
            CompilationRecord if self.stage == "compile" else MeasurementRecord
        )
        measured = {"scenario": self.sweep.spec.scenario, "samples_url": samples_url}
        own = {} if self.stage == "compile" else measured
        return kind.model_validate(
            {
                **own,
                "sweep": self.sweep,
                "batch_size": self.batch_size,
                "attempt": self.attempt,
                "result": result,
                "failure": failure,
                "recorded_at": datetime.now(UTC),
            }
        )

    def _pass_on_running(self, progress: Progress) -> None:
        # The other states are for this process to tell: it knows when the result is safe.
        if progress.state == "running":
            tell_sweep(
                self.sweep, progress.model_copy(update={"batch_size": progress.batch_size or self.batch_size})
            )

    def _pass_on(self, progress: Progress) -> None:
        tell_sweep(self.sweep, progress.model_copy(update={"batch_size": self.batch_size}))


def asked_s(request: Request) -> float:
    """The seconds that a request itself asks to measure for."""
    match request:
        case InterleavedRequest(requests=parts):
            return sum(asked_s(part) for part in parts)
        case MeasureRequest(scenario=scenario, load=load):
            rate = load.target_batches_per_s
            if rate and load.stop == "rounds":
                workers = MOST_CORES if load.workers == "auto" else load.workers
                return load.rounds * load.batches_per_worker * workers / rate
            return load.duration_s if load.stop != "rounds" or scenario == "server" else 0.0
        case _:
            return 0.0


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


def tell_sweep(sweep: SweepRecord, progress: Progress) -> None:
    """Tell who follows the run how far the sweep is."""
    tell(progress.model_copy(update={"sweep_id": str(sweep.sweep_id)}))
