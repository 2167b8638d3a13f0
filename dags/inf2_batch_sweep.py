"""
### Latency and throughput of one model, per batch size

Compiles the model once per batch size, measures each program alone on its device, stores every result in
PostgreSQL and prints the comparison table with the throughput peak.

| task | what it does |
|---|---|
| `plan` | checks the parameters and records the sweep |
| `per_batch_size.compile` | compiles one batch size, or finds the program in the artifact store |
| `per_batch_size.measure` | measures it with nothing else running on the device |
| `report` | prints the table of all batch sizes, the failed ones included |
| `some_batch_size_failed` | turns the run red when a batch size failed; skipped otherwise |

Runs every night and on demand. Each run tells the asset `inf2_batch_sweep` that its sweep is done.
The device's tasks need the pool `inf2_host` with 4 slots and a worker on the queue `inf2`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, Metadata, Param, TriggerRule, dag, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowFailException

from benchlib.orchestration.names import DEVICE_POOL, DEVICE_POOL_SLOTS, DEVICE_QUEUE
from benchlib.orchestration.sweep_params import describe, form_schema
from benchlib.settings import Settings

if TYPE_CHECKING:
    from benchlib.records import SweepRecord

DEVICE = {"queue": DEVICE_QUEUE, "pool": DEVICE_POOL}
SWEEP_DONE = Asset("inf2_batch_sweep")
NAME_BY_BATCH_SIZE = "batch {{ task.op_kwargs['batch_size'] }}"
COMPILE_AT_MOST = timedelta(hours=3)
MEASURE_AT_MOST = timedelta(hours=3)


def param(name: str, default: Any, section: str, **more: Any) -> Param:
    """A form field with the specification's own limits and description."""
    title = name.replace("_", " ").capitalize()
    return Param(
        default, title=title, description=describe(name), section=section, **form_schema(name), **more
    )


def current_sweep() -> SweepRecord:
    """The sweep that the running task belongs to, the same in every task of a run."""
    from benchlib.orchestration.steps import sweep_record

    context = get_current_context()
    run = context["dag_run"]
    return sweep_record(
        dict(context["params"]), dag_id=run.dag_id, run_id=run.run_id, created_at=run.run_after
    )


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


# Arguments go by keyword: the template finds them there while the task is still running.
@task_group
def per_batch_size(batch_size: int) -> None:
    """Compile one batch size, then measure it; a batch size that fails stops no other."""

    @task(
        task_id="compile",
        map_index_template=NAME_BY_BATCH_SIZE,
        pool_slots=1,
        execution_timeout=COMPILE_AT_MOST,
        multiple_outputs=False,
        **DEVICE,
    )
    def compile_one(batch_size: int) -> dict[str, Any]:
        """Compile one batch size and return where its program is."""
        from benchlib.orchestration.steps import compile_batch_size

        with retried_only_if_that_can_help():
            return compile_batch_size(current_sweep(), batch_size, attempt=current_attempt())

    @task(
        task_id="measure",
        map_index_template=NAME_BY_BATCH_SIZE,
        pool_slots=DEVICE_POOL_SLOTS,
        priority_weight=10,
        execution_timeout=MEASURE_AT_MOST,
        multiple_outputs=False,
        **DEVICE,
    )
    def measure_one(batch_size: int, artifact: dict[str, Any]) -> dict[str, Any]:
        """Measure one program alone on its device and return its headline figures."""
        from benchlib.orchestration.steps import measure_batch_size

        with retried_only_if_that_can_help():
            return measure_batch_size(current_sweep(), batch_size, artifact, attempt=current_attempt())

    measure_one(batch_size=batch_size, artifact=compile_one(batch_size=batch_size))


@task(trigger_rule=TriggerRule.ALL_DONE, outlets=[SWEEP_DONE], multiple_outputs=False)
def report() -> Iterator[Metadata]:
    """Print the table of this sweep from the database, failed batch sizes included."""
    from benchlib.orchestration.steps import report_sweep

    with retried_only_if_that_can_help():
        comparison = report_sweep(current_sweep())
    yield Metadata(SWEEP_DONE, extra={"sweep_id": str(comparison.sweep_id)})


@task(trigger_rule=TriggerRule.ONE_FAILED, retries=0)
def some_batch_size_failed() -> None:
    """Turn the run red: only the last tasks of a run decide its state, and `report` succeeds."""
    raise AirflowFailException(
        "at least one batch size has no result: the table in `report` says which and why"
    )


@dag(
    schedule="0 2 * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args={"retries": 1},  # a lost worker counts as a try
    params={
        "model": param("model", "bert-base-uncased", "What"),
        "revision": param("revision", None, "What"),
        "sequence_length": param("sequence_length", 128, "What"),
        "batch_sizes": param("batch_sizes", list(range(1, 11)), "What"),
        "precision": param("precision", "auto", "What"),
        "seed": param("seed", 0, "What"),
        "head": param("head", "classification", "What"),
        "inputs": param("inputs", "text", "What"),
        "backend": param("backend", Settings.from_environment().backend, "Device"),
        "compiler_args": param("compiler_args", [], "Device"),
        "interpreter": param("interpreter", "auto", "Device"),
        "scenario": param("scenario", "offline", "Load"),
        "replicas": param("replicas", "auto", "Load"),
        "workers": param("workers", "auto", "Load"),
        "worker_mode": param("worker_mode", "auto", "Load"),
        "batches_per_worker": param("batches_per_worker", 1000, "Load"),
        "rounds": param("rounds", 3, "Load"),
        "warmup": param("warmup", "stable", "Load"),
        "warmup_batches": param("warmup_batches", 8, "Load"),
        "stop": param("stop", "rounds", "Load"),
        "duration_s": param("duration_s", 60, "Load"),
        "relative_half_width": param("relative_half_width", 0.005, "Load"),
        "latency_limit_ms": param("latency_limit_ms", None, "Load"),
        "target_batches_per_s": param("target_batches_per_s", None, "Load"),
        "arrival_seed": param("arrival_seed", 0, "Load"),
        "interleave": param("interleave", False, "Load"),
        "label": param("label", None, "Annotation"),
        "note": param("note", None, "Annotation"),
    },
    tags=["benchmark", "inf2"],
    doc_md=__doc__,
)
def inf2_batch_sweep() -> None:
    """What runs when; what each step does is `benchlib.orchestration.steps`."""
    batches = per_batch_size.expand(batch_size=plan())
    batches >> [report(), some_batch_size_failed()]


inf2_batch_sweep()
