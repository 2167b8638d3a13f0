"""
### Latency and throughput of one model, per batch size

Compiles the model once per batch size, measures each program alone on its device, stores every result in
PostgreSQL and prints the comparison table with the throughput peak.

| task | what it does |
|---|---|
| `plan` | checks the parameters and records the sweep |
| `preflight` | examines the device host in seconds; fails with what is wrong and the command that mends it |
| `per_batch_size.compile` | compiles one batch size, or finds the program in the artifact store |
| `per_batch_size.measure` | measures it with nothing else running on the device |
| `report` | prints the table of all batch sizes, the failed ones included |
| `suspects` | finds the batch sizes whose figures are far off what they were, at most 3 a night |
| `confirm` | measures each of these again at once, in a process of its own |
| `detect` | judges the history of the model: incidents, and gaps; says what is new, and tells people |
| `some_batch_size_failed` | turns the run red when a batch size failed; skipped otherwise |
| `some_change_found` | turns the run red when a loss was found and `fail_on_change` asks for that |

Runs every night and on demand. Each run tells the asset `inf2_batch_sweep` that its sweep is done, with the
sweep's id, the number of its batch sizes that are valid, invalid and failed, its peak, and the verdict with
the incidents that are new and what could not be judged. A run that fails, and an incident whose status
changes, is told to the channels under `notify` in `sweeps.yaml`.
`sweeps.yaml` beside this file declares further sweeps, each a DAG like this one with a name, schedule, queue,
channels and defaults of its own.
The device's tasks need the pool `inf2_host` with 4 slots and a worker on the queue `inf2`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    DAG,
    Asset,
    CronTriggerTimetable,
    Param,
    TriggerRule,
    dag,
    get_current_context,
    task,
    task_group,
)
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from benchlib.orchestration.declarations import SweepDeclaration, deployed_sweeps
from benchlib.orchestration.names import COMPILE_SLOTS, DEVICE_POOL_SLOTS
from benchlib.orchestration.run_notices import on_failed_sweep
from benchlib.orchestration.sweep_params import describe, form_schema
from benchlib.profiles import NAMES, PROFILES, expand
from benchlib.settings import Settings

if TYPE_CHECKING:
    from benchlib.records import SweepRecord

SWEEP_DONE = Asset("inf2_batch_sweep")
NAME_BY_BATCH_SIZE = "batch {{ task.op_kwargs['batch_size'] }}"
PREFLIGHT_AT_MOST = timedelta(hours=2)  # most of it the wait for the device
COMPILE_AT_MOST = timedelta(hours=3)
MEASURE_AT_MOST = timedelta(hours=3)
FORM = {
    "What": ("model", "revision", "sequence_length", "batch_sizes", "precision", "seed", "head", "inputs"),
    "Device": ("backend", "compiler_args", "interpreter"),
    "Load": (
        "scenario", "replicas", "workers", "worker_mode", "batches_per_worker", "rounds", "warmup",
        "warmup_batches", "stop", "duration_s", "relative_half_width", "latency_limit_ms",
        "target_batches_per_s", "arrival_seed", "interleave",
    ),
    "Annotation": ("label", "note"),
}  # fmt: skip
"""Sections of the form, and the parameters in each."""

FAIL_ON_CHANGE = "fail_on_change"
"""What a run does about a verdict is no part of what it measures."""


def form(defaults: Mapping[str, Any], fails_on_change: bool = False) -> dict[str, Param]:
    """One field per parameter, with the specification's own limits and description."""
    purposes = " ".join(f"{profile.name}: {profile.purpose}" for profile in PROFILES)
    profile = Param(
        None,
        type=["null", "string"],
        enum=[None, *NAMES],
        title="Profile",
        description=f"Fills in what is left at its default below. {purposes}",
        section="What",
    )
    fail_on_change = Param(
        fails_on_change,
        type="boolean",
        title="Fail on change",
        description="Turn the run red when a loss is confirmed in it. Else the run only says so.",
        section="Annotation",
    )
    return {"profile": profile, FAIL_ON_CHANGE: fail_on_change} | {
        name: Param(
            defaults[name],
            title=name.replace("_", " ").capitalize(),
            description=describe(name),
            section=section,
            **form_schema(name),
        )
        for section, names in FORM.items()
        for name in names
    }


def current_sweep() -> SweepRecord:
    """The sweep that the running task belongs to, the same in every task of a run."""
    from benchlib.orchestration.steps import sweep_record

    context = get_current_context()
    run, params = context["dag_run"], dict(context["params"])
    profile = params.pop("profile", None)
    del params[FAIL_ON_CHANGE]
    asked = params if profile is None else with_profile(profile, params, run.conf or {})
    return sweep_record(asked, dag_id=run.dag_id, run_id=run.run_id, created_at=run.run_after)


def with_profile(profile: str, params: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A profile goes over the DAG's defaults and under what was given.

    REST gives what somebody asked for. The form gives every field: there, one at its default was left alone.
    """
    if set(params) <= set(given):
        defaults = get_current_context()["dag"].params.dump()
        return expand(profile, params, {name: defaults[name] for name in params})
    asked = {name: value for name, value in params.items() if name in given or name == "backend"}
    return {**params, **expand(profile, asked)}


def current_attempt() -> int:
    """Which try of the running task this is, from 1."""
    return get_current_context()["ti"].try_number


@contextmanager
def retried_only_if_that_can_help() -> Iterator[None]:
    """Fail for good where another try would end the same way."""
    from benchlib.errors import BenchError
    from benchlib.orchestration.job import is_retryable

    try:
        yield
    except BenchError as error:
        if is_retryable(error, attempt=current_attempt()):
            raise
        raise AirflowFailException(str(error)) from error


@task
def plan() -> list[int]:
    """Check the parameters, record the sweep and return its batch sizes."""
    from benchlib.orchestration.steps import plan_sweep

    with retried_only_if_that_can_help():
        return plan_sweep(current_sweep())


def preflight() -> None:
    """Examine the device host before anything is compiled on it."""
    from benchlib.orchestration.preflight import preflight_sweep

    with retried_only_if_that_can_help():
        preflight_sweep(current_sweep(), attempt=current_attempt())


def per_batch_size(device: Mapping[str, str]) -> Any:
    """The task group for one batch size, whose tasks go to this queue and pool."""

    # Arguments go by keyword: the template finds them there while the task is still running.
    @task_group(group_id="per_batch_size")
    def compile_and_measure(batch_size: int) -> None:
        """Compile one batch size, then measure it; a batch size that fails stops no other."""
        measure_one = task(
            task_id="measure",
            map_index_template=NAME_BY_BATCH_SIZE,
            pool_slots=DEVICE_POOL_SLOTS,
            priority_weight=10,
            execution_timeout=MEASURE_AT_MOST,
            multiple_outputs=False,
            **device,
        )(measure_program)
        compile_one = task(
            task_id="compile",
            map_index_template=NAME_BY_BATCH_SIZE,
            pool_slots=COMPILE_SLOTS,
            execution_timeout=COMPILE_AT_MOST,
            multiple_outputs=False,
            **device,
        )(compile_program)
        measure_one(batch_size=batch_size, artifact=compile_one(batch_size=batch_size))

    return compile_and_measure


def confirm(device: Mapping[str, str]) -> Any:
    """The task that measures a suspicious batch size again, on this queue and in this pool."""
    return task(
        task_id="confirm",
        map_index_template=NAME_BY_BATCH_SIZE,
        pool_slots=DEVICE_POOL_SLOTS,
        execution_timeout=MEASURE_AT_MOST,
        multiple_outputs=False,
        **device,
    )(confirm_figures)


def compile_program(batch_size: int) -> dict[str, Any]:
    """Compile one batch size and return where its program is."""
    from benchlib.orchestration.steps import compile_batch_size

    with retried_only_if_that_can_help():
        return compile_batch_size(current_sweep(), batch_size, attempt=current_attempt())


def measure_program(batch_size: int, artifact: dict[str, Any]) -> dict[str, Any]:
    """Measure one program alone on its device and return its headline figures."""
    from benchlib.orchestration.steps import measure_batch_size

    with retried_only_if_that_can_help():
        return measure_batch_size(current_sweep(), batch_size, artifact, attempt=current_attempt())


@task(trigger_rule=TriggerRule.ALL_DONE)
def report() -> None:
    """Print the table of this sweep from the database, failed batch sizes included."""
    from benchlib.orchestration.steps import report_sweep

    with retried_only_if_that_can_help():
        report_sweep(current_sweep())


@task(trigger_rule=TriggerRule.ALL_DONE)
def suspects() -> list[int]:
    """The batch sizes whose figures are so far off that they are measured again at once."""
    from benchlib.orchestration.judging import batch_sizes_to_confirm

    with retried_only_if_that_can_help():
        return batch_sizes_to_confirm(current_sweep())


def confirm_figures(batch_size: int) -> dict[str, Any]:
    """Measure one batch size again, beside the figures that it already has."""
    from benchlib.orchestration.judging import confirm_batch_size

    with retried_only_if_that_can_help():
        return confirm_batch_size(current_sweep(), batch_size, attempt=current_attempt())


@task(trigger_rule=TriggerRule.ALL_DONE, outlets=[SWEEP_DONE], multiple_outputs=False)
def detect() -> dict[str, Any]:
    """Judge the model's history with this sweep in it, announce the sweep, and tell people what is new."""
    from benchlib.orchestration.judging import judge_sweep, tell
    from benchlib.orchestration.run_notices import run_url

    context, sweep = get_current_context(), current_sweep()
    with retried_only_if_that_can_help():
        verdict = judge_sweep(sweep)
    found = verdict.extra()
    context["outlet_events"][SWEEP_DONE].extra = found
    channels = DECLARATIONS.notify_for(sweep.dag_id)
    tell(verdict.configuration_ids, channels, run_url(sweep.dag_id, sweep.run_id))
    return found


@task(retries=0)
def some_change_found(found: dict[str, Any]) -> None:
    """Turn the run red where that was asked for: what changed is in the log of `detect`."""
    if not (get_current_context()["params"][FAIL_ON_CHANGE] and found["worse"]):
        raise AirflowSkipException
    numbers = ", ".join(map(str, found["worse"]))
    raise AirflowFailException(f"slower than before: change {numbers}, see `bench explain`")


@task(trigger_rule=TriggerRule.ONE_FAILED, retries=0)
def some_batch_size_failed() -> None:
    """Turn the run red: only the last tasks of a run decide its state, and `report` succeeds."""
    raise AirflowFailException(
        "at least one batch size has no result: the table in `report` says which and why"
    )


def sweep_dag(declared: SweepDeclaration) -> DAG:
    """What runs when; what each step does is `benchlib.orchestration.steps`."""

    @dag(
        dag_id=declared.name,
        # In UTC as the watch over the nights reads it, whatever Airflow's own time zone is.
        schedule=declared.schedule and CronTriggerTimetable(declared.schedule, timezone="UTC"),
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=12),
        default_args={"retries": 1},  # a lost worker counts as a try
        params=form(declared.params, declared.fail_on_change),
        on_failure_callback=on_failed_sweep(DECLARATIONS.notify_for(declared.name)),
        tags=["benchmark", "inf2"],
        doc_md=__doc__,
    )
    def sweep() -> None:
        device = {"queue": declared.queue, "pool": declared.pool}
        asked = plan()
        host_is_ready = task(execution_timeout=PREFLIGHT_AT_MOST, **device)(preflight)()
        batches = per_batch_size(device).expand(batch_size=asked)
        asked >> host_is_ready >> batches >> [table := report(), some_batch_size_failed()]
        batches >> (suspicious := suspects())
        again = confirm(device).expand(batch_size=suspicious)
        [table, again] >> (found := detect())
        some_change_found(found)

    made: DAG = sweep()
    return made


class BadDeclarations(DAG):
    """Becomes an import error that names entries and fields, and leaves the other DAGs of this file alone."""

    def validate(self) -> None:
        """Refuse with what is wrong."""
        raise ValueError(self.description)


DECLARATIONS = deployed_sweeps(Path(__file__).parent, Settings.from_environment().backend)

for declaration in DECLARATIONS.sweeps:
    sweep_dag(declaration)
if DECLARATIONS.errors:
    with BadDeclarations("sweeps_yaml", description="; ".join(DECLARATIONS.errors)):
        pass
