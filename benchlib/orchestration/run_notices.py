"""What is told of a run of a DAG that ended red: the callback that Airflow runs then."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from benchlib.errors import BadInput, BenchError
from benchlib.orchestration.notify import Channel, notify
from benchlib.records import sweep_id_of
from benchlib.report.notifications import FailedRun, Message, failed_run, failed_sweep
from benchlib.settings import Settings
from benchlib.store.database import engine_for
from benchlib.store.repository import Repository

Callback = Callable[[Mapping[str, Any]], None]

log = logging.getLogger(__name__)


def on_failed_sweep(channels: Sequence[Channel]) -> Callback | None:
    """For ``on_failure_callback`` of a sweep's DAG; ``None`` when there is nobody to tell."""
    return _callback(channels, _of_sweep)


def on_failed_run(channels: Sequence[Channel], told_by: Collection[str] = ()) -> Callback | None:
    """For ``on_failure_callback`` of any other DAG; tasks in ``told_by`` tell themselves what they found."""
    return _callback(channels, failed_run, told_by)


def run_url(dag_id: str, run_id: str) -> str:
    """The run's page in Airflow; empty where ``AIRFLOW__API__BASE_URL`` is not set."""
    from airflow.configuration import conf

    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"{base}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}" if base else ""


def _callback(
    channels: Sequence[Channel], compose: Callable[[FailedRun], Message], told_by: Collection[str] = ()
) -> Callback | None:
    if not channels:
        return None

    def tell_people(context: Mapping[str, Any]) -> None:
        run = _failed(context)
        if run.task_id in told_by:
            log.info("what it means that %s failed has been told by the task", run.task_id)
            return
        notify(compose(run), channels)

    return tell_people


def _failed(context: Mapping[str, Any]) -> FailedRun:
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    task = context.get("ti")
    return FailedRun(
        dag_id=dag_id,
        run_id=run_id,
        reason=str(context.get("reason") or ""),
        task_id=task.task_id if task is not None else None,
        url=run_url(dag_id, run_id),
    )


def _of_sweep(run: FailedRun) -> Message:
    try:
        engine = engine_for(Settings.from_environment())
        try:
            comparison = Repository(engine).comparison(sweep_id_of(run.dag_id, run.run_id))
        finally:
            engine.dispose()
    except BadInput:
        return failed_sweep(run, None, "the sweep is not in the database, see the log of the task plan.")
    except BenchError as error:
        return failed_sweep(run, None, f"{error}.")
    return failed_sweep(run, comparison)
