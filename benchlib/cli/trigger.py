"""`bench trigger`: start a run on an Airflow that is running, and follow it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import httpx
import typer

from benchlib.cli.signals import stopped_by_signals
from benchlib.cli.sweep_display import open_display
from benchlib.cli.sweep_options import with_sweep_options
from benchlib.cli.verdict import raise_for_failures
from benchlib.errors import EXIT_BAD_INPUT, BadInput, BenchError
from benchlib.orchestration.airflow_client import AirflowClient, AirflowRefused, AirflowUnreachable, TaskState
from benchlib.orchestration.airflow_environment import ADMIN, Ports, Secrets
from benchlib.orchestration.local_airflow import address_file
from benchlib.orchestration.names import COMPILE_TASK, DAG_ID, MEASURE_TASK, PLAN_TASK
from benchlib.orchestration.sweep_params import flat_params, sweep_spec
from benchlib.profiles import expand
from benchlib.progress import Progress, Stage, State
from benchlib.records import sweep_id_of
from benchlib.report.terminal import open_console, print_comparison
from benchlib.settings import Settings
from benchlib.store.database import open_repository
from benchlib.store.faults import address_of

_LOOK_S = 1.0
ENDED = ("success", "failed")
_STAGES: Mapping[str, Stage] = {COMPILE_TASK: "compile", MEASURE_TASK: "measure"}
_STATES: Mapping[str, State] = {
    "running": "started",
    "success": "done",
    "failed": "failed",
    "upstream_failed": "failed",
}


@with_sweep_options({})
def trigger(
    params: Mapping[str, Any],
    no_follow: Annotated[
        bool, typer.Option("--no-follow", help="Print the run's id and do not wait for its end.")
    ] = False,
) -> None:
    """Start a run of the nightly DAG on a running Airflow, follow it, and print its table.

    Options that are left out have the DAG's own defaults. The Airflow is the one that `bench up` runs, or the
    one that BENCH_AIRFLOW_URL, BENCH_AIRFLOW_USER and BENCH_AIRFLOW_PASSWORD name.

    Exit code 0: every batch size has a result. 1: one has none, or no Airflow answers. 2: what was asked
    cannot be done; no run was started.
    """
    settings = Settings.from_environment()
    conf = _checked(params)
    with stopped_by_signals(), _client(settings) as client:
        run_id = _start(client, conf)
        typer.echo(f"started {run_id}: {client.url}/dags/{DAG_ID}/runs/{run_id}")
        if no_follow:
            return
        try:
            succeeded = _follow(client, run_id)
        except (KeyboardInterrupt, AirflowUnreachable):
            typer.echo("bench: the run goes on without being followed", err=True)
            raise
    _show(settings, run_id, succeeded)


def _checked(params: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, checked here as the run would check it: the same sentence, but at once."""
    typed = dict(params)
    profile = typed.pop("profile", None)
    flat = flat_params(sweep_spec({"model": "any", "batch_sizes": "1", **expand(profile, typed)}))
    # What a profile stands for depends on the backend, which the run knows.
    asked = {name: flat[name] for name in typed}
    return asked if profile is None else {"profile": profile, **asked}


def _client(settings: Settings) -> AirflowClient:
    address = address_file(settings)
    local_url = address.read_text() if address.exists() else f"http://127.0.0.1:{Ports().api}"
    url = os.environ.get("BENCH_AIRFLOW_URL") or local_url
    return AirflowClient(url, os.environ.get("BENCH_AIRFLOW_USER") or ADMIN, _password(settings))


def _password(settings: Settings) -> str:
    given = os.environ.get("BENCH_AIRFLOW_PASSWORD")
    if given:
        return given
    try:
        return Secrets.kept_in(settings.airflow_home).admin_password
    except FileNotFoundError:
        raise BenchError(
            "no Airflow is set up here: start one with `bench up`, or name yours with BENCH_AIRFLOW_URL, "
            "BENCH_AIRFLOW_USER and BENCH_AIRFLOW_PASSWORD"
        ) from None


def _start(client: AirflowClient, conf: Mapping[str, Any]) -> str:
    try:
        paused = client.is_paused(DAG_ID)
        if paused is None:
            raise BenchError(f"the Airflow at {client.url} has no DAG {DAG_ID}")
        if paused:
            raise BenchError(f"the DAG is paused: switch it on at {client.url}/dags/{DAG_ID}")
        return client.trigger(DAG_ID, conf)
    except AirflowUnreachable as error:
        raise BenchError(
            f"{error}; start one with `bench up`, or name yours with BENCH_AIRFLOW_URL"
        ) from error
    except AirflowRefused as error:
        if error.status not in (httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY):
            raise
        typer.echo(f"bench: {error.detail}", err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from error


def _follow(client: AirflowClient, run_id: str) -> bool:
    """Show every task's way until the run has ended; returns whether it succeeded."""
    sizes = _batch_sizes(client, run_id)
    shown: set[Progress] = set()
    with open_display(open_console(), sizes) as display:
        while True:
            state = client.run_state(DAG_ID, run_id)
            steps = [_step(task, sizes) for task in client.tasks(DAG_ID, run_id)]
            news = [step for step in steps if step and step not in shown]
            display.show(news)
            shown.update(news)
            if state in ENDED:
                return state == "success"
            time.sleep(_LOOK_S)


def _batch_sizes(client: AirflowClient, run_id: str) -> list[int]:
    """What the run has planned, once it has; nothing when it ended before that."""
    while True:
        ended = client.run_state(DAG_ID, run_id) in ENDED
        sizes = client.returned(DAG_ID, run_id, PLAN_TASK)
        if sizes is not None or ended:
            return [int(size) for size in sizes or ()]
        time.sleep(_LOOK_S)


def _step(task: TaskState, sizes: Sequence[int]) -> Progress | None:
    stage, state = _STAGES.get(task.task_id), _STATES.get(task.state or "")
    if stage is None or state is None or not 0 <= task.map_index < len(sizes):
        return None
    return Progress(stage=stage, state=state, batch_size=sizes[task.map_index])


def _show(settings: Settings, run_id: str, succeeded: bool) -> None:
    repository = open_repository(settings, start_embedded=True)
    try:
        comparison = repository.comparison(sweep_id_of(DAG_ID, run_id))
    except BadInput:
        raise BenchError(
            f"the run has ended, but {address_of(repository.engine.url)} has nothing of it: the log of the "
            "run's tasks says why, or BENCH_DATABASE_URL is not what the run's workers use"
        ) from None
    print_comparison(comparison, open_console())
    raise_for_failures(comparison, succeeded, "the logs of the run's tasks")
