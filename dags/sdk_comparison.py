"""
### Is the new SDK worse than the old one?

Measures two Pythons, each with its own SDK, in turns on one host: old new, then new old, and so on, each turn
in a fresh process. Finds one verdict for every metric at every batch size, and one for all of them.

| task | what it does |
|---|---|
| `plan` | checks the parameters and records the experiment |
| `compile` | compiles every batch size with one of the two interpreters |
| `measure` | measures pair by pair, more where nothing can be decided yet; a retry goes on where it was |
| `verdict` | judges all pairs together, stores the verdict and prints the table |

Started by hand, never by itself. With the same interpreter on both sides it measures its own false alarms. An
upgrade is accepted with `bench experiment accept`: the nightly series then begin anew with it.
Nightly sweeps go on meanwhile: `measure` holds the device for one pair at a time, and no slot of the pool.
`compile` needs the pool `inf2_host`, and both need a worker on the queue `inf2`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from benchlib.orchestration.comparing_params import comparison_spec, describe, flat_params, form_schema
from benchlib.orchestration.declarations import deployed_sweeps
from benchlib.orchestration.names import COMPILE_SLOTS, DEVICE_POOL, DEVICE_QUEUE
from benchlib.orchestration.run_notices import on_failed_run
from benchlib.settings import Settings

if TYPE_CHECKING:
    from benchlib.experiments import ExperimentRecord

COMPILE_AT_MOST = timedelta(hours=8)
MEASURE_AT_MOST = timedelta(hours=24)
DEVICE = {"queue": DEVICE_QUEUE, "pool": DEVICE_POOL}
FORM = {
    "What": ("model", "revision", "sequence_length", "batch_sizes", "precision", "seed", "head", "inputs"),
    "Sides": ("old_interpreter", "new_interpreter", "backend", "compiler_args"),
    "Decision": ("pairs", "max_pairs", "min_effect", "p99_min_effect"),
    "Turn": (
        "scenario", "replicas", "workers", "worker_mode", "batches_per_worker", "rounds", "warmup",
        "warmup_batches", "interleave",
    ),
    "Annotation": ("label", "note"),
}  # fmt: skip
"""Sections of the form, and the parameters in each."""


def form() -> dict[str, Param]:
    """One field per parameter, with the specification's own limits and description."""
    backend = Settings.from_environment().backend
    defaults = flat_params(
        comparison_spec({"model": "bert-base-uncased", "batch_sizes": "1-10", "backend": backend})
    )
    # Whoever forgets it would compare the old one with itself.
    del defaults["new_interpreter"]
    return {
        name: Param(
            **({"default": defaults[name]} if name in defaults else {}),
            title=name.replace("_", " ").capitalize(),
            description=describe(name),
            section=section,
            **form_schema(name),
        )
        for section, names in FORM.items()
        for name in names
    }


def current_experiment() -> ExperimentRecord:
    """The experiment that the running task belongs to, the same in every task of a run."""
    from benchlib.orchestration.comparing import experiment_record

    context = get_current_context()
    run = context["dag_run"]
    return experiment_record(
        context["params"],
        dag_id=run.dag_id,
        run_id=run.run_id,
        author=getattr(run, "triggering_user_name", None) or "airflow",
        created_at=run.run_after,
    )


@contextmanager
def retried_only_if_that_can_help() -> Iterator[None]:
    """Fail for good where another try would end the same way."""
    from benchlib.errors import BenchError
    from benchlib.orchestration.job import is_retryable

    try:
        yield
    except BenchError as error:
        if is_retryable(error, attempt=get_current_context()["ti"].try_number):
            raise
        raise AirflowFailException(str(error)) from error


@task
def plan() -> list[int]:
    """Check the parameters, record the experiment and return its batch sizes."""
    from benchlib.orchestration.comparing import plan_experiment

    with retried_only_if_that_can_help():
        return plan_experiment(current_experiment())


@task(
    map_index_template="{{ task.op_kwargs['side'] }}",
    pool_slots=COMPILE_SLOTS,
    execution_timeout=COMPILE_AT_MOST,
    multiple_outputs=False,
    **DEVICE,
)
def compile(side: str) -> dict[str, Any]:  # noqa: A001 - the task's name
    """Compile every batch size with one side's interpreter; one that fails stops no other."""
    from benchlib.orchestration.comparing import compile_side

    with retried_only_if_that_can_help():
        return compile_side(current_experiment(), side).model_dump(mode="json")


# Outside the pool, which it would fill for hours: the device's lock guards each pair, and between two pairs
# the nightly sweeps have their turn.
@task(queue=DEVICE_QUEUE, execution_timeout=MEASURE_AT_MOST, retries=3)
def measure(sides: list[dict[str, Any]]) -> int:
    """Measure what is not measured yet, and return how many pairs there are."""
    from benchlib.orchestration.comparing import log_step, measure_pairs, sides_of

    with retried_only_if_that_can_help():
        return measure_pairs(current_experiment(), sides_of(sides), log_step)


@task(queue=DEVICE_QUEUE, multiple_outputs=False)
def verdict(sides: list[dict[str, Any]]) -> dict[str, Any]:
    """Judge all pairs, store and print the verdict, and return it."""
    from benchlib.orchestration.comparing import conclude_and_log, sides_of

    with retried_only_if_that_can_help():
        found = conclude_and_log(current_experiment(), sides_of(sides))
    if found["verdict"] == "not compared":
        raise AirflowFailException(found["sentence"])
    return found


@dag(
    dag_id="sdk_comparison",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=36),
    default_args={"retries": 1},  # a lost worker counts as a try
    params=form(),
    on_failure_callback=on_failed_run(
        deployed_sweeps(Path(__file__).parent, Settings.from_environment().backend).notify
    ),
    tags=["benchmark", "inf2"],
    doc_md=__doc__,
)
def sdk_comparison() -> None:
    """What runs when; what each step does is `benchlib.orchestration.comparing`."""
    compiled = compile.expand(side=["old", "new"])
    plan() >> compiled
    measure(sides=compiled) >> verdict(sides=compiled)


sdk_comparison()
