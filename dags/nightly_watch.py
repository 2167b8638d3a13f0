"""
### Did last night's sweeps come?

A nightly run that silently stopped is the commonest failure of all: a DAG that is paused, a queue without
a worker, a scheduler that is down. Every morning this DAG compares what is declared (the DAG of the form and
the entries of `sweeps.yaml`, with their schedules) with what the results' database has.

| task | what it does |
|---|---|
| `look` | finds the batch sizes that were due and have no valid figure, and tells the channels once |
| `every_night_is_there` | turns the run red when something is missing |

A sweep has `hours_allowed` hours from when it was due; what was due within the 24 hours before is looked at.
A second try by hand fills the night. A night that people have been told of is not told again, by no retry
and no other run. With `try_channels` nothing is looked at: a trial message goes to every channel under
`notify` in `sweeps.yaml`, and the task fails with the reason when one does not take it.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from benchlib.orchestration.declarations import deployed_sweeps
from benchlib.orchestration.run_notices import on_failed_run
from benchlib.orchestration.watch import HOURS_ALLOWED
from benchlib.settings import Settings

DECLARATIONS = deployed_sweeps(Path(__file__).parent, Settings.from_environment().backend)
PARAMS = {
    "hours_allowed": Param(
        HOURS_ALLOWED,
        type="number",
        minimum=0,
        maximum=48,
        title="Hours allowed",
        description="From when a sweep is due until it is missed",
    ),
    "try_channels": Param(
        False,
        type="boolean",
        title="Try the channels",
        description="Send a trial message to every channel and look at nothing",
    ),
}


@task
def look() -> list[str]:
    """Return one sentence for each group of batch sizes that is missing; people have been told."""
    from benchlib.orchestration.run_notices import run_url
    from benchlib.orchestration.watch import look_for_missing, send_trial

    context = get_current_context()
    run, params = context["dag_run"], context["params"]
    url = run_url(run.dag_id, run.run_id)
    if params["try_channels"]:
        failures = send_trial(DECLARATIONS, url)
        if failures:
            raise AirflowFailException("; ".join(failures))
        return []
    hours_allowed = params["hours_allowed"]
    return list(look_for_missing(DECLARATIONS, at=run.run_after, hours_allowed=hours_allowed, url=url))


@task(retries=0)
def every_night_is_there(missing: list[str]) -> None:
    """Turn the run red when something is missing."""
    if missing:
        raise AirflowFailException("; ".join(missing))


@dag(
    dag_id="nightly_watch",
    schedule="0 9 * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    default_args={"retries": 1},
    params=PARAMS,
    tags=["benchmark", "operation"],
    doc_md=__doc__,
    on_failure_callback=on_failed_run(DECLARATIONS.notify, told_by=["every_night_is_there"]),
)
def nightly_watch() -> None:
    """Look, and say so by the run's colour."""
    every_night_is_there(look())


nightly_watch()
