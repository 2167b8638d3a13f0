"""Two interpreters in turns on one host: compile with both, measure pair by pair, and find a verdict.

A turn is a fresh process. On Neuron it has to be: a core belongs to a process until that ends, so two live
processes cannot take turns on it, and halving the cores between them would compare cores as well as SDKs. It
is also the fairer sample: where a process happens to lay its memory and its threads is part of its speed, and
two processes that stay would carry their luck through all pairs, which then would say more about these two
than about what they run.

The device's lock is held for one pair at a time: nothing comes between its two turns, and others get theirs
between the pairs.
"""

from __future__ import annotations

import io
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from benchlib.analysis.paired import Side, pairs_wanted
from benchlib.artifacts import ArtifactStore
from benchlib.errors import BenchError
from benchlib.experiments import (
    ComparisonSpec,
    ExperimentRecord,
    PairRecord,
    Problem,
    TurnRecord,
    experiment_id_of,
)
from benchlib.interpreters import find_neuron_interpreter
from benchlib.orchestration.comparing_journal import (
    SIDES,
    CompiledSide,
    Keeper,
    Program,
    journals,
    open_keeper,
)
from benchlib.orchestration.comparing_outputs import outputs_notes
from benchlib.orchestration.comparing_params import comparison_spec
from benchlib.orchestration.comparing_plan import (
    Turns,
    broken_off,
    comparable_sizes,
    family_of,
    next_turns,
    problems_of,
)
from benchlib.orchestration.device_lock import device_lock
from benchlib.orchestration.job import (
    DEVICE_TIMEOUT_S,
    STEP_TIMEOUT_S,
    asked_s,
    interpreter_of,
    is_hosts,
    is_retryable,
)
from benchlib.orchestration.launcher import Measured, StepFailed, StepInterrupted, run_step
from benchlib.report.comparing import (
    ComparisonReport,
    notes_on,
    print_report,
    provenance,
    sentence_on,
    verdict_on,
)
from benchlib.report.terminal import plain_console
from benchlib.results import CompileResult, InterleavedResult, Measurement
from benchlib.settings import Settings
from benchlib.spec import CompileRequest, InterleavedRequest, MeasureRequest, Spec
from benchlib.store.database import engine_for
from benchlib.store.errors import DatabaseUnreachable
from benchlib.store.experiments import (
    Outcome,
    check_same_environment,
    record_experiment,
    record_outcome,
    stored_experiment,
)

log = logging.getLogger(__name__)

BETWEEN_PAIRS_S = 0.6
"""Long enough for whoever waits for the device's lock to take it: he asks four times a second."""


class Step(Spec):
    """How far an experiment is."""

    message: str
    fraction: float | None = None
    """Of the pairs that are wanted as things stand."""
    batch_size: int | None = None


@dataclass(frozen=True)
class Concluded:
    """A verdict."""

    report: ComparisonReport
    not_stored: DatabaseUnreachable | None = None
    """Why the database does not have it."""


Tell = Callable[[Step], None]


def _tell_nobody(step: Step) -> None:
    """For who does not want to know."""


def experiment_record(
    params: Mapping[str, Any], *, dag_id: str, run_id: str, author: str, created_at: datetime
) -> ExperimentRecord:
    """The experiment that a run asks for; every task of the run builds the same.

    Raises:
        BadInput: a parameter is wrong.
    """
    return ExperimentRecord(
        experiment_id=experiment_id_of(dag_id, run_id),
        dag_id=dag_id,
        run_id=run_id,
        author=author,
        spec=comparison_spec(params),
        created_at=created_at,
    )


def plan_experiment(record: ExperimentRecord) -> list[int]:
    """Store what is asked, and return the batch sizes. Without a database that is for later steps to do."""
    engine = engine_for(Settings.from_environment())
    try:
        record_experiment(engine, record)
    except DatabaseUnreachable as error:
        log.warning("%s; the experiment is stored with its first pair", error)
    finally:
        engine.dispose()
    return list(record.spec.sweep.batch_sizes)


def compile_side(record: ExperimentRecord, side: Side, tell: Tell = _tell_nobody) -> CompiledSide:
    """Compile every batch size with this side's own interpreter; one that fails stops no other.

    Raises:
        StepFailed: what is asked cannot be done: no such interpreter or model, a flag that it does not know.
        BenchError: the interpreter will not do, or the device was not free in time.
    """
    settings = Settings.from_environment()
    python = python_of(record.spec, side, settings)
    known = record.environment_of(side)
    compiled = CompiledSide(side=side)
    for size in record.spec.sweep.batch_sizes:
        tell(Step(message=f"compiling with the {side} side", batch_size=size))
        made = _compile(record.spec, python, size, settings)
        if isinstance(made, Problem):
            log.warning("%s side, batch size %d: %s", side, size, made.reason)
            compiled = compiled.model_copy(
                update={"problems": (*compiled.problems, made.model_copy(update={"side": side}))}
            )
            continue
        check_same_environment(known, made.environment, side)
        program = Program(batch_size=size, artifact=made.artifact)
        compiled = compiled.model_copy(
            update={"environment": made.environment, "programs": (*compiled.programs, program)}
        )
    return compiled


def measure_pairs(
    record: ExperimentRecord,
    sides: Mapping[Side, CompiledSide],
    tell: Tell = _tell_nobody,
) -> int:
    """Measure until every batch size has what it needs for a verdict, or all that it may have.

    What was finished before a stop is not measured again; a pair of which only one turn is done is. Returns
    how many pairs there are.

    Raises:
        BenchError: the device was not free in time, nothing can be kept, a side is not what it was, or
            neither can be measured any more.
    """
    settings, record = Settings.from_environment(), with_environments(record, sides)
    driver = _Driver(record, sides, settings)
    with open_keeper(record, settings) as keeper:
        keeper.check_sides()
        done = keeper.begin()
        keeper.note_sides(sides.values())
        while turns := next_turns(record.spec, comparable_sizes(record.spec, sides), done):
            done = [*done, *_kept(keeper, driver.measure(turns), done)]
            tell(_step(record, sides, done))
            time.sleep(BETWEEN_PAIRS_S)
    return len(done)


def _kept(keeper: Keeper, pairs: Sequence[PairRecord], done: Sequence[PairRecord]) -> Sequence[PairRecord]:
    """Keep new pairs, but none that would end the experiment for a fault of the host."""
    faults = {each.batch_size: broken_off([*done, each], each.batch_size) for each in pairs}
    good = [each for each in pairs if faults[each.batch_size] is None]
    for each in good:
        keeper.keep(each)
    if told := [fault for fault in faults.values() if fault]:
        raise BenchError(f"{'; '.join(told)}: mend that, then go on; all pairs that were finished are kept")
    return good


def conclude(record: ExperimentRecord, sides: Mapping[Side, CompiledSide]) -> Concluded:
    """Find the verdict from all pairs, and store it; while the database is away all waits on the disk."""
    settings, record = Settings.from_environment(), with_environments(record, sides)
    with open_keeper(record, settings) as keeper:
        pairs = keeper.begin()
        report = report_of(record, sides, pairs, settings)
        finished_at = keeper.journal.finished_at() or datetime.now(UTC)
        if report.finished:
            keeper.note_finished(finished_at)
        try:
            _store(keeper, report, finished_at)
        except DatabaseUnreachable as error:
            log.warning("%s; the verdict waits in %s", error, keeper.journal.directory)
            return Concluded(report, error)
    return Concluded(report)


def conclude_and_log(record: ExperimentRecord, sides: Mapping[Side, CompiledSide]) -> dict[str, str]:
    """Find and store the verdict, log its table, and return it with its sentence, ready for JSON.

    Raises:
        DatabaseUnreachable: it is not stored; all that it is made of is.
        BenchError: pairs that make it final are on another host.
    """
    concluded = conclude(record, sides)
    if concluded.not_stored is None and not concluded.report.finished:
        raise BenchError(
            "pairs are missing here: they wait on another host; run `bench experiment list` there, which "
            "also finds the verdict"
        )
    target = io.StringIO()
    print_report(concluded.report, plain_console(target))
    for line in target.getvalue().splitlines():
        log.info("%s", line)
    if concluded.not_stored is not None:
        raise concluded.not_stored
    return {
        "experiment_id": str(record.experiment_id),
        "verdict": concluded.report.verdict,
        "sentence": f"{concluded.report.sentence} {provenance(concluded.report.record)}",
    }


def sides_of(compiled: Iterable[Mapping[str, Any]]) -> dict[Side, CompiledSide]:
    """What tasks have handed on as JSON."""
    found = [CompiledSide.model_validate(each) for each in compiled]
    return {each.side: each for each in found}


def log_step(step: Step) -> None:
    """For the log of a task."""
    log.info("batch size %s: %s", step.batch_size, step.message)


def report_of(
    record: ExperimentRecord,
    sides: Mapping[Side, CompiledSide],
    pairs: Sequence[PairRecord],
    settings: Settings,
) -> ComparisonReport:
    """What the pairs say so far."""
    problems = problems_of(record.spec, sides, pairs)
    family = family_of(record.spec, pairs, problems)
    notes = (*notes_on(record.spec, pairs), *outputs_notes(sides, pairs, settings))
    return ComparisonReport(
        record=record,
        family=family,
        problems=problems,
        notes=notes,
        verdict=verdict_on(family, problems),
        sentence=sentence_on(record.spec, family, problems),
        finished=_is_over(record.spec, sides, pairs),
    )


def _is_over(spec: ComparisonSpec, sides: Mapping[Side, CompiledSide], pairs: Sequence[PairRecord]) -> bool:
    return next_turns(spec, comparable_sizes(spec, sides), pairs) is None


def stored_report(engine: Engine, experiment_id: uuid.UUID) -> ComparisonReport | None:
    """The report of an experiment that the database has; ``None``: it has none of this id."""
    found = stored_experiment(engine, experiment_id)
    if found is None:
        return None
    family = family_of(found.record.spec, found.pairs, found.problems)
    return ComparisonReport(
        record=found.record,
        family=family,
        problems=found.problems,
        notes=found.notes,
        verdict=found.verdict or verdict_on(family, found.problems),
        sentence=sentence_on(found.record.spec, family, found.problems),
        finished=found.finished_at is not None,
        acceptance=found.acceptance,
    )


def bring_in_journals(settings: Settings) -> int:
    """Write what the database has missed of this host's experiments; returns of how many.

    Raises:
        DatabaseUnreachable: it does not answer.
    """
    found = [(journal, journal.record()) for journal in journals(settings)]
    for journal, record in found:
        if record is None:
            continue
        sides = journal.sides()
        with open_keeper(with_environments(record, sides), settings) as keeper:
            pairs = keeper.begin()
            keeper.bring_in()
            stored = stored_experiment(keeper.engine, record.experiment_id)
        if stored is not None and stored.finished_at is not None:  # concluded on another host
            journal.remove()
        elif len(sides) == len(SIDES) and _is_over(record.spec, sides, pairs):
            conclude(record, sides)
    return len(found)


def with_environments(record: ExperimentRecord, sides: Mapping[Side, CompiledSide]) -> ExperimentRecord:
    """The record with what has become known of both sides."""
    known = {f"{side}_environment": each.environment for side, each in sides.items() if each.environment}
    return record.model_copy(update=known)


def python_of(spec: ComparisonSpec, side: Side, settings: Settings) -> Path:
    """The interpreter of this side on this host.

    Raises:
        BadInput: it is none, or has no torch-neuronx where that is needed.
        BenchError: nothing on this Neuron host has torch-neuronx.
    """
    named = spec.interpreter_of(side)
    if named == "auto":
        return interpreter_of(spec.sweep.model_copy(update={"interpreter": "auto"}), settings)
    path = Path(named)
    if spec.sweep.backend == "neuron":
        return find_neuron_interpreter(path).python
    return path / "bin" / "python" if path.is_dir() else path


def _compile(spec: ComparisonSpec, python: Path, size: int, settings: Settings) -> CompileResult | Problem:
    sweep = spec.sweep
    request = CompileRequest(
        model=sweep.model,
        batch_size=size,
        backend=sweep.backend,
        precision=sweep.precision,
        compiler_args=sweep.compiler_args,
        artifact_url=settings.artifact_url,
    )
    what = f"compile of batch size {size} for a comparison"
    with device_lock(settings.device_lock, exclusive=False, what=what, timeout_s=DEVICE_TIMEOUT_S) as lock:
        try:
            result = _run_compile(python, request, lock)
        except StepFailed as failed:
            _check_blame(failed, settings)
            return Problem(batch_size=size, side="both", stage="compile", reason=failed.failure.message)
    assert isinstance(result, CompileResult)
    return result


def _run_compile(python: Path, request: CompileRequest, lock: int) -> CompileResult | Measured:
    """Once more where that may end differently; a second hour for what had one would not."""
    try:
        return run_step(python, request, timeout_s=STEP_TIMEOUT_S, keep_open=[lock])
    except StepFailed as failed:
        if failed.failure.kind == "timeout" or not is_retryable(failed):
            raise
        log.warning("tried once more: %s", failed)
        return run_step(python, request, timeout_s=STEP_TIMEOUT_S, keep_open=[lock])


def _check_blame(failed: StepFailed, settings: Settings) -> None:
    """Raise what says nothing of the SDK; what passes counts against its side.

    Raises:
        StepFailed: what was asked is wrong, it was stopped or ran out of time, or the host is broken.
        BenchError: the store of the programs cannot be used.
    """
    failure = failed.failure
    if isinstance(failed, StepInterrupted) or failure.kind in ("bad_input", "timeout") or is_hosts(failure):
        raise failed
    try:
        ArtifactStore(settings.artifact_url).probe()
    except BenchError as away:
        raise BenchError(f"{away} (the step said: {failure.message})") from failed


@dataclass(frozen=True)
class _Driver:
    """Measures pairs of an experiment."""

    record: ExperimentRecord
    sides: Mapping[Side, CompiledSide]
    settings: Settings

    def measure(self, turns: Turns) -> list[PairRecord]:
        """One pair of each batch size that takes part, under one lock."""
        named = ", ".join(f"batch size {size} pair {number}" for size, number in turns.numbers.items())
        log.info("%s: %s first", named, turns.first)
        with device_lock(
            self.settings.device_lock, exclusive=True, what=f"comparison: {named}", timeout_s=DEVICE_TIMEOUT_S
        ) as lock:
            done = {side: self._turn(side, list(turns.numbers), lock) for side in turns.order}
        now, host = datetime.now(UTC), os.uname().nodename
        return [
            PairRecord(
                experiment_id=self.record.experiment_id,
                batch_size=size,
                number=number,
                first=turns.first,
                old=done["old"][size],
                new=done["new"][size],
                host=host,
                recorded_at=now,
            )
            for size, number in turns.numbers.items()
        ]

    def _turn(self, side: Side, sizes: Sequence[int], lock: int) -> dict[int, TurnRecord]:
        """One fresh process of one side. What is stopped from outside is no result and goes on up."""
        python = python_of(self.record.spec, side, self.settings)
        parts = [self._request(side, size) for size in sizes]
        request = parts[0] if len(parts) == 1 else InterleavedRequest(requests=tuple(parts))
        try:
            result = run_step(python, request, timeout_s=STEP_TIMEOUT_S + asked_s(request), keep_open=[lock])
        except StepInterrupted:
            raise
        except StepFailed as failed:
            log.warning("%s side: %s", side, failed)
            return dict.fromkeys(sizes, TurnRecord.without(failed.failure.message))
        assert not isinstance(result, CompileResult)
        measured = _measurements(result)
        for each in measured:
            check_same_environment(self.record.environment_of(side), each.environment, side)
        return {each.batch_size: TurnRecord.of(each) for each in measured}

    def _request(self, side: Side, size: int) -> MeasureRequest:
        sweep = self.record.spec.sweep
        artifact = self.sides[side].program(size)
        assert artifact is not None
        return MeasureRequest(
            artifact=artifact,
            artifact_url=self.settings.artifact_url,
            batch_size=size,
            backend=sweep.backend,
            scenario=sweep.scenario,
            load=sweep.load,
        )


def _measurements(result: Measurement | InterleavedResult) -> tuple[Measurement, ...]:
    return result.measurements if isinstance(result, InterleavedResult) else (result,)


def _step(record: ExperimentRecord, sides: Mapping[Side, CompiledSide], done: Sequence[PairRecord]) -> Step:
    sizes = comparable_sizes(record.spec, sides)
    usable = [pair for pair in done if not pair.unusable]
    wanted = pairs_wanted([pair.figures() for pair in usable], sizes, record.spec.limits)
    last = done[-1]
    old, new = last.old.throughput_inf_per_s, last.new.throughput_inf_per_s
    figures = last.unusable or f"{old:,.1f} and {new:,.1f} inf/s"
    return Step(
        message=f"pair {last.number} of {wanted[last.batch_size]}: {figures}",
        fraction=min(1.0, len(usable) / sum(wanted.values())),
        batch_size=last.batch_size,
    )


def _store(keeper: Keeper, report: ComparisonReport, finished_at: datetime) -> None:
    keeper.bring_in()
    if not report.finished:
        return
    outcome = Outcome(
        verdict=report.verdict,
        sentence=report.sentence,
        family=report.family,
        problems=report.problems,
        notes=report.notes,
        finished_at=finished_at,
    )
    record_outcome(keeper.engine, keeper.record, outcome)
    keeper.journal.remove()
